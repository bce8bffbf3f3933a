"""Composite ops of unknown name, replaced by what they are made of."""

from collections.abc import Container
from typing import Any

import torch
from torch import fx
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from paramsym.discovery.exporting import quietly
from paramsym.discovery.recording import op_name


def taken_apart(program: ExportedProgram, known: Container[str]) -> ExportedProgram:
    """The program in terms of known ops, and of others where they are no composites or no parameter
    reaches them: masks are often made of composites, and taking a program apart costs as much as
    exporting it."""
    if not any(_is_made_up(target, known) for target in _reached(program)):
        return program
    with quietly():
        parts_of = torch.export.default_decompositions()
        kept: set[Any] = set()
        while True:  # what an op is made of may have parts itself
            targets = _reached(program) - kept
            unknown = [op for op in targets if op in parts_of and _is_made_up(op, known)]
            if not unknown:
                return program
            apart = program.run_decompositions({op: parts_of[op] for op in unknown})
            if not _has_effects(apart):
                program = apart
                kept |= _reached(program).intersection(unknown)  # torch keeps some all the same
                continue
            # Some parts do more than compute, such as checking a matrix: their ops stay whole.
            for op in unknown:
                if _has_effects(program.run_decompositions({op: parts_of[op]})):
                    kept.add(op)


def _reached(program: ExportedProgram) -> set[Any]:
    """What is called on values that depend on a parameter, or are written to."""
    parameters = program.graph_signature.inputs_to_parameters
    reached: set[fx.Node] = set()
    for node in program.graph.nodes:
        if (
            node.name in parameters
            or any(map(_writes, node.users))
            or not reached.isdisjoint(node.all_input_nodes)
        ):
            reached.add(node)
    return {node.target for node in reached if node.op == "call_function"}


def _writes(node: fx.Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable


def _is_made_up(target: Any, known: Container[str]) -> bool:
    """Whether an op is a composite of unknown name."""
    if not isinstance(target, OpOverload) or op_name(target) in known:
        return False
    return target._can_decompose()


def _has_effects(program: ExportedProgram) -> bool:
    return any(spec.kind == InputKind.TOKEN for spec in program.graph_signature.input_specs)
