"""Which matrix of a stack data choose, as routers choose experts.

What is then done with the chosen matrix holds for each of them. So the walk goes through the calls
several times, each time with other indices in the place of those that the data give: every place
meets every matrix, and pairs of places meet different ones and the same.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
import torch.utils._pytree as pytree
from torch import Tensor

from paramsym.discovery.recording import Recording, Ref

MOST_PASSES = 100
"""Beyond that the matrices of a stack are not told apart."""


class Read(NamedTuple):
    """A parameter read at indices of its first axis, which are a value of the run."""

    parameter: str
    at: int


def reads(recording: Recording) -> list[Read]:
    """All of them."""
    found = []
    for record in recording.records:
        if record.op not in ("index", "_unsafe_index", "index_select"):
            continue
        bound = record.bind()
        source, given = bound["self"], bound.get("indices", [bound.get("index")])
        first = given[0] if given and all(x is None for x in given[1:]) else None
        name = recording.parameter_ids.get(source.id) if isinstance(source, Ref) else None
        output = record.outputs[0]
        if name is None or not isinstance(first, Ref) or output is None or bound.get("dim", 0) != 0:
            continue
        rest = recording.shapes[source.id][1:]
        if recording.shapes[output] == (*recording.shapes[first.id], *rest):  # no mask
            found.append(Read(name, first.id))
    return found


def added_beside(recording: Recording, stacks: Mapping[str, int]) -> list[str]:
    """Parameters with a row for each matrix of a stack, added to what the stack makes: biases."""
    found = []
    shapes = {p.name: p.shape for p in recording.parameters}
    names, made_by = dict(recording.parameter_ids), dict[int, str]()
    for record in recording.records:
        read = record.inputs()
        if record.op == "unsqueeze" and read[0] in names:
            names |= {i: names[read[0]] for i in record.outputs if i is not None}
        elif record.op in ("einsum", "bmm", "matmul"):
            stack = next((names[i] for i in read if names.get(i) in stacks), None)
            made_by |= {i: stack for i in record.outputs if i is not None and stack is not None}
        elif record.op == "add" and len(read) == 2:
            for bias, other in (read, read[::-1]):
                name, stack = names.get(bias), made_by.get(other)
                if name is None or stack is None or name in stacks or len(shapes[name]) != 2:
                    continue
                if shapes[name] == (stacks[stack], recording.shapes[other][-1]):
                    found.append(name)
    return found


def read_beside(recording: Recording, stacks: Mapping[str, int]) -> list[str]:
    """Parameters with a row for each matrix of a stack, read at the same indices: biases.

    Args:
        recording: The run.
        stacks: Parameters that are stacks, and how many matrices they have.
    """
    if not stacks:
        return []
    same = _computed_alike(recording)
    chosen = {(same[i], stacks[name]) for name, i in reads(recording) if name in stacks}
    shapes = {p.name: p.shape for p in recording.parameters}
    return [
        name
        for name, i in reads(recording)
        if name not in stacks and len(shapes[name]) == 2 and (same[i], shapes[name][0]) in chosen
    ]


def assignments(recording: Recording, stacks: Mapping[str, int]) -> Iterator[dict[int, Tensor]]:
    """For every pass the indices that stand in for those that data give, by value number."""
    found = [(i, stacks[name]) for name, i in reads(recording) if name in stacks]
    found = [(i, count) for i, count in found if i not in recording.constants]
    if not found:
        yield {}
        return
    same = _computed_alike(recording)
    counts: dict[int, set[int]] = defaultdict(set)
    for i, count in found:
        counts[same[i]].add(count)
    sizes = {key: min(options) for key, options in counts.items() if len(options) == 1}
    members = {key: [i for i in same if same[i] == key] for key in sizes}
    most = max(sizes.values(), default=0)
    if not sizes or 1 + sum(sizes.values()) + 3 * most > MOST_PASSES:
        yield {}
        return

    def filled(by_key: Mapping[int, Tensor]) -> dict[int, Tensor]:
        return {i: by_key[key] for key, every in members.items() for i in every}

    places = {
        key: torch.arange(_size(recording, every[0])).reshape(recording.shapes[every[0]])
        for key, every in members.items()
    }
    in_turn = {key: places[key] % size for key, size in sizes.items()}
    yield filled(in_turn)
    for key, size in sizes.items():
        for shift in range(1, size):
            yield filled(in_turn | {key: (places[key] + shift) % size})
    rng = torch.Generator().manual_seed(0)
    for shift in range(most):
        yield filled({
            key: torch.full_like(places[key], (shift + k) % size)
            for k, (key, size) in enumerate(sizes.items())
        })  # fmt: skip
    for _ in range(2 * most):
        yield filled({
            key: torch.randint(0, size, places[key].shape, generator=rng)
            for key, size in sizes.items()
        })  # fmt: skip


def _size(recording: Recording, i: int) -> int:
    return int(torch.Size(recording.shapes[i]).numel())


def _computed_alike(recording: Recording) -> dict[int, int]:
    """A number for every value, the same where the same ops compute it from the same values."""
    numbers: dict[int, int] = {}
    known: dict[Any, int] = {}
    leaves = (*recording.inputs, *recording.constants, *recording.parameter_ids)
    changed = {i for record in recording.records for i in record.mutates}
    for i in leaves:
        numbers[i] = known.setdefault(("leaf", i), len(known))
    for position, record in enumerate(recording.records):
        given, structure = pytree.tree_flatten((record.args, dict(record.kwargs)))
        random = torch.Tag.nondeterministic_seeded in getattr(record.target, "tags", ())
        own = position if random or changed.intersection(record.inputs()) else None
        words = tuple(
            ("value", numbers.get(x.id)) if isinstance(x, Ref) else repr(x) for x in given
        )
        for slot, i in enumerate(record.outputs):
            if i is not None:
                key = (record.target, str(structure), words, slot, own)
                numbers[i] = known.setdefault(key, len(known))
    return numbers
