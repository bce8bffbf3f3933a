"""The symmetry of the GPT-2-style model, written by hand, and its count of dimensions.

Width d, heads H of size D, vocabulary v, positions p, inner width f, layers L.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor
from torch.func import functional_call

import paramsym as ps
from paramsym.parameters import parameters_of
from tests.blocks.gpt2 import Gpt2
from tests.blocks.randomize import randomized
from tests.laws.subject import Params, Subject


@dataclass(frozen=True)
class Gpt2Families:
    """Builders of the families of one model."""

    model: Gpt2

    @cached_property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {p.name: p.shape for p in parameters_of(self.model)}

    @property
    def width(self) -> int:
        return self.shapes["wpe.weight"][1]

    @property
    def is_tied(self) -> bool:
        return "lm_head.weight" not in self.shapes

    def port(
        self,
        name: str,
        axis: int,
        rows: Tensor | None = None,
        *,
        copies: int = 1,
        dual: bool = False,
        frame: str | None = None,
    ) -> ps.Port:
        return ps.Port.along(
            name,
            self.shapes[name],
            axis,
            rows,
            copies=copies,
            dual=dual,
            frame=ps.Frame(frame) if frame else None,
        )

    @cached_property
    def writers(self) -> list[str]:
        """Parameters whose last axis is added to the stream."""
        added = [
            f"h.{k}.{part}.c_proj.{leaf}"
            for k in range(len(self.model.h))
            for part in ("attn", "mlp")
            for leaf in ("weight", "bias")
        ]
        return ["wte.weight", "wpe.weight", *added]

    @cached_property
    def readers(self) -> list[tuple[str, str]]:
        """Each LayerNorm inside a block and the projection that reads it."""
        return [
            pair
            for k in range(len(self.model.h))
            for pair in ((f"h.{k}.ln_1", f"h.{k}.attn.c_attn"), (f"h.{k}.ln_2", f"h.{k}.mlp.c_fc"))
        ]

    def attention(self, k: int) -> list[ps.Family]:
        """H·D² for queries and keys, H·D² for values, d for value biases, d for key biases."""
        here, d, heads = f"h.{k}.attn", self.width, self.model.heads
        weight, bias, out = f"{here}.c_attn.weight", f"{here}.c_attn.bias", f"{here}.c_proj"
        rows = torch.arange(d)

        def fused(offset: int, *, dual: bool = False) -> tuple[ps.Port, ...]:
            return (
                self.port(weight, 1, rows + offset, copies=heads, dual=dual),
                self.port(bias, 0, rows + offset, copies=heads, dual=dual),
            )

        group = ps.GeneralLinear(d // heads, heads)
        output = self.port(f"{out}.weight", 0, copies=heads, dual=True)
        absorbed = (
            ps.Term(ps.Slot(bias, ((2 * d, 3 * d),)), "i->i"),
            ps.Term(
                ps.Slot(f"{out}.bias"), "i,io->o", (ps.Source(ps.Slot(f"{out}.weight")),), -1.0
            ),
        )
        key = (ps.Term(ps.Slot(bias, ((d, 2 * d),)), "i->i"),)
        return [
            ps.Family(f"{here}: query → key", group, (*fused(0), *fused(d, dual=True))),
            ps.Family(f"{here}: value → out", group, (*fused(2 * d), output)),
            ps.Family(f"{here}: value bias → out bias", ps.Translation(d), terms=absorbed),
            ps.Family(f"{here}: key bias", ps.Translation(d), terms=key),
        ]

    def gain(self, norm: str, reader: str, axis: int) -> ps.Family:
        """d scalings between a LayerNorm's gain and its reader."""
        ports = (
            self.port(f"{norm}.weight", 0),
            self.port(f"{norm}.bias", 0),
            self.port(reader, axis, dual=True),
        )
        return ps.Family(f"{norm} → {reader}", ps.PositiveScaling(self.width), ports)

    def reading(self, norm: str, reader: str) -> list[ps.Family]:
        """The reader's null direction 1/γ, one per output, and d absorptions of the bias."""
        weight, bias = f"{reader}.weight", f"{reader}.bias"
        inverse_gain = ps.Source(ps.Slot(f"{norm}.weight"), -1)
        shift = ps.Source(ps.Slot(f"{norm}.bias"))
        null = (
            ps.Term(ps.Slot(weight), "o,i->io", (inverse_gain,)),
            ps.Term(ps.Slot(bias), "o,i,i->o", (shift, inverse_gain), -1.0),
        )
        absorbed = (
            ps.Term(ps.Slot(f"{norm}.bias"), "i->i"),
            ps.Term(ps.Slot(bias), "i,io->o", (ps.Source(ps.Slot(weight)),), -1.0),
        )
        outputs = ps.Translation(self.shapes[bias][0])
        return [
            ps.Family(f"{norm} null → {reader}", outputs, terms=null),
            ps.Family(f"{norm} bias → {reader} bias", ps.Translation(self.width), terms=absorbed),
        ]

    def stream(self) -> ps.Family:
        """One scale of the whole stream; a tied head forces the last gain to undo it."""

        def whole(name: str, *, dual: bool = False) -> ps.Port:
            return self.port(name, -1, torch.arange(self.width).reshape(1, 1, -1), dual=dual)

        ports = [whole(name) for name in self.writers]
        if self.is_tied:
            ports += [whole("ln_f.weight", dual=True), whole("ln_f.bias", dual=True)]
        return ps.Family("stream", ps.PositiveScaling(1), tuple(ports))

    def mean_shifts(self) -> list[ps.Family]:
        """Every writer may add a constant to all coordinates: LayerNorm removes it."""
        families = []
        for name in self.writers:
            if name == "wte.weight" and self.is_tied:
                continue  # the head reads it too, and sees the constant
            shape = self.shapes[name]
            group = ps.Translation(shape[0] if len(shape) == 2 else 1)
            equation = "r->rd" if len(shape) == 2 else "a->d"
            term = ps.Term(ps.Slot(name), equation)
            families.append(ps.Family(f"{name} mean", group, terms=(term,)))
        return families

    def untied(self) -> list[ps.Family]:
        """What a head of its own adds: its gain, two gauges, and the rotations O(d−1)."""
        d = self.width
        gauge = (
            ps.Term(ps.Slot("wte.weight"), "i->vi"),
            ps.Term(ps.Slot("wpe.weight"), "i->pi", (), -1.0),
        )
        rotated = [self.port(name, -1) for name in self.writers]
        for norm, reader in self.readers:
            rotated.append(self.port(f"{norm}.bias", 0, frame=f"{norm}.weight"))
            rotated.append(self.port(f"{reader}.weight", 0, dual=True, frame=f"{norm}.weight"))
        head = (
            self.port("ln_f.bias", 0, frame="ln_f.weight"),
            self.port("lm_head.weight", 1, dual=True, frame="ln_f.weight"),
        )
        return [
            self.gain("ln_f", "lm_head.weight", 1),
            ps.Family("wte ↔ wpe", ps.Translation(d), terms=gauge),
            ps.Family("ln_f null → lm_head", ps.HyperplaneFixing(d), head),
            ps.Family("rotation", ps.Orthogonal(d, fixes_mean=True), (*rotated, *head)),
        ]

    def all(self) -> list[ps.Family]:
        families = [f for k in range(len(self.model.h)) for f in self.attention(k)]
        for norm, reader in self.readers:
            families.append(self.gain(norm, f"{reader}.weight", 0))
            families += self.reading(norm, reader)
        families += [self.stream(), *self.mean_shifts()]
        return families if self.is_tied else families + self.untied()


def gpt2_subject(*, layers: int, tied: bool) -> Subject:
    """The model at generic parameters, with all its families."""
    model = Gpt2(layers=layers, tied=tied)
    randomized(model)
    rng = torch.Generator().manual_seed(1)
    tokens = torch.randint(0, 13, (4, 6), generator=rng)
    symmetry = ps.Symmetry.of(Gpt2Families(model).all(), model)

    def forward(params: Params, x: Tensor) -> Tensor:
        return functional_call(model, dict(params), (x,), tie_weights=True)

    params = {k: p.detach().clone() for k, p in model.named_parameters()}
    return Subject(symmetry, params, forward, tokens, 3 * layers + 2)
