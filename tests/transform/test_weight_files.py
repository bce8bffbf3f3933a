"""Maps and copies of safetensors files."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from paramsym.transform.weight_files import (
    ALIGNMENT,
    copy_with_metadata,
    mapped,
    read_header,
    weight_files,
)

TENSORS = {
    "a": torch.arange(6.0).reshape(2, 3),
    "half": torch.tensor([1.5, -2.0], dtype=torch.bfloat16),
    "count": torch.tensor(7),
    "empty": torch.empty(0, 4),
    "flags": torch.tensor([True, False, True]),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "weights.safetensors"
    save_file(TENSORS, path, {"format": "pt"})
    return path


def test_a_map_shows_what_the_library_reads(file: Path) -> None:
    with mapped(read_header(file)) as tensors:
        assert tensors.keys() == TENSORS.keys()
        for name, tensor in TENSORS.items():
            assert tensors[name].dtype == tensor.dtype
            assert torch.equal(tensors[name], tensor)


def test_a_read_map_leaves_the_file(file: Path) -> None:
    content = file.read_bytes()
    with mapped(read_header(file)) as tensors:
        tensors["a"].zero_()
    assert file.read_bytes() == content


def test_a_copy_is_written_through_its_map(file: Path, tmp_path: Path) -> None:
    out = tmp_path / "copy.safetensors"
    header = copy_with_metadata(read_header(file), out, {"format": "pt", "new": "é"})
    assert header.start % ALIGNMENT == 0
    assert header.metadata == {"format": "pt", "new": "é"}
    with mapped(header, writable=True) as tensors:
        tensors["a"].add_(1)
    now, before = load_file(out), load_file(file)
    assert torch.equal(now["a"], TENSORS["a"] + 1)
    for name in TENSORS.keys() - {"a"}:
        assert torch.equal(now[name], before[name])


def test_tensors_of_unknown_kinds_are_carried_along(file: Path, tmp_path: Path) -> None:
    exotic = {"small": torch.ones(8).to(torch.float8_e4m3fn), "a": torch.ones(2)}
    save_file(exotic, file)
    header = copy_with_metadata(read_header(file), tmp_path / "copy.safetensors", {})
    with mapped(header) as tensors:
        assert list(tensors) == ["a"]
    copied = load_file(header.path)["small"]
    assert torch.equal(copied.float(), exotic["small"].float())


def test_what_is_no_weight_file(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no file"):
        read_header(tmp_path / "none.safetensors")
    pickled = tmp_path / "model.bin"
    torch.save({"a": torch.ones(1)}, pickled)
    with pytest.raises(ValueError, match=r"is no safetensors file .* Pickled weights"):
        read_header(pickled)
    with pytest.raises(ValueError, match="has no weights as safetensors"):
        weight_files(tmp_path)
