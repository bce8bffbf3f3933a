"""Look-ups in a table of vectors."""

import torch
from torch import Tensor

from paramsym.discovery.labels import Layer, Value, map_layers, merge, pad_left
from paramsym.discovery.ops.contraction import Operand, contract
from paramsym.discovery.ops.registry import Call, Result, rule


@rule("embedding")
def embedding(call: Call) -> Result:
    """One-hot vectors times the table: the rows, chosen by data, share one scale and do not mix.

    Positions, although known, count as data: which rows this run reads says nothing of the model.
    But a buffer of the model, as it is, that names every row once puts them in the same places in
    every run.
    """
    table, indices = call["weight"], call["indices"]
    rows, width = table.shape
    order = _order(indices, rows)
    if order is not None:
        return call.output(map_layers(table, lambda x: x[order]))
    ndim = len(indices.shape)
    layers = pad_left(table.layers, 2)
    space = contract(
        call.facts,
        Operand((), (rows, rows, 1)),
        Operand(
            tuple(Layer(x.labels[None], x.exponent) for x in layers),
            (1, rows, width),
            table.parameter,
        ),
        (1,),
    )
    return call.output(
        merge(Layer(x.labels.reshape((1,) * ndim + (-1,)), x.exponent) for x in space)
    )


def _order(indices: Value, rows: int) -> Tensor | None:
    """The rows that a buffer names, if it is there in every run and names each once."""
    constant = indices.constant
    if not indices.is_fixed or constant is None or constant.is_meta or constant.numel() != rows:
        return None
    every = torch.arange(rows, device=constant.device)
    return constant if torch.equal(constant.flatten().sort().values, every) else None


@rule("embedding_bag", "_embedding_bag", "_embedding_bag_forward_only")
def embedding_bag(call: Call) -> Result:
    """Sums or means of rows, as `embedding`; a maximum lets nothing mix."""
    table, weights = call["weight"], call.get("per_sample_weights")
    if isinstance(weights, Value):
        call.facts.pin(weights)
    if call.get("mode", 0) == 2:
        call.facts.isolate_all(table)
    rows, width = table.shape
    layers = contract(
        call.facts,
        Operand((), (call.shape[0], rows, 1)),
        Operand(
            tuple(Layer(x.labels[None], x.exponent) for x in pad_left(table.layers, 2)),
            (1, rows, width),
            table.parameter,
        ),
        (1,),
    )
    return call.outputs(
        call.output(merge(Layer(x.labels.reshape(1, -1), x.exponent) for x in layers))
    )
