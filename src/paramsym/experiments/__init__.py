"""The paper's figures, computed, drawn and judged: one file a figure."""

from paramsym.experiments.experiment import Experiment

# A figure is added by importing its constant above and listing it here, in the paper's order.
_FIGURES: tuple[Experiment, ...] = ()

EXPERIMENTS: dict[str, Experiment] = {figure.name: figure for figure in _FIGURES}
"""Every figure by its name on the command line."""
