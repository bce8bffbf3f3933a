"""A GPT-2-style language model, small, without dropout and with normalisations of ε = 0."""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Projection(nn.Module):
    """x W + b with the weight stored `[in, out]`, as GPT-2 does."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_in, n_out))
        self.bias = nn.Parameter(torch.empty(n_out))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


class ExactLayerNorm(nn.Module):
    """LayerNorm without ε, whose scale symmetry is exact."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(width))
        self.bias = nn.Parameter(torch.empty(width))

    def forward(self, x: Tensor) -> Tensor:
        x = x - x.mean(-1, keepdim=True)
        return self.weight * x / x.square().mean(-1, keepdim=True).sqrt() + self.bias


class Attention(nn.Module):
    """Causal attention with fused queries, keys and values."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.c_attn = Projection(width, 3 * width)
        self.c_proj = Projection(width, width)

    def forward(self, x: Tensor) -> Tensor:
        fused = self.c_attn(x).unflatten(-1, (3, self.heads, -1))
        q, k, v = fused.movedim(-3, 0).transpose(-3, -2)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.c_proj(mixed.transpose(-3, -2).flatten(-2))


class Mlp(nn.Module):
    """GELU between two projections."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.c_fc = Projection(width, inner)
        self.c_proj = Projection(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.c_proj(functional.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Pre-norm attention and MLP, each added to the stream."""

    def __init__(self, width: int, heads: int, inner: int) -> None:
        super().__init__()
        self.ln_1 = ExactLayerNorm(width)
        self.attn = Attention(width, heads)
        self.ln_2 = ExactLayerNorm(width)
        self.mlp = Mlp(width, inner)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class Gpt2(nn.Module):
    """Token and position embeddings, blocks, a last LayerNorm and a head without bias.

    Args:
        tied: Whether the head is the token embedding.
    """

    def __init__(
        self,
        *,
        layers: int = 1,
        tied: bool = True,
        vocab: int = 13,
        positions: int = 6,
        width: int = 8,
        heads: int = 2,
        inner: int = 10,
    ) -> None:
        super().__init__()
        self.heads = heads
        self.wte = nn.Embedding(vocab, width)
        self.wpe = nn.Embedding(positions, width)
        self.h = nn.ModuleList(Block(width, heads, inner) for _ in range(layers))
        self.ln_f = ExactLayerNorm(width)
        self.lm_head = nn.Linear(width, vocab, bias=False)
        if tied:
            self.lm_head.weight = self.wte.weight

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[-1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return self.lm_head(self.ln_f(x))
