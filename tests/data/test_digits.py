"""The digits: real, split without overlap, decided by the seed."""

import sys

import pytest
import torch

from paramsym.data import digits


def test_the_split_uses_every_image_once() -> None:
    data = digits(0)
    assert data.train_images.shape == (1438, 1, 8, 8)
    assert data.test_images.shape == (359, 1, 8, 8)
    rows = torch.cat([data.train_images, data.test_images]).flatten(1)
    other = digits(1)
    again = torch.cat([other.train_images, other.test_images]).flatten(1)
    # The same images in another order.
    assert torch.equal(rows.unique(dim=0), again.unique(dim=0))
    assert len(rows) == 1797
    assert not torch.equal(rows, again)


def test_values_and_labels() -> None:
    data = digits(0)
    assert float(data.train_images.min()) == 0
    assert float(data.train_images.max()) == 1
    labels = torch.cat([data.train_labels, data.test_labels])
    assert labels.dtype == torch.int64
    assert sorted(labels.unique().tolist()) == list(range(10))
    assert int(labels.bincount().min()) > 150


def test_labels_belong_to_their_images() -> None:
    data = digits(0)
    means = torch.stack(
        [data.train_images[data.train_labels == k].mean(0).flatten() for k in range(10)]
    )
    guesses = torch.cdist(data.test_images.flatten(1), means).argmin(1)
    assert float((guesses == data.test_labels).double().mean()) > 0.85


def test_the_seed_decides() -> None:
    first, same, other = digits(3), digits(3), digits(4)
    assert torch.equal(first.test_images, same.test_images)
    assert torch.equal(first.train_labels, same.train_labels)
    assert not torch.equal(first.test_images, other.test_images)


def test_options() -> None:
    data = digits(0, test_fraction=0.5, dtype=torch.float32)
    assert data.test_images.dtype == torch.float32
    assert len(data.test_images) == 898


def test_bad_options() -> None:
    for fraction in (0.0, 1.0, -0.1, 1e-9):
        with pytest.raises(ValueError, match="`test_fraction` must leave images"):
            digits(0, test_fraction=fraction)
    with pytest.raises(ValueError, match="`dtype` must be a floating dtype"):
        digits(0, dtype=torch.int32)


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"pip install paramsym\[demo\]"):
        digits(0)
