"""Checkpoints on disk, moved along the orbit of their model without changing what it computes."""

from paramsym.transform.invariance import Invariance
from paramsym.transform.transforming import Transformed, transform

__all__ = ["Invariance", "Transformed", "transform"]
