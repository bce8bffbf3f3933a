"""Dimensions by closed forms are the ranks that they claim to be."""

import math

import torch

from tests.laws.conservation_laws import quantities
from tests.laws.subject import Subject


def orbit_dimension(subject: Subject, rng: torch.Generator) -> float:
    """`dim`, by closed forms, is the rank of the infinitesimal action at generic parameters."""
    symmetry = subject.symmetry
    agree = symmetry.dim == symmetry.orbit_dim(subject.params) <= symmetry.group_dim
    return 0.0 if agree else math.inf


def law_dimension(subject: Subject, rng: torch.Generator) -> float:
    """`law_dim` is the rank of the gradients of all conserved quantities."""
    slopes = torch.func.jacrev(quantities(subject))(subject.params)
    rows = torch.cat([slopes[k].flatten(1) for k in slopes], 1)
    rank = int(torch.linalg.matrix_rank(rows)) if rows.numel() else 0
    return 0.0 if rank == subject.symmetry.law_dim else math.inf
