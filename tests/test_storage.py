"""Symmetries as JSON: what is written, and what is refused on reading.

That every registered symmetry survives the round trip is one of the laws (tests/laws).
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import paramsym as ps
from paramsym import storage
from paramsym.groups import MatrixGroup
from paramsym.parameters import Parameter
from paramsym.storage import from_dict, to_dict
from tests.laws.networks import dense


def full() -> ps.Symmetry:
    """A symmetry that uses every field."""
    family = dense("relu", (3, 4, 2)).symmetry.families[0]
    return ps.Symmetry(
        families=(family,),
        parameters=(
            Parameter("fc0.weight", (4, 3), ("head.weight",), False),
            Parameter("fc0.bias", (4,)),
            Parameter("fc1.weight", (2, 4)),
            Parameter("fc1.bias", (2,)),
        ),
        barriers=(ps.Barrier("aten.fft", 2, ("head", "tail"), "unknown op"),),
        unused=("fc1.bias",),
        mode="eval",
        mode_dependent=True,
        verification=ps.Verification(1e-15, None, 1e-12, ("withdrawn",)),
    )


def saved() -> dict[str, Any]:
    return json.loads(json.dumps(to_dict(full())))


def test_every_field_survives() -> None:
    again = from_dict(saved())
    assert again == full()
    assert again.verification == full().verification


def test_indices_are_ranges() -> None:
    index = torch.tensor([[0, 1, 2, 10, 12, 14, 7, 3]])
    runs = storage._to_ranges(index)
    assert runs == [[0, 3, 1], [10, 3, 2], [7, 2, -4]]
    assert torch.equal(storage._from_ranges(runs, [1, 8]), index)
    wide = to_dict(dense("relu", (2, 4000, 2)).symmetry)
    assert len(json.dumps(wide)) < 3000, "4000 rows in order are one run"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, r"schema 'paramsym\.symmetry/1'; got None"),
        ({"schema": "paramsym.symmetry/99"}, r"got 'paramsym\.symmetry/99'.*Discover.*anew"),
        ([1, 2], r"`data` must be a symmetry saved by paramsym.*got 'list'"),
        ({"schema": storage.SCHEMA}, r"not a complete saved symmetry.*verification"),
    ],
)
def test_other_data_are_refused(data: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        from_dict(data)


@pytest.mark.parametrize("field", ["families", "parameters", "barriers", "unused", "mode"])
def test_a_missing_field_is_named(field: str) -> None:
    data = saved()
    del data[field]
    with pytest.raises(ValueError, match=rf"not a complete saved symmetry.*{field}"):
        from_dict(data)


def test_an_unknown_group_is_refused() -> None:
    data = saved()
    data["families"][0]["group"]["kind"] = "Monster"
    with pytest.raises(ValueError, match="Monster"):
        from_dict(data)


def test_a_contradiction_is_refused() -> None:
    data = saved()
    data["families"][0]["ports"][0]["index"] = [[0, 4, 2]]
    with pytest.raises(ValueError, match=r"'fc0\.weight' must index rows 0 to 3"):
        from_dict(data)


def test_a_group_from_outside_cannot_be_saved() -> None:
    class Outsider(MatrixGroup):
        """A group of somebody else's."""

        dim = symmetric_dim = 1

        def project(self, P: Tensor) -> Tensor:
            return P

        def symmetric(self, M: Tensor) -> Tensor:
            return M

    symmetry = ps.Symmetry.of([ps.Family("theirs", Outsider(1))], {"w": torch.zeros(1)})
    with pytest.raises(ValueError, match=r"own groups can be saved; got Outsider.*select"):
        to_dict(symmetry)


def test_a_file_and_back(tmp_path: Path) -> None:
    path = ps.save(full(), tmp_path / "net.symmetry.json")
    assert ps.load(path) == full()
    with pytest.raises(FileExistsError, match=r"net\.symmetry\.json exists"):
        ps.save(full(), path)
    assert ps.save(full(), str(path), force=True) == path
    assert [p.name for p in tmp_path.iterdir()] == ["net.symmetry.json"]


def test_files_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="absent"):
        ps.load(tmp_path / "absent.json")
    (tmp_path / "text.json").write_text("T₊(3)")
    with pytest.raises(ValueError, match=r"text.json is not JSON.*`save`"):
        ps.load(tmp_path / "text.json")
    (tmp_path / "bytes.json").write_bytes(b"\x80\xf0")
    with pytest.raises(ValueError, match=r"bytes.json is not JSON.*`save`"):
        ps.load(tmp_path / "bytes.json")
