"""Clipping data to a range that is not theirs does what an attack would be credited with."""

import pytest
import torch

from paramsym.data import Images, cifar10
from paramsym.experiments.measuring.image_training import train_classifier
from paramsym.nets import ImageCNN
from paramsym.robustness import accuracy, classified_rightly, fgsm
from tests.data.cifar10_files import real
from tests.robustness.classifiers import trained


def check(model: ImageCNN, data: Images) -> None:
    """Images in [−0.5, 0.5] clipped to [0, 1], as in the paper's public code, at ε = 0."""
    x, y = data.test_images, data.test_labels
    clean = accuracy(classified_rightly(model, x, y))
    clipped = accuracy(classified_rightly(model, x.clamp(0, 1), y))
    assert clipped.interval[1] < clean.interval[0]
    assert clipped.value < clean.value - 0.1
    with pytest.raises(ValueError, match="Clipping them would change the images themselves"):
        fgsm(model, x, y, 0.0, low=0, high=1)
    assert torch.equal(fgsm(model, x, y, 0.0, low=data.low, high=data.high), x)


def test_clipping_alone_destroys_the_accuracy_on_digits() -> None:
    check(*trained(-0.5, 0.5))


def test_clipping_alone_destroys_the_accuracy_on_cifar10() -> None:
    data = cifar10(real(), low=-0.5, high=0.5).first(2000, 1000)
    rng = torch.Generator().manual_seed(0)
    model = ImageCNN(hidden=16, activation="leaky_relu(0.1)", generator=rng)
    train_classifier(model, data, generator=rng, epochs=5)
    check(model, data)
