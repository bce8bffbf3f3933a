"""The action on hidden spaces of models: kept outputs, frozen π, refusals."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from paramsym.data_dependent import (
    QR,
    VARIANTS,
    Affine,
    HiddenSpace,
    MinimalChange,
    OneSample,
    PseudoInverse,
    Twisted,
    act_on_layers,
    hidden_space,
)

F64 = torch.float64
EPS = torch.finfo(F64).eps


Subject = tuple[nn.Module, str, str | tuple[str, ...], Tensor]


class Block(nn.Module):
    """An MLP with a residual connection around it, on tokens."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 12)
        self.norm = nn.LayerNorm(12)
        self.up, self.down = nn.Linear(12, 24), nn.Linear(24, 12, bias=False)
        self.head = nn.Linear(12, 3)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed(tokens)
        x = x + self.down(nn.functional.gelu(self.up(self.norm(x))))
        return self.head(x.mean(1))


def perceptron() -> Subject:
    net = nn.Sequential(nn.Linear(8, 20), nn.Tanh(), nn.Linear(20, 3))
    return net, "0", "2", torch.randn(9, 8)


def deep() -> Subject:
    layers = [nn.Linear(8, 10), nn.Sigmoid(), nn.Linear(10, 16), nn.LayerNorm(16)]
    net = nn.Sequential(*layers, nn.SiLU(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 2))
    return net, "2", "5", torch.randn(7, 8)


def block() -> Subject:
    return Block(), "up", "down", torch.arange(9).reshape(3, 3)


def convolutional() -> Subject:
    front = [nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()]
    net = nn.Sequential(*front, nn.Linear(36, 32), nn.LeakyReLU(0.1), nn.Linear(32, 10))
    return net, "5", "7", torch.randn(12, 1, 8, 8)


def in_place() -> Subject:
    net = nn.Sequential(nn.Linear(8, 20), nn.ReLU(inplace=True), nn.Linear(20, 3))
    return net, "0", "2", torch.randn(9, 8)


def pooled() -> Subject:
    """A reader of means over pixels: as many samples as images."""
    front = [nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.SiLU(inplace=True)]
    net = nn.Sequential(*front, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    return net, "0", "5", torch.randn(7, 3, 6, 6)


def pixels() -> Subject:
    """A convolution that reads all pixels of a few, with stride and padding."""
    front = [nn.Conv2d(2, 30, 3, bias=False), nn.GELU()]
    net = nn.Sequential(*front, nn.Conv2d(30, 5, 3, stride=2, padding=1), nn.Flatten())
    return net, "0", "2", torch.randn(2, 2, 4, 4)


class Heads(nn.Module):
    """A trunk with two heads, each behind an activation of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk, self.policy = nn.Linear(5, 14), nn.Linear(14, 3)
        self.value = nn.Linear(14, 1, bias=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        z = self.trunk(x)
        return self.policy(torch.tanh(z)), self.value(input=nn.functional.softplus(z))


class Joined(nn.Module):
    """The same, as one tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.heads = Heads()

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(self.heads(x), -1)


def heads() -> Subject:
    return Joined(), "heads.trunk", ("heads.policy", "heads.value"), torch.randn(5, 5)


MODELS: dict[str, Callable[[], Subject]] = {
    "perceptron": perceptron,
    "deep": deep,
    "transformer block": block,
    "convolutions in front": convolutional,
    "in place": in_place,
    "pooled": pooled,
    "pixels": pixels,
    "heads": heads,
}

Case = tuple[HiddenSpace, Tensor, Tensor]


def case(name: str) -> Case:
    torch.manual_seed(3)
    model, writer, readers, x = MODELS[name]()
    x = x.double() if x.is_floating_point() else x
    space = hidden_space(model.double(), writer, readers, (x,))
    g = torch.eye(space.width, dtype=F64) + 0.05 * torch.randn(space.width, space.width, dtype=F64)
    return space, g, x


def run(space: HiddenSpace, params: dict[str, Tensor], x: Tensor) -> Tensor:
    buffers = {k: b.clone() for k, b in space.model.named_buffers()}
    return torch.func.functional_call(space.model, {**buffers, **params}, (x,))


def params_of(space: HiddenSpace) -> dict[str, Tensor]:
    return {k: p.detach() for k, p in space.model.named_parameters()}


def tolerance(space: HiddenSpace, x: Tensor) -> float:
    """Rounding, amplified by the condition of the reference batch and of Z†σ(Z) (twisted)."""
    worst = 1.0
    for reader in space.readers:
        z, activation = space.hidden(params_of(space), (x,), reader)
        values = activation(z)
        core = values @ torch.linalg.pinv(z)
        worst = max(worst, *(float(torch.linalg.cond(m)) for m in (values, z, core)))
    return 64 * space.width * EPS * worst**2


@pytest.mark.parametrize(
    ("name", "variant"),
    [(m, v) for m in MODELS for v in VARIANTS if (m, v) != ("pooled", "twisted")],
)
class TestActing:
    def test_outputs_at_the_reference_batch_are_kept(self, name: str, variant: str) -> None:
        space, g, x = case(name)
        params = params_of(space)
        moved = space.act(g, params, (x,), VARIANTS[variant], check=True)
        before, after = run(space, params, x), run(space, moved, x)
        assert (after - before).norm() <= tolerance(space, x) * before.norm()
        changed = {k for k in params if moved[k] is not params[k]}
        writer = {f"{space.writer}.weight", f"{space.writer}.bias"} & set(params)
        assert changed == writer | {f"{reader}.weight" for reader in space.readers}

    def test_frozen_it_keeps_them_and_changes_others(self, name: str, variant: str) -> None:
        space, g, x = case(name)
        frozen = space.freeze(g, (x,), VARIANTS[variant])
        before, after = space.model(x), frozen(x)
        assert (after - before).norm() <= tolerance(space, x) * before.norm()
        fresh = torch.randint(11, x.shape) if not x.is_floating_point() else torch.randn_like(x)
        assert (frozen(fresh) - space.model(fresh)).norm() > 1e-6


def test_nothing_of_the_model_changes() -> None:
    space, g, x = case("convolutions in front")
    before = copy.deepcopy(space.model.state_dict())
    space.act(g, params_of(space), (x,))
    space.freeze(g, (x,))
    hidden_space(space.model, "5", "7", (x,))
    after = space.model.state_dict()
    assert all(torch.equal(before[k], after[k]) for k in before)
    assert not any(m._forward_hooks for m in space.model.modules())


def test_the_hidden_state_is_what_the_layer_writes() -> None:
    space, _, x = case("transformer block")
    z, activation = space.hidden(params_of(space), (x,))
    model = space.model
    assert isinstance(model, Block)
    expected = model.up(model.norm(model.embed(x))).reshape(9, 24)
    assert torch.equal(z, expected)
    assert torch.equal(activation(2 * z), nn.functional.gelu(2 * z))


def test_it_is_the_action_on_layers() -> None:
    space, g, x = case("perceptron")
    params = params_of(space)
    layers = [Affine(params["0.weight"], params["0.bias"])]
    layers += [Affine(params["2.weight"], params["2.bias"])]
    plain = act_on_layers([g], layers, [torch.tanh], x, QR())
    moved = space.act(g, params, (x,), QR())
    assert (moved["0.weight"] - plain[0].weight).norm() <= tolerance(space, x)
    assert plain[0].bias is not None
    assert (moved["0.bias"] - plain[0].bias).norm() <= tolerance(space, x)
    assert (moved["2.weight"] - plain[1].weight).norm() <= tolerance(space, x)


def test_it_is_a_group_action() -> None:
    space, g, x = case("deep")
    params, f = params_of(space), g.flip(0, 1)

    def twice(variant: QR | MinimalChange | Twisted) -> float:
        one = space.act(g, space.act(f, params, (x,), variant), (x,), variant)
        other = space.act(g @ f, params, (x,), variant)
        key = f"{space.readers[0]}.weight"
        return float((one[key] - other[key]).norm() / params[key].norm())

    assert twice(QR()) <= tolerance(space, x)
    assert twice(Twisted()) <= tolerance(space, x)
    assert twice(MinimalChange()) > 1e-4


def test_pinv_reduces_the_rank_of_the_reader() -> None:
    space, g, _ = case("perceptron")
    x = torch.randn(2, 8, dtype=F64)
    params = params_of(space)
    key = "2.weight"
    assert torch.linalg.matrix_rank(space.act(g, params, (x,), PseudoInverse())[key]) == 2
    assert torch.linalg.matrix_rank(space.act(g, params, (x,), QR())[key]) == 3


def test_one_sample() -> None:
    space, g, x = case("deep")
    params = params_of(space)
    moved = space.act(g, params, (x[:1],), OneSample(), check=True)
    assert (run(space, moved, x[:1]) - run(space, params, x[:1])).norm() <= 1e-12


def test_least_squares_takes_any_batch() -> None:
    space, g, _ = case("perceptron")
    x = torch.randn(300, 8, dtype=F64)
    params = params_of(space)
    with pytest.raises(ValueError, match="between 1 and h = 20 samples"):
        space.act(g, params, (x,))
    before = run(space, params, x)
    after = run(space, space.act(g, params, (x,), PseudoInverse(), check=True), x)
    assert 1e-6 < (after - before).norm() / before.norm() < 0.5


def test_dead_neurons_do_not_stop_least_squares() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    with torch.no_grad():
        net.get_parameter("0.bias")[0] = -1e3
    x = torch.randn(50, 4, dtype=F64)
    space = hidden_space(net, "0", "2", (x,))
    g = torch.diag(torch.linspace(0.5, 2, 6, dtype=F64))  # a symmetry of ReLU
    moved = space.act(g, params_of(space), (x,), PseudoInverse(), check=True)
    assert (run(space, moved, x) - net(x)).norm() <= 1e-12 * net(x).norm()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_models_of_other_precision(dtype: torch.dtype) -> None:
    """Weights and hidden states are rounded, which the reader's rows amplify."""
    space, g, x = case("perceptron")
    params = params_of(space)
    size = params["2.weight"].norm() * tolerance(space, x) / EPS
    space.model.to(dtype)
    x = x.to(dtype)
    moved = space.act(g, params_of(space), (x,), check=True)
    assert {p.dtype for p in moved.values()} == {dtype}
    assert space.freeze(g, (x,))(x).dtype == dtype
    before, after = run(space, params_of(space), x), run(space, moved, x)
    assert (after - before).norm() <= float(size) * torch.finfo(dtype).eps
    assert (after - before).norm() < 0.1 * before.norm()


def test_an_op_in_place_sees_copies() -> None:
    space, _, x = case("in place")
    z, activation = space.hidden(params_of(space), (x,))
    written = z.clone()
    assert (z < 0).any()
    assert torch.equal(activation(z), torch.relu(z))
    assert torch.equal(z, written)


def test_pooling_leaves_fewer_samples() -> None:
    space, g, x = case("pooled")
    z, activation = space.hidden(params_of(space), (x,))
    assert z.shape == (7 * 36, 16)
    assert activation(z).shape == (7, 16)
    with pytest.raises(ValueError, match=r"must keep the number of samples; it took 252 to 7"):
        space.act(g, params_of(space), (x,), Twisted())


def test_every_reader_has_a_sigma_of_its_own() -> None:
    space, g, x = case("heads")
    params = params_of(space)
    z, first = space.hidden(params, (x,))
    second = space.hidden(params, (x,), "heads.value")[1]
    assert torch.equal(first(z), torch.tanh(z))
    assert torch.equal(second(z), nn.functional.softplus(z))
    assert space.freeze(g, (x,)).pi.shape == (2, 14, 14)


class TestTransforms:
    def test_gradients_in_g_and_in_the_parameters(self) -> None:
        space, g, x = case("perceptron")
        params, fresh = params_of(space), torch.randn(5, 8, dtype=F64)

        def loss(g: Tensor, weight: Tensor) -> Tensor:
            moved = space.act(g, {**params, "0.weight": weight}, (x,))
            return run(space, moved, fresh).square().sum()

        slopes = torch.func.grad(loss, (0, 1))(g, params["0.weight"])
        for i, slope in enumerate(slopes):
            point = [g, params["0.weight"]]
            step = torch.randn_like(point[i])
            tangents = [torch.zeros_like(p) for p in point]
            tangents[i] = step
            forward = torch.func.jvp(loss, tuple(point), tuple(tangents))[1]
            assert torch.allclose(forward, (slope * step).sum(), rtol=1e-9, atol=0)
            ahead, behind = list(point), list(point)
            ahead[i], behind[i] = point[i] + 1e-6 * step, point[i] - 1e-6 * step
            quotient = (loss(*ahead) - loss(*behind)) / 2e-6
            assert torch.allclose(quotient, forward, rtol=1e-5, atol=0)

    def test_vmap_over_elements(self) -> None:
        space, g, x = case("perceptron")
        params = params_of(space)
        many = torch.stack([g, g.mT, 2 * g])
        together = torch.func.vmap(lambda g: space.act(g, params, (x,))["2.weight"])(many)
        for one, found in zip(many, together, strict=True):
            alone = space.act(one, params, (x,))["2.weight"]
            assert (found - alone).norm() <= tolerance(space, x) * alone.norm()


class TestFrozen:
    def test_it_is_a_module_whose_model_can_be_trained(self) -> None:
        space, g, x = case("perceptron")
        frozen = space.freeze(g, (x,))
        names = {k for k, _ in frozen.named_parameters()}
        assert names == {"model.0.weight", "model.0.bias", "model.2.weight", "model.2.bias"}
        frozen(x).square().sum().backward()
        weight = frozen.model.get_parameter("0.weight")
        assert weight.grad is not None
        assert weight.grad.norm() > 0

    def test_it_goes_through_a_state_dict_and_to_other_types(self) -> None:
        space, g, x = case("perceptron")
        frozen = space.freeze(g, (x,))
        other = space.freeze(torch.eye(20, dtype=F64), (x,))
        other.load_state_dict(frozen.state_dict())
        fresh = torch.randn(50, 8, dtype=F64)
        assert torch.equal(frozen(fresh), other(fresh))
        before = frozen(fresh)
        single = frozen.float()(fresh.float())
        assert torch.allclose(single.double(), before, rtol=0, atol=1e-4)

    def test_a_copy_is_independent(self) -> None:
        space, g, x = case("heads")
        frozen = space.freeze(g, (x,))
        before = frozen(x)
        twin = copy.deepcopy(frozen)
        with torch.no_grad():
            twin.model.get_parameter("heads.trunk.weight").zero_()
        assert torch.equal(frozen(x=x), before)
        assert not torch.equal(twin(x), before)

    def test_its_parameters_are_those_of_act(self) -> None:
        space, g, x = case("perceptron")
        moved = space.freeze(g, (x,)).moved()
        for name, tensor in space.act(g, params_of(space), (x,)).items():
            assert torch.equal(moved[name], tensor)

    def test_recomputed_on_every_batch_it_would_be_the_old_model(self) -> None:
        space, g, _ = case("perceptron")
        params, fresh = params_of(space), torch.randn(6, 8, dtype=F64)
        own = run(space, space.act(g, params, (fresh,)), fresh)
        frozen = space.freeze(g, (torch.randn(6, 8, dtype=F64),))(fresh)
        before = run(space, params, fresh)
        assert (own - before).norm() <= tolerance(space, fresh) * before.norm()
        assert (frozen - before).norm() > 1e-3 * before.norm()


class Skips(nn.Module):
    """Two layers with other connections beside the hidden space."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind
        self.a, self.b = nn.Linear(5, 5), nn.Linear(5, 5)
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        z = self.a(x)
        match self.kind:
            case "around the writer":
                return self.b(torch.tanh(z) + x)
            case "around the reader":
                return self.b(torch.tanh(z)) + z
            case "reader first":
                return self.a(torch.tanh(self.b(x)))
            case "apart":
                return self.b(x) + 0 * z
            case "twice":
                return self.b(torch.tanh(self.a(torch.tanh(z))))
            case "random":
                return self.b(self.drop(z))
            case "overwritten":
                values = torch.tanh(z)
                out = self.b(values)
                values.zero_()
                return out
            case "weight again":
                return self.b(torch.tanh(z)) + self.b.weight[0]
            case "weight before":
                return self.b(torch.tanh(z)) + (x @ self.a.weight.detach()).sum()
            case _:
                return z


class TestRefusals:
    @pytest.mark.parametrize(
        ("kind", "message"),
        [
            ("around the writer", "reads something beside 'a'"),
            ("around the reader", "'a' has readers beside 'b'"),
            ("twice", "'a' must be called exactly once a run; it was called 2 times"),
            ("never", "'b' must be called exactly once a run; it was called 0 times"),
            ("apart", "reads something beside 'a'"),
            ("weight again", "the parameters of 'b' are used elsewhere"),
            ("weight before", "the parameters of 'a' are used elsewhere"),
            ("random", "different outputs on the same inputs"),
        ],
    )
    def test_hidden_spaces_with_other_connections(self, kind: str, message: str) -> None:
        torch.manual_seed(0)
        with pytest.raises(ValueError, match=message):
            hidden_space(Skips(kind), "a", "b", (torch.randn(3, 5),))

    def test_a_constant_input_cannot_hide_a_residual_connection(self) -> None:
        with pytest.raises(ValueError, match="'b' reads something beside 'a'"):
            hidden_space(Skips("around the writer"), "a", "b", (torch.ones(3, 5),))

    def test_a_head_that_is_not_named(self) -> None:
        with pytest.raises(ValueError, match=r"'trunk' has readers beside 'value'.*Name them all"):
            hidden_space(Heads(), "trunk", "value", (torch.randn(3, 5),))

    def test_a_reader_behind_a_reader(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
        with pytest.raises(ValueError, match="'4' reads what another of `readers` gives"):
            hidden_space(net, "0", ("2", "4"), (torch.randn(2, 4),))

    def test_values_that_are_not_finite(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
        x = torch.full((2, 4), torch.nan)
        with pytest.raises(ValueError, match=r"`0\(inputs\)` must be finite; 8 of 8"):
            hidden_space(net, "0", "2", (x,))
        space = hidden_space(net, "0", "2", (torch.ones(2, 4),))
        with pytest.raises(ValueError, match="`z` must be finite"):
            space.freeze(torch.eye(4), (x,))

    def test_outputs_that_are_nan_are_not_random(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
        with torch.no_grad():
            net.get_parameter("2.bias")[0] = torch.nan
        assert hidden_space(net, "0", "2", (torch.randn(2, 4),)).width == 4

    def test_one_layer_of_two_names(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 2))
        net.add_module("alias", nn.ModuleList([net[0]]))
        net.forward = lambda x: net[2](net[1](net[0](x)))  # pyright: ignore
        assert hidden_space(net, "0", "2", (torch.randn(2, 4),)).width == 4

    def test_a_constant_input_cannot_hide_that_nothing_is_read(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Threshold(1e9, 1.0), nn.Linear(4, 2))
        with pytest.raises(ValueError, match="'2' does not read '0'"):
            hidden_space(net, "0", "2", (torch.randn(3, 4),))

    def test_neurons_that_are_all_dead_are_read_still(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
        with torch.no_grad():
            net.get_parameter("0.bias").fill_(-50)
        assert hidden_space(net, "0", "2", (torch.randn(3, 4),)).width == 4

    def test_random_models_are_fine_in_eval_mode(self) -> None:
        model = Skips("random").eval()
        assert hidden_space(model, "a", "b", (torch.randn(3, 5),)).width == 5

    def test_what_a_reader_took_may_be_overwritten(self) -> None:
        x = torch.randn(3, 5)
        space = hidden_space(Skips("overwritten"), "a", "b", (x,))
        z, activation = space.hidden(params_of(space), (x,))
        assert torch.equal(activation(z), torch.tanh(z))

    def test_names(self) -> None:
        net, x = Skips("around the writer"), torch.randn(3, 5)
        with pytest.raises(ValueError, match="`writer` names no module of the model: 'c'"):
            hidden_space(net, "c", "b", (x,))
        block = Block()
        with pytest.raises(ValueError, match="Did you mean 'down'"):
            hidden_space(block, "up", "dwn", (torch.randint(11, (2, 3)),))
        with pytest.raises(ValueError, match=r"two layers or more, each once; got 'a' and \['a'\]"):
            hidden_space(net, "a", "a", (x,))
        with pytest.raises(ValueError, match=r"two layers or more, each once; got 'a' and \[\]"):
            hidden_space(net, "a", (), (x,))
        with pytest.raises(ValueError, match=r"`reader` must be one of \['b'\]; got 'c'"):
            hidden_space(Skips("random").eval(), "a", "b", (x,)).hidden({}, (x,), "c")

    def test_layers_of_other_kinds(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.ConvTranspose1d(4, 2, 3))
        with pytest.raises(TypeError, match=r"must name an nn.Linear.*'2' is ConvTranspose1d"):
            hidden_space(net, "0", "2", (torch.randn(1, 4, 4),))
        grouped = nn.Sequential(nn.Conv1d(4, 4, 3, groups=2), nn.ReLU(), nn.Conv1d(4, 2, 3))
        with pytest.raises(ValueError, match=r"'0' must have one group of channels.*it has 2"):
            hidden_space(grouped, "0", "2", (torch.randn(1, 4, 8),))
        with pytest.warns(FutureWarning):
            front = nn.utils.weight_norm(nn.Linear(4, 4))  # pyright: ignore[reportDeprecated]
        net = nn.Sequential(front, nn.ReLU(), nn.Linear(4, 2))
        with pytest.raises(ValueError, match="'0' must have a weight of its own"):
            hidden_space(net, "0", "2", (torch.randn(1, 4),))
        with pytest.raises(TypeError, match="`inputs` must be a tuple"):
            hidden_space(Skips(""), "a", "b", torch.ones(2, 5))  # type: ignore[arg-type]

    def test_sizes(self) -> None:
        net = nn.Sequential(nn.Linear(4, 6), nn.GLU(), nn.Linear(3, 2))
        with pytest.raises(ValueError, match=r"must take the 6 coordinates.*it takes 3"):
            hidden_space(net, "0", "2", (torch.randn(2, 4),))

    def test_tied_layers(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
        net[2].weight = net[0].weight
        with pytest.raises(ValueError, match=r"'0.weight' and '2.weight' are one tensor"):
            hidden_space(net, "0", "2", (torch.randn(2, 4),))

    def test_elements_and_parameters(self) -> None:
        space, g, x = case("perceptron")
        params = params_of(space)
        with pytest.raises(ValueError, match=r"`g` must have shape \[..., 20, 20\]"):
            space.act(g[:4, :4], params, (x,))
        with pytest.raises(ValueError, match=r"`g` must be one matrix \[h, h\]"):
            space.act(g[None], params, (x,))
        with pytest.raises(ValueError, match="`g` must be invertible"):
            space.act(0 * g, params, (x,), check=True)
        with pytest.raises(ValueError, match=r"`params` must hold '2.weight'.*got nothing"):
            space.act(g, {k: p for k, p in params.items() if k != "2.weight"}, (x,))
        with pytest.raises(ValueError, match="numerical rank is 1"):
            space.freeze(g, (x[:1].expand(3, -1),))
        with pytest.raises(TypeError, match="`g` must be a floating-point tensor"):
            space.act(g.long(), params, (x,))
