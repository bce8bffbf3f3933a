"""Linear maps along some axes, and complex tensors."""

from paramsym.discovery.permuting.aligning import Pairing
from paramsym.discovery.permuting.registry import Call, Result, Value, rule
from paramsym.discovery.permuting.spaces import fixed


def _along(call: Call, value: Value, dims: list[int]) -> Result:
    """Positions along some axes stay where they are; whatever stands beside them is free."""
    axes = list(call.settle(value))
    for dim in dims:
        call.spaces.fix_axis(axes[dim])
        axes[dim] = fixed(call.shape[dim])
    return call.only(axes)


@rule("_fft_r2c", "_fft_c2r", "_fft_c2c")
def fourier(call: Call) -> Result:
    """Fourier transforms."""
    return _along(call, call["self"], [d % len(call.shape) for d in call["dim"]])


@rule("grid_sampler_2d", "grid_sampler_3d")
def sampled(call: Call) -> Result:
    """Interpolation at places that are data."""
    for axis in call["grid"].axes:
        call.spaces.fix_axis(axis)
    return _along(call, call["input"], list(range(2, len(call.shape))))


@rule("view_as_real")
def parts(call: Call) -> Result:
    """Real and imaginary parts, along a new last axis."""
    return call.only([*call.settle(call["self"]), fixed(2)])


@rule("view_as_complex")
def of_parts(call: Call) -> Result:
    """A last axis of two becomes one number."""
    axes = list(call.settle(call["self"]))
    call.spaces.fix_axis(axes.pop())
    return call.only(axes)


@rule("complex")
def complex_of(call: Call) -> Result:
    """a + ib: both parts change sign together."""
    return call.only(call.broadcast([call["real"], call["imag"]], Pairing.ADDED))


@rule("real", "imag", "conj", "_conj", "conj_physical", "resolve_conj", "resolve_neg")
def real_linear(call: Call) -> Result:
    """The same of every entry; signs pass."""
    return call.only(call.settle(call["self"]))
