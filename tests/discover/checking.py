"""What a discovered symmetry is held against: the model itself, in float64, and its Jacobian."""

import copy
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.utils._pytree as pytree
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

import paramsym as ps
from tests.blocks.nullity import NullSpace

EPS = torch.finfo(torch.float64).eps
TINY = 1e-60
"""Stands for the limit ε → 0 of a normalisation."""

Args = tuple[Any, ...]
Function = Callable[[Mapping[str, Tensor]], Tensor]


class Net(nn.Module):
    """A module from its parts and a function `forward(self, *inputs)`."""

    def __init__(self, run: Callable[..., Any], /, **parts: nn.Module | Tensor) -> None:
        super().__init__()
        self.run = run
        for name, part in parts.items():
            if isinstance(part, nn.Parameter):
                self.register_parameter(name, part)
            elif isinstance(part, Tensor):
                self.register_buffer(name, part)
            else:
                self.add_module(name, part)

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(self, *inputs)


def generic(model: nn.Module, seed: int = 0) -> nn.Module:
    """A float64 copy with no special entries: nothing is zero, one, or equal to another."""
    rng = torch.Generator().manual_seed(seed)
    model = copy.deepcopy(model).double()
    with torch.no_grad():
        for name, p in model.named_parameters():
            noise = torch.randn(p.shape, generator=rng, dtype=torch.float64)
            if p.ndim > 1:
                p.copy_(noise * (1.5 / p[0].numel()) ** 0.5)
            else:
                p.copy_(noise.sign() + 0.3 * noise if name.endswith("weight") else 0.3 * noise)
        for name, buffer in model.named_buffers():
            if buffer.is_floating_point():
                noise = torch.randn(buffer.shape, generator=rng, dtype=torch.float64)
                buffer.copy_(noise.abs() + 0.5 if "var" in name else 0.3 * noise)
    return model


def without_eps(model: nn.Module) -> nn.Module:
    """The model with the ε of its normalisations gone (a copy), but where it belongs to a fixed
    deviation."""
    model = copy.deepcopy(model)
    for module in model.modules():
        fixed = getattr(module, "track_running_stats", False) and not module.training
        if hasattr(module, "eps") and not fixed:
            module.eps = TINY  # type: ignore[assignment]
    return model


def as_function(model: nn.Module, args: Args) -> Function:
    """All outputs as one vector, as a function of the parameters; the model stays as it is.

    `functional_call` leaves its own tensors in a module that is reached by two paths, so it gets a
    copy.
    """
    model = copy.deepcopy(model)
    args = pytree.tree_map_only(
        Tensor, lambda x: x.double() if x.is_floating_point() else x, tuple(args)
    )

    def run(params: Mapping[str, Tensor]) -> Tensor:
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        # The plain attention kernel has a forward derivative.
        with torch.random.fork_rng(devices=[]), sdpa_kernel(SDPBackend.MATH):
            torch.manual_seed(0)
            result = torch.func.functional_call(model, {**params, **buffers}, args)
        leaves = [t for t in pytree.tree_leaves(result) if isinstance(t, Tensor)]
        parts = [torch.view_as_real(t) if t.is_complex() else t for t in leaves]
        return torch.cat([t.flatten().double() for t in parts])

    return run


def detached(model: nn.Module) -> dict[str, Tensor]:
    """The parameters as plain tensors."""
    return {name: p.detach() for name, p in model.named_parameters()}


def groups(symmetry: ps.Symmetry) -> Counter[str]:
    """The groups found, as they print: `T₊(8)`, `GL(3)`, `O(2) × 4`."""
    return Counter(str(family.group) for family in symmetry.families)


def rounding_bound(model: nn.Module, condition: float) -> float:
    """Relative rounding error of the outputs after moving: every layer loses a few units in the
    last place, amplified by the element's condition number once on the way in and once out."""
    depth = sum(1 for _ in model.modules())
    return 512 * EPS * (depth + 4) * condition**2


def change(
    model: nn.Module, args: Args, symmetry: ps.Symmetry, *, scale: float = 0.3, seed: int = 0
) -> tuple[float, float]:
    """Relative change of the outputs under a random element, and the bound it must stay below."""
    rng = torch.Generator().manual_seed(seed)
    run, params = as_function(model, args), detached(model)
    g = symmetry.sample(scale, generator=rng, discrete=True)
    before, after = run(params), run(symmetry.act(g, params))
    assert bool(torch.isfinite(before).all())
    return _relative(after - before, before), rounding_bound(model, g.condition())


def derivative(
    model: nn.Module, args: Args, symmetry: ps.Symmetry, *, seed: int = 0
) -> tuple[float, float]:
    """Relative derivative of the outputs along a random generator, and its bound."""
    rng = torch.Generator().manual_seed(seed)
    run, params = as_function(model, args), detached(model)
    M = symmetry.sample_algebra(generator=rng)
    velocity = symmetry.tangent(M, params)
    value, slope = torch.func.jvp(lambda p: run(p), (params,), (velocity,))
    return _relative(slope, value), rounding_bound(model, 1 + float(max_entry(M)))


def max_entry(M: Mapping[str, Tensor]) -> float:
    """The largest entry of an algebra element."""
    return max((float(part.abs().max()) for part in M.values()), default=0.0)


def _relative(difference: Tensor, reference: Tensor) -> float:
    return float(difference.abs().max() / reference.abs().max())


def assert_sound(
    model: nn.Module, args: Args, symmetry: ps.Symmetry, *, differentiable: bool = True
) -> None:
    """The outputs stay as they are under elements and along generators; parameters do move."""
    if not symmetry.families:
        return
    defect, bound = change(model, args, symmetry)
    assert defect <= bound, f"outputs change by {defect:.1e} > {bound:.1e}: {symmetry.families}"
    if differentiable:
        slope, bound = derivative(model, args, symmetry)
        assert slope <= bound, f"derivative {slope:.1e} > {bound:.1e}: {symmetry.families}"
    params = detached(model)
    g = symmetry.sample(0.3, generator=torch.Generator().manual_seed(1))
    moved = symmetry.act(g, params)
    for family in symmetry.families:
        for name in family.moves:
            assert not torch.equal(moved[name], params[name]), f"{family.name} leaves {name}"


def nullity(model: nn.Module, args: Args) -> int:
    """Dimension of the directions of parameter space along which no output changes.

    Asserts that the spectrum has a wide gap there, and that there are outputs enough.
    """
    params = detached(model)
    run = as_function(model, args)
    jacobian = torch.func.jacrev(lambda p: run(p), chunk_size=256)(params)
    matrix = torch.cat([jacobian[name].flatten(1) for name in params], 1)
    assert matrix.shape[0] >= matrix.shape[1], f"too few outputs: {tuple(matrix.shape)}"
    constant = matrix.norm(dim=0) == 0
    space = NullSpace.of(matrix[:, ~constant])
    assert space.kept > 1e-7, f"no gap in the spectrum: {space.kept:.1e} beside {space.null:.1e}"
    return space.dim + int(constant.sum())
