"""The paper's networks as ordinary modules: deep nets with chosen activations, and CNNs.

Nothing here knows of symmetries. A network F(x) = W_L σ(… σ(W_1 x + b_1)) + b_L goes through
discovery as any other module does.
"""

from paramsym.nets.activations import (
    ACTIVATIONS,
    Abs,
    LeakySquare,
    PowerReLU,
    Radial,
    Sin,
    inverse_square,
    named_activation,
)
from paramsym.nets.digits_cnn import DigitsCNN
from paramsym.nets.image_cnn import ImageCNN
from paramsym.nets.image_transformer import AttentionBlock, ImageTransformer
from paramsym.nets.layers import convolution, linear
from paramsym.nets.mlp import MLP
from paramsym.nets.residual import ResidualBlock, TinyResNet

__all__ = [
    "ACTIVATIONS",
    "MLP",
    "Abs",
    "AttentionBlock",
    "DigitsCNN",
    "ImageCNN",
    "ImageTransformer",
    "LeakySquare",
    "PowerReLU",
    "Radial",
    "ResidualBlock",
    "Sin",
    "TinyResNet",
    "convolution",
    "inverse_square",
    "linear",
    "named_activation",
]
