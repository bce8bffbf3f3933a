"""The trained networks of Figures 10 and 11, and the data that they are tested on."""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, final

import torch
from torch import Tensor, nn

from paramsym.data import Images, load
from paramsym.experiments.experiment import Settings
from paramsym.experiments.measuring.image_training import train_classifier
from paramsym.nets import ImageCNN

CHECKPOINT = "training.safetensors"


@final
@dataclass(frozen=True)
class Training:
    """All choices that decide a trained network and its data; JSON values.

    Attributes:
        data: `"digits"`, or the folder of CIFAR-10.
        digest: Of the files in the folder, so that results are of these data; empty for digits.
        seed: Of the split of the digits, the initial parameters, and the order of training.
        hidden: h.
        activation: Name of σ.
        epochs: Passes over the training images.
        test: Most test images that are used.
        low: Value of the darkest pixel.
        high: Value of the brightest.
        softmax_twice: Whether the loss takes the softmax of a softmax.
        test_on_training: Whether the test images are training images.
    """

    data: str
    digest: str
    seed: int
    hidden: int
    activation: str
    epochs: int
    test: int
    low: float = 0.0
    high: float = 1.0
    softmax_twice: bool = False
    test_on_training: bool = False

    @classmethod
    def of(cls, settings: Settings, seed: int, *, hidden: int, activation: str) -> "Training":
        """The training that the user's settings ask for."""
        data = settings.source
        return cls(
            data,
            digest(data),
            seed,
            hidden,
            activation,
            epochs=10,
            test=2000,
            low=-0.5 if settings.published else 0.0,
            high=0.5 if settings.published else 1.0,
            softmax_twice=settings.published,
            test_on_training=settings.published,
        )

    def as_settings(self) -> dict[str, Any]:
        """The values by name."""
        return asdict(self)


def digest(data: str) -> str:
    """A hash of the data files in a folder; empty for the digits, which come with a package.

    Raises:
        FileNotFoundError: If there are none.
    """
    if data == "digits":
        return ""
    files = sorted(Path(data).glob("*.bin"))
    if not files:
        raise FileNotFoundError(
            f"--data: {data} holds no *.bin file of CIFAR-10. Name the folder of its binary "
            'version (data_batch_1.bin, …, test_batch.bin), or write "--data digits".'
        )
    total = hashlib.sha256()
    for file in files:
        total.update(file.name.encode())
        with file.open("rb") as content:
            total.update(hashlib.file_digest(content, "sha256").digest())
    return total.hexdigest()[:16]


@final
@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network and its data.

    Attributes:
        model: In evaluation mode, float32.
        images: The data, the test images being those to test on.
        losses: Mean training loss of each epoch.
    """

    model: ImageCNN
    images: Images
    losses: Tensor

    def head(self, images: Tensor) -> tuple[nn.Sequential, Tensor]:
        """What follows the convolution, as a float64 module, and what it is given at the images.

        The module's layers are called `hidden`, `activation` and `head`; the convolution, which no
        member of an ensemble changes, is then done once for all of them.
        """
        model = self.model
        layers = nn.Sequential()
        for name in ("hidden", "activation", "head"):
            layers.add_module(name, copy.deepcopy(model.get_submodule(name)).double())
        with torch.no_grad():
            features = [model.features(x) for x in images.split(500)]
        return layers.eval(), torch.cat(features).double()


def trained(what: Mapping[str, Any], scratch: Path) -> Trained:
    """Train a network, or go on from the checkpoint in `scratch`.

    Args:
        what: The values of a `Training`.
        scratch: A folder for the checkpoint.
    """
    choice = Training(**what)
    images = load(choice.data, seed=choice.seed, low=choice.low, high=choice.high)
    generator = torch.Generator().manual_seed(choice.seed)
    model = ImageCNN(
        images.shape,
        hidden=choice.hidden,
        classes=len(images.classes),
        activation=choice.activation,
        generator=generator,
    )
    losses = train_classifier(
        model,
        images,
        generator=generator,
        epochs=choice.epochs,
        softmax_twice=choice.softmax_twice,
        checkpoint=scratch / CHECKPOINT,
    )
    if choice.test_on_training:
        images = replace(images, test_images=images.train_images, test_labels=images.train_labels)
    images = images.first(test=min(choice.test, len(images.test_labels)))
    return Trained(model.eval(), images, losses)
