"""Discovery of a ResNet-50 against `torch.export` alone."""

import json
import subprocess
import sys
from collections.abc import Iterator

import torch

import paramsym as ps
from benchmarks.resnet import ResNet50
from benchmarks.timing import Comparison, compare

SIDE = 64

_FRESH = """
import json, sys, time, torch, paramsym as ps
from benchmarks.resnet import ResNet50
model, args = ResNet50(), (torch.randn(2, 3, {side}, {side}),)
start = time.perf_counter()
{call}
print(json.dumps(time.perf_counter() - start))
"""


def _in_fresh_process(call: str) -> float:
    """Seconds of one call in a new process, imports excluded."""
    code = _FRESH.format(side=SIDE, call=call)
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], check=True, capture_output=True, text=True
    )
    return json.loads(run.stdout.splitlines()[-1])


def run() -> Iterator[Comparison]:
    """A first call in a fresh process, which is what people wait for; and calls thereafter."""
    export = "torch.export.export(model, args, strict=False)"
    times = [
        (_in_fresh_process("ps.discover(model, args)"), _in_fresh_process(export)) for _ in range(3)
    ]
    name = "discover, ResNet-50, first call / torch.export"
    yield Comparison(name, *zip(*times, strict=True), limit=2.0)

    torch.manual_seed(0)
    model, args = ResNet50(), (torch.randn(2, 3, SIDE, SIDE),)

    def theirs() -> object:
        return torch.export.export(model, args, strict=False)

    for name, verify in (("later calls", True), ("later calls, verify=False", False)):
        yield compare(
            f"discover, ResNet-50, {name} / torch.export",
            lambda verify=verify: ps.discover(model, args, verify=verify),
            theirs,
            pairs=3,
            limit=None,
        )
