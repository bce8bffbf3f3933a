"""Laws of ensembles on hidden spaces, over kinds and models; batched against plain loops."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

import paramsym as ps
from paramsym.data_dependent import VARIANTS, FrozenAction, HiddenSpace, hidden_space
from paramsym.ensembling import KINDS
from paramsym.ensembling.moves import FrozenMoves
from tests.ensembling.subjects import EPS, F64, NAMES, SCALE, few, rng, subject
from tests.ensembling.twins import loop

K = 5
MOST = 30
"""Bound on the number of operations in a row, for rounding."""


def cases(*kinds: str) -> list[tuple[str, str]]:
    """Names and kinds; `Twisted` takes no σ that pools."""
    return [(n, k) for n in NAMES for k in kinds if (n, k) != ("pooled", "twisted")]


def make(
    name: str, kind: str, scale: float = SCALE, **options: object
) -> tuple[ps.Ensemble, Tensor]:
    space, data = subject(name)
    options = {"samples": few(name), "generator": rng(), **options}
    made = ps.ensemble(space.model, space, K, scale, kind=kind, references=(data,), **options)  # type: ignore[arg-type]
    return made, data


def moves(ensemble: ps.Ensemble) -> FrozenMoves:
    assert isinstance(ensemble.moves, FrozenMoves)
    return ensemble.moves


def tolerance(ensemble: ps.Ensemble, out: Tensor) -> float:
    """Rounding: of hidden states by g, of readers by π, relative to the outputs."""
    made = moves(ensemble)
    growth = float(torch.linalg.matrix_norm(made.pi, 2).amax() * made.g.norm(2, (1, 2)).amax())
    return MOST * EPS * max(1.0, growth) * max(1.0, float(out.detach().abs().max()))


@pytest.mark.parametrize(("name", "kind"), cases(*KINDS))
def test_together_as_one_after_the_other(name: str, kind: str) -> None:
    """The batched evaluation is that of every member's parameters, and of `FrozenAction`."""
    ensemble, x = make(name, kind)
    out = ensemble(x)
    assert out.shape == (K, *ensemble.model(x).shape)
    bound = tolerance(ensemble, out)
    assert (out - loop(ensemble, x)).abs().max() <= bound
    space, made = moves(ensemble)._space, moves(ensemble)
    alone = FrozenAction(space, made.g[2], made.pi[2])(x)
    assert (out[2] - alone).abs().max() <= bound


@pytest.mark.parametrize(
    ("name", "kind"), cases(*(k for k in KINDS if k not in ("pinv", "shuffle")))
)
def test_scale_zero_is_the_model(name: str, kind: str) -> None:
    ensemble, x = make(name, kind, 0.0)
    out = ensemble(x)
    assert (out - ensemble.model(x)).abs().max() <= 10 * tolerance(ensemble, out)
    assert torch.allclose(ensemble.condition, torch.ones(K, dtype=F64), rtol=10 * EPS)


def test_scale_zero_of_the_pseudo_inverse_loses_rank() -> None:
    """π(1, Z) is a projector of rank k: the model on its references, and not elsewhere."""
    ensemble, x = make("perceptron", "pinv", 0.0)
    assert torch.linalg.matrix_rank(moves(ensemble).pi).eq(3).all()
    assert (ensemble(x) - ensemble.model(x)).abs().max() > 0.1


@pytest.mark.parametrize(("name", "kind"), cases(*VARIANTS))
def test_outputs_at_own_references_are_kept(name: str, kind: str) -> None:
    ensemble, data = make(name, kind)
    assert ensemble.references is not None
    for i, chosen in enumerate(ensemble.references):
        assert len(chosen.unique()) == len(chosen)
        x = data[chosen]
        assert (ensemble(x)[i] - ensemble.model(x)).abs().max() < 1e-10
        others = (ensemble(x) - ensemble.model(x)).abs().amax(list(range(1, ensemble(x).ndim)))
        assert (others > 1e-6).any()  # other members have other references


def test_as_many_references_as_dimensions_leave_no_choice() -> None:
    """At k = h all kinds of the action are one map; they differ for fewer."""
    for samples, agree in ((32, True), (31, False)):
        outs = [make("convolutions in front", kind, samples=samples) for kind in VARIANTS]
        first = outs[0][0](outs[0][1])
        gaps = [float((made(x) - first).detach().abs().max()) for made, x in outs[1:]]
        assert all((gap < 1e-6) == agree for gap in gaps)


@pytest.mark.parametrize("kind", ["inverse", "random", "shuffle", "interpolated"])
def test_baselines_keep_no_outputs(kind: str) -> None:
    """The law above fails on them: it can fail."""
    ensemble, data = make("perceptron", kind)
    assert (ensemble(data) - ensemble.model(data)).abs().amax((0, 2)).min() > 1e-6


@pytest.mark.parametrize(("name", "kind"), cases(*VARIANTS))
def test_pi_is_that_of_freeze(name: str, kind: str) -> None:
    """All members at once as one by one, by the data-dependent action."""
    ensemble, data = make(name, kind)
    made = moves(ensemble)
    assert ensemble.references is not None
    for i, chosen in enumerate(ensemble.references):
        one = made._space.freeze(made.g[i], (data[chosen],), VARIANTS[kind])
        size = float(one.pi.abs().max())
        assert (one.pi - made.pi[i]).abs().max() < 1e-10 * max(1, size)


@pytest.mark.parametrize("chunk", [1, 2, 4, 7, 12, 40, 10_000])
@pytest.mark.parametrize("name", ["perceptron", "transformer block", "heads"])
def test_slices_change_nothing(name: str, chunk: int) -> None:
    ensemble, x = make(name, "qr")
    cut = make(name, "qr", chunk=chunk)[0]
    assert (ensemble(x[:11]) - cut(x[:11])).abs().max() <= tolerance(ensemble, ensemble(x))


def test_slices_bound_what_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """No more than `chunk` pairs at once, and in front of the writer each sample once."""
    ensemble, x = make("deep", "qr", chunk=12)
    sizes: list[int] = []
    front: list[int] = []
    model = ensemble.model
    assert isinstance(model, nn.Sequential)
    ensemble(x[:11])  # the probe of sizes is behind us
    leaky = torch.nn.functional.silu

    def silu(z: Tensor, inplace: bool = False) -> Tensor:
        level = torch._C._functorch.get_unwrapped(z)
        sizes.append(level.shape[:-1].numel())
        return leaky(z, inplace)

    monkeypatch.setattr(torch.nn.functional, "silu", silu)
    handle = model[0].register_forward_hook(lambda _, args, out: front.append(len(out)))
    ensemble(x[:11])
    handle.remove()
    assert max(sizes) <= 12
    assert sum(sizes) == K * 11
    assert sum(front) == 11


def test_more_members_than_a_slice_holds() -> None:
    ensemble, x = make("perceptron", "qr", chunk=2)
    assert ensemble._steps((x,)) == (2, 1)
    assert ensemble(x[:3]).shape == (K, 3, 3)


@pytest.mark.parametrize("kind", ["qr", "pinv", "inverse"])
def test_float32_model(kind: str) -> None:
    """g and π are made in float64 from what the float32 model gives; the rest is its own."""
    space, data = subject("convolutions in front")
    exact = ps.ensemble(
        space.model, space, K, SCALE, kind=kind, references=(data,), samples=8, generator=rng()
    )
    model, single = copy.deepcopy(space.model).float(), data.float()
    own = hidden_space(model, space.writer, space.readers, (single[:5],))
    rounded = ps.ensemble(
        model, own, K, SCALE, kind=kind, references=(single,), samples=8, generator=rng()
    )
    assert moves(rounded).pi.dtype == moves(rounded).g.dtype == F64
    assert rounded(single).dtype == torch.float32
    size = float(exact(data).detach().abs().max())
    growth = float(exact.condition.max() * moves(exact).pi.abs().max())
    assert (rounded(single) - exact(data)).abs().max() < 100 * 2**-24 * growth * size
    if rounded.references is None:
        return
    # π σ(gZ) = σ(Z) to float64, not to float32.
    taken = (single[rounded.references[0]],)
    z = own.hidden(dict(model.named_parameters()), taken)[0].double()
    g, pi = moves(rounded).g[0], moves(rounded).pi[0, 0]
    sigma = model.get_submodule("6")
    assert (sigma(z @ g.mT) @ pi.mT - sigma(z)).abs().max() < 1e-11


def test_parameters_are_shared_and_trainable() -> None:
    ensemble, x = make("perceptron", "qr")
    assert {id(p) for p in ensemble.parameters()} == {id(p) for p in ensemble.model.parameters()}
    before = ensemble(x)
    with torch.no_grad():
        next(iter(ensemble.model.parameters())).mul_(1.5)
    assert not torch.allclose(before, ensemble(x))
    assert (ensemble(x) - loop(ensemble, x)).abs().max() < 1e-11


@pytest.mark.parametrize("chunk", [None, 6])
def test_gradients_are_those_of_the_loop(chunk: int | None) -> None:
    ensemble, data = make("convolutions in front", "twisted", chunk=chunk)
    x, model = data[:4].requires_grad_(), ensemble.model
    wanted = [x, *model.parameters()]
    ours = torch.autograd.grad(ensemble(x).square().sum(), wanted)
    total = torch.zeros((), dtype=F64)
    for i in range(K):
        out = torch.func.functional_call(model, ensemble.member(i), (x,))
        total = total + out.square().sum()
    for a, b in zip(ours, torch.autograd.grad(total, wanted), strict=True):
        assert (a - b).abs().max() <= 1e-11 * max(1.0, float(b.abs().max()))


def test_copies_and_saved_states() -> None:
    ensemble, x = make("perceptron", "qr")
    twin = copy.deepcopy(ensemble)
    assert torch.equal(twin(x), ensemble(x))
    with torch.no_grad():
        next(twin.model.parameters()).zero_()
    assert not torch.equal(twin(x), ensemble(x))
    assert torch.equal(twin.member(1)["2.bias"], ensemble.member(1)["2.bias"])
    other = make("perceptron", "qr", generator=rng(7))[0]
    assert not torch.equal(other(x), ensemble(x))
    other.load_state_dict(ensemble.state_dict())
    assert torch.equal(other(x), ensemble(x))


class Mixed(nn.Module):
    """Control flow that depends on data, and an in-place sum into what members share."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Linear(4, 6), nn.Linear(6, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = x * 1.0
        y += self.b(torch.tanh(self.a(x)))
        return self.c(y) if bool((y > 1e9).any()) else 2 * self.c(y)


class Centred(nn.Module):
    """Samples that depend on each other, as tokens along the first axis do."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(torch.tanh(self.a(x - x.mean(0))))


def test_samples_that_depend_on_each_other_are_not_cut() -> None:
    torch.manual_seed(0)
    model, x = Centred().to(F64).eval(), torch.randn(9, 4, dtype=F64)
    space = hidden_space(model, "a", "b", (x,))
    ensemble = ps.ensemble(
        model, space, K, SCALE, references=(x,), samples=3, generator=rng(), chunk=5
    )
    assert ensemble._steps((x,)) == (1, 9)
    assert (ensemble(x) - loop(ensemble, x)).abs().max() < 1e-12


def test_inputs_that_are_no_batch() -> None:
    ensemble, x = make("perceptron", "qr", chunk=3)
    assert (ensemble(x[0]) - ensemble(x[:1])[:, 0]).abs().max() < 1e-12
    assert ensemble(x[:0]).shape == (K, 0, 3)
    assert ensemble(x[:1]).shape == (K, 1, 3)
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        ensemble(x[:, :5])


def test_models_that_vmap_does_not_take() -> None:
    torch.manual_seed(0)
    model = Mixed().to(F64).eval()
    x = torch.randn(9, 4, dtype=F64)
    space = hidden_space(model, "a", "b", (x,))
    ensemble = ps.ensemble(model, space, K, SCALE, references=(x,), samples=3, generator=rng())
    assert (ensemble(x) - loop(ensemble, x)).abs().max() < 1e-12
    with pytest.raises(RuntimeError, match="mat1 and mat2"):
        ensemble(torch.randn(9, 5, dtype=F64))


class Normed(nn.Module):
    def __init__(self, drop: float = 0.0) -> None:
        super().__init__()
        self.a, self.norm, self.b = nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Linear(6, 2)
        self.drop = nn.Dropout(drop)

    def forward(self, x: Tensor) -> Tensor:
        return self.b(self.drop(torch.tanh(self.norm(self.a(x)))))


def test_training_mode_runs_whole_batches_and_leaves_buffers() -> None:
    """Batch norm then sees the batch; its statistics are not written, as members' differ."""
    torch.manual_seed(0)
    model = Normed().to(F64).eval()
    x = torch.randn(9, 4, dtype=F64)
    space = hidden_space(model, "a", "b", (x,))
    ensemble = ps.ensemble(
        model, space, K, SCALE, references=(x,), samples=3, generator=rng(), chunk=10
    )
    settled = ensemble(x)
    assert not ensemble.training
    ensemble.train()
    assert model.training
    buffers = {k: b.clone() for k, b in model.named_buffers()}
    out = ensemble(x)
    for i in range(K):
        state = {k: b.clone() for k, b in buffers.items()}
        alone = torch.func.functional_call(model, {**state, **ensemble.member(i)}, (x,))
        assert (out[i] - alone).abs().max() < 1e-12
    assert all(torch.equal(b, buffers[k]) for k, b in model.named_buffers())
    assert torch.equal(ensemble.eval()(x), settled)


def test_dropout_is_off_in_evaluation() -> None:
    torch.manual_seed(0)
    model = Normed(0.5).to(F64).eval()
    x = torch.randn(9, 4, dtype=F64)
    space = hidden_space(model, "a", "b", (x,))
    ensemble = ps.ensemble(model, space, K, SCALE, references=(x,), samples=3, generator=rng())
    assert torch.equal(ensemble(x), ensemble(x))


def test_the_same_seed_gives_paired_ensembles() -> None:
    """The same T at every scale, the same references for every kind."""
    small, large = make("perceptron", "qr", 0.1)[0], make("perceptron", "pinv", 0.2)[0]
    assert torch.equal(small.references, large.references)  # type: ignore[arg-type]
    squared = moves(small).g @ moves(small).g
    assert torch.allclose(squared, moves(large).g, atol=1e-13)


def break_transpose(state: dict[str, Tensor]) -> None:
    state["g"] = state["g"].mT


def break_reader(state: dict[str, Tensor]) -> None:
    name = next(k for k in state if k != "g")
    state[name] = state[name].flip(0)  # members in another order


@pytest.mark.parametrize("fault", [break_transpose, break_reader])
def test_faults_are_seen(
    fault: Callable[[dict[str, Tensor]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison with the loop fails on a fault in what members are run with."""
    ensemble, x = make("perceptron", "qr")
    honest = FrozenMoves.state

    def broken(self: FrozenMoves, params: dict[str, Tensor], members: slice) -> dict[str, Tensor]:
        state = honest(self, params, members)
        fault(state)
        return state

    monkeypatch.setattr(FrozenMoves, "state", broken)
    out = ensemble(x)
    assert (out - loop(ensemble, x)).abs().max() > 100 * tolerance(ensemble, out)


def test_a_member_that_is_not_there() -> None:
    ensemble, _ = make("perceptron", "qr")
    with pytest.raises(IndexError, match="member 5 of 5"):
        ensemble.member(5)
    assert ensemble.member(-1).keys() == dict(ensemble.model.named_parameters()).keys()


def test_a_model_that_gives_no_tensor() -> None:
    torch.manual_seed(0)
    from tests.data_dependent.test_hidden_space import Heads

    model, x = Heads().to(F64).eval(), torch.randn(9, 5, dtype=F64)
    space: HiddenSpace = hidden_space(model, "trunk", ["policy", "value"], (x,))
    ensemble = ps.ensemble(model, space, 2, SCALE, kind="inverse", generator=rng())
    with pytest.raises(TypeError, match="`model` must give one tensor, of logits; it gives tuple"):
        ensemble(x)
