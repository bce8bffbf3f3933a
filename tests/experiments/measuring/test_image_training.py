"""Training of a classifier: against a plain loop, deterministic, and going on where it was."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from paramsym.data import Images, cifar10, digits
from paramsym.experiments.measuring.image_training import train_classifier
from paramsym.nets import ImageCNN
from paramsym.robustness import accuracy, classified_rightly
from tests.data.cifar10_files import real, write


def start(seed: int = 0, dtype: torch.dtype = torch.float64) -> tuple[ImageCNN, torch.Generator]:
    rng = torch.Generator().manual_seed(seed)
    model = ImageCNN((1, 8, 8), channels=4, hidden=6, dtype=dtype, generator=rng)
    return model, rng


def few(dtype: torch.dtype = torch.float64) -> Images:
    return digits(0, dtype=dtype).first(100, 50)


def flat(model: nn.Module) -> Tensor:
    return nn.utils.parameters_to_vector(model.parameters()).detach()


def plain(data: Images, epochs: int, softmax_twice: bool) -> tuple[ImageCNN, list[float]]:
    """The loop that anybody would write, in the usual order of memory."""
    model, rng = start()
    optimizer = torch.optim.Adam(model.parameters())
    losses = []
    for _ in range(epochs):
        order, total = torch.randperm(100, generator=rng), 0.0
        for i in range(0, 100, 32):
            rows = order[i : i + 32]
            logits = model(data.train_images[rows])
            if softmax_twice:
                logits = torch.softmax(logits, 1)
            loss = -logits.log_softmax(1)[torch.arange(len(rows)), data.train_labels[rows]].mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += float(loss.detach()) * len(rows)
        losses.append(total / 100)
    return model, losses


@pytest.mark.parametrize("softmax_twice", [False, True])
def test_it_is_the_plain_loop(softmax_twice: bool) -> None:
    expected, losses = plain(few(), 3, softmax_twice)
    model, rng = start()
    found = train_classifier(model, few(), generator=rng, epochs=3, softmax_twice=softmax_twice)
    # 12 steps of Adam, which divides by small numbers, amplify rounding.
    assert torch.allclose(flat(model), flat(expected), rtol=1e-8, atol=1e-10)
    assert found.tolist() == pytest.approx(losses, rel=1e-10)
    assert found.dtype == torch.float64


def test_the_seed_decides_and_nothing_else() -> None:
    def run(seed: int) -> Tensor:
        model, rng = start(seed, torch.float32)
        train_classifier(model, few(torch.float32), generator=rng, epochs=2)
        return flat(model)

    torch.manual_seed(1)
    first, state = run(0), torch.get_rng_state()
    torch.manual_seed(2)
    assert torch.equal(first, run(0))
    assert not torch.equal(first, run(1))
    torch.manual_seed(1)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_model_comes_back_as_it_was() -> None:
    model, rng = start()
    model.eval()
    train_classifier(model, few(), generator=rng, epochs=1)
    assert not model.training
    assert all(p.is_contiguous() and p.grad is None for p in model.parameters())


class Killed(Exception):
    pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("after", [1, 2, 3])
def test_a_killed_run_goes_on(tmp_path: Path, after: int, dtype: torch.dtype) -> None:
    data, path = few(dtype), tmp_path / "training.safetensors"
    model, rng = start(dtype=dtype)
    losses = train_classifier(model, data, generator=rng, epochs=4)
    whole, ends = flat(model), rng.get_state()
    count = 0

    def advance() -> None:
        nonlocal count
        count += 1
        if count == after:
            raise Killed

    model, rng = start(dtype=dtype)
    with pytest.raises(Killed):
        train_classifier(model, data, generator=rng, epochs=4, checkpoint=path, advance=advance)
    assert os.listdir(tmp_path) == [path.name]
    model, rng = start(dtype=dtype)
    count = 10
    again = train_classifier(model, data, generator=rng, epochs=4, checkpoint=path, advance=advance)
    assert count == 10 + 4 - after
    assert torch.equal(flat(model), whole)
    assert torch.equal(again, losses)
    assert torch.equal(rng.get_state(), ends)
    # All done: nothing is trained again.
    model, rng = start(dtype=dtype)
    finished = train_classifier(
        model, data, generator=rng, epochs=4, checkpoint=path, advance=advance
    )
    assert count == 10 + 4 - after
    assert torch.equal(finished, losses)
    assert torch.equal(flat(model), whole)


def test_a_finished_run_can_be_made_longer(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    for epochs in (1, 3):
        model, rng = start()
        losses = train_classifier(model, few(), generator=rng, epochs=epochs, checkpoint=path)
    expected, rng = start()
    assert torch.equal(losses, train_classifier(expected, few(), generator=rng, epochs=3))
    assert torch.equal(flat(model), flat(expected))
    model, rng = start()
    with pytest.raises(ValueError, match="has 3 epochs, more than the 2 asked for"):
        train_classifier(model, few(), generator=rng, epochs=2, checkpoint=path)


def test_buffers_and_frozen_parameters_are_kept(tmp_path: Path) -> None:
    class Normed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)
            self.net = start(dtype=torch.float32)[0]
            self.net.head.bias.requires_grad_(False)

        def forward(self, x: Tensor) -> Tensor:
            return self.net(self.norm(x))

    def run(epochs: int, path: Path | None) -> dict[str, Tensor]:
        model, rng = Normed(), torch.Generator().manual_seed(0)
        train_classifier(model, few(torch.float32), generator=rng, epochs=epochs, checkpoint=path)
        return model.state_dict()

    run(1, tmp_path / "a")
    resumed, whole = run(2, tmp_path / "a"), run(2, None)
    assert int(whole["norm.num_batches_tracked"]) == 8
    assert all(torch.equal(resumed[name], whole[name]) for name in whole)
    assert torch.equal(whole["net.head.bias"], start(dtype=torch.float32)[0].head.bias)


def test_a_checkpoint_of_another_training(tmp_path: Path) -> None:
    path = tmp_path / "training.safetensors"
    model, rng = start()
    train_classifier(model, few(), generator=rng, epochs=1, checkpoint=path)
    for other, says in [
        ({"lr": 0.1}, "lr: 0.001 there, 0.1 here"),
        ({"batch": 16}, "batch: 32 there, 16 here"),
        ({"softmax_twice": True}, "softmax_twice: False there"),
        ({"data": digits(1).first(100)}, "labels: "),
    ]:
        model, rng = start()
        given: dict[str, Any] = {"data": few(), "generator": rng, **other}
        with pytest.raises(ValueError, match=says):
            train_classifier(model, epochs=1, checkpoint=path, **given)
    model, rng = start(1)
    with pytest.raises(ValueError, match="start: "):
        train_classifier(model, few(), generator=rng, epochs=1, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-8])
    model, rng = start()
    with pytest.raises(ValueError, match="no whole checkpoint"):
        train_classifier(model, few(), generator=rng, epochs=1, checkpoint=path)


def test_bad_numbers() -> None:
    model, rng = start()
    bad: list[dict[str, Any]] = [{"epochs": 0}, {"batch": 0}, {"lr": 0.0}, {"lr": float("nan")}]
    for wrong in bad:
        with pytest.raises(ValueError, match="`epochs`, `batch` and `lr` must be positive"):
            train_classifier(model, few(), generator=rng, **wrong)


def test_divergence_is_an_error(tmp_path: Path) -> None:
    model, rng = start()
    path = tmp_path / "training.safetensors"
    with pytest.raises(ValueError, match=r"training loss must stay finite; it is (nan|inf)"):
        train_classifier(model, few(), generator=rng, epochs=9, lr=1e80, checkpoint=path)
    assert not path.exists()


def test_it_learns_on_either_source(tmp_path: Path) -> None:
    write(tmp_path, train=([0, 1, 2, 3] * 4,), test=[0, 1])
    for data in (digits(0, dtype=torch.float32), cifar10(tmp_path)):
        rng = torch.Generator().manual_seed(0)
        model = ImageCNN(data.shape, channels=8, hidden=16, generator=rng)
        losses = train_classifier(model, data, generator=rng, epochs=5, lr=3e-3)
        assert float(losses[-1]) < 0.7 * float(losses[0])


def test_it_learns_real_pictures() -> None:
    data = cifar10(real()).first(2000, 1000)
    rng = torch.Generator().manual_seed(0)
    model = ImageCNN(data.shape, hidden=16, activation="leaky_relu(0.1)", generator=rng)
    train_classifier(model, data, generator=rng, epochs=4)
    found = accuracy(classified_rightly(model, data.test_images, data.test_labels))
    # Guessing gives a tenth.
    assert found.interval[0] > 0.25
