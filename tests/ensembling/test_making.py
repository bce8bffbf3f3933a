"""What `ensemble` refuses, and what it says."""

import re
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import nn

import paramsym as ps
from paramsym.data_dependent import Axioms, LinearMap, Point, Variant, hidden_space
from paramsym.ensembling import BASELINES, KINDS, vote
from paramsym.ensembling.references import References, reader_matrices
from tests.ensembling.subjects import F64, rng, subject

SPACE, DATA = subject("perceptron")
H = SPACE.width


def make(scale: float = 0.3, members: int = 4, **options: Any) -> ps.Ensemble:
    options = {"references": (DATA,), "generator": rng(), **options}
    where = options.pop("where", SPACE)
    return ps.ensemble(options.pop("model", SPACE.model), where, members, scale, **options)


def refuses(error: type[Exception], message: str, **options: Any) -> None:
    with pytest.raises(error, match=re.escape(message)):
        make(**options)


@pytest.mark.parametrize("members", [0, -1, 2.0, True, "3"])
def test_members(members: Any) -> None:
    refuses(ValueError, f"`members` must be a positive integer; got {members!r}", members=members)


@pytest.mark.parametrize("scale", [-0.1, float("nan"), float("inf")])
def test_scale(scale: float) -> None:
    refuses(ValueError, "`scale` must be finite and not negative; got", scale=scale)


def test_types() -> None:
    refuses(TypeError, "`scale` must be a number; got str", scale="1")  # type: ignore[arg-type]
    refuses(TypeError, "`where` must be a symmetry, from `discover(", where="0")
    refuses(TypeError, "`model` must be a torch.nn.Module; got function", model=lambda x: x)
    refuses(TypeError, "`generator` must be a torch.Generator; got int", generator=0)
    refuses(ValueError, "`chunk` must be a positive integer or None; got 0", chunk=0)


def test_kinds() -> None:
    assert set(KINDS) == {"qr", "polar", "twisted", "pinv", "minimal", *BASELINES}
    refuses(ValueError, f"`kind` must be one of {list(KINDS)} on a hidden space; got", kind="QR")
    refuses(ValueError, "got 'orbit'", kind="orbit")
    refuses(ValueError, "`elements` must be one of ['exp', 'linear']; got 'cayley'",
            elements="cayley")  # fmt: skip
    assert make().kind == "qr"


def test_another_model_or_mode() -> None:
    torch.manual_seed(0)
    other = nn.Sequential(nn.Linear(8, 20), nn.Tanh(), nn.Linear(20, 3)).to(F64).eval()
    refuses(ValueError, "`where` is the hidden space of another model", model=other)
    space = hidden_space(other, "0", "2", (DATA,))
    refuses(ValueError, "`model` must be in evaluation mode", model=other.train(), where=space)


def test_references() -> None:
    for kind in (*(k for k in KINDS if k not in BASELINES), "shuffle"):
        refuses(ValueError, f"`references` must be given for kind {kind!r}", kind=kind,
                references=None)  # fmt: skip
    for kind in ("inverse", "random", "interpolated"):
        assert make(kind=kind, references=None).references is None
    refuses(TypeError, "`references` must be a tuple of the model's arguments", references=DATA)
    refuses(TypeError, "got tuple", references=())
    refuses(ValueError, "must hold the same samples in every tensor; got [[40, 8], [39, 8]]",
            references=(DATA, DATA[1:]))  # fmt: skip
    refuses(ValueError, "`references` must be finite", references=(DATA / 0,))
    refuses(ValueError, "must hold at least the 20 samples that a member takes; it holds 19",
            references=(DATA[:19],))  # fmt: skip
    for samples in (0, -1, 1.5, True):
        refuses(ValueError, "`samples` must be a positive integer; got", samples=samples)


@pytest.mark.parametrize("kind", ["qr", "polar", "twisted"])
def test_more_samples_than_the_group_can_keep(kind: str) -> None:
    refuses(ValueError, f"`samples` must be at most {H} here: GL({H}) keeps the outputs at {H}",
            kind=kind, samples=H + 1)  # fmt: skip


@pytest.mark.parametrize("kind", ["pinv", "minimal", "shuffle"])
def test_more_samples_are_least_squares(kind: str) -> None:
    assert make(kind=kind, samples=H + 5)(DATA).isfinite().all()


def test_references_of_many_states() -> None:
    """An image behind a convolution is as many hidden states as it has pixels."""
    space, data = subject("pixels")
    made = ps.ensemble(space.model, space, 3, 0.1, references=(data,), generator=rng())
    assert made.references is not None
    assert made.references.shape == (3, max(1, space.width // _states(space, data)))
    with pytest.raises(ValueError, match=r"got 40 samples of \d+ hidden states each"):
        ps.ensemble(space.model, space, 3, 0.1, references=(data,), samples=40, generator=rng())


def _states(space: Any, data: torch.Tensor) -> int:
    z, activation = space.hidden(dict(space.model.named_parameters()), (data[:1],))
    return activation(z).shape[0]


def test_default_samples() -> None:
    references = make().references
    assert references is not None
    assert references.shape == (4, H)


def test_members_with_references_that_repeat_are_named() -> None:
    """One sample twice in the pool: only the members that took it both times fail."""
    pool = torch.cat([DATA[:29], DATA[:1]])
    kept = make(1e-3, 40, kind="pinv", samples=6, references=(pool,), check=False).references
    assert kept is not None
    bad = [i for i, row in enumerate(kept.tolist()) if {0, 29} <= set(row)]
    assert 0 < len(bad) < 10
    refuses(
        ValueError,
        f"`references` do not do for {len(bad)} of 40 members (members "
        f"{', '.join(map(str, bad))}) at reader '2'. `σ(Z)` must have full rank 6",
        scale=1e-3, members=40, samples=6, references=(pool,),
    )  # fmt: skip
    same = (DATA[:1].expand(30, -1),)
    refuses(ValueError, "for 4 of 4 members (members 0, 1, 2, 3)", references=same)


@dataclass(frozen=True)
class Stopping(Variant):
    """A variant whose solver stops at samples that are all zero."""

    axioms: ClassVar[Axioms] = Axioms()

    def carry(self, start: Point, end: Point, move: LinearMap) -> LinearMap:
        if bool((start.value == 0).flatten(1).all(1).any()):
            raise torch.linalg.LinAlgError("the solver stopped")
        return LinearMap.of(torch.eye(start.z.shape[-1], dtype=F64))


def test_a_solver_that_stops() -> None:
    net = nn.Sequential(nn.Linear(8, 20, bias=False), nn.Tanh(), nn.Linear(20, 3)).to(F64).eval()
    space = hidden_space(net, "0", "2", (DATA,))
    taken = References((DATA * (torch.arange(40) > 3)[:, None],), torch.tensor([[8], [2], [9]]))
    g = torch.eye(20, dtype=F64).expand(3, -1, -1)
    with pytest.raises(ValueError, match=r"for 1 of 3 members \(members 1\).* the solver stopped"):
        reader_matrices(space, g, taken, Stopping(), check=False)


@pytest.mark.parametrize("kind", KINDS)
def test_singular_elements(kind: str) -> None:
    if kind == "interpolated":
        assert make(1e3, kind=kind).condition.max() < 1001.001
        return
    refuses(ValueError, "`scale` is too large for float64: at 50, 4 of 4 group elements are",
            scale=50.0, kind=kind)  # fmt: skip


def test_unchecked_elements_report_their_condition() -> None:
    """They are taken as they are, and a member that is not finite is named at the vote."""
    wild = make(20.0, kind="pinv", check=False)
    assert wild.condition.shape == (4,)
    assert wild.condition.max() > 1e14
    lost = make(2000.0, kind="inverse", check=False)
    assert lost.condition.isinf().all()
    with pytest.raises(ValueError, match="those of 4 of 4 members are NaN"):
        vote(lost(DATA))
    with pytest.raises(ValueError, match="those of 4 of 4 members are NaN"):
        lost.predict(DATA)


def test_on_a_symmetry() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2)).to(F64)
    x = torch.randn(6, 4, dtype=F64)
    symmetry = ps.discover(net, (x,))
    options = {"model": net, "where": symmetry}
    assert make(**options).kind == make(kind="orbit", **options).kind == "orbit"
    refuses(ValueError, "`kind` must be 'orbit' on a symmetry", kind="qr", **options)
    refuses(ValueError, "`elements` must be 'exp' on a symmetry", elements="linear", **options)
    refuses(ValueError, "`scale` is too large for float64: at 300", scale=300.0, **options)
    refuses(ValueError, "`params` lacks '0.weight'", model=nn.Linear(4, 5), where=symmetry)
    none = ps.discover(nn.Sequential(nn.Linear(4, 5), nn.Softsign(), nn.Linear(5, 2)), (x.float(),))
    assert not len(none)
    refuses(ValueError, "`where` has no families", model=net, where=none)


def test_predict() -> None:
    ensemble = make(0.5, members=9, samples=5)
    logits = ensemble(DATA).detach()
    for by in ("mode", "probability", "logit"):
        assert torch.equal(ensemble.predict(DATA, by=by), vote(logits, by))
    assert not ensemble.predict(DATA).is_floating_point()
    assert "members=9, kind='qr', scale=0.5" in repr(ensemble)
