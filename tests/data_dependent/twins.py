"""Slow dense twins: the paper's formulas, entry by entry."""

import math

import torch
from torch import Tensor


def spherical_angles(z: Tensor) -> list[float]:
    """α_1, …, α_{h−1} of Section 4: 0 behind a vanishing tail, the last with the sign of z_h."""
    values = [float(v) + 0.0 for v in z]  # −0.0 would turn atan2(0, 0) into π
    h = len(values)
    tails = [math.hypot(*values[j:]) for j in range(h)]
    angles = [math.atan2(tails[j + 1], values[j]) for j in range(h - 2)]
    return [*angles, math.atan2(values[-1], values[-2])] if h > 1 else []


def rotation(angles: list[float]) -> Tensor:
    """R(β) of Definition D.1, with β_0 = β_h = 0."""
    h = len(angles) + 1
    beta = [0.0, *angles, 0.0]
    R = torch.zeros(h, h, dtype=torch.float64)
    for i in range(1, h + 1):
        for j in range(1, i + 1):
            sines = math.prod(math.sin(beta[k]) for k in range(j, i))
            R[i - 1, j - 1] = math.cos(beta[j - 1]) * sines * math.cos(beta[i])
        if i < h:
            R[i - 1, i] = -math.sin(beta[i])
    return R


def rotation_by_planes(angles: list[float]) -> Tensor:
    """The same as a product of plane rotations, in O(h²)."""
    h = len(angles) + 1
    R = torch.eye(h, dtype=torch.float64)
    for j, angle in enumerate(angles):
        c, s = math.cos(angle), math.sin(angle)
        R[j], R[j + 1] = c * R[j] - s * R[j + 1], s * R[j] + c * R[j + 1]
    return R


def printed_entries(z: Tensor) -> Tensor:
    """The entries of R_z as Section 4 prints them; singular where a tail vanishes."""
    h, r = len(z), float(torch.linalg.vector_norm(z))
    alpha = [0.0, *spherical_angles(z), 0.0]
    R = torch.zeros(h, h, dtype=torch.float64)
    for i in range(1, h + 1):
        for j in range(1, i + 1):
            if math.prod(math.sin(a) for a in alpha[1:i]) != 0:
                sines = math.prod(math.sin(a) for a in alpha[1:j])
                R[i - 1, j - 1] = float(z[i - 1]) * math.cos(alpha[j - 1]) / sines
        if i < h:
            R[i - 1, i] = -r * math.sin(alpha[i])
    return R
