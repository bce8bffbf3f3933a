"""The zoo's register: name → a factory of a model that returns one tensor, and its inputs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any, final

import torch
from torch import Tensor, nn

Made = tuple[nn.Module, tuple[Tensor, ...]]
VOCABULARY = 61


@final
@dataclass(frozen=True)
class Entry:
    """One model of the zoo.

    Attributes:
        make: Makes the model, in evaluation mode unless it says otherwise, and example inputs.
        in_ci: Whether the tests of every day include it.
        idle: Pattern of parameters that have no effect on the output.
    """

    make: Callable[[], Made]
    in_ci: bool
    idle: str


ZOO: dict[str, Entry] = {}
"""Every model by name, once `load` was called."""


def model(
    name: str, *, ci: bool = False, idle: str = ""
) -> Callable[[Callable[[], Made]], Callable[[], Made]]:
    """Register a factory; it is called under torch's seed 0."""

    def register(make: Callable[[], Made]) -> Callable[[], Made]:
        assert name not in ZOO, name
        ZOO[name] = Entry(make, ci, idle)
        return make

    return register


def load() -> Mapping[str, Entry]:
    """Fill the register."""
    for page in ("decoders", "encoders", "vision", "signals", "recurrent", "small"):
        import_module(f"tests.zoo.{page}")
    return ZOO


def made(name: str) -> Made:
    """The model of that name, the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return load()[name].make()


class Picked(nn.Module):
    """A model of `transformers`, with positional inputs and one tensor as output."""

    def __init__(
        self, model: nn.Module, inputs: tuple[str, ...], output: str, **fixed: Any
    ) -> None:
        super().__init__()
        self.model = model
        self.inputs = inputs
        self.output = output
        self.fixed = fixed

    def forward(self, *tensors: Tensor) -> Tensor:
        given = dict(zip(self.inputs, tensors, strict=True))
        return getattr(self.model(**given, **self.fixed), self.output)


def picked(
    model: nn.Module, inputs: tuple[str, ...], output: str = "logits", **fixed: Any
) -> Picked:
    """A wrapped model in evaluation mode."""
    wrapped = Picked(model, inputs, output, **fixed)
    return wrapped.eval()


def tokens(length: int = 7, vocabulary: int = VOCABULARY) -> Tensor:
    """Two sequences of token numbers, without the special ones."""
    return torch.randint(2, vocabulary, (2, length))
