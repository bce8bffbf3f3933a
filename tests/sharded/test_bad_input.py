"""What does not fit is refused, in every process, so that none waits for another."""

from collections.abc import Callable

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.tensor import DTensor, Partial

from paramsym.sharded import here
from tests.laws.measure import sample
from tests.laws.subjects import subject
from tests.sharded.layouts import FLAT, generator, mesh, placed
from tests.sharded.processes import Processes


def _refusal(name: str) -> str:
    """What is said in this process, where something must be."""
    model, on = subject("dense relu"), mesh(2)
    symmetry, params = model.symmetry, placed(model.params, FLAT["rows"], on)
    seed = dist.get_rank() if name.startswith("unequal") else 0
    g = sample(model, generator(seed))
    M = symmetry.sample_algebra(generator=generator(seed))
    sums = DTensor.from_local(model.params["fc0.weight"], on, [Partial()])
    broken = placed(model.params, FLAT["rows"], on)
    if dist.get_rank() == 1:
        here(broken["fc0.weight"])[0, 0] = torch.nan
    refusals: dict[str, Callable[[], object]] = {
        "unequal element": lambda: symmetry.act(g, params),
        "unequal generator": lambda: symmetry.tangent(M, params),
        "unequal generator of a quantity": lambda: symmetry.conserved_quantity(M, params),
        "partial": lambda: symmetry.conserved({**params, "fc0.weight": sums}),
        "not finite": lambda: symmetry.act(g, broken, check=True),
        "not finite, in place": _in_place,
    }
    with pytest.raises(ValueError, match=r".") as refused:
        refusals[name]()
    return str(refused.value)


def _in_place() -> None:
    """An entry that is not finite in one process: nothing moves in any."""
    model = subject("dense relu")
    module = model.module()
    for k, part in placed(model.params, FLAT["rows"], mesh(2)).items():
        owner, _, leaf = k.rpartition(".")
        setattr(module.get_submodule(owner), leaf, nn.Parameter(part))
    last = dict(module.named_parameters())["fc1.weight"]
    assert isinstance(last, DTensor)
    if dist.get_rank() == 1:
        last.to_local().detach()[0, 0] = torch.inf
    before = {k: p.to_local().clone() for k, p in _sharded(module).items()}
    try:
        model.symmetry.act_(sample(model, generator()), module)
    finally:
        assert all(torch.equal(p.to_local(), before[k]) for k, p in _sharded(module).items())


def _sharded(module: nn.Module) -> dict[str, DTensor]:
    return {k: p for k, p in module.named_parameters() if isinstance(p, DTensor)}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("unequal element", "`g` must be the same in every process"),
        ("unequal generator", "`M` must be the same in every process"),
        ("unequal generator of a quantity", "`M` must be the same in every process"),
        ("partial", r"`params['fc0.weight']` must be placed by `Shard` or `Replicate`"),
        ("not finite", "`params['fc0.weight']` must be finite; 1 of 15 entries"),
        ("not finite, in place", "`params['fc1.weight']` must be finite; 1 of 10 entries"),
    ],
)
def test_refused_everywhere(name: str, message: str, pair: Processes) -> None:
    for said in pair.run(_refusal, name):
        assert message in said
