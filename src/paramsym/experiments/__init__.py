"""The paper's figures, and experiments beyond it: computed, drawn and judged, one file each."""

from paramsym.experiments.experiment import Experiment
from paramsym.experiments.figures.fig1 import FIG1
from paramsym.experiments.figures.fig2 import FIG2
from paramsym.experiments.figures.fig3 import FIG3
from paramsym.experiments.figures.fig4 import FIG4
from paramsym.experiments.figures.fig5 import FIG5
from paramsym.experiments.figures.fig6 import FIG6
from paramsym.experiments.figures.fig7 import FIG7
from paramsym.experiments.figures.fig8 import FIG8
from paramsym.experiments.figures.fig9 import FIG9
from paramsym.experiments.figures.fig10 import FIG10
from paramsym.experiments.figures.fig11 import FIG11
from paramsym.experiments.figures.orbit_sharpness import ORBIT_SHARPNESS
from paramsym.experiments.figures.q_reach import Q_REACH
from paramsym.experiments.figures.quantising import QUANTISING
from paramsym.experiments.figures.teleporting import TELEPORTING

# A figure is added by importing its constant above and listing it here, in the paper's order.
_PAPER: tuple[Experiment, ...] = (
    FIG1, FIG2, FIG3, FIG4, FIG5, FIG6, FIG7, FIG8, FIG9, FIG10, FIG11,
)  # fmt: skip
_BEYOND: tuple[Experiment, ...] = (Q_REACH, QUANTISING, TELEPORTING, ORBIT_SHARPNESS)

EXPERIMENTS: dict[str, Experiment] = {figure.name: figure for figure in (*_PAPER, *_BEYOND)}
"""Every figure by its name on the command line."""

BEYOND_THE_PAPER: tuple[str, ...] = tuple(figure.name for figure in _BEYOND)
"""Names of those that are not the paper's, which `all` leaves out."""
