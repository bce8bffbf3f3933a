"""CIFAR-10 from a folder, in the binary layout in which it is published.

A file is a row of records and nothing else; a record is a byte for the label and 3,072 bytes for
the pixels, red, green and blue planes of 32 rows. Nothing is unpickled.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from paramsym.data.images import Images, require_range, scaled

SHAPE = (3, 32, 32)
RECORD = 1 + 3 * 32 * 32
"""Bytes of an image with its label."""

CLASSES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)

TRAIN = "data_batch_*.bin"
TEST = "test_batch.bin"
NAMES = "batches.meta.txt"

HOME = "https://www.cs.toronto.edu/~kriz/cifar.html"


def cifar10(
    folder: str | Path,
    *,
    dtype: torch.dtype = torch.float32,
    low: float = 0.0,
    high: float = 1.0,
) -> Images:
    """CIFAR-10, or any part of it in the same layout.

    The folder holds training files `data_batch_1.bin`, … (one or more, read in the order of their
    names), `test_batch.bin`, and perhaps `batches.meta.txt` with the names of the classes. Each
    file may hold any number of records. The split is that of the files.

    Args:
        folder: As it is unpacked from `cifar-10-binary.tar.gz`.
        dtype: Floating dtype of the images. In float32 the whole data set takes 737 MB.
        low: Value of the byte 0.
        high: Value of the byte 255.

    Raises:
        FileNotFoundError: If the folder or a file is not there.
        NotADirectoryError: If it is no folder.
        ValueError: If a file does not hold whole records, a label is out of range, the names of
            the classes are not ten, `dtype` is not floating, or `low` is not below `high`.
    """
    if not dtype.is_floating_point:
        raise ValueError(f"`dtype` must be a floating dtype, as torch.float32; got {dtype}.")
    require_range(low, high)
    folder = Path(folder)
    train, test = _files(folder)
    classes = _classes(folder / NAMES)
    parts = [read_records(path, len(classes)) for path in train]
    train_images = torch.cat([images for images, _ in parts])
    train_labels = torch.cat([labels for _, labels in parts])
    del parts
    test_images, test_labels = read_records(test, len(classes))
    return Images(
        scaled(train_images, 255, dtype, low, high),
        train_labels,
        scaled(test_images, 255, dtype, low, high),
        test_labels,
        classes,
        float(low),
        float(high),
        f"CIFAR-10, {len(train_labels):,} training and {len(test_labels):,} test images",
    )


def read_records(path: Path, classes: int = len(CLASSES)) -> tuple[Tensor, Tensor]:
    """The images `[n, 3, 32, 32]` of one file as bytes (uint8), and their labels `[n]` (int64).

    Raises:
        ValueError: If the file does not hold whole records, or a label is not below `classes`.
    """
    size = path.stat().st_size
    if size == 0 or size % RECORD:
        raise ValueError(
            f"{path} must hold one or more whole records of {RECORD:,} bytes; it has {size:,} "
            f"bytes, which is {size // RECORD:,} records and {size % RECORD:,} bytes more. It was "
            "cut off or padded, or is no file of CIFAR-10 in the binary layout; get it again."
        )
    records = np.fromfile(path, dtype=np.uint8).reshape(-1, RECORD)
    wrong = np.flatnonzero(records[:, 0] >= classes)
    if len(wrong):
        raise ValueError(
            f"{path} must have labels from 0 to {classes - 1}; {len(wrong):,} of its "
            f"{len(records):,} records have others, the first of them record {wrong[0]} with "
            f"{records[wrong[0], 0]}. It is damaged or of another data set; get it again."
        )
    # Copied, so that the labels' column is not kept beside the images.
    images = torch.from_numpy(records[:, 1:].copy()).reshape(-1, *SHAPE)
    return images, torch.from_numpy(records[:, 0].astype(np.int64))


def _files(folder: Path) -> tuple[list[Path], Path]:
    """The training files and the test file."""
    if not folder.exists():
        raise FileNotFoundError(f"the folder {folder} does not exist. {_where()}")
    if not folder.is_dir():
        advice = "Unpack it, and name the folder." if ".tar" in folder.name else _where()
        raise NotADirectoryError(f"`folder` must be a folder; {folder} is a file. {advice}")
    train = sorted(path for path in folder.glob(TRAIN) if path.is_file())
    test = folder / TEST
    if train and test.is_file():
        return train, test
    missing = [name for name, there in ((TRAIN, train), (TEST, test.is_file())) if not there]
    raise FileNotFoundError(f"{folder} holds no {' and no '.join(missing)}. {_advice(folder)}")


def _advice(folder: Path) -> str:
    """What is in the folder instead, where that is known, and what to do."""
    inner = next((path.parent for path in sorted(folder.glob(f"*/{TEST}"))), None)
    if inner is not None:
        return f"Its folder {inner.name} does; name {inner}."
    if (folder / "data_batch_1").exists():
        return f"It is the version for Python, whose files are pickles and not read. {_where()}"
    if (folder / "train.bin").exists():
        return f"It looks like CIFAR-100, which has other records. {_where()}"
    return _where()


def _where() -> str:
    return (
        f"CIFAR-10 is found at {HOME}: unpack the binary version, cifar-10-binary.tar.gz, and name "
        "the folder with data_batch_1.bin."
    )


def _classes(path: Path) -> tuple[str, ...]:
    if not path.is_file():
        return CLASSES
    names = tuple(path.read_text(encoding="utf-8").split())
    if len(names) != len(CLASSES) or len(set(names)) != len(names):
        raise ValueError(
            f"{path} must name {len(CLASSES)} different classes, one a line; it names "
            f"{len(names)}, of which {len(set(names))} differ. Remove it to use the usual names."
        )
    return names
