"""Means, sums and pooling: averages pass what is constant on what they average."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from paramsym.discovery.distinct import distinct
from paramsym.discovery.labels import Labels
from paramsym.discovery.shifting.layout import NONE
from paramsym.discovery.shifting.registry import Call, Key, Op, Refused, op
from paramsym.discovery.shifting.tolerance import Tolerance, joined_along
from paramsym.discovery.shifting.values import Piece, Support


@op("mean", "sum")
class Total(Op):
    """Along some axes."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        keeps = bool(call.get("keepdim", False))
        return {("self", 0): of_average(outputs[0], call["self"].shape, _dims(call), keeps)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        value, dims = call["self"], _dims(call)
        labels, count = _summed(piece.labels, value.shape, dims)
        if not call.get("keepdim", False):
            labels = labels.reshape([n for a, n in enumerate(labels.shape) if a not in dims])
        total = float(np.prod([value.shape[a] for a in dims]))
        return {0: piece.at(labels).times(count / total if call.record.op == "mean" else count)}

    def carried(self, call: Call, key: Key, axis: int) -> Mapping[int, int]:
        dims = _dims(call)
        if axis in dims:
            return {}
        return {0: axis if call.get("keepdim", False) else axis - sum(d < axis for d in dims)}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        value, dims = call["self"], _dims(call)
        if call.record.op != "mean":
            return {}
        keep = bool(call.get("keepdim", False))
        return {
            0: tuple(
                s if keep else replace(s, axis=s.axis - sum(d < s.axis for d in dims))
                for s in value.supports
                if s.axis not in dims
            )
        }


def of_average(
    output: Tolerance, shape: tuple[int, ...], dims: Sequence[int], keeps: bool
) -> Tolerance:
    """Tolerance of a value of this shape, for that of its sum along some axes."""
    kept = [a for a in range(len(shape)) if a not in dims]
    place = {a: a if keeps else i for i, a in enumerate(kept)}
    extent = [1 if a in dims else output.labels.shape[place[a]] for a in range(len(shape))]
    free = {a for a in kept if place[a] in output.free} | set(dims)
    return Tolerance(output.labels.reshape(extent), frozenset(free), output.cause)


def _dims(call: Call) -> list[int]:
    ndim, dims = len(call["self"].shape), call.get("dim")
    dims = list(range(ndim)) if dims is None or dims == [] else dims
    return sorted({d % ndim for d in np.atleast_1d(dims).tolist()}) if ndim else []


def _summed(labels: Labels, shape: tuple[int, ...], dims: list[int]) -> tuple[Labels, float]:
    """Labels of sums along some axes, each of one component, and how often it stands in them.

    Raises:
        Refused: If a sum has several components, or sums have theirs differently often.
    """
    repeats = float(np.prod([shape[a] for a in dims if labels.shape[a] == 1]))
    axes = tuple(dims)
    there = labels != NONE
    total = labels.max(axis=axes, keepdims=True)
    counts = there.sum(axis=axes, keepdims=True)
    often = distinct(counts[counts > 0])
    if len(often) != 1 or not bool((~there | (labels == total)).all()):
        raise Refused
    return total, repeats * float(often[0])


_POOLS = {
    f"{kind}{k}d": k
    for k in (1, 2, 3)
    for kind in ("max_pool", "avg_pool", "adaptive_avg_pool", "adaptive_max_pool",
                 "_adaptive_avg_pool", "upsample_nearest")
}  # fmt: skip
_POOLS |= {f"max_pool{k}d_with_indices": k for k in (2, 3)}
_POOLS |= {"upsample_bilinear2d": 2, "upsample_bicubic2d": 2, "upsample_linear1d": 1,
           "_upsample_bilinear2d_aa": 2, "_upsample_bicubic2d_aa": 2}  # fmt: skip


@op(*_POOLS)
class Pool(Op):
    """Windows along the last axes: what is the same at all positions passes."""

    def tolerances(self, call: Call, outputs: list[Tolerance]) -> Mapping[Key, Tolerance]:
        key, value = next(call.values())
        ndim = len(value.shape)
        places = range(ndim - _POOLS[call.record.op], ndim)
        output = joined_along(outputs[0], places)
        if "max" not in call.record.op and all(outputs[0].frees(a) for a in places):
            # Linear along positions, whose changes are free behind it (the lemma of §21).
            free = outputs[0].free | set(places)
            return {key: Tolerance(output.labels, free, output.cause)}
        if not _even(call) or any(not t.is_unread for t in outputs[1:]):
            return {}
        return {key: Tolerance(output.labels, outputs[0].free - set(places), output.cause)}

    def push(self, call: Call, key: Key, piece: Piece) -> Mapping[int, Piece]:
        ndim = piece.labels.ndim
        places = range(ndim - _POOLS[call.record.op], ndim)
        if not _even(call) or any(piece.labels.shape[a] > 1 for a in places):
            raise Refused
        return {0: piece}

    def supports(self, call: Call) -> Mapping[int, tuple[Support, ...]]:
        """Averages keep what holds of all that they average."""
        _, value = next(call.values())
        averages = "avg" in call.record.op or "linear" in call.record.op
        if not averages or not _even(call):
            return {}
        places = range(len(value.shape) - _POOLS[call.record.op], len(value.shape))
        return {0: tuple(s for s in value.supports if s.axis not in places)}


def _even(call: Call) -> bool:
    """Whether the same at all positions gives the same at all positions: no zeros are averaged."""
    if not call.record.op.startswith("avg"):
        return True
    padded = bool(np.any(np.atleast_1d(call.get("padding", 0))))
    return call.get("divisor_override") is None and not (
        padded and call.get("count_include_pad", True)
    )
