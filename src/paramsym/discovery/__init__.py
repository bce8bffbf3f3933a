"""Discovery: from a PyTorch model to its symmetry.

model → recording → walk (labels, facts) → scaling, mixing → families → verification
"""

from paramsym.discovery.discover import discover

__all__ = ["discover"]
