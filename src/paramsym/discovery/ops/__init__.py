"""Op rules, one file an op family. Importing the package registers them all."""

from paramsym.discovery.ops import (
    attention,
    convolution,
    elementwise,
    embedding,
    indexing,
    joining,
    linear,
    normalization,
    pooling,
    recurrent,
    reductions,
    stacking,
    views,
)
from paramsym.discovery.ops.registry import COMBINES, LAYOUTS, READS_SQUARES, RULES, Call, rule

__all__ = [
    "COMBINES",
    "LAYOUTS",
    "READS_SQUARES",
    "RULES",
    "Call",
    "attention",
    "convolution",
    "elementwise",
    "embedding",
    "indexing",
    "joining",
    "linear",
    "normalization",
    "pooling",
    "recurrent",
    "reductions",
    "rule",
    "stacking",
    "views",
]
