"""Symmetries as JSON: a schema with versions, indices as ranges."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from paramsym.discrete.family import DiscreteFamily
from paramsym.discrete.groups import DISCRETE_GROUPS
from paramsym.evidence import Barrier, Verification
from paramsym.family import Exactness, Family
from paramsym.files import write_text
from paramsym.groups import GROUPS, ComplexScaling, Group, Homothety, Orthogonal, Translation
from paramsym.parameters import Parameter
from paramsym.ports import Frame, Port
from paramsym.still import Pin
from paramsym.symmetry import Symmetry
from paramsym.terms import Slot, Source, Term

SCHEMA = "paramsym.symmetry/1"


def save(symmetry: Symmetry, path: str | Path, *, force: bool = False) -> Path:
    """Write a symmetry to a JSON file, beside a checkpoint as a rule.

    The names and shapes of the parameters are in it, and every function of the symmetry checks the
    parameters that it is given against them.

    Args:
        symmetry: What to write.
        path: The file.
        force: Replace the file if it exists.

    Returns:
        The path.

    Raises:
        FileExistsError: If the file exists and `force` is not set.
        ValueError: If a family's group is not one of paramsym's own.
    """
    text = json.dumps(to_dict(symmetry), indent=1, ensure_ascii=False)
    return write_text(Path(path), text, force=force)


def load(path: str | Path) -> Symmetry:
    """Read a symmetry that `save` wrote, or `paramsym inspect --json` printed.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is not a symmetry of a schema that this version reads.
    """
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}. Pass a file written by `save`.") from error
    return from_dict(data)


def to_dict(symmetry: Symmetry) -> dict[str, Any]:
    """The symmetry as JSON-ready data.

    Raises:
        ValueError: If a family's group is not one of `paramsym.groups.GROUPS`.
    """
    return {
        "schema": SCHEMA,
        "mode": symmetry.mode,
        "mode_dependent": symmetry.mode_dependent,
        "families": [
            {**_family_to_dict(family), "laws": symmetry.laws_of(family)}
            for family in symmetry.families
        ],
        "discrete": [_discrete_to_dict(family) for family in symmetry.discrete],
        "parameters": [asdict(p) for p in symmetry.parameters],
        "barriers": [asdict(b) for b in symmetry.barriers],
        "unused": list(symmetry.unused),
        "pins": [asdict(pin) for pin in symmetry.pins],
        "verification": asdict(symmetry.verification) if symmetry.verification else None,
    }


def from_dict(data: Mapping[str, Any]) -> Symmetry:
    """The symmetry that `to_dict` described.

    Raises:
        ValueError: If the schema is another one, or a field is missing.
    """
    if not isinstance(data, Mapping) or data.get("schema") != SCHEMA:
        got = data.get("schema") if isinstance(data, Mapping) else type(data).__name__
        raise ValueError(
            f"`data` must be a symmetry saved by paramsym with schema {SCHEMA!r}; got {got!r}. "
            "Discover the symmetry anew, or read the file with the version that wrote it."
        )
    try:
        verification = data["verification"]
        return Symmetry(
            families=tuple(_family_from_dict(f) for f in data["families"]),
            parameters=tuple(
                Parameter(**{**p, "shape": tuple(p["shape"]), "aliases": tuple(p["aliases"])})
                for p in data["parameters"]
            ),
            barriers=tuple(
                Barrier(b["op"], b["count"], tuple(b["where"]), b["reason"])
                for b in data["barriers"]
            ),
            unused=tuple(data["unused"]),
            mode=data["mode"],
            mode_dependent=data["mode_dependent"],
            verification=Verification(
                **{**verification, "withdrawn": tuple(verification["withdrawn"])}
            )
            if verification
            else None,
            # Files from before there were any have no such entries.
            discrete=tuple(_discrete_from_dict(f) for f in data.get("discrete", ())),
            pins=tuple(
                Pin(**{**pin, "where": tuple(pin["where"])}) for pin in data.get("pins", ())
            ),
        )
    except (KeyError, TypeError) as error:
        raise ValueError(f"`data` is not a complete saved symmetry: {error!r} is amiss.") from error


def _family_to_dict(family: Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "group": _group_to_dict(family.group),
        "dim": family.dim,
        "exactness": asdict(family.exactness),
        "verified": family.verified,
        "ports": [_port_to_dict(port) for port in family.ports],
        "terms": [asdict(term) for term in family.terms],
    }


def _family_from_dict(data: Mapping[str, Any]) -> Family:
    return Family(
        name=data["name"],
        group=_group_from_dict(data["group"]),
        ports=tuple(_port_from_dict(p) for p in data["ports"]),
        terms=tuple(_term_from_dict(t) for t in data["terms"]),
        exactness=Exactness(**data["exactness"]),
        verified=data["verified"],
    )


def _discrete_to_dict(family: DiscreteFamily) -> dict[str, Any]:
    group = family.group
    return {
        "name": family.name,
        "group": {"kind": type(group).__name__, "n": group.n, "copies": group.copies},
        "log10_order": family.log10_order,
        "verified": family.verified,
        "ports": [_port_to_dict(port) for port in family.ports],
    }


def _discrete_from_dict(data: Mapping[str, Any]) -> DiscreteFamily:
    group = data["group"]
    return DiscreteFamily(
        name=data["name"],
        group=DISCRETE_GROUPS[group["kind"]](group["n"], group["copies"]),
        ports=tuple(_port_from_dict(p) for p in data["ports"]),
        verified=data["verified"],
    )


def _group_to_dict(group: Group) -> dict[str, Any]:
    if GROUPS.get(type(group).__name__) is not type(group):
        raise ValueError(
            f"only paramsym's own groups can be saved; got {type(group).__name__}. "
            "Leave the family out with `symmetry.select(...)`."
        )
    extra: dict[str, bool | float] = {}
    if isinstance(group, Orthogonal):
        extra = {"fixes_mean": group.fixes_mean}
    elif isinstance(group, Translation):
        extra = {"mean_free": group.mean_free}
    elif isinstance(group, Homothety):
        extra = {"centre": group.centre}
    return {"kind": type(group).__name__, "n": group.n, "copies": group.copies, **extra}


def _group_from_dict(data: Mapping[str, Any]) -> Group:
    kind: Any = GROUPS[data["kind"]]
    if kind is ComplexScaling:
        return ComplexScaling(copies=data["copies"])
    if kind is Homothety:
        return Homothety(data["copies"], data["centre"])
    if kind is Orthogonal:
        return Orthogonal(data["n"], data["copies"], data["fixes_mean"])
    if kind is Translation:
        return Translation(data["n"], data["copies"], data.get("mean_free", False))
    return kind(data["n"], data["copies"])


def _port_to_dict(port: Port) -> dict[str, Any]:
    return {
        "parameter": port.parameter,
        "view": list(port.view),
        "axes": list(port.axes),
        "index_shape": list(port.index.shape),
        "index": _to_ranges(port.index),
        "dual": port.dual,
        "degree": port.degree,
        "frame": asdict(port.frame) if port.frame else None,
    }


def _port_from_dict(data: Mapping[str, Any]) -> Port:
    return Port(
        parameter=data["parameter"],
        view=tuple(data["view"]),
        axes=tuple(data["axes"]),
        index=_from_ranges(data["index"], data["index_shape"]),
        dual=data["dual"],
        degree=data["degree"],
        frame=Frame(**data["frame"]) if data["frame"] else None,
    )


def _term_from_dict(data: Mapping[str, Any]) -> Term:
    return Term(
        target=_slot_from_dict(data["target"]),
        equation=data["equation"],
        sources=tuple(_source_from_dict(source) for source in data["sources"]),
        coefficient=data["coefficient"],
        view=tuple(data.get("view", ())),
    )


def _source_from_dict(data: Mapping[str, Any]) -> Source:
    values = data.get("values")
    return Source(
        _slot_from_dict(data["slot"]),
        data["power"],
        data["offset"],
        None if values is None else tuple(values),
    )


def _slot_from_dict(data: Mapping[str, Any]) -> Slot:
    block = tuple((b[0], b[1]) if b else None for b in data["block"])
    return Slot(data["parameter"], block, tuple(data.get("view", ())))


def _to_ranges(index: Tensor) -> list[list[int]]:
    """Flattened indices as runs `[start, count, step]`, the longest first come."""
    values = index.flatten().tolist()
    runs: list[list[int]] = []
    k = 0
    while k < len(values):
        step = values[k + 1] - values[k] if k + 1 < len(values) else 1
        stop = k + 1
        while stop < len(values) and values[stop] - values[stop - 1] == step:
            stop += 1
        runs.append([values[k], stop - k, step])
        k = stop
    return runs


def _from_ranges(runs: list[list[int]], shape: list[int]) -> Tensor:
    parts = [start + step * torch.arange(count) for start, count, step in runs]
    return torch.cat(parts).reshape(shape) if parts else torch.empty(shape, dtype=torch.int64)
