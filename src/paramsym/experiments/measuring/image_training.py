"""Training a classifier of images as the paper does, by Adam; saved after each epoch."""

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from paramsym.data import Images
from paramsym.dynamics import checkpoints

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What Adam remembers of each parameter."""


def train_classifier(
    model: nn.Module,
    data: Images,
    *,
    generator: torch.Generator,
    epochs: int = 10,
    batch: int = 32,
    lr: float = 1e-3,
    softmax_twice: bool = False,
    checkpoint: Path | None = None,
    advance: Callable[[], object] = lambda: None,
) -> Tensor:
    """Train the model in place by Adam, with torch's defaults (Appendix I).

    The same generator gives the same parameters, also when a run was killed and goes on from its
    checkpoint with the model and the generator as they were at the start. The last batch of an
    epoch may be smaller.

    Args:
        model: From images `[batch, c, H, W]` to logits. Its mode, training or evaluation, is used
            as it is.
        data: The training images are used, in the dtype of the model.
        generator: Decides the order of the images; on the CPU.
        epochs: Passes over the images, those of the checkpoint included.
        batch: Images of a step.
        lr: Adam's learning rate.
        softmax_twice: Give the logits' softmax to a cross-entropy that takes a softmax itself, as
            the paper's public code does. Its gradients are small where the model is sure.
        checkpoint: A file that is written after each epoch, and gone on from where it exists.
        advance: Called after each epoch.

    Returns:
        The mean training loss of each epoch, `[epochs]`.

    Raises:
        ValueError: If a number is not positive, the checkpoint is of another training, or the loss
            is not finite.
    """
    if min(epochs, batch) < 1 or not lr > 0:
        raise ValueError(
            f"`epochs`, `batch` and `lr` must be positive; got {epochs}, {batch} and {lr}."
        )
    params = {name: p for name, p in model.named_parameters() if p.requires_grad}
    settings = checkpoints.settings_of(
        {
            "batch": batch,
            "lr": lr,
            "softmax_twice": softmax_twice,
            "labels": data.train_labels,
            # Not all of them, since there may be a gigabyte.
            "images": data.train_images[:100],
            "generator": generator.get_state(),
            "start": torch.cat([p.detach().flatten() for p in params.values()]),
        }
    )
    optimizer = torch.optim.Adam(params.values(), lr)
    losses = torch.full((epochs,), torch.nan, dtype=torch.float64)
    done = 0
    # On a CPU convolutions of few channels are faster in this order of memory.
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
    saved = None if checkpoint is None else checkpoints.read(checkpoint, settings)
    if saved is not None:
        done = min(saved.step, epochs)
        if saved.step > epochs:
            raise ValueError(
                f"{checkpoint} has {saved.step} epochs, more than the {epochs} asked for. "
                "Choose another file, or remove it to start anew."
            )
        _restore(model, optimizer, generator, losses, saved.tensors)
    for epoch in range(done, epochs):
        losses[epoch] = _epoch(model, data, optimizer, generator, batch, softmax_twice)
        if not bool(losses[epoch].isfinite()):
            raise ValueError(
                f"the training loss must stay finite; it is {float(losses[epoch])} in epoch "
                f"{epoch + 1}. Use a smaller learning rate than {lr}, and check the images."
            )
        if checkpoint is not None:
            tensors = _state(model, optimizer, generator, losses[: epoch + 1])
            checkpoints.write(checkpoint, checkpoints.Checkpoint(epoch + 1, tensors), settings)
        advance()
    model.to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    model.zero_grad()
    return losses


def _epoch(
    model: nn.Module,
    data: Images,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    batch: int,
    softmax_twice: bool,
) -> float:
    """The mean loss over the images, each before its step."""
    order = torch.randperm(len(data.train_labels), generator=generator)
    total = torch.zeros((), dtype=torch.float64)
    for rows in order.split(batch):
        x = data.train_images[rows].contiguous(memory_format=torch.channels_last)
        logits = model(x)
        if softmax_twice:
            logits = logits.softmax(1)
        loss = nn.functional.cross_entropy(logits, data.train_labels[rows])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        total += loss.detach().double() * len(rows)
    return float(total) / len(order)


def _state(
    model: nn.Module, optimizer: torch.optim.Optimizer, generator: torch.Generator, losses: Tensor
) -> dict[str, Tensor]:
    tensors = {f"model {name}": t for name, t in model.state_dict().items()}
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        tensors |= {f"{moment} {name}": optimizer.state[p][moment] for moment in MOMENTS}
    return {**tensors, "generator": generator.get_state(), "losses": losses}


def _restore(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    losses: Tensor,
    tensors: dict[str, Tensor],
) -> None:
    state = {k.removeprefix("model "): t for k, t in tensors.items() if k.startswith("model ")}
    model.load_state_dict(state)
    for name, p in model.named_parameters():
        if not p.requires_grad:
            continue
        step, *moments = (tensors[f"{moment} {name}"] for moment in MOMENTS)
        # In the order of memory of the parameter, as Adam itself makes them.
        optimizer.state[p] = {"step": step} | {
            moment: torch.empty_like(p).copy_(t)
            for moment, t in zip(MOMENTS[1:], moments, strict=True)
        }
    generator.set_state(tensors["generator"])
    losses[: len(tensors["losses"])] = tensors["losses"]
