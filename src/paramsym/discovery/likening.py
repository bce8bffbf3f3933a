"""Ops that are to discovery as one that it knows, in all analyses at once."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, final

import torch

from paramsym.discovery.ops.registry import RULES
from paramsym.discovery.recording import Record, Recording, op_name
from paramsym.discovery.registering import name_of


@final
@dataclass(frozen=True, eq=False)
class Likeness:
    """An op that is taken for another. A context manager that forgets this at its end.

    Attributes:
        op: The op's name as recordings have it.
        like: The op of torch that it is taken for.
        arguments: Arguments of `like` → those of the op.
    """

    op: str
    like: Any = field(repr=False)
    arguments: Mapping[str, str]

    def remove(self) -> None:
        """Forget it; the op is a barrier again. Does nothing the second time."""
        if LIKE.get(self.op) is self:
            del LIKE[self.op]

    def __enter__(self) -> "Likeness":
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def read(self, record: Record) -> Record:
        """The call as one of the op that is known."""
        bound, args, kwargs = record.bind(), [], {}
        for argument in self.like._schema.arguments:
            own = self.arguments.get(argument.name)
            value = bound[own] if own is not None else argument.default_value
            if argument.kwarg_only:
                kwargs[argument.name] = value
            else:
                args.append(value)
        return replace(record, target=self.like, args=tuple(args), kwargs=kwargs)


LIKE: dict[str, Likeness] = {}
"""What ops are taken for, by their names."""


def register_like(
    op: Any, like: Any, *, arguments: Mapping[str, str] = MappingProxyType({})
) -> Likeness:
    """Teach discovery an op by an op of torch that treats what it reads in the same way.

    All analyses take it for that op: scalings and matrices, shifts, permutations and signs. It need
    not compute the same function. A fused kernel of a GELU is like `gelu`; an odd saturating
    function is like `tanh`. Families that it makes possible are verified at discovery like all
    others, with the op itself.

    Args:
        op: A `torch.library.custom_op`, `torch.ops.namespace.name`, or its name,
            `"namespace::name"`. It must be loaded.
        like: Name of an op of torch that discovery has a rule for, or one of its overloads
            (`torch.ops.aten.add.Tensor`) where it has no default one.
        arguments: Arguments of `op` → those of `like` that they stand for, where neither names nor
            positions say so.

    Returns:
        A handle that forgets it, also as a context manager.

    Raises:
        TypeError: If `op` is no op.
        ValueError: If the op has a rule already, is not loaded, or `like` has none; or if their
            arguments or outputs do not correspond.
    """
    name = name_of(op)
    if name in RULES or name in LIKE:
        raise ValueError(f"`op`: {name!r} has a rule already; `.remove()` takes back a user's.")
    own, known = _schema(name), _overload(like)
    if op_name(known) not in RULES:
        raise ValueError(
            f"`like` must be an op that discovery has a rule for; got {op_name(known)!r}. "
            "Write a rule with `register_rule`."
        )
    if len(own.returns) != len(known._schema.returns):
        raise ValueError(
            f"`op` must return as many values as {op_name(known)!r}, "
            f"{len(known._schema.returns)}; got {len(own.returns)}."
        )
    likeness = Likeness(name, known, _correspondence(own, known._schema, arguments))
    LIKE[name] = likeness
    return likeness


def understood(recording: Recording) -> Recording:
    """The recording with calls of ops that are like known ones as calls of these; for the analyses,
    not to be run."""
    if not LIKE:
        return recording
    records = (
        LIKE[record.op].read(record) if record.op in LIKE else record
        for record in recording.records
    )
    return replace(recording, records=tuple(records))


def own_arguments(places: Iterable[tuple[int, str]], recording: Recording) -> list[tuple[int, str]]:
    """(record, argument) pairs of what was understood, with the names that the calls themselves
    have for their arguments."""
    found = []
    for index, argument in places:
        likeness = LIKE.get(recording.records[index].op)
        found.append((index, argument if likeness is None else likeness.arguments[argument]))
    return found


def _schema(name: str) -> Any:
    namespace, _, short = name.rpartition("::")
    packet = getattr(getattr(torch.ops, namespace or "aten"), short, None)
    if packet is None:
        raise ValueError(f"`op`: no library has defined {name!r}. Import it before you register.")
    (overload, *others) = packet.overloads()
    if others:
        raise ValueError(f"`op` must have one overload; {name!r} has {packet.overloads()}.")
    return getattr(packet, overload)._schema


def _overload(like: Any) -> Any:
    if hasattr(like, "_schema"):
        return like
    packet = getattr(torch.ops.aten, like, None) if isinstance(like, str) else None
    if packet is None:
        raise ValueError(f"`like` must be the name of an op of torch or an overload; got {like!r}.")
    for overload in ("default", "Tensor"):
        found = getattr(packet, overload, None)
        if found is not None and any("Tensor" in str(a.type) for a in found._schema.arguments):
            return found
    raise ValueError(
        f"`like`: {like!r} has several overloads; pass one of them, "
        f"`torch.ops.aten.{like}.{packet.overloads()[0]}` or another."
    )


def _correspondence(own: Any, known: Any, given: Mapping[str, str]) -> dict[str, str]:
    """Arguments of the known op → the op's own: as given, by name, and the rest in order."""
    ours, theirs = [a.name for a in own.arguments], {a.name: a for a in known.arguments}
    for ours_named, theirs_named in given.items():
        if ours_named not in ours or theirs_named not in theirs:
            raise ValueError(
                f"`arguments` must go from arguments of the op {ours} to those of {known.name!r} "
                f"{list(theirs)}; got {ours_named!r}: {theirs_named!r}."
            )
    found = {theirs_named: ours_named for ours_named, theirs_named in given.items()}
    found |= {name: name for name in ours if name in theirs and name not in given}
    left = [name for name in ours if name not in found.values()]
    for name, free in zip(left, (t for t in theirs if t not in found), strict=False):
        found[free] = name
    extra = [name for name in ours if name not in found.values()]
    missing = [
        name
        for name, argument in theirs.items()
        if name not in found and (not argument.has_default_value() or name == "eps")
    ]
    if extra or missing:
        raise ValueError(
            f"the arguments of `op` {ours} must correspond to those of {known.name!r} "
            f"{list(theirs)}; {extra or missing} {'do' if len(extra or missing) > 1 else 'does'} "
            "not. Name them in `arguments`, or write a rule with `register_rule`."
        )
    return found
