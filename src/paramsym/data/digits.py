"""Real data that needs no download: scikit-learn's handwritten digits."""

from typing import Any

import torch

from paramsym.data.images import Images, require_range, scaled


def digits(
    seed: int = 0,
    *,
    test_fraction: float = 0.2,
    dtype: torch.dtype = torch.float64,
    low: float = 0.0,
    high: float = 1.0,
) -> Images:
    """The 1,797 grey images of 8×8 pixels that scikit-learn carries, split at random.

    Args:
        seed: Decides the split; the same seed gives the same split everywhere.
        test_fraction: Share of the images kept for testing, between 0 and 1.
        dtype: Floating dtype of the images.
        low: Value of a pixel without ink.
        high: Value of a pixel full of it.

    Raises:
        ImportError: If scikit-learn is not installed.
        ValueError: If `test_fraction` leaves no image on one side, `dtype` is not floating, or
            `low` is not below `high`.
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
    require_range(low, high)
    raw: Any = sklearn.datasets.load_digits()
    # The images count dark pixels in 4×4 blocks: integers from 0 to 16.
    images = scaled(torch.from_numpy(raw.images).unsqueeze(1), 16, dtype, low, high)
    labels = torch.from_numpy(raw.target).long()
    held_out = round(len(images) * test_fraction)
    if not 0 < held_out < len(images):
        raise ValueError(
            f"`test_fraction` must leave images for both training and test, between 0 and 1; "
            f"got {test_fraction}."
        )
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    test, train = order[:held_out], order[held_out:]
    return Images(
        images[train],
        labels[train],
        images[test],
        labels[test],
        tuple(str(digit) for digit in range(10)),
        float(low),
        float(high),
        "scikit-learn's handwritten digits",
    )
