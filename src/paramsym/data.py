"""Real data that needs no download: scikit-learn's handwritten digits."""

from dataclasses import dataclass
from typing import Any, final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Digits:
    """Handwritten digits, 8×8 grey images with values in [0, 1].

    Attributes:
        train_images: `[n, 1, 8, 8]`, floating.
        train_labels: `[n]`, int64 in 0…9.
        test_images: `[k, 1, 8, 8]`, floating.
        test_labels: `[k]`, int64 in 0…9.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def digits(
    seed: int = 0, *, test_fraction: float = 0.2, dtype: torch.dtype = torch.float64
) -> Digits:
    """The 1,797 images that scikit-learn carries, split at random into training and test.

    Args:
        seed: Decides the split; the same seed gives the same split everywhere.
        test_fraction: Share of the images kept for testing, between 0 and 1.
        dtype: Floating dtype of the images.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If `test_fraction` leaves no image on one side, or `dtype` is not floating.
    """
    try:
        import sklearn.datasets
    except ImportError as error:
        raise ImportError(
            "the handwritten digits come with scikit-learn, which is not installed. "
            "Install it with `pip install paramsym[demo]`."
        ) from error
    if not dtype.is_floating_point:
        raise ValueError(f"`dtype` must be a floating dtype, as torch.float64; got {dtype}.")
    raw: Any = sklearn.datasets.load_digits()
    # The images count dark pixels in 4×4 blocks: integers from 0 to 16.
    images = torch.from_numpy(raw.images).to(dtype).unsqueeze(1) / 16
    labels = torch.from_numpy(raw.target).long()
    held_out = round(len(images) * test_fraction)
    if not 0 < held_out < len(images):
        raise ValueError(
            f"`test_fraction` must leave images for both training and test, between 0 and 1; "
            f"got {test_fraction}."
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    test, train = order[:held_out], order[held_out:]
    return Digits(images[train], labels[train], images[test], labels[test])
