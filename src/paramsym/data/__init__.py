"""Labelled images in one form: digits that need no download, and CIFAR-10 from a folder."""

from pathlib import Path

import torch

from paramsym.data.cifar10 import cifar10
from paramsym.data.digits import digits
from paramsym.data.images import Images

__all__ = ["Images", "cifar10", "digits", "load"]


def load(
    source: str | Path = "digits",
    *,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
    low: float = 0.0,
    high: float = 1.0,
) -> Images:
    """The same form of data from either source, so that one program runs on both.

    Args:
        source: `"digits"` for scikit-learn's handwritten digits, or the folder of CIFAR-10.
        seed: Decides how the digits are split; the split of CIFAR-10 is its own.
        dtype: Floating dtype of the images.
        low: Value of the darkest pixel there can be.
        high: Value of the brightest. The paper's public code has −0.5 and 0.5.

    Raises:
        ImportError: If the digits are asked for and scikit-learn is not installed.
        OSError: If the folder or a file in it is not there.
        ValueError: If a file is damaged or an argument does not fit; see `digits` and `cifar10`.
    """
    if source == "digits":
        return digits(seed, dtype=dtype, low=low, high=high)
    return cifar10(source, dtype=dtype, low=low, high=high)
