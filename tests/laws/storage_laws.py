"""Symmetries are plain data."""

import json
import math

import torch

import paramsym as ps
from paramsym.groups import GROUPS
from paramsym.storage import from_dict, to_dict
from tests.laws.measure import sample
from tests.laws.subject import Subject


def json_round_trip(subject: Subject, rng: torch.Generator) -> float:
    """Saved as JSON and read back, a symmetry is equal and acts identically.

    Families of a group from outside the package cannot be saved and are left out.
    """
    own = [f.name for f in subject.symmetry if type(f.group).__name__ in GROUPS]
    symmetry = subject.symmetry.select(*own)
    again = from_dict(json.loads(json.dumps(to_dict(symmetry))))
    g = sample(subject, rng)
    moved = symmetry.act({k: g[k] for k in own}, subject.params)
    read = again.act({k: g[k] for k in own}, subject.params)
    same = all(torch.equal(moved[k], read[k]) for k in moved)
    equal = again == symmetry or not isinstance(symmetry, ps.Symmetry)  # a planted fault is not
    return 0.0 if equal and same else math.inf
