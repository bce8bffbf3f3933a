"""What a user can get wrong, and unusual models that are no mistake."""

from typing import Any

import pytest
import torch
from torch import nn

import paramsym as ps
from tests.discover.checking import Net, groups


def net(**options: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 4, **options), nn.ReLU(), nn.Linear(4, 2, **options))


X = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("model", "got"),
    [
        (nn.Linear, "Pass an instance"),
        (torch.relu, "builtin_function_or_method.*Write a module around it"),
        (net().state_dict(), "OrderedDict.*Load it into its module"),
        (None, "NoneType"),
        ("resnet", "str"),
    ],
)
def test_not_a_module(model: Any, got: str) -> None:
    with pytest.raises(TypeError, match=rf"`model` must be a torch\.nn\.Module.*{got}"):
        ps.discover(model, (X,))


def test_args_are_a_tensor() -> None:
    with pytest.raises(TypeError, match=r"`args` must be a tuple.*`\(x,\)`"):
        ps.discover(net(), X)  # type: ignore[arg-type]


@pytest.mark.parametrize("args", [None, {"x": X}, 3])
def test_args_are_no_tuple(args: Any) -> None:
    with pytest.raises(TypeError, match="`args` must be a tuple"):
        ps.discover(net(), args)


def test_inputs_by_name() -> None:
    assert groups(ps.discover(net(), kwargs={"input": X})) == {"T₊(4)": 1}
    with pytest.raises(TypeError, match=r"got dict\. Inputs by name are `kwargs`"):
        ps.discover(net(), {"input": X})  # type: ignore[arg-type]


@pytest.mark.filterwarnings("ignore:.torch.jit:DeprecationWarning")
def test_scripted_parts() -> None:
    scripted: Any = torch.jit.script(net())
    for model in (scripted, nn.Sequential(scripted, nn.Tanh())):
        with pytest.raises(ValueError, match="Pass the module that it was made from"):
            ps.discover(model, (X,))


def test_sparse_tensors() -> None:
    graph = torch.eye(5).to_sparse()
    model = Net(lambda net, x: net.a(torch.sparse.mm(graph, x)), a=net())
    with pytest.raises(ValueError, match="cannot be followed: it has a sparse tensor"):
        ps.discover(model, (X,))


@pytest.mark.filterwarnings("ignore:.*nested tensors:UserWarning")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_nested_tensors(layout: torch.layout) -> None:
    def run(net: Net, x: torch.Tensor) -> torch.Tensor:
        ragged = torch.nested.nested_tensor([x[:2], x[2:]], layout=layout)
        return torch.nested.to_padded_tensor(net.a(ragged), 0.0)

    with pytest.raises(ValueError, match="cannot be followed: it has a nested tensor"):
        ps.discover(Net(run, a=nn.Linear(3, 4)), (X,))


def test_control_flow_that_is_an_op() -> None:
    def run(net: Net, x: torch.Tensor) -> torch.Tensor:
        return torch.cond(x.sum() > 0, lambda y: net.a(y), lambda y: net.b(y), (x,))

    with pytest.raises(ValueError, match=r"cannot be followed: .*torch\.cond"):
        ps.discover(Net(run, a=nn.Linear(3, 4), b=nn.Linear(3, 4)), (X,))


def test_args_may_be_a_list() -> None:
    assert groups(ps.discover(net(), [X])) == {"T₊(4)": 1}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "args",
    [
        (),
        (X, X),
        (torch.randn(5, 7),),
        (torch.zeros(5, 3, dtype=torch.int64),),
        ("text",),
        (None,),
    ],
    ids=["none", "two", "shape", "integers", "text", "nothing"],
)
def test_inputs_that_the_model_rejects(args: tuple[Any, ...]) -> None:
    """The message shows the shapes that were given, and the model's own error."""
    with pytest.raises(ValueError, match=r"the model rejects these inputs \(.*`model\(\*args") as e:
        ps.discover(net(), args)
    assert e.value.__cause__ is not None


def test_an_error_in_forward_is_shown() -> None:
    def run(net: Net, x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("sensor unplugged")

    with pytest.raises(ValueError, match="RuntimeError: sensor unplugged"):
        ps.discover(Net(run, a=nn.Linear(3, 4)), (X,))


@pytest.mark.parametrize("model", [nn.ReLU(), nn.Sequential(), nn.BatchNorm1d(3, affine=False)])
def test_a_model_without_parameters(model: nn.Module) -> None:
    with pytest.raises(ValueError, match="has no parameters"):
        ps.discover(model, (X,))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_parameters_that_are_not_finite(value: float) -> None:
    model = net()
    with torch.no_grad():
        model[2].weight[1, 2] = value
    with pytest.raises(ValueError, match=r"1 of 8 entries of '2\.weight'"):
        ps.discover(model, (X,))


def test_inputs_that_are_not_finite() -> None:
    x = X.clone()
    x[0, 0] = float("nan")
    with pytest.raises(ValueError, match="outputs are not finite"):
        ps.discover(net(), (x,))


def test_lazy_parameters() -> None:
    model = nn.Sequential(nn.LazyLinear(4), nn.ReLU(), nn.Linear(4, 2))
    with pytest.raises(ValueError, match=r"lazy parameter '0\.weight'.*Run it once"):
        ps.discover(model, (X,))
    model(X)
    assert groups(ps.discover(model, (X,))) == {"T₊(4)": 1}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
def test_dtypes(dtype: torch.dtype) -> None:
    """Verification is in float64 whatever the model's precision."""
    symmetry = ps.discover(net(dtype=dtype), (X.to(dtype),))
    assert groups(symmetry) == {"T₊(4)": 1}
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert symmetry.verification.invariance <= symmetry.verification.tolerance < 1e-9


def test_casts_inside_the_model_are_lifted() -> None:
    """A model that computes a part in float32 is checked in float64 throughout."""
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(x)).float().to(x.dtype)),
        a=nn.Linear(3, 4, dtype=torch.float64),
        b=nn.Linear(4, 2, dtype=torch.float64),
    )
    symmetry = ps.discover(model, (X.double(),))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    assert groups(symmetry) == {"T₊(4)": 1}


def test_mixed_dtypes() -> None:
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(x)).to(torch.bfloat16)),
        a=nn.Linear(3, 4),
        b=nn.Linear(4, 2, dtype=torch.bfloat16),
    )
    assert groups(ps.discover(model, (X,))) == {"T₊(4)": 1}


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
def test_parameters_that_are_not_real_numbers(dtype: torch.dtype) -> None:
    """They stand still and stop nothing: the rest is found, or a clear error says what to do."""
    values = torch.ones(4).to(dtype)
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(x)) * n.c.abs() if dtype.is_complex
                         else torch.relu(n.a(x)) * n.c),
        a=nn.Linear(3, 4),
        b=nn.Linear(4, 2),
        c=nn.Parameter(values, requires_grad=False),
    )  # fmt: skip
    try:
        symmetry = ps.discover(model, (X,))
    except (TypeError, ValueError) as error:
        assert "'c'" in str(error)  # noqa: PT017
    else:
        assert all("c" not in family.moves for family in symmetry)
        params = dict(model.named_parameters())
        symmetry.act(symmetry.sample(generator=torch.Generator().manual_seed(0)), params)


def test_meta_tensors_are_unverified() -> None:
    """The families of a model without values, and no claim to have checked them."""
    with torch.device("meta"):
        model = net()
    symmetry = ps.discover(model, (X.to("meta"),))
    assert groups(symmetry) == {"T₊(4)": 1}
    assert symmetry.verification is None
    assert not any(f.verified for f in symmetry)
    assert "Unverified" in str(symmetry)
    assert symmetry.families == ps.discover(net(), (X,), verify=False).families


def test_batch_norm_on_meta() -> None:
    with torch.device("meta"):
        model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    symmetry = ps.discover(model, (torch.randn(3, 2, 6, 6, device="meta"),))
    assert groups(symmetry) == {"T₊(4)": 2, "R^4": 1}


def test_keyword_inputs() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: torch.Tensor, *, mask: torch.Tensor | None = None, times: int = 1):  # type: ignore[no-untyped-def]
            y = self.net(x) * times
            return y if mask is None else y * mask

    for kwargs in (
        {},
        {"mask": torch.ones(5, 2)},
        {"times": 3},
        {"mask": torch.ones(2), "times": 2},
    ):
        assert groups(ps.discover(Masked(), (X,), kwargs)) == {"T₊(4)": 1}
    with pytest.raises(ValueError, match="rejects these inputs"):
        ps.discover(Masked(), (X,), {"masks": torch.ones(5, 2)})


def test_inputs_in_a_structure() -> None:
    model = Net(lambda n, d: n.b(torch.relu(n.a(d["x"][0]))), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    assert groups(ps.discover(model, ({"x": [X], "y": None},))) == {"T₊(4)": 1}


def test_one_input_twice() -> None:
    model = Net(
        lambda n, x, y: n.b(torch.relu(n.a(x) + n.a(y))), a=nn.Linear(3, 4), b=nn.Linear(4, 2)
    )
    assert groups(ps.discover(model, (X, X))) == {"T₊(4)": 1}


def test_a_model_that_writes_to_its_input() -> None:
    """The caller's tensor stays as it is."""
    model = Net(lambda n, x: n.b(torch.relu(n.a(x.mul_(2)))), a=nn.Linear(3, 4), b=nn.Linear(4, 2))
    x = X.clone()
    symmetry = ps.discover(model, (x,))
    assert torch.equal(x, X)
    assert groups(symmetry) == {"T₊(4)": 1}


def test_one_sample_is_enough() -> None:
    assert groups(ps.discover(net(), (X[:1],))) == {"T₊(4)": 1}


def test_an_empty_batch() -> None:
    """Without a sample nothing can be measured, and the message says so."""
    with pytest.raises(ValueError, match="empty"):
        ps.discover(net(), (X[:0],))


def test_outputs_that_are_no_tensor() -> None:
    model = Net(
        lambda n, x: (n.b(torch.relu(n.a(x))), 3, "text"), a=nn.Linear(3, 4), b=nn.Linear(4, 2)
    )
    assert groups(ps.discover(model, (X,))) == {"T₊(4)": 1}


def test_no_output_at_all() -> None:
    """Nothing depends on the parameters, and they are said to be unused."""
    symmetry = ps.discover(Net(lambda n, x: x + 1, a=nn.Linear(3, 4)), (X,))
    assert symmetry.families == ()
    assert symmetry.unused == ("a.weight", "a.bias")


@pytest.mark.parametrize("shape", [(), (1,), (1, 1), (1, 1, 1)])
def test_scalar_parameters(shape: tuple[int, ...]) -> None:
    """A number that multiplies the head: one scale, against the head's weight and bias."""
    model = Net(
        lambda n, x: n.s.reshape(()) * n.b(torch.relu(n.a(x))),
        a=nn.Linear(3, 4),
        b=nn.Linear(4, 2),
        s=nn.Parameter(torch.ones(shape)),
    )
    symmetry = ps.discover(model, (X,))
    assert groups(symmetry) == {"T₊(4)": 1, "T₊(1)": 1}


def test_an_empty_parameter() -> None:
    model = Net(
        lambda n, x: n.b(torch.relu(n.a(x))),
        a=nn.Linear(3, 4),
        b=nn.Linear(4, 2),
        c=nn.Parameter(torch.zeros(0, 4)),
    )
    symmetry = ps.discover(model, (X,))
    assert groups(symmetry) == {"T₊(4)": 1}
    assert symmetry.unused == ("c",)


def test_a_parametrization() -> None:
    """torch's weight norm: the scales of the directions and of the gains, or a named barrier."""
    model = net()
    nn.utils.parametrizations.weight_norm(model[0])
    symmetry = ps.discover(model, (X,))
    assert symmetry.verification is not None
    assert symmetry.verification.withdrawn == ()
    moved = {name for family in symmetry for name in family.moves}
    if not symmetry.barriers:
        assert "0.parametrizations.weight.original1" in moved
    assert {barrier.op for barrier in symmetry.barriers} <= {"_weight_norm"}


def test_a_compiled_model() -> None:
    """A compiled model is the model; its parameters keep their names in it."""
    symmetry = ps.discover(torch.compile(net(), backend="eager"), (X,))
    assert groups(symmetry) == {"T₊(4)": 1}
