"""Parameters on several devices, some offloaded, and in half precision.

The second device of these tests is torch's `meta`, whose tensors have no values; a real one would
refuse what is refused here.
"""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.utils._pytree as pytree
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import paramsym as ps
from tests.laws.measure import TINY
from tests.laws.subject import Params
from tests.laws.subjects import subject
from tests.sharded.layouts import generator

NAMES = [
    "dense relu",
    "deep identity_affine",
    "grouped convolution identity",
    "gemma norm",
    "llama",
    "gpt2 untied",
]


class OneDevice(TorchDispatchMode):
    """Refuses ops on tensors of several devices, but for copies and single numbers."""

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: object,
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> object:
        given = pytree.tree_leaves((args, kwargs))
        devices = {t.device.type for t in given if isinstance(t, Tensor) and t.ndim}
        if len(devices) > 1 and "copy" not in str(func):
            raise RuntimeError(f"{func} of tensors on {devices}")
        kwargs = kwargs or {}
        source = args[0] if args else None
        if func is torch.ops.aten._to_copy.default and isinstance(source, Tensor):
            target = kwargs.get("device", source.device)
            if source.is_meta and torch.device(target).type == "cpu":  # it has nothing to copy
                return torch.ones(source.shape, dtype=kwargs.get("dtype", source.dtype))
        return func(*args, **kwargs)


def spread_out(params: Params, first: int) -> dict[str, Tensor]:
    """Every other parameter on another device."""
    return {k: p.to("meta") if (i + first) % 2 else p for i, (k, p) in enumerate(params.items())}


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("name", NAMES)
def test_devices_are_not_mixed(name: str, first: int) -> None:
    model = subject(name)
    symmetry = model.symmetry
    g = symmetry.sample(generator=generator())
    M = symmetry.sample_algebra(generator=generator())
    lawful = symmetry.select(*symmetry.conserved(model.params))
    N = lawful.sample_algebra(generator=generator()).symmetric()
    params = spread_out(model.params, first)
    with OneDevice():
        for velocity in (spread_out(model.params, 1 - first), params):
            symmetry.angular_momentum(params, velocity)
            symmetry.moment(params, velocity)
        assert symmetry.conserved(params).keys() == set(N)
        assert lawful.conserved_quantity(N, params).shape == ()
        for moved in (symmetry.act(g, params), symmetry.tangent(M, params)):
            assert {k: p.device for k, p in moved.items()} == {
                k: p.device for k, p in params.items()
            }


def test_mixing_is_seen() -> None:
    cpu, meta = torch.ones(3, 3), torch.ones(3, 3, device="meta")
    with OneDevice(), pytest.raises(RuntimeError, match="of tensors on"):
        _ = cpu @ meta


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("name", NAMES)
def test_half_precision_is_summed_in_single(name: str, dtype: torch.dtype) -> None:
    """Q of half-precision parameters is that of the numbers that they are."""
    model = subject(name)
    low = {k: p.to(dtype) for k, p in model.params.items()}
    exact = {k: p.double() for k, p in low.items()}
    found, expected = model.symmetry.conserved(low), model.symmetry.conserved(exact)
    size = sum(float(p.square().sum()) for p in exact.values())
    count = sum(p.numel() for p in exact.values())
    for k, Q in found.items():
        assert Q.dtype == torch.float32
        gap = float((Q - expected[k]).abs().max())
        assert gap <= count * torch.finfo(torch.float32).eps * (size + TINY), k


def test_large_sums_of_half_precision() -> None:
    """‖V‖² − ‖U‖² of 40,000 entries of size one: float16 overflows, bfloat16 keeps two digits."""
    n = 40_000
    V, U = (torch.randn(1, n, generator=generator(seed)) for seed in (0, 1))
    for dtype in (torch.float16, torch.bfloat16):
        params = {"V": 2 * V.to(dtype), "U": 2 * U.T.to(dtype)}
        ports = (ps.Port.along("V", (1, n), 0), ps.Port.along("U", (n, 1), 1, dual=True))
        for group in (ps.PositiveScaling(1), ps.GeneralLinear(1)):
            symmetry = ps.Symmetry.of([ps.Family("V → U", group, ports)], params)
            Q = symmetry.conserved(params)["V → U"]
            exact = params["V"].double().square().sum() - params["U"].double().square().sum()
            assert abs(float(Q.squeeze()) - float(exact)) <= 8 * n**0.5 * 1.2e-7 * 8 * n
