"""What `paramsym transform` says about a checkpoint that it wrote."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from paramsym.orbit import Canonical
    from paramsym.symmetry import Symmetry
    from paramsym.transform import Transformed


def as_text(done: "Transformed", symmetry: "Symmetry", points: Sequence["Canonical"]) -> str:
    """In words; of a canonical point whether it is unique."""
    invariance = done.invariance
    dtype = str(done.dtype).removeprefix("torch.")
    text = (
        f"Wrote {done.out}\n"
        f"{done.moved} of {len(symmetry.parameters)} parameters moved, by {done.distance:.2g} of "
        f"their length. Outputs change by {invariance.change:.0e};\n"
        f"the checkpoint's rounding alone changes them by {invariance.rounding:.0e} "
        f"(computed in {dtype})."
    )
    return "\n".join([text, *map(_uniqueness, points)])


def as_data(
    done: "Transformed",
    symmetry: "Symmetry",
    points: Sequence["Canonical"],
    record: Mapping[str, Any],
) -> dict[str, Any]:
    """As data, added to the record."""
    data = {
        **record,
        "out": str(done.out),
        "parameters": len(symmetry.parameters),
        "moved": done.moved,
        "distance": done.distance,
        "change": done.invariance.change,
        "rounding": done.invariance.rounding,
        "computed_in": str(done.dtype).removeprefix("torch."),
    }
    for point in points:
        data |= {
            "unique": point.is_unique, "ties": list(point.ties), "unfixed": list(point.unfixed),
        }  # fmt: skip
    return data


def _uniqueness(point: "Canonical") -> str:
    if point.is_unique:
        return "All checkpoints of the orbit have this canonical point."
    left = "\n".join(f"  {what}" for what in (*point.ties, *point.unfixed))
    return f"Other checkpoints of the orbit may have another canonical point:\n{left}"
