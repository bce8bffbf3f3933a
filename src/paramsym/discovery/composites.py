"""Composite ops of unknown name, replaced by what they are made of."""

from collections.abc import Container
from typing import Any

import torch
from torch._ops import OpOverload
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from paramsym.discovery.exporting import quietly
from paramsym.discovery.recording import op_name


def taken_apart(program: ExportedProgram, known: Container[str]) -> ExportedProgram:
    """The program in terms of known ops, and of others only where they are no composites."""
    with quietly():
        parts_of = torch.export.default_decompositions()
        kept: set[Any] = set()
        while True:  # what an op is made of may have parts itself
            targets = {node.target for node in program.graph.nodes} - kept
            unknown = [op for op in targets if op in parts_of and _is_made_up(op, known)]
            if not unknown:
                return program
            apart = program.run_decompositions({op: parts_of[op] for op in unknown})
            if not _has_effects(apart):
                program = apart
                continue
            # Some parts do more than compute, such as checking a matrix: their ops stay whole.
            for op in unknown:
                if _has_effects(program.run_decompositions({op: parts_of[op]})):
                    kept.add(op)


def _is_made_up(target: Any, known: Container[str]) -> bool:
    """Whether an op is a composite of unknown name."""
    if not isinstance(target, OpOverload) or op_name(target) in known:
        return False
    return target._can_decompose()


def _has_effects(program: ExportedProgram) -> bool:
    return any(spec.kind == InputKind.TOKEN for spec in program.graph_signature.input_specs)
