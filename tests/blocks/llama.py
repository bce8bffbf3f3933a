"""A Llama-style language model: RMSNorm (ε = 0), rotary positions, grouped queries, SwiGLU."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class ExactRmsNorm(nn.Module):
    """RMSNorm without ε."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight * x / x.square().mean(-1, keepdim=True).sqrt()


def rotary(x: Tensor, base: float = 10000.0) -> Tensor:
    """Rotate the pairs (i, i + D/2) of `[..., positions, D]` by angles that grow with position."""
    half = x.shape[-1] // 2
    rates = base ** (-torch.arange(half, dtype=x.dtype, device=x.device) / half)
    positions = torch.arange(x.shape[-2], dtype=x.dtype, device=x.device)
    angles = torch.outer(positions, rates)
    a, b = x[..., :half], x[..., half:]
    cos, sin = angles.cos(), angles.sin()
    return torch.cat([a * cos - b * sin, b * cos + a * sin], -1)


class GroupedAttention(nn.Module):
    """Causal attention in which several query heads share a key and value head."""

    def __init__(self, width: int, heads: int, kv_heads: int, size: int) -> None:
        super().__init__()
        self.size, self.repeats = size, heads // kv_heads
        self.q_proj = nn.Linear(width, heads * size, bias=False)
        self.k_proj = nn.Linear(width, kv_heads * size, bias=False)
        self.v_proj = nn.Linear(width, kv_heads * size, bias=False)
        self.o_proj = nn.Linear(heads * size, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (
            f(x).unflatten(-1, (-1, self.size)).transpose(-3, -2)
            for f in (self.q_proj, self.k_proj, self.v_proj)
        )
        k, v = (z.repeat_interleave(self.repeats, -3) for z in (rotary(k), v))
        mixed = functional.scaled_dot_product_attention(rotary(q), k, v, is_causal=True)
        return self.o_proj(mixed.transpose(-3, -2).flatten(-2))


class GatedMlp(nn.Module):
    """SwiGLU."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.gate_proj = nn.Linear(width, inner, bias=False)
        self.up_proj = nn.Linear(width, inner, bias=False)
        self.down_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down_proj(functional.silu(self.gate_proj(x)) * self.up_proj(x))


class DecoderLayer(nn.Module):
    """Pre-norm attention and MLP, each added to the stream."""

    def __init__(self, width: int, heads: int, kv_heads: int, size: int, inner: int) -> None:
        super().__init__()
        self.input_layernorm = ExactRmsNorm(width)
        self.self_attn = GroupedAttention(width, heads, kv_heads, size)
        self.post_attention_layernorm = ExactRmsNorm(width)
        self.mlp = GatedMlp(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.self_attn(self.input_layernorm(x))
        return x + self.mlp(self.post_attention_layernorm(x))


class Llama(nn.Module):
    """Embedding, decoder layers, a last RMSNorm and an untied head."""

    def __init__(
        self,
        *,
        layers: int = 1,
        vocab: int = 13,
        width: int = 8,
        heads: int = 2,
        kv_heads: int = 1,
        size: int = 4,
        inner: int = 10,
    ) -> None:
        super().__init__()
        self.heads, self.kv_heads, self.size = heads, kv_heads, size
        self.embed_tokens = nn.Embedding(vocab, width)
        self.layers = nn.ModuleList(
            DecoderLayer(width, heads, kv_heads, size, inner) for _ in range(layers)
        )
        self.norm = ExactRmsNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.embed_tokens(tokens)
        for layer in self.layers:
            x = layer(x)
        return self.lm_head(self.norm(x))
