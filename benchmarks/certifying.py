"""Certificates, discovery included, against what is promised of them on two cores."""

import time
from collections.abc import Callable, Iterator

import torch
import transformers
from torch import Tensor, nn

from benchmarks.timing import Comparison
from paramsym import Certificate, certify

PAIRS = 3
TOKENS, POSITIONS, WIDTH = 32, 6, 24
"""As many tokens as the embedding has dimensions, or fewer would add directions of their own."""


class Logits(nn.Module):
    """A language model with one input and one output."""

    def __init__(self) -> None:
        super().__init__()
        config = transformers.GPT2Config(
            vocab_size=TOKENS,
            n_positions=POSITIONS,
            n_embd=WIDTH,
            n_inner=10,
            n_layer=2,
            n_head=2,
            bos_token_id=1,
            eos_token_id=1,
        )
        self.network = transformers.GPT2LMHeadModel(config)

    def forward(self, ids: Tensor) -> Tensor:
        return self.network(input_ids=ids, use_cache=False).logits


def _transformer() -> Certificate:
    return certify(Logits().eval(), (torch.randint(TOKENS, (1, POSITIONS)),))


def _perceptron() -> Certificate:
    widths = nn.Linear(16, 48), nn.ReLU(), nn.Linear(48, 64), nn.ReLU(), nn.Linear(64, 16)
    return certify(nn.Sequential(*widths), (torch.randn(1, 16),))


def _promised(title: str, run: Callable[[], Certificate], seconds: float) -> Comparison:
    found, times = run(), []  # the first run warms up
    for _ in range(PAIRS):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    name = f"certify, {title}, {found.parameters} parameters: {found.verdict} / {seconds:g} s"
    return Comparison(name, tuple(times), (seconds,) * PAIRS, 1.0)


def run() -> Iterator[Comparison]:
    """Time both; each is discovered anew."""
    torch.manual_seed(0)
    yield _promised("GPT-2 of 2 layers, width 24", _transformer, 10.0)
    yield _promised("ReLU network", _perceptron, 60.0)
