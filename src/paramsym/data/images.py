"""Labelled images with the range of their values, whatever data set they are of."""

import dataclasses
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor


@final
@dataclass(frozen=True, eq=False)
class Images:
    """Images of a classification task, split into training and test.

    Attributes:
        train_images: `[n, c, H, W]`, floating, with values from `low` to `high`.
        train_labels: `[n]`, int64 from 0.
        test_images: `[k, c, H, W]`, as the training images.
        test_labels: `[k]`, int64 from 0.
        classes: What each label means.
        low: The value of the darkest pixel there can be.
        high: The value of the brightest.
        source: Where they come from, in words.
    """

    train_images: Tensor
    train_labels: Tensor
    test_images: Tensor
    test_labels: Tensor
    classes: tuple[str, ...]
    low: float
    high: float
    source: str

    @property
    def shape(self) -> tuple[int, int, int]:
        """(c, H, W) of an image."""
        c, height, width = self.train_images.shape[1:]
        return c, height, width

    def first(self, train: int | None = None, test: int | None = None) -> "Images":
        """The first so many images of each part, as views; all where the number is absent.

        Raises:
            ValueError: If a number is not positive, or more than there are.
        """
        for name, number, there in (
            ("train", train, len(self.train_labels)),
            ("test", test, len(self.test_labels)),
        ):
            if number is not None and not 1 <= number <= there:
                raise ValueError(
                    f"`{name}` must be between 1 and the {there:,} images there are; got {number}."
                )
        return dataclasses.replace(
            self,
            train_images=self.train_images[:train],
            train_labels=self.train_labels[:train],
            test_images=self.test_images[:test],
            test_labels=self.test_labels[:test],
        )


def require_range(low: float, high: float) -> None:
    """Raise unless both are finite and `low` is the smaller."""
    # The difference is not finite where one of them is not.
    if not 0 < high - low < float("inf"):
        raise ValueError(
            f"`low` and `high` must be finite and in this order, as 0 and 1; got {low} and {high}."
        )


def scaled(counts: Tensor, full: int, dtype: torch.dtype, low: float, high: float) -> Tensor:
    """Counts from 0 to `full`, at most 255, as floating values from `low` to `high`; a copy.

    The work is done in place: a second floating copy of a large data set would be much.
    """
    images = counts.to(dtype, copy=True).div_(full)
    if (low, high) != (0, 1):
        # Rounding may leave the range by an ulp, which an attack would have to refuse.
        images.mul_(high - low).add_(low).clamp_(low, high)
    return images
