"""CIFAR-10: read as it was written, in its range, and refused where it is damaged."""

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from paramsym.data import cifar10, digits, load
from paramsym.data.cifar10 import RECORD, read_records
from tests.data.cifar10_files import CLASSES, real, records, write


def test_records_come_back_as_they_were_written(tmp_path: Path) -> None:
    written = records([3, 0, 9])
    written.tofile(tmp_path / "some.bin")
    images, labels = read_records(tmp_path / "some.bin")
    assert images.dtype == torch.uint8
    assert labels.tolist() == [3, 0, 9]
    assert labels.dtype == torch.int64
    # Pixel (row, column) of a plane is byte 1 + 1024·plane + 32·row + column of its record.
    for n, plane, row, column in [(0, 0, 0, 7), (1, 2, 31, 31), (2, 1, 5, 0)]:
        byte = written[n, 1 + 1024 * plane + 32 * row + column]
        assert int(images[n, plane, row, column]) == byte


def test_files_are_joined_in_order(tmp_path: Path) -> None:
    write(tmp_path, train=([1], [2, 3], [4, 5, 6]), test=[7, 8])
    data = cifar10(tmp_path)
    assert data.train_labels.tolist() == [1, 2, 3, 4, 5, 6]
    assert data.test_labels.tolist() == [7, 8]
    assert data.train_images.shape == (6, 3, 32, 32)
    assert data.shape == (3, 32, 32)
    third = torch.from_numpy(records([2, 3], seed=1)[1, 1:].reshape(3, 32, 32))
    assert torch.equal((data.train_images[2] * 255).round().to(torch.uint8), third)
    assert data.classes == tuple(CLASSES)
    assert data.source == "CIFAR-10, 6 training and 2 test images"


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize(
    ("low", "high"), [(0, 1), (-0.5, 0.5), (-3.0, -0.6), (-3.0, -0.8), (0, 255)]
)
def test_every_byte_in_every_range(
    tmp_path: Path, dtype: torch.dtype, low: float, high: float
) -> None:
    data = cifar10(write(tmp_path), dtype=dtype, low=low, high=high)
    values = data.train_images[0].flatten()[:256].double()
    exact = low + (high - low) * torch.arange(256, dtype=torch.float64) / 255
    # Three roundings of numbers no larger than the range's ends and width.
    bound = 3 * torch.finfo(dtype).eps * max(abs(low), abs(high), high - low)
    assert float((values - exact).abs().max()) <= bound
    assert bool((values.diff() >= 0).all())
    assert data.train_images.dtype == data.test_images.dtype == dtype
    assert (data.low, data.high) == (low, high)
    # Within the ends as they are in this dtype; rounding leaves some of these ranges.
    ends = torch.tensor([low, high], dtype=dtype)
    assert bool((data.train_images >= ends[0]).all() & (data.train_images <= ends[1]).all())


def test_names_of_classes(tmp_path: Path) -> None:
    write(tmp_path)
    meta = tmp_path / "batches.meta.txt"
    meta.write_text("\n".join("abcdefghij"))
    assert cifar10(tmp_path).classes == tuple("abcdefghij")
    meta.unlink()
    assert cifar10(tmp_path).classes == tuple(CLASSES)
    for text in ["cat\ndog\n", "\n".join("abcdefghii"), ""]:
        meta.write_text(text)
        with pytest.raises(ValueError, match=r"must name 10 different classes, one a line"):
            cifar10(tmp_path)


@pytest.mark.parametrize("change", [-1, 1, -RECORD + 1, -3000, 100])
@pytest.mark.parametrize("name", ["data_batch_1.bin", "test_batch.bin"])
def test_truncated_and_padded_files(tmp_path: Path, name: str, change: int) -> None:
    path = write(tmp_path) / name
    content = path.read_bytes()
    path.write_bytes(content[:change] if change < 0 else content + bytes(change))
    size = len(content) + change
    message = rf"{name} must hold one or more whole records of 3,073 bytes; it has {size:,} bytes"
    with pytest.raises(ValueError, match=message):
        cifar10(tmp_path)


def test_empty_file(tmp_path: Path) -> None:
    (write(tmp_path) / "test_batch.bin").write_bytes(b"")
    with pytest.raises(ValueError, match=r"test_batch.bin must hold .* it has 0 bytes"):
        cifar10(tmp_path)


@pytest.mark.parametrize("label", [10, 255])
def test_labels_out_of_range(tmp_path: Path, label: int) -> None:
    write(tmp_path, train=([0, 1], [2, 3, label, 4, 99]))
    message = rf"data_batch_2.bin must have labels from 0 to 9; 2 of its 5 .* record 2 with {label}"
    with pytest.raises(ValueError, match=message):
        cifar10(tmp_path)


def test_wrong_folders(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"nothing does not exist.*cs\.toronto\.edu"):
        cifar10(tmp_path / "nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(
        FileNotFoundError, match=r"empty holds no data_batch_\*.bin and no test_batch.bin. CIFAR-10"
    ):
        cifar10(empty)
    (write(tmp_path / "half") / "test_batch.bin").unlink()
    with pytest.raises(FileNotFoundError, match=r"half holds no test_batch.bin\."):
        cifar10(tmp_path / "half")
    (tmp_path / "archive.tar.gz").touch()
    with pytest.raises(NotADirectoryError, match=r"must be a folder.*Unpack it"):
        cifar10(tmp_path / "archive.tar.gz")
    write(tmp_path / "outer/cifar-10-batches-bin")
    with pytest.raises(FileNotFoundError, match=r"Its folder cifar-10-batches-bin does; name"):
        cifar10(tmp_path / "outer")


def test_other_versions_are_recognised(tmp_path: Path) -> None:
    for name, says in [("data_batch_1", "pickles and not read"), ("train.bin", "CIFAR-100")]:
        folder = tmp_path / name / "in"
        folder.mkdir(parents=True)
        (folder / name).touch()
        with pytest.raises(FileNotFoundError, match=says):
            cifar10(folder)


def test_options_are_checked(tmp_path: Path) -> None:
    write(tmp_path)
    for low, high in [(1, 0), (0, 0), (0, float("inf")), (float("nan"), 1)]:
        for read in (lambda **o: cifar10(tmp_path, **o), lambda **o: digits(0, **o)):
            with pytest.raises(ValueError, match="`low` and `high` must be finite and in this"):
                read(low=low, high=high)
    with pytest.raises(ValueError, match="`dtype` must be a floating dtype"):
        cifar10(tmp_path, dtype=torch.uint8)


def test_load_gives_both_sources_in_one_form(tmp_path: Path) -> None:
    write(tmp_path)
    for source in ("digits", tmp_path, str(tmp_path)):
        data = load(source, low=-0.5, high=0.5)
        assert data.train_images.dtype == torch.float32
        assert data.train_images.shape[1:] == data.test_images.shape[1:] == data.shape
        assert len(data.train_images) == len(data.train_labels)
        assert len(data.classes) == 10
        assert (data.low, data.high) == (-0.5, 0.5)
        assert float(data.train_images.min()) == -0.5
        assert float(data.train_images.max()) == 0.5
    assert torch.equal(load("digits", seed=3).test_images, load("digits", seed=3).test_images)
    assert not torch.equal(load("digits", seed=3).test_images, load("digits").test_images)


def test_first_images(tmp_path: Path) -> None:
    data = cifar10(write(tmp_path, train=([1, 2, 3], [4, 5])))
    few = data.first(4, 1)
    assert few.train_labels.tolist() == [1, 2, 3, 4]
    assert few.test_labels.tolist() == [1]
    assert torch.equal(few.train_images, data.train_images[:4])
    assert few.train_images.data_ptr() == data.train_images.data_ptr()
    assert len(data.first(test=1).train_labels) == 5
    for wrong in [{"train": 6}, {"train": 0}, {"test": 3}, {"test": -1}]:
        with pytest.raises(ValueError, match=r"must be between 1 and the \d images there are"):
            data.first(**wrong)


def test_nothing_is_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pickle", None)
    assert len(cifar10(write(tmp_path)).train_labels) == 3


def test_bytes_are_kept_until_they_are_converted(tmp_path: Path) -> None:
    """What is held is the floating images alone: their storage has no room for more."""
    data = cifar10(write(tmp_path))
    for images in (data.train_images, data.test_images):
        assert images.untyped_storage().nbytes() == images.numel() * 4
    images, _ = read_records(tmp_path / "test_batch.bin")
    assert images.untyped_storage().nbytes() == images.numel()


def test_the_real_images() -> None:
    folder = real()
    data = cifar10(folder)
    assert len(data.train_labels) == sum(
        path.stat().st_size // RECORD for path in folder.glob("data_batch_*.bin")
    )
    assert data.classes == tuple(CLASSES)
    counts = data.test_labels.bincount(minlength=10)
    assert int(counts.min()) == int(counts.max())
    assert (float(data.train_images.min()), float(data.train_images.max())) == (0, 1)
    # Neighbouring pixels are alike in pictures, and not in bytes that are read in another order.
    x = data.test_images
    for axis in (2, 3):
        assert float((x.diff(dim=axis)).abs().mean()) < 0.08

    # Ships are on blue, frogs are not: the planes are red, green, blue.
    def blue(name: str) -> float:
        mean = x[data.test_labels == data.classes.index(name)].mean((0, 2, 3))
        return float(mean[2] - mean[0])

    assert blue("ship") > 0.02
    assert blue("frog") < -0.02
    numbers = np.fromfile(folder / "test_batch.bin", dtype=np.uint8).reshape(-1, RECORD)
    assert np.array_equal(data.test_labels.numpy(), numbers[:, 0])
