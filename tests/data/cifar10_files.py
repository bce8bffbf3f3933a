"""Small files in the binary layout of CIFAR-10, and where the real ones may be."""

import glob
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
VARIABLE = "PARAMSYM_CIFAR10"


def records(labels: Sequence[int], seed: int = 0) -> np.ndarray:
    """A record for each label, with random pixels, `[n, 3073]` of bytes."""
    pixels = np.random.default_rng(seed).integers(0, 256, (len(labels), 3072), dtype=np.uint8)
    # Every value of a byte occurs.
    pixels[0, :256] = np.arange(256)
    return np.concatenate([np.array(labels, dtype=np.uint8)[:, None], pixels], axis=1)


def write(
    folder: Path, train: Sequence[Sequence[int]] = ((0, 9, 3),), test: Sequence[int] = (1, 2)
) -> Path:
    """A folder with these labels; a training file for each row."""
    folder.mkdir(parents=True, exist_ok=True)
    for i, labels in enumerate(train):
        records(labels, seed=i).tofile(folder / f"data_batch_{i + 1}.bin")
    records(test, seed=100).tofile(folder / "test_batch.bin")
    (folder / "batches.meta.txt").write_text("\n".join([*CLASSES, "", ""]))
    return folder


def real() -> Path:
    """The folder of the real CIFAR-10, or a part of it; the test is skipped where there is none.

    It is named by an environment variable, or is `data/cifar10` in this checkout or in a folder
    beside it.
    """
    named = os.environ.get(VARIABLE)
    if named:
        # A wrong name is an error of whoever set it, and no reason to skip.
        return Path(named)
    checkout = Path(__file__).parents[2]
    # This glob passes over folders that may not be read.
    for pattern in (checkout, checkout.parent / "*"):
        for found in sorted(glob.glob(f"{pattern}/data/cifar10/test_batch.bin")):
            return Path(found).parent
    pytest.skip(f"CIFAR-10 is not here: set {VARIABLE} to the folder of its binary version")
