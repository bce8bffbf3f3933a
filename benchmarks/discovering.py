"""Discovery of a ResNet-50 against `torch.export` alone."""

import json
import subprocess
import sys
from collections.abc import Iterator

import torch

from benchmarks.resnet import ResNet50
from benchmarks.timing import Comparison, compare
from paramsym import discover

_FRESH = """
import json, time, torch
from paramsym import discover
from benchmarks.resnet import ResNet50
model, args = ResNet50(), (torch.randn(2, 3, {side}, {side}),)
start = time.perf_counter()
{call}
print(json.dumps(time.perf_counter() - start))
"""


def _in_fresh_process(call: str, side: int) -> float:
    """Seconds of one call in a new process, imports excluded."""
    code = _FRESH.format(side=side, call=call)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def _first_calls(side: int, limit: float | None) -> Comparison:
    export = "torch.export.export(model, args, strict=False)"
    times = [
        (_in_fresh_process("discover(model, args)", side), _in_fresh_process(export, side))
        for _ in range(5)
    ]
    name = f"discover, ResNet-50, {side}² pixels, first call / torch.export"
    ours, theirs = zip(*times, strict=True)
    return Comparison(name, ours, theirs, limit)


def run() -> Iterator[Comparison]:
    """A first call in a fresh process, which is what people wait for; and calls thereafter.

    Discovery ends with some seven runs of the model in float64, which the exporter does not do;
    they are the share that grows with the images.
    """
    yield _first_calls(64, limit=2.0)
    yield _first_calls(224, limit=None)

    torch.manual_seed(0)
    model, args = ResNet50(), (torch.randn(2, 3, 64, 64),)

    def theirs() -> object:
        return torch.export.export(model, args, strict=False)

    for name, verify in (("later calls", True), ("later calls, verify=False", False)):
        yield compare(
            f"discover, ResNet-50, 64² pixels, {name} / torch.export",
            lambda verify=verify: discover(model, args, verify=verify),
            theirs,
            pairs=5,
            limit=None,
        )
