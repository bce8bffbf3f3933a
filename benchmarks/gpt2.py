"""The parameters of GPT-2 124M, at random values, and its families: discovered, or by hand."""

import torch
from torch import Tensor

import paramsym as ps
from paramsym import huggingface

WIDTH, HEADS, LAYERS, VOCAB, POSITIONS = 768, 12, 12, 50257, 1024
INNER = 4 * WIDTH


def parameters(generator: torch.Generator) -> dict[str, Tensor]:
    """124,439,808 numbers in float32, named and shaped as in GPT-2 (weights `[in, out]`)."""
    shapes: dict[str, tuple[int, ...]] = {"wte": (VOCAB, WIDTH), "wpe": (POSITIONS, WIDTH)}
    for k in range(LAYERS):
        for part, n, m in (
            ("attn.c_attn", WIDTH, 3 * WIDTH),
            ("attn.c_proj", WIDTH, WIDTH),
            ("mlp.c_fc", WIDTH, INNER),
            ("mlp.c_proj", INNER, WIDTH),
        ):
            shapes |= {f"h.{k}.{part}.weight": (n, m), f"h.{k}.{part}.bias": (m,)}
        for norm in ("ln_1", "ln_2"):
            shapes |= {f"h.{k}.{norm}.{leaf}": (WIDTH,) for leaf in ("weight", "bias")}
    shapes |= {"ln_f.weight": (WIDTH,), "ln_f.bias": (WIDTH,)}
    return {k: _values(s, generator) for k, s in shapes.items()}


def _values(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return 0.02 * torch.randn(shape, generator=generator) + 1e-3


def discovered(generator: torch.Generator) -> tuple[ps.Symmetry, dict[str, Tensor]]:
    """What `discover` finds in the model of `transformers`, from shapes alone, and parameters."""
    model, given = huggingface.from_name("gpt2", meta=True, seed=0)
    symmetry = ps.discover(model, (), kwargs=given, verify=False)
    shapes = {k: tuple(p.shape) for k, p in model.named_parameters()}
    return symmetry, {k: _values(s, generator) for k, s in shapes.items()}


def symmetry(params: dict[str, Tensor]) -> ps.Symmetry:
    """GL(64) of every head between queries and keys and between values and outputs, the gains of
    the norms, and the scale of the stream; with a ReLU in the place of the GELU also the scalings
    of the inner units, so that every parameter is moved and most of them twice."""

    def port(
        name: str, axis: int, rows: Tensor | None = None, *, copies: int = 1, dual: bool = False
    ) -> ps.Port:
        shape = tuple(params[name].shape)
        return ps.Port.along(name, shape, axis, rows, copies=copies, dual=dual)

    def both(
        name: str, rows: Tensor | None = None, *, copies: int = 1, dual: bool = False
    ) -> tuple[ps.Port, ...]:
        """The last axes of a layer's weight and bias."""
        return tuple(
            port(f"{name}.{leaf}", -1, rows, copies=copies, dual=dual)
            for leaf in ("weight", "bias")
        )

    rows = torch.arange(WIDTH)
    heads, one = ps.GeneralLinear(WIDTH // HEADS, HEADS), rows.reshape(1, 1, -1)
    gains, inner = ps.PositiveScaling(WIDTH), ps.PositiveScaling(INNER)
    families = []
    for k in range(LAYERS):
        fused, out = f"h.{k}.attn.c_attn", f"h.{k}.attn.c_proj.weight"
        up, down = f"h.{k}.mlp.c_fc", f"h.{k}.mlp.c_proj.weight"
        query, key, value = (
            both(fused, rows + i * WIDTH, copies=HEADS, dual=i == 1) for i in range(3)
        )
        output = port(out, 0, copies=HEADS, dual=True)
        families += [
            ps.Family(f"{fused}: query → key", heads, (*query, *key)),
            ps.Family(f"{fused} → {out}", heads, (*value, output)),
            ps.Family(f"{up} → {down}", inner, (*both(up), port(down, 0, dual=True))),
        ]
        for norm, reader in ((f"h.{k}.ln_1", fused), (f"h.{k}.ln_2", up)):
            read = port(f"{reader}.weight", 0, dual=True)
            families.append(ps.Family(f"{norm} → {reader}", gains, (*both(norm), read)))
    stream = [port("wte", -1, one), port("wpe", -1, one), *both("ln_f", one, dual=True)]
    for k in range(LAYERS):
        stream += [*both(f"h.{k}.attn.c_proj", one), *both(f"h.{k}.mlp.c_proj", one)]
    families.append(ps.Family("stream", ps.PositiveScaling(1), tuple(stream)))
    return ps.Symmetry.of(families, params)
