"""The registered subjects. To have a network tested by every law, add it here."""

from collections.abc import Callable
from functools import cache

from tests.blocks.gpt2_families import gpt2_subject
from tests.blocks.llama_families import llama_subject
from tests.laws import networks
from tests.laws.activations import ACTIVATIONS
from tests.laws.normalised import fixed_norm
from tests.laws.subject import Subject

_BUILDERS: dict[str, Callable[[], Subject]] = {
    **{f"dense {k}": (lambda k=k: networks.dense(k, (3, 5, 2))) for k in ACTIVATIONS},
    **{
        f"dense {k} without bias": (lambda k=k: networks.dense(k, (3, 5, 2), bias=False))
        for k in ("identity", "relu", "relu_1.5", "radial")
    },
    **{
        f"deep {k}": (lambda k=k: networks.dense(k, (3, 4, 5, 4, 2)))
        for k in ("identity", "identity_affine", "leaky_relu", "relu_2", "radial")
    },
    "deep narrow linear": lambda: networks.dense("identity", (2, 4, 4, 2), bias=False),
    "wide radial": lambda: networks.dense("radial", (1, 6, 2), bias=False),
    "convolution relu": lambda: networks.convolution("relu"),
    "convolution relu_2": lambda: networks.convolution("relu_2"),
    "convolution identity": lambda: networks.convolution("identity"),
    "grouped convolution relu": lambda: networks.convolution("relu", groups=2),
    "grouped convolution identity": lambda: networks.convolution("identity", groups=2),
    "transposed convolution relu": lambda: networks.convolution("relu", transposed=True),
    "transposed convolution identity": lambda: networks.convolution("identity", transposed=True),
    "flattened relu_1.5": lambda: networks.flattened("relu_1.5"),
    "flattened identity": lambda: networks.flattened("identity"),
    "attention": networks.attention,
    "one-head attention": lambda: networks.attention(1, 4),
    "linear recurrence": networks.linear_recurrence,
    "tied autoencoder": networks.tied_autoencoder,
    "softmax head": networks.softmax_head,
    "gemma norm": networks.gemma_norm,
    "fixed norm": lambda: fixed_norm(bias=False),
    "fixed norm, bias in front": lambda: fixed_norm(bias=True),
    "gpt2": lambda: gpt2_subject(layers=1, tied=True),
    "gpt2 untied": lambda: gpt2_subject(layers=1, tied=False),
    "llama": lambda: llama_subject(layers=1),
}

SUBJECTS: tuple[str, ...] = tuple(_BUILDERS)
"""Names of all subjects."""


@cache
def subject(name: str) -> Subject:
    """A registered subject; built once, because no law may change it."""
    return _BUILDERS[name]()
