"""Attacks on classifiers in the data's own range, and what accuracy is left."""

from paramsym.robustness.accuracy import (
    Accuracy,
    Difference,
    accuracy,
    classified_rightly,
    paired_difference,
    under_attack,
)
from paramsym.robustness.attacks import fgsm, pgd
from paramsym.robustness.suite import ATTACKS, Strongest, strongest
from paramsym.robustness.surrogates import mean_logit, mean_probability

__all__ = [
    "ATTACKS",
    "Accuracy",
    "Difference",
    "Strongest",
    "accuracy",
    "classified_rightly",
    "fgsm",
    "mean_logit",
    "mean_probability",
    "paired_difference",
    "pgd",
    "strongest",
    "under_attack",
]
