"""How the parameters of a run are used."""

from paramsym.discovery.shifting.contracting import Contraction
from paramsym.discovery.shifting.convolving import Convolution
from paramsym.discovery.shifting.looking_up import LookUp
from paramsym.discovery.shifting.walk import Run, Use


def final_uses(run: Run, name: str) -> list[Use]:
    """Uses of a parameter and its views by calls that are no views."""
    found = []
    for number in run.views_of.get(name, ()):
        for use in run.uses[number]:
            outputs = [run.values[i] for i in run.steps[use.step].outputs if i is not None]
            if not any(value.view is not None for value in outputs):
                found.append(use)
    return found


def is_weight(run: Run, name: str) -> bool:
    """Whether a parameter is multiplied with data, so that its entries are no biases."""
    return any(_weighs(run, use) for use in final_uses(run, name))


def is_table(run: Run, name: str) -> bool:
    """Whether data choose rows of a parameter."""
    return any(isinstance(run.steps[use.step].op, LookUp) for use in final_uses(run, name))


def _weighs(run: Run, use: Use) -> bool:
    step = run.steps[use.step]
    if isinstance(step.op, Convolution):
        return use.key[0] == "weight"
    if not isinstance(step.op, Contraction):
        return False
    product = step.op.product(step.call)
    if product is None or use.key not in product.keys:
        return False
    partner = step.call.value(product.keys[1 - product.keys.index(use.key)])
    return partner.view is None
