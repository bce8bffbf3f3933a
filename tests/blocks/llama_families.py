"""The symmetry of the Llama-style model, written by hand."""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import functional_call

import paramsym as ps
from paramsym.parameters import parameters_of
from tests.blocks.llama import Llama
from tests.blocks.randomize import randomized
from tests.laws.subject import Params, Subject


@dataclass(frozen=True)
class LlamaFamilies:
    """Builders of the families of one model of width d."""

    model: Llama

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {p.name: p.shape for p in parameters_of(self.model)}

    @property
    def width(self) -> int:
        return self.shapes["norm.weight"][0]

    def port(
        self,
        name: str,
        axis: int,
        rows: Tensor | None = None,
        *,
        dual: bool = False,
        frame: str | None = None,
    ) -> ps.Port:
        return ps.Port.along(
            name,
            self.shapes[name],
            axis,
            rows,
            dual=dual,
            frame=ps.Frame(frame) if frame else None,
        )

    def head_rows(self) -> Tensor:
        """Query rows `[kv head, query head of it, coordinate]`."""
        kv, repeats = self.model.kv_heads, self.model.heads // self.model.kv_heads
        return torch.arange(self.model.heads * self.model.size).reshape(kv, repeats, -1)

    def attention(self, k: int) -> list[ps.Family]:
        """A complex number a RoPE pair, and GL of the head size a value head."""
        here, size, kv = f"layers.{k}.self_attn", self.model.size, self.model.kv_heads
        half, queries = size // 2, self.head_rows()

        def pairs(rows: Tensor) -> Tensor:
            """`[kv, repeats, size]` to `[kv·size/2 copies, 2, repeats]`."""
            split = rows.unflatten(-1, (2, half))  # half-split layout: pair i is (i, i + D/2)
            return split.permute(0, 3, 2, 1).reshape(kv * half, 2, -1)

        keys = torch.arange(kv * size).reshape(kv, 1, size)
        rotary = (
            self.port(f"{here}.q_proj.weight", 0, pairs(queries)),
            self.port(f"{here}.k_proj.weight", 0, pairs(keys), dual=True),
        )
        values = (
            self.port(f"{here}.v_proj.weight", 0, keys.transpose(1, 2)),
            self.port(f"{here}.o_proj.weight", 1, queries.transpose(1, 2), dual=True),
        )
        return [
            ps.Family(f"{here}: rotary pairs", ps.ComplexScaling(copies=kv * half), rotary),
            ps.Family(f"{here}: value → out", ps.GeneralLinear(size, kv), values),
        ]

    def gain(self, norm: str, *readers: str) -> ps.Family:
        """d scalings between an RMSNorm's gain and its readers."""
        ports = tuple(self.port(name, 1, dual=True) for name in readers)
        group = ps.PositiveScaling(self.width)
        return ps.Family(f"{norm} gain", group, (self.port(norm, 0), *ports))

    def gated(self, k: int) -> ps.Family:
        """The up branch of SwiGLU is linear: one scale an inner unit."""
        here = f"layers.{k}.mlp"
        ports = (
            self.port(f"{here}.up_proj.weight", 0),
            self.port(f"{here}.down_proj.weight", 1, dual=True),
        )
        inner = self.shapes[f"{here}.up_proj.weight"][0]
        return ps.Family(f"{here}: up → down", ps.PositiveScaling(inner), ports)

    @cached_property
    def norms(self) -> dict[str, tuple[str, ...]]:
        """Every RMSNorm gain and its readers."""
        found: dict[str, tuple[str, ...]] = {}
        for k in range(len(self.model.layers)):
            here = f"layers.{k}"
            heads = tuple(f"{here}.self_attn.{x}_proj.weight" for x in "qkv")
            inner = tuple(f"{here}.mlp.{x}_proj.weight" for x in ("gate", "up"))
            found[f"{here}.input_layernorm.weight"] = heads
            found[f"{here}.post_attention_layernorm.weight"] = inner
        return {**found, "norm.weight": ("lm_head.weight",)}

    def stream(self) -> list[ps.Family]:
        """The stream's scale, and its rotations, framed by the gains before each reader."""
        outputs = [
            f"layers.{k}.{part}.weight"
            for k in range(len(self.model.layers))
            for part in ("self_attn.o_proj", "mlp.down_proj")
        ]
        rows = torch.arange(self.width)
        axes = {"embed_tokens.weight": 1, **dict.fromkeys(outputs, 0)}
        whole = tuple(self.port(k, a, rows.reshape(1, 1, -1)) for k, a in axes.items())
        rotated = tuple(self.port(k, a) for k, a in axes.items())
        framed = tuple(
            self.port(reader, 1, dual=True, frame=norm)
            for norm, readers in self.norms.items()
            for reader in readers
        )
        return [
            ps.Family("stream", ps.PositiveScaling(1), whole),
            ps.Family("rotation", ps.Orthogonal(self.width), (*rotated, *framed)),
        ]

    def all(self) -> list[ps.Family]:
        layers = range(len(self.model.layers))
        return [
            *(f for k in layers for f in self.attention(k)),
            *(self.gated(k) for k in layers),
            *(self.gain(norm, *readers) for norm, readers in self.norms.items()),
            *self.stream(),
        ]


def llama_subject(*, layers: int, kv_heads: int = 1, heads: int = 2) -> Subject:
    """The model at generic parameters, with all its families."""
    model = Llama(layers=layers, kv_heads=kv_heads, heads=heads)
    randomized(model, 2)
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 13, (4, 6), generator=rng)
    symmetry = ps.Symmetry.of(LlamaFamilies(model).all(), model)

    def forward(params: Params, x: Tensor) -> Tensor:
        return functional_call(model, dict(params), (x,))

    params = {k: p.detach().clone() for k, p in model.named_parameters()}
    return Subject(symmetry, params, forward, tokens, 3 * layers + 2)
