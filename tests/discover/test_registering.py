"""Ops that discovery does not know, registered by a measurement of their symmetries."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import paramsym as ps
from paramsym.discovery.ops import RULES
from paramsym.discovery.registering import Registration, register_activation
from tests.discover.checking import Net, generic, groups

Function = Callable[[Tensor], Tensor]


def norm(z: Tensor) -> Tensor:
    return z.norm(dim=-1, keepdim=True)


FUNCTIONS: dict[str, Function] = {
    "squared_relu": lambda z: torch.relu(z) ** 2,
    "root_relu": lambda z: torch.relu(z).sqrt(),
    "radial_tanh": lambda z: torch.tanh(norm(z)) / norm(z) * z,
    "radial_cube": lambda z: norm(z) ** 2 * z,
    "unit": lambda z: z / norm(z),
    "twice": lambda z: 2 * z,
    "wavy": lambda z: torch.sin(z) + 0.3 * z,
    "sorted_gap": lambda z: torch.relu(z) * z.abs().amax(-1, keepdim=True),
    "softmax_like": lambda z: torch.softmax(z, -1),
    "clipped_relu": lambda z: torch.relu(z).clamp(max=1e4),
    "pairwise": lambda z: torch.cat([norm(z[..., :2]) * z[..., :2], z[..., 2:].sin()], -1),
}


def custom(name: str, function: Function, namespace: str = "paramsym_measured") -> Any:
    op = torch.library.custom_op(
        f"{namespace}::{name}", function, mutates_args=(), schema="(Tensor z) -> Tensor"
    )
    op.register_fake(torch.empty_like)
    return op


OPS = {name: custom(name, function) for name, function in FUNCTIONS.items()}


@torch.library.custom_op("paramsym_measured::power_relu", mutates_args=())
def power_relu(z: Tensor, power: float = 1.0) -> Tensor:
    """An op with another argument."""
    return torch.relu(z) ** power


@power_relu.register_fake
def _(z: Tensor, power: float = 1.0) -> Tensor:
    return torch.empty_like(z)


def net(op: Function, *, bias: bool = False) -> nn.Module:
    return generic(
        Net(
            lambda n, x: n.b(op(n.a(x))),
            a=nn.Linear(6, 5, bias=bias),
            b=nn.Linear(5, 5, bias=bias),
        )
    )


def inputs(*shape: int) -> Tensor:
    rng = torch.Generator().manual_seed(0)
    return torch.randn(*shape, 6, generator=rng, dtype=torch.float64)


@pytest.fixture(autouse=True)
def rules_are_restored() -> Iterator[None]:
    before = dict(RULES)
    yield
    assert before == RULES


SCALE = {"T₊(1)": 1}
USABLE: list[tuple[str, str, dict[str, int]]] = [
    ("squared_relu", "homogeneous of degree 2, entry by entry", {"T₊(5)": 1}),
    ("root_relu", "homogeneous of degree 0.5, entry by entry", {"T₊(5)": 1}),
    ("radial_tanh", "radial along the last axis", {"O(5)": 1}),
    ("radial_cube", "radial along the last axis, homogeneous of degree 3", {"O(5)": 1} | SCALE),
    ("unit", "radial along the last axis, homogeneous of degree 0", {"O(5)": 1} | SCALE),
    ("twice", "a multiple of the identity", {"GL(5)": 1}),
    ("wavy", "a function without a linear symmetry", {}),
    ("sorted_gap", "a function of the last axis, homogeneous of degree 2", SCALE),
]


@pytest.mark.parametrize("shape", [(9,), (4, 6)], ids=["batch", "sequences"])
@pytest.mark.parametrize(("name", "meaning", "expected"), USABLE, ids=[u[0] for u in USABLE])
def test_what_is_found(
    name: str, meaning: str, expected: dict[str, int], shape: tuple[int, ...]
) -> None:
    with register_activation(OPS[name], FUNCTIONS[name]) as registration:
        assert registration.meaning == meaning
        found = ps.discover(net(OPS[name]), (inputs(*shape),))
    assert groups(found) == expected
    assert found.barriers == ()
    assert found.verification is not None
    assert found.verification.withdrawn == ()


@pytest.mark.parametrize(("name", "meaning", "expected"), USABLE, ids=[u[0] for u in USABLE])
def test_nothing_is_missing(name: str, meaning: str, expected: dict[str, int]) -> None:
    """The rank of what is found is the number of flat directions of the model."""
    model, x = net(FUNCTIONS[name]), inputs(60)
    with register_activation(OPS[name], FUNCTIONS[name]):
        found = ps.discover(net(OPS[name]), (x,))
    params = {k: p.detach() for k, p in model.named_parameters()}
    jacobian = torch.func.jacrev(lambda p: torch.func.functional_call(model, p, (x,)))(params)
    rows = torch.cat([j.flatten(2).flatten(0, 1) for j in jacobian.values()], 1)
    rank = int(torch.linalg.matrix_rank(rows / rows.norm(dim=0), rtol=1e-9))
    nullity = rows.shape[1] - rank
    assert found.orbit_dim(params) == nullity


@pytest.mark.parametrize(("name", "meaning", "expected"), USABLE, ids=[u[0] for u in USABLE])
def test_biases(name: str, meaning: str, expected: dict[str, int]) -> None:
    with register_activation(OPS[name], FUNCTIONS[name]):
        found = ps.discover(net(OPS[name], bias=True), (inputs(9),))
    assert groups(found) == expected
    assert found.verification is not None
    assert found.verification.withdrawn == ()


def test_the_other_recorder() -> None:
    """Control flow on data: the model cannot be exported."""

    def forward(n: Any, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 1e30 else n.b(torch.deg2rad(n.a(x)))

    model = generic(Net(forward, a=nn.Linear(6, 5), b=nn.Linear(5, 5)))
    with register_activation(torch.ops.aten.deg2rad):
        found = ps.discover(model, (inputs(9),))
    assert groups(found) == {"GL(5)": 1}
    assert [barrier.op for barrier in ps.discover(model, (inputs(9),)).barriers] == ["deg2rad"]


def test_degrees_reach_the_family() -> None:
    with register_activation(OPS["squared_relu"], FUNCTIONS["squared_relu"]):
        found = ps.discover(net(OPS["squared_relu"]), (inputs(9),))
    (family,) = found.families
    assert {port.parameter: port.degree for port in family.ports} == {"a.weight": 1, "b.weight": 2}


def test_without_registration_it_is_a_barrier() -> None:
    op = OPS["squared_relu"]
    with register_activation(op, FUNCTIONS["squared_relu"]):
        assert ps.discover(net(op), (inputs(9),)).barriers == ()
    found = ps.discover(net(op), (inputs(9),))
    assert found.families == ()
    assert [barrier.op for barrier in found.barriers] == ["paramsym_measured::squared_relu"]


@pytest.mark.parametrize(
    "op",
    [
        "paramsym_measured::wavy",
        "paramsym_measured::wavy.default",
        OPS["wavy"],
        torch.ops.paramsym_measured.wavy,
        torch.ops.paramsym_measured.wavy.default,
    ],
    ids=["name", "name with overload", "custom op", "packet", "overload"],
)
def test_ways_to_name_an_op(op: Any) -> None:
    registration = register_activation(op, FUNCTIONS["wavy"])
    assert registration.op == "paramsym_measured::wavy"
    assert "wavy: a function without a linear symmetry" in str(registration)
    registration.remove()
    registration.remove()
    assert "paramsym_measured::wavy" not in RULES


def test_an_op_of_torch_is_its_own_function() -> None:
    with register_activation(torch.ops.aten.sinc) as registration:
        found = ps.discover(net(torch.sinc), (inputs(9),))
    assert registration.meaning == "a function without a linear symmetry"
    assert found.families == ()
    assert found.barriers == ()


def test_a_handle_takes_back_only_its_own_rule() -> None:
    first = register_activation(OPS["wavy"], FUNCTIONS["wavy"])
    first.remove()
    with register_activation(OPS["wavy"], FUNCTIONS["wavy"]) as second:
        first.remove()
        assert second.op in RULES


def test_other_arguments_stay_a_barrier() -> None:
    with register_activation(power_relu, lambda z: torch.relu(z) ** 2, arguments={"power": 2.0}):
        found = ps.discover(net(lambda z: power_relu(z, 2.0)), (inputs(9),))
        other = ps.discover(net(lambda z: power_relu(z, 3.0)), (inputs(9),))
        default = ps.discover(net(power_relu), (inputs(9),))
    assert groups(found) == {"T₊(5)": 1}
    for symmetry in (other, default):
        assert symmetry.families == ()
        (barrier,) = symmetry.barriers
        assert "other arguments" in barrier.reason


def test_a_default_that_is_given() -> None:
    with register_activation(power_relu, torch.relu):
        found = ps.discover(net(lambda z: power_relu(z, 1.0)), (inputs(9),))
    assert groups(found) == {"T₊(5)": 1}


def test_the_function_is_held_against_the_op() -> None:
    for op in (OPS["squared_relu"], "paramsym_measured::squared_relu"):
        with pytest.raises(ValueError, match=r"`sigma` must compute what '.*::squared_relu' comp"):
            register_activation(op, torch.relu)
    with pytest.raises(ValueError, match="Give the op's other arguments in `arguments`"):
        register_activation(power_relu, lambda z: torch.relu(z) ** 2)


def test_the_function_is_held_against_the_op_at_all_scales() -> None:
    """Weights of usual size never meet the clip, so that verification would not see it."""
    with pytest.raises(ValueError, match=r"on points of size 10+ they differ"):
        register_activation(OPS["clipped_relu"], torch.relu)


def test_a_false_function_of_an_op_that_is_not_loaded_is_found_out() -> None:
    """Only the name is known, so that nothing but verification can tell that it is no relu."""
    with register_activation("paramsym_later::act", torch.relu):
        op = custom("act", FUNCTIONS["squared_relu"], "paramsym_later")
        found = ps.discover(net(op), (inputs(9),))
    assert found.families == ()
    assert found.verification is not None
    assert found.verification.withdrawn == ("a → b",)


@pytest.mark.parametrize("name", ["relu", "squared_relu"])
def test_an_op_of_the_same_name_elsewhere(name: str) -> None:
    """An op of another library has not the rule of torch's, nor of a third library's."""
    op = custom(name, FUNCTIONS["clipped_relu"], "paramsym_elsewhere")
    with register_activation(OPS["squared_relu"], FUNCTIONS["squared_relu"]):
        found = ps.discover(net(op), (inputs(9),))
    assert found.families == ()
    assert [barrier.op for barrier in found.barriers] == [f"paramsym_elsewhere::{name}"]


def test_arguments_are_those_that_are_measured() -> None:
    """Without `sigma` the op itself is measured, not its defaults."""
    bent = torch.library.custom_op(
        "paramsym_measured::bent", lambda z, a=1.0: z.abs() ** a, mutates_args=(),
        schema="(Tensor z, float a=1.0) -> Tensor",
    )  # fmt: skip
    bent.register_fake(lambda z, a=1.0: torch.empty_like(z))
    bent.register_autograd(
        lambda ctx, g: (g * ctx.a * ctx.z.abs() ** (ctx.a - 1) * ctx.z.sign(), None),
        setup_context=lambda ctx, inputs, output: ctx.__dict__.update(z=inputs[0], a=inputs[1]),
    )
    with register_activation(bent, arguments={"a": 2.0}) as handle:
        assert handle.meaning == "homogeneous of degree 2, entry by entry"


def test_a_name_without_namespace_is_one_of_torch() -> None:
    with pytest.raises(ValueError, match=r"torch has no op 'wavy'\. Give the namespace"):
        register_activation("wavy", FUNCTIONS["wavy"])


def test_an_op_with_a_rule() -> None:
    with pytest.raises(ValueError, match="`op`: 'relu' has a rule already"):
        register_activation("aten::relu", torch.relu)
    with (
        register_activation(OPS["wavy"], FUNCTIONS["wavy"]),
        pytest.raises(ValueError, match=r"taken back by `\.remove\(\)`"),
    ):
        register_activation(OPS["wavy"], FUNCTIONS["wavy"])


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (F.relu6, r"not stable \(the dimension depends on the scale"),
        (F.hardshrink, r"not stable \(σ\(exp\(tM\) z\)"),
        (FUNCTIONS["softmax_like"], "not recognised"),
        (FUNCTIONS["pairwise"], "differs between widths|not recognised|it has"),
        (lambda z: torch.cat([torch.relu(z), torch.relu(-z)], -1), "other representation|R.6"),
        (lambda z: z * torch.arange(1.0, z.shape[-1] + 1), "other representation"),
        (lambda z: z if z.shape[-1] == 3 else torch.relu(z), "it differs between widths"),
    ],
    ids=["relu6", "hardshrink", "softmax", "pairs", "crelu", "weights", "width"],
)
def test_what_discovery_cannot_use(function: Function, why: str) -> None:
    with pytest.raises(ValueError, match=rf"'tests::mystery', which stays a barrier: .*({why})"):
        register_activation("tests::mystery", function)


def test_clipped_functions_at_scales_where_they_clip() -> None:
    with register_activation("tests::mystery", F.relu6, scales=(5.0, 10.0, 20.0)) as registration:
        assert registration.meaning == "a function without a linear symmetry"


@pytest.mark.parametrize("op", [torch.relu, nn.ReLU(), lambda z: z, None, 3])
def test_no_op(op: Any) -> None:
    with pytest.raises(TypeError, match=r"`op` must be the name of an op.*got"):
        register_activation(op, torch.relu)


def test_a_name_alone() -> None:
    with pytest.raises(TypeError, match="`sigma` must be a callable, because `op` is only a name"):
        register_activation("tests::mystery")


def test_no_function() -> None:
    with pytest.raises(TypeError, match="`sigma` must be a callable"):
        register_activation("tests::mystery", 3)  # type: ignore[arg-type]


def test_an_op_without_derivative() -> None:
    with pytest.raises(ValueError, match="`sigma` must be differentiable by autograd"):
        register_activation(OPS["squared_relu"])


def test_handle() -> None:
    registration = register_activation("tests::mystery", torch.relu)
    assert isinstance(registration, Registration)
    assert registration.measured.group == "T₊(4) of degree 1"
    registration.remove()
