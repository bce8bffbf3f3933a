"""Rules for ops that discovery does not know, made from a measurement.

An op is measured through a callable at small widths. What its equivariance is decides which facts a
call of the op states; everything found is verified at discovery all the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType
from typing import Any, final

import torch
from torch import Tensor

from paramsym.activations import Equivariance, equivariance
from paramsym.activations.measuring import SCALES, WIDE
from paramsym.activations.sampling import draw_points, evaluate
from paramsym.discovery.ops.measured import Meaning, rule_of
from paramsym.discovery.ops.registry import RULES, Rule, rule
from paramsym.discovery.recording import short_name
from paramsym.groups import GeneralLinear, Orthogonal, PositiveScaling

WIDTHS = (3, 4)
"""Widths at which an op is measured; what is registered must hold at both."""
FLOAT32_RANGE = 1e30
"""Values beyond may be infinite in an op that computes in float32 inside."""


@final
@dataclass(frozen=True, eq=False)
class Registration:
    """An op with a measured rule. A context manager that removes the rule at its end.

    Attributes:
        op: The op's name as recordings have it, without overload: with its namespace, unless it is
            torch's own.
        meaning: What discovery takes it for, in words.
        measured: Its linear symmetries, at the larger width.
    """

    op: str
    meaning: str
    measured: Equivariance
    _rule: Rule = field(repr=False)

    def remove(self) -> None:
        """Take the rule back; the op is a barrier again. Does nothing the second time."""
        if RULES.get(self.op) is self._rule:
            del RULES[self.op]

    def __enter__(self) -> "Registration":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __str__(self) -> str:
        return f"{self.op}: {self.meaning}\n{self.measured}"


def register_activation(
    op: Any,
    sigma: Callable[[Tensor], Tensor] | None = None,
    *,
    arguments: Mapping[str, Any] = MappingProxyType({}),
    scales: Sequence[float] = SCALES,
    generator: torch.Generator | None = None,
) -> Registration:
    """Teach discovery an activation by measuring its symmetries (`equivariance`).

    The op must have one tensor argument and one tensor result, and act entry by entry, or along the
    last axis. What is understood: homogeneous activations (scalings with their degree), linear ones
    c·z, functions of the last axis that are radial (rotations, with a degree if they have one) or
    homogeneous as a whole, and activations without a linear symmetry. Families that it makes
    possible are verified at discovery like all others.

    Args:
        op: The op as discovery meets it: a `torch.library.custom_op`, `torch.ops.namespace.name`,
            or its name, `"namespace::name"` (the namespace may be left out where it is torch's
            own). In-place forms follow it.
        sigma: The same function of float64 tensors, differentiable by autograd; `op` itself when
            absent. It is held against the op, if that is loaded.
        arguments: Values of the op's other arguments for which `sigma` is the op, where they are
            not the defaults. A call with others stays a barrier.
        scales: Sizes of points, as for `equivariance`.
        generator: Source of randomness; seeded with 0 when absent.

    Returns:
        A handle that removes the rule, also as a context manager.

    Raises:
        TypeError: If `op` is no op, or `sigma` is no function of float64 tensors.
        ValueError: If the op has a rule already, `sigma` is not the op, or its symmetries are not
            stable or not among those that discovery can use; the op then stays a barrier.
    """
    name = name_of(op)
    if name in RULES:
        raise ValueError(
            f"`op`: {name!r} has a rule already ({RULES[name].__name__}). A rule that was "
            "registered by this function is taken back by `.remove()` on what it returned."
        )
    op = _loaded(op) if isinstance(op, str) else op
    sigma = _function(name, op, arguments) if sigma is None else sigma
    generator = generator or torch.Generator().manual_seed(0)
    measured = [equivariance(sigma, h, scales=scales, generator=generator) for h in WIDTHS]
    meanings = [_meaning(name, m, sigma, generator) for m in measured]
    if len({(m.words, m.kind) for m in meanings}) > 1:
        raise _refused(name, f"it differs between widths: {meanings[0].words}, {meanings[1].words}")
    if callable(op):
        _check_same(name, op, sigma, arguments, generator)
    made = rule_of(meanings[-1], dict(arguments))
    made.__name__ = f"measured rule of {name}"
    rule(name)(made)
    return Registration(name, meanings[-1].words, measured[-1], made)


def _function(name: str, op: Any, arguments: Mapping[str, Any]) -> Callable[[Tensor], Tensor]:
    if isinstance(op, str):
        raise TypeError(
            f"`sigma` must be a callable, because `op` is only a name ({name!r}); got None. "
            "Pass the function that the op computes."
        )
    return partial(op, **arguments)


def name_of(op: Any) -> str:
    """The op's name as recordings have it."""
    qualified = op if isinstance(op, str) else None
    for attribute in ("_qualname", "_qualified_op_name", "_name"):
        found = getattr(op, attribute, None)
        if qualified is None and isinstance(found, str) and "::" in found:
            qualified = found
    if not qualified:
        raise TypeError(
            "`op` must be the name of an op, a torch.library.custom_op, or torch.ops.name.op; "
            f"got {type(op).__name__}. A Python function is not seen by discovery: what is "
            "recorded is the torch ops that it calls."
        )
    name = short_name(qualified.split(".")[0])
    if "::" not in name and not hasattr(torch.ops.aten, name):
        raise ValueError(
            f"`op`: torch has no op {name!r}. Give the namespace of another's: 'namespace::{name}'."
        )
    return name


def _loaded(qualified: str) -> Any:
    """The op of that name, or the name itself while no library has defined it."""
    namespace, _, name = qualified.split(".")[0].rpartition("::")
    return getattr(getattr(torch.ops, namespace or "aten"), name, qualified)


def _meaning(
    name: str, measured: Equivariance, sigma: Callable[[Tensor], Tensor], generator: torch.Generator
) -> Meaning:
    if not measured.stable:
        raise _refused(
            name, f"its symmetries are not stable ({measured.reason}; try other `scales`)"
        )
    h, factors = measured.h, measured.factors
    if measured.dimension == 0:
        return Meaning("none", "a function without a linear symmetry")
    if factors is None or measured.p != h or any(f.degree is None for f in factors):
        raise _refused(name, f"it has {measured.group}, from R^{h} to R^{measured.p}")
    groups = {type(f.group): f for f in factors}
    scaling = groups.get(PositiveScaling)
    whole = (tuple(range(h)),)
    if _acts_entry_by_entry(sigma, h, generator) and len(factors) == 1:
        if GeneralLinear in groups and groups[GeneralLinear].degree == 1:
            return Meaning("linear", "a multiple of the identity")
        if scaling is not None and len(scaling.blocks) == h:
            degree = scaling.degree
            return Meaning("entrywise", f"homogeneous of degree {degree:g}, entry by entry", degree)
    rotation = groups.get(Orthogonal)
    if scaling is not None and scaling.blocks != whole:
        raise _refused(name, f"it has {measured.group}")
    degree = None if scaling is None else scaling.degree
    suffix = "" if degree is None else f", homogeneous of degree {degree:g}"
    if (
        rotation is not None
        and rotation.blocks == whole
        and rotation.degree == 1
        and len(factors) == 1 + (scaling is not None)
    ):
        return Meaning("radial", f"radial along the last axis{suffix}", degree)
    if len(factors) == 1 and scaling is not None:
        return Meaning("whole", f"a function of the last axis{suffix}", degree)
    raise _refused(name, f"it has {measured.group}")


def _refused(name: str, why: str) -> ValueError:
    return ValueError(
        f"no rule is registered for {name!r}, which stays a barrier: {why}. Discovery can use "
        "c·z, homogeneous functions of every entry, radial or homogeneous functions of the last "
        "axis, and functions without symmetry; write a rule by hand for others "
        "(docs/adding-an-op.md)."
    )


def _acts_entry_by_entry(
    sigma: Callable[[Tensor], Tensor], h: int, generator: torch.Generator
) -> bool:
    """Whether output i depends on input i alone: other inputs replaced, it is the same."""
    for scale in WIDE:
        z = draw_points(64, h, scale, generator)
        values = evaluate(sigma, z)
        for i in range(h):
            other = draw_points(64, h, scale, generator)
            other[:, i] = z[:, i]
            if not torch.equal(evaluate(sigma, other)[:, i], values[:, i]):
                return False
    return True


def _check_same(
    name: str,
    op: Callable[..., Any],
    sigma: Callable[[Tensor], Tensor],
    arguments: Mapping[str, Any],
    generator: torch.Generator,
) -> None:
    for scale in WIDE:
        z = draw_points(64, 4, scale, generator)
        with torch.no_grad():
            left, right = op(z.clone(), **arguments), sigma(z.clone())
        seen = right.abs() < FLOAT32_RANGE
        size = right[seen].abs().max() if bool(seen.any()) else 0.0
        tolerance = 1e-6 * float(size)  # an op may compute in float32 inside
        if left.shape != right.shape or not bool(((left - right)[seen].abs() <= tolerance).all()):
            raise ValueError(
                f"`sigma` must compute what {name!r} computes; on points of size {scale:g} they "
                "differ. Give the op's other arguments in `arguments`, or correct `sigma`."
            )
