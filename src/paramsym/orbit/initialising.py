"""Initialisation at a chosen value of the conserved quantities."""

import torch
from torch import nn

from paramsym.orbit.target import Others, element_reaching
from paramsym.orbit.target_reading import Target
from paramsym.symmetry import Symmetry


@torch.no_grad()
def init_conserved_(
    model: nn.Module, symmetry: Symmetry, target: Target, *, others: Others = "keep"
) -> None:
    """Give a freshly initialised model a chosen Q, in place; its function stays as drawn.

    Common initialisers fix Q by accident of their standard deviations (the paper's Section 6.1:
    its spread depends on the widths alone). Here Q is a setting of its own: draw the model as you
    like, then move it along its orbit, so that runs which differ in Q start from the same function.

    Args:
        model: The model, initialised by whatever means.
        symmetry: Its symmetry.
        target: As for `set_conserved`: Q* by family name, or one number for all.
        others: As for `set_conserved`.

    Raises:
        TypeError: If `model` is no module.
        ValueError: As `set_conserved`; the model is left as it was.
        ArithmeticError: As `set_conserved`; the model is left as it was.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"`model` must be a torch.nn.Module; got {type(model).__name__}.")
    params = {k: p.detach() for k, p in model.named_parameters()}
    symmetry.act_(element_reaching(symmetry, params, target, others=others), model)
