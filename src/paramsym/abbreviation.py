"""Names of families made short, for tables and figures."""

import re

from rich.cells import cell_len


def shorten(name: str, width: int) -> str:
    """A family's name in at most `width` characters.

    Of lists of writers or readers the first stays and the rest is counted (`bn +1 → conv1 +2`);
    what is still too long loses its middle.
    """
    if cell_len(name) <= width:
        return name
    sides = [side.split(", ") for side in name.split(" → ")]
    counts = [f" +{sum(map(_count, side[1:]))}" if len(side) > 1 else "" for side in sides]
    paths = [side[0] for side in sides]
    room = width - cell_len(" → ".join(counts))
    share = room // len(paths)
    spare = sum(max(0, share - cell_len(path)) for path in paths)
    fitted = (_fitted_path(path, share + spare) for path in paths)
    return _elided(" → ".join(a + b for a, b in zip(fitted, counts, strict=True)), width)


def _count(entry: str) -> int:
    """How many modules an entry of a list stands for; discovery itself cuts the longest lists."""
    left_out = re.fullmatch(r"… (\d+) more …", entry)
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
