"""Ensembles from one trained model, by group actions (Section 6 and Appendix I)."""

from paramsym.ensembling.calibration import Calibration, calibration
from paramsym.ensembling.elements import condition_numbers, group_elements
from paramsym.ensembling.making import BASELINES, KINDS, ensemble
from paramsym.ensembling.members import Ensemble
from paramsym.ensembling.uncertainty import Uncertainty, pairwise_disagreement, uncertainty
from paramsym.ensembling.voting import VOTES, log_probabilities, probabilities, vote

__all__ = [
    "BASELINES",
    "KINDS",
    "VOTES",
    "Calibration",
    "Ensemble",
    "Uncertainty",
    "calibration",
    "condition_numbers",
    "ensemble",
    "group_elements",
    "log_probabilities",
    "pairwise_disagreement",
    "probabilities",
    "uncertainty",
    "vote",
]
