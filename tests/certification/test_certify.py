"""Certificates: counts by hand, planted faults, verdicts, and bad input."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import comb
from typing import Any

import pytest
import torch
from hypothesis import assume, given, settings
from torch import Tensor, nn

import paramsym as ps
from paramsym.certification import Certificate, certify
from tests.certification.models import Layers, made, mlp
from tests.discover.checking import Args, as_function, detached, generic
from tests.discover.graphs import graphs
from tests.discover.test_random_graphs import sensitivity

NONE = 1e-12
"""Far above any residual of rounding, far below any of a false family."""


def bare(model: nn.Module, args: Args) -> Certificate:
    """The certificate without any symmetry, whose nullity is all extra or local."""
    return certify(model, args, ps.Symmetry.of([], model))


# -- counts by hand --------------------------------------------------------------------------------


def fibre(n: int, h: int, m: int) -> int:
    """Dimension of {UV = W} at generic factors."""
    r = min(n, h, m)
    return h * (n + m) - r * (n + m - r)


@pytest.mark.parametrize(
    ("n", "h", "m"), [(3, 2, 2), (2, 3, 2), (1, 2, 3), (2, 3, 5), (2, 6, 2), (3, 3, 3)]
)
def test_linear(n: int, h: int, m: int) -> None:
    found = certify(*mlp("identity", n, h, m, bias=False))
    beyond = (h - min(n, m)) * (max(n, m) - h) if min(n, m) < h < max(n, m) else 0
    assert (found.nullity, found.local_dim, found.extra) == (fibre(n, h, m), beyond, 0)
    assert found.verdict == "complete"


@pytest.mark.parametrize(("n", "h", "m"), [(3, 2, 2), (3, 3, 2), (2, 4, 2), (1, 3, 2), (2, 6, 1)])
def test_radial(n: int, h: int, m: int) -> None:
    found = certify(*mlp("radial", n, h, m, bias=False))
    expected = h * (n + m) - m * n - n * (n + 1) // 2 if h >= n else comb(h, 2)
    orbit = comb(h, 2) - comb(max(0, h - n - m), 2)
    assert (found.nullity, found.rank) == (expected, orbit)
    assert (found.local_dim, found.extra) == (expected - orbit, 0)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_smooth_activations_have_no_flat_direction(activation: str) -> None:
    found = certify(*mlp(activation, 2, 4, 2))
    assert (found.nullity, found.dropped, found.verdict) == (0, 0.0, "complete")


class Attention(nn.Module):
    """One head, without scaling or biases."""

    def __init__(self, width: int, key: int, value: int) -> None:
        super().__init__()
        self.q, self.k = (nn.Linear(width, key, bias=False) for _ in range(2))
        self.v, self.o = nn.Linear(width, value, bias=False), nn.Linear(value, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        scores = self.q(x) @ self.k(x).mT
        return self.o(torch.softmax(scores, -1) @ self.v(x))


@pytest.mark.parametrize(("key", "value"), [(2, 2), (4, 3), (3, 6)])
def test_attention(key: int, value: int) -> None:
    found = certify(Attention(4, key, value), (torch.randn(1, 5, 4),))
    assert found.nullity == key**2 + value**2 - max(0, value - 4) ** 2
    assert found.verdict == "complete"


@pytest.mark.parametrize(
    ("activation", "widths", "bias"),
    [
        ("relu", (2, 4, 2), False),
        ("relu", (2, 4, 2), True),
        ("relu-squared", (3, 2, 1), False),
        ("relu-squared", (3, 2, 1), True),
        ("relu", (3, 4, 4, 2), True),
    ],
)
def test_every_hidden_unit_of_a_homogeneous_network_scales(
    activation: str, widths: tuple[int, ...], bias: bool
) -> None:
    found = certify(*mlp(activation, *widths, bias=bias))
    assert found.verdict == "complete"
    assert found.nullity == found.rank == sum(widths[1:-1])
    assert found.residual < NONE


COUNTS = {
    "gpt2": 173, "llama": 83, "qwen3": 81, "bert": 201, "gpt2-untied": 230, "gpt2-untied-2": 396,
    "llama-2": 129, "llama-tied": 47, "vit": 422, "whisper": 464, "t5": 265,
    "mixtral": 111,
}  # fmt: skip
"""The first two, and those of two layers, by families written by hand."""

DAILY = ("gpt2", "llama")


@pytest.mark.parametrize(
    ("name", "nullity"),
    [
        pytest.param(name, count, marks=[] if name in DAILY else [pytest.mark.slow])
        for name, count in COUNTS.items()
    ],
)
def test_transformers(name: str, nullity: int) -> None:
    pytest.importorskip("transformers")
    found = certify(*made(name))
    assert (found.nullity - found.idle, found.extra, found.local) == (nullity, 0, ())
    assert found.verdict == "complete"
    assert found.kept > 1e6 * found.dropped


def test_a_parameter_that_is_one_number() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.scale = nn.Linear(3, 2), nn.Parameter(torch.tensor(2.0))

        def forward(self, x: Tensor) -> Tensor:
            return self.scale * self.layer(x)

    found = certify(Scaled(), (torch.randn(1, 3),))
    assert (found.parameters, found.nullity, found.verdict) == (9, 1, "complete")


@given(graphs())
@settings(max_examples=15, deadline=None)
def test_no_symmetry_of_a_random_graph_has_more_directions_than_there_are(
    case: tuple[nn.Module, Args],
) -> None:
    model, args = case
    try:
        found = certify(model, args)
    except ValueError as error:
        assert "not finite" in str(error) or "no output of real numbers" in str(error)  # noqa: PT017
        return
    if found.verdict == "unsound":  # the variance of a constant is rounding, and says nothing
        model = generic(model)
        assume(sensitivity(as_function(model, args), detached(model)) < 1e6)
    assert found.rank <= found.nullity
    assert found.nullity == found.rank + found.idle + found.local_dim + found.extra
    assert found.verdict != "unsound", found


# -- planted faults --------------------------------------------------------------------------------


def test_a_family_that_is_missing_shows_where_it_is() -> None:
    model, args = mlp("relu", 3, 5, 4, 2)
    symmetry = ps.discover(model, args)
    missing = next(f for f in symmetry if "layers.1.weight" in f.moves and f.group.n == 4)
    rest = [f.name for f in symmetry if f != missing]
    found = certify(model, args, symmetry.select(*rest))
    assert (found.verdict, found.extra) == ("incomplete", 4)
    energy = dict(found.energy)
    # The directions are orthogonal to the other families', with which they share a weight.
    assert sum(energy[k] for k in missing.moves) > 0.9
    assert sum(energy.values()) == pytest.approx(1)
    assert "4" in str(found)
    assert "layers.1.weight" in str(found)


def test_a_false_family_shows_as_a_residual() -> None:
    relu, args = mlp("relu", 3, 4, 2)
    tanh, _ = mlp("tanh", 3, 4, 2)
    symmetry = ps.discover(relu, args)
    found = certify(tanh, args, symmetry)
    assert found.verdict == "unsound"
    assert found.unsound == tuple(f.name for f in symmetry)
    assert found.residual > 1e-3 > found.tolerance
    assert (found.nullity, found.rank, found.extra) == (0, 0, 0)
    assert "not a symmetry" in str(found)


def test_a_false_family_among_true_ones_is_the_one_named() -> None:
    model, args = mlp("relu", 3, 4, 5, 2)
    symmetry = ps.discover(model, args)
    first, second = symmetry.families
    ports = tuple(replace(port, degree=2.0) if port.dual else port for port in second.ports)
    planted = ps.Symmetry((first, replace(second, ports=ports)), symmetry.parameters)
    found = certify(model, args, planted)
    assert found.unsound == (second.name,)
    assert (found.rank, found.extra) == (4, 5)


class Nearly(nn.Module):
    """Two parameters whose effects differ by one part in 10¹²: closer than the gap allows."""

    def __init__(self, difference: float) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
        self.difference = difference

    def forward(self, x: Tensor) -> Tensor:
        return self.a * x + self.b * (x + self.difference * torch.sin(3 * x))


def test_what_the_numbers_do_not_tell_is_undecided() -> None:
    args = (torch.randn(3, 2),)
    assert certify(Nearly(1e-3), args).verdict == "complete"
    found = certify(Nearly(1e-12), args)
    assert (found.verdict, found.undecided) == ("undecided", 2)
    assert "near the rounding" in str(found)
    assert certify(Nearly(0.0), args).extra == 2


def test_rows_that_run_out_are_undecided() -> None:
    model, args = mlp("relu", 3, 4, 2)
    found = certify(model, args, ps.Symmetry.of([], model), max_rows=10)
    assert found.grew
    assert found.verdict == "undecided"
    assert "max_rows" in str(found)


# -- inputs ----------------------------------------------------------------------------------------


def test_special_inputs_are_told_apart() -> None:
    model, args = mlp("tanh", 2, 3, 2)

    def on_a_line(generator: torch.Generator) -> tuple[Tensor]:
        return (torch.randn(2, 1, generator=generator) * torch.tensor([[1.0, 2.0]]),)

    found = certify(model, args, inputs=on_a_line)
    assert found.local_dim + found.extra > 0
    assert found.special_inputs == found.extra
    assert certify(model, args).nullity == 0


def test_directions_flat_on_a_finite_data_set() -> None:
    model, args = mlp("tanh", 2, 6, 2)
    data = torch.randn(4, 2, 2)

    def from_data(generator: torch.Generator) -> Tensor:
        return data[torch.randint(4, (), generator=generator)]

    found = certify(model, args, inputs=from_data)
    # 4 draws of 2 points with 2 outputs.
    assert found.nullity == found.parameters - 16
    assert found.special_inputs == found.extra > 0
    assert "flat on the inputs of this sampler alone" in str(found)


class Tagger(nn.Module):
    """Words with a padding word, added to their positions, under a mask."""

    def __init__(self, positions: int = 4) -> None:
        super().__init__()
        self.words = nn.Embedding(9, 3, padding_idx=0)
        self.places = nn.Parameter(torch.randn(positions, 3))
        self.head = nn.Linear(3, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        x = torch.tanh(self.words(ids) + self.places[: ids.shape[1]])
        return self.head(x * mask[..., None])


def test_every_token_is_reached_and_masks_are_kept() -> None:
    ids, mask = torch.tensor([[1, 1, 1, 1]]), torch.tensor([[1, 1, 0, 1]])
    model = Tagger()
    found = bare(model, (ids, mask))
    # Only the position behind the mask never enters; tables that are added may be shifted against
    # each other.
    assert (found.idle, found.nullity, found.held) == (3, 6, (1,))
    assert "left as given: number 1" in str(found)


def test_positions_beyond_the_input_are_idle() -> None:
    ids, mask = torch.tensor([[1, 1, 1, 1]]), torch.tensor([[1, 1, 1, 1]])
    found = bare(Tagger(positions=6), (ids, mask))
    assert (found.idle, found.nullity) == (6, 9)


def test_gradients_that_training_does_not_see_count() -> None:
    class Stopped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(2, 3), nn.Linear(3, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.tanh(self.a(x)).detach())

    assert certify(Stopped(), (torch.randn(2, 2),)).nullity == 0


def test_keyword_inputs() -> None:
    ids, mask = torch.ones(1, 4, dtype=torch.int64), torch.ones(1, 4)
    by_position = certify(Tagger(), (ids, mask.long()))
    by_name = certify(Tagger(), (), kwargs={"ids": ids, "mask": mask.long()})
    assert by_name.nullity == by_position.nullity


# -- the same structure ----------------------------------------------------------------------------


def test_ties_frozen_and_unused_parameters_are_respected() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
            self.b.weight = self.a.weight
            self.spare = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.b(torch.tanh(self.a(x)))

    model = Tied()
    model.a.weight.requires_grad_(False)
    found = certify(model, (torch.randn(2, 3),))
    assert (found.parameters, found.unused, found.nullity) == (9, 6, 0)


@pytest.mark.parametrize("training", [False, True])
def test_batch_norm_in_both_modes(training: bool) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2))
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = bare(model.train(training), (torch.randn(6, 3),))
    # With batch statistics rows scale and biases shift; with fixed ones there is one affine map
    # too many. Two for each channel, either way.
    assert found.nullity == 8
    assert found.mode == ("train" if training else "eval")
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_dropout_draws_anew_for_every_row() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2)).train()
    found = certify(model, (torch.randn(6, 3),))
    # No matrices mix what is dropped one by one: scalings and shifts are left.
    assert (found.nullity, found.verdict) == (8 - 4, "complete")


def test_the_model_is_left_alone() -> None:
    model, args = mlp("relu", 3, 4, 2)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    certify(model, args)
    assert torch.equal(torch.get_rng_state(), state)
    assert all(p.grad is None for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_an_exported_program() -> None:
    model, args = mlp("relu", 3, 4, 2)
    program = torch.export.export(model, args)
    assert certify(program).nullity == certify(model, args).nullity == 4


def test_a_seed_gives_the_same_certificate() -> None:
    model, args = mlp("relu", 3, 4, 2)
    one, two = certify(model, args, seed=3), certify(model, args, seed=3)
    assert one.to_dict() == two.to_dict()


# -- values ----------------------------------------------------------------------------------------


def with_exceptions() -> nn.Sequential:
    """3 → 6 → 2 with ReLU: unit 0 is dead, 1 constant, 3 twice unit 2, and 4, 5 are always on."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    first = model[0]
    assert isinstance(first, nn.Linear)
    with torch.no_grad():
        first.weight[:2] = 0.0
        first.bias[:2] = torch.tensor([-1.0, 1.0])
        first.weight[3], first.bias[3] = 2 * first.weight[2], 2 * first.bias[2]
        first.bias[4:] = 1e3
    return model


def test_values_are_explained_here_and_not_generically() -> None:
    model, args = with_exceptions(), (torch.randn(1, 3),)
    generic = certify(model, args)
    assert (generic.nullity, generic.local, generic.units) == (6, (), ())
    here = certify(model, args, at="here")
    assert (here.verdict, here.extra, here.idle) == ("complete", 0, 0)
    assert here.nullity == here.rank + here.local_dim
    assert {family.kind for family in here.local} == {
        "unused coordinates",
        "low rank",
        "linear units",
    }
    assert [(u.unit, u.kind, u.of) for u in here.units] == [
        (0, "dead", None),
        (1, "constant", None),
        (3, "duplicate", 2),
    ]
    basis = torch.cat([v.flatten(1) for v in here.local_directions.values()], 1)
    assert torch.allclose(basis @ basis.mT, torch.eye(here.local_dim).double())


def test_channels_that_are_on_for_every_input() -> None:
    """A shift of their bias goes through the pooling; where they are read it is taken up."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 2, 2), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(2 * 4, 3)).double()
    with torch.no_grad():
        for conv in (model[0], model[3]):
            conv.get_parameter("bias")[0] = 1e3
    here = certify(model, (torch.randn(1, 1, 8, 8).double(),), at="here")
    assert (here.verdict, here.extra) == ("complete", 0)
    linear = {f.where: f.dim for f in here.local if f.kind == "linear units"}
    assert linear.keys() == {"0 → 3", "3 → 6"}


def test_local_directions_leave_the_outputs_alone() -> None:
    model = with_exceptions()
    here = certify(model, (torch.randn(1, 3),), at="here")
    params = {k: p.detach() for k, p in model.named_parameters()}
    x = torch.randn(50, 3, dtype=torch.float64)
    for k in range(here.local_dim):
        along = {name: v[k] for name, v in here.local_directions.items()}

        def run(p: dict[str, Tensor]) -> Tensor:
            return torch.func.functional_call(model, p, (x,))

        change = torch.func.jvp(run, (params,), (along,))[1]
        assert float(change.abs().max()) < 1e-8  # biases of 1e3 cancel


def test_a_factor_of_low_rank() -> None:
    model = nn.Sequential(nn.Linear(4, 4, bias=False), nn.Linear(4, 3, bias=False)).double()
    with torch.no_grad():
        model[0].weight[3] = model[0].weight[:3].sum(0)  # pyright: ignore
    here = certify(model, (torch.randn(1, 4),), at="here")
    assert here.verdict == "complete"
    # The product has rank 3 either way; the first factor has lost one.
    assert here.nullity == 28 - (3 * (4 + 3 - 3))
    assert any(family.kind == "low rank" for family in here.local) or here.local_dim == 0


# -- what it says ----------------------------------------------------------------------------------


def test_as_data() -> None:
    model, args = mlp("relu", 3, 4, 2)
    found = certify(model, args, ps.Symmetry.of([], model))
    data = json.loads(json.dumps(found.to_dict(directions=True)))
    assert data["schema"] == "paramsym.certificate/1"
    assert (data["nullity"], data["extra"], data["verdict"]) == (4, 4, "incomplete")
    assert sum(entry["share"] for entry in data["energy"]) == pytest.approx(1)
    assert len(data["unexplained"]["layers.0.weight"]) == 4
    assert "unexplained" not in found.to_dict()


def test_as_text() -> None:
    model, args = mlp("relu", 3, 4, 2)
    found = certify(model, args)
    assert str(found).startswith("Certificate: complete")
    assert found.beyond == {"not explained": 0}
    assert found.line().startswith("complete: 26 parameters, nullity 4, found 4, extra 0")
    (share,) = found.families
    assert (share.dim, share.holds, share.group) == (4, True, str(ps.PositiveScaling(4)))


# -- bad input -------------------------------------------------------------------------------------


class TestBadInput:
    model, args = Layers(torch.relu, 3, 4, 2, bias=True), (torch.randn(2, 3),)

    def raises(
        self, kind: type[Exception], match: str, model: nn.Module | None = None, **given: Any
    ) -> None:
        with pytest.raises(kind, match=match):
            certify(model or self.model, given.pop("args", self.args), **given)

    def test_types(self) -> None:
        self.raises(TypeError, "`inputs` must be a sampler", inputs=torch.randn(3))
        self.raises(TypeError, "`symmetry` must be a Symmetry", symmetry={"x": 1})
        self.raises(ValueError, '`at` must be "generic" or "here"', at="there")
        self.raises(TypeError, "`args` must be a tuple", args=torch.randn(2, 3))

    @pytest.mark.parametrize(
        "sampler", [lambda g: torch.randn(2, 5), lambda g: 3, lambda g: (torch.ones(2, 3).long(),)]
    )
    def test_samplers_of_other_inputs(self, sampler: Callable[..., Any]) -> None:
        self.raises(
            ValueError,
            r"must return what the model was recorded with, real \(2, 3\)",
            inputs=sampler,
        )

    def test_meta_tensors(self) -> None:
        model = Layers(torch.relu, 3, 4, 2, bias=True).to("meta")
        self.raises(ValueError, "meta device", model, args=(torch.randn(2, 3, device="meta"),))

    def test_too_large(self) -> None:
        self.raises(ValueError, r"needs about .* GB for 26 parameters", memory=1e3)

    def test_a_symmetry_of_another_model(self) -> None:
        other = Layers(torch.relu, 3, 5, 2, bias=True)
        symmetry = ps.discover(other, self.args)
        self.raises(ValueError, "belongs to another model", symmetry=symmetry)

    def test_no_real_output(self) -> None:
        class Choice(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 2)

            def forward(self, x: Tensor) -> Tensor:
                return self.layer(x).argmax(-1)

        self.raises(ValueError, "no output of real numbers", Choice())

    def test_not_finite(self) -> None:
        class Pole(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 2)

            def forward(self, x: Tensor) -> Tensor:
                return self.layer(x) / torch.zeros(())

        self.raises(ValueError, "not finite", Pole())

        class Kink(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.layer = nn.Linear(3, 2)

            def forward(self, x: Tensor) -> Tensor:
                return (0 * self.layer(x)).abs().sqrt()

        self.raises(ValueError, "derivative of the model's outputs is not finite", Kink())
