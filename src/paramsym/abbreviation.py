"""Names of families made short, for tables and figures."""

import re

from rich.cells import cell_len

_ARROW, _MUTUAL, _COLON = " → ", " ↔ ", ": "
_DOTS = r"\.(?![^{]*\})"
"""Dots, but not those in braces."""


def readable(name: str, *, mutual: bool = False) -> str:
    """A family's name with the path that all its modules share in front.

    `layers.3.attn.q_proj → layers.3.attn.k_proj` as `layers.3.attn: q_proj → k_proj`; with ↔ where
    neither side reads the other (`mutual`). A note in brackets stays behind.
    """
    if _COLON in name:
        return name
    name, note = _without_note(name)
    arrow = _MUTUAL if mutual else _ARROW
    sides = [side.split(", ") for side in name.split(_ARROW)]
    paths = [entry.split(".") for side in sides for entry in side if not _left_out(entry)]
    shared = 0
    for column in zip(*(path[:-1] for path in paths), strict=False):
        if len(set(column)) > 1:
            break
        shared += 1
    if len(paths) == 1 and paths[0][-1] in ("weight", "bias"):
        shared -= 1  # nor does a leaf alone
    while shared > 0 and any(path[shared].isdigit() for path in paths):
        shared -= 1  # an index alone says nothing
    if shared < 1:
        return name.replace(_ARROW, arrow) + note
    start = len(".".join(paths[0][:shared])) + 1
    shown = (
        ", ".join(entry if _left_out(entry) else entry[start:] for entry in side) for side in sides
    )
    return ".".join(paths[0][:shared]) + _COLON + arrow.join(shown) + note


def _without_note(name: str) -> tuple[str, str]:
    """The name, and the note behind it: a cause in brackets, a number."""
    match = re.fullmatch(r"(.*?)((?: \([^()]*\))?(?: #\d+)?)", name)
    assert match is not None
    return match[1], match[2]


def shorten(name: str, width: int) -> str:
    """A family's name in at most `width` characters.

    Of lists of writers or readers the first stays and the rest is counted (`bn +1 → conv1 +2`); of
    the path in front the end stays; what is still too long loses its middle.
    """
    if cell_len(name) <= width:
        return name
    prefix, colon, rest = name.rpartition(_COLON)
    arrow = _MUTUAL if _MUTUAL in rest else _ARROW
    sides = [side.split(", ") for side in rest.split(arrow)]
    counts = [f" +{sum(map(_count, side[1:]))}" if len(side) > 1 else "" for side in sides]
    paths = [side[0] for side in sides]
    if colon:
        inner = arrow.join(a + b for a, b in zip(paths, counts, strict=True))
        room = width - cell_len(inner) - len(_COLON)
        parts = re.split(_DOTS, prefix)
        for start in range(len(parts)):
            kept = ("…" if start else "") + ".".join(parts[start:])
            if cell_len(kept) <= room:
                return kept + _COLON + inner
    room = width - cell_len(arrow.join(counts))
    share = room // len(paths)
    spare = sum(max(0, share - cell_len(path)) for path in paths)
    fitted = (_fitted_path(path, share + spare) for path in paths)
    return _elided(arrow.join(a + b for a, b in zip(fitted, counts, strict=True)), width)


def in_lines(name: str, width: int) -> str:
    """A family's name in lines of at most `width` characters, two where it is long."""
    if cell_len(name) <= width:
        return name
    prefix, colon, rest = name.rpartition(_COLON)
    if colon:
        parts = re.split(_DOTS, prefix)
        ends = ["…" * bool(k) + ".".join(parts[k:]) for k in range(len(parts))]
        fits = (end for end in ends if cell_len(end) < width)
        lines = [next(fits, _elided(prefix, width - 1)), rest]
    else:
        left, arrow, right = name.partition(_ARROW)
        if not arrow:
            return shorten(name, width)
        lines = [shorten(left, width - 2) + " →", right]
    return f"{lines[0]}{colon.rstrip()}\n  {shorten(lines[1], width - 2)}"


def _left_out(entry: str) -> re.Match[str] | None:
    return re.fullmatch(r"… (\d+) more …", entry)


def _count(entry: str) -> int:
    """How many modules an entry of a list stands for; discovery itself cuts the longest lists."""
    left_out = _left_out(entry)
    return int(left_out[1]) if left_out else 1


def _fitted_path(path: str, width: int) -> str:
    """A module path without middle components: `layer2.0.conv1` as `layer2…conv1`."""
    if cell_len(path) <= width:
        return path
    parts = path.split(".")
    for kept in range(len(parts) - 1, 1, -1):
        head, tail = parts[: kept // 2], parts[-(kept - kept // 2) :]
        candidate = ".".join(head) + "…" + ".".join(tail)
        if cell_len(candidate) <= width:
            return candidate
    return _elided(path, width)


def _elided(text: str, width: int) -> str:
    if cell_len(text) <= width:
        return text
    head = (width - 1) // 2
    return f"{text[:head]}…{text[len(text) - (width - 1 - head) :]}"


def common_name(names: list[str]) -> str:
    """`blocks.0.fc` … `blocks.11.fc` as `blocks.{0…11}.fc`."""
    columns = zip(*(re.split(r"(\d+)", name) for name in names), strict=True)
    return "".join(_values(list(dict.fromkeys(column))) for column in columns)


def _values(values: list[str]) -> str:
    if len(values) == 1:
        return values[0]
    if len(values) < 4:
        return f"{{{','.join(values)}}}"
    first, second, last = values[0], values[1], values[-1]
    in_steps_of_one = [int(v) for v in values] == list(range(int(first), int(last) + 1))
    return f"{{{first}…{last}}}" if in_steps_of_one else f"{{{first},{second},…,{last}}}"
