"""Discovery of published architectures against `torch.export` alone, and against promises."""

import json
import subprocess
import sys
from collections.abc import Iterator
from math import inf

import torch

from benchmarks.resnet import ResNet50
from benchmarks.timing import Comparison, compare
from paramsym import discover

MODELS = {
    "gpt2": "GPT-2 124M",
    "bert-base": "BERT 110M",
    "vit-base-16": "ViT-B/16",
    "resnet-50": "ResNet-50",
    "llama-125m": "Llama-style 134M",
}
SECONDS = 10.0
"""Promised for each of these models, with the check and without."""
LARGE, LARGE_SECONDS, LARGE_GB = "llama-2-7b", 60.0, 3.0
PAIRS = 3

_CALLS = {
    "export": "torch.export.export(model, (), inputs, strict=False)",
    "discover": "discover(model, (), inputs, verify=False)",
    "verified": "discover(model, (), inputs)",
}
_FRESH = """
import json, resource, time, torch
from paramsym import discover
from paramsym.huggingface import from_name
model, inputs = from_name({name!r}, meta={meta}, seed=0)
start = time.perf_counter()
{call}
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
print(json.dumps([seconds, peak]))
"""


def _in_fresh_process(name: str, call: str, *, meta: bool = False) -> tuple[float, float]:
    """Seconds of one call in a new process, imports excluded, and its peak memory in GB."""
    code = _FRESH.format(name=name, call=_CALLS[call], meta=meta)
    command = [sys.executable, "-W", "ignore", "-c", code]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode:
        print(f"{call} of {name} failed:\n{run.stderr[-2000:]}", file=sys.stderr)
        return inf, inf
    seconds, peak = json.loads(run.stdout.splitlines()[-1])
    return seconds, peak


def _first_calls(name: str, title: str) -> Iterator[Comparison]:
    """What people wait for: a first call, in a fresh process."""
    times: dict[str, list[float]] = {call: [] for call in _CALLS}
    for _ in range(PAIRS):
        for call, found in times.items():
            found.append(_in_fresh_process(name, call)[0])
    export, bare, verified = (tuple(found) for found in times.values())
    yield Comparison(f"discover, {title}, verify=False / torch.export", bare, export, 2.0)
    yield Comparison(f"discover, {title} / torch.export", verified, export, None)
    promised = (SECONDS,) * PAIRS
    yield Comparison(f"discover, {title}, verify=False / {SECONDS:g} s", bare, promised, 1.0)
    yield Comparison(f"discover, {title} / {SECONDS:g} s", verified, promised, 1.0)


def _large() -> Iterator[Comparison]:
    """A model that has no room here, by its structure alone."""
    seconds, peak = _in_fresh_process(LARGE, "discover", meta=True)
    title = "discover, Llama-2 7B on meta tensors"
    yield Comparison(f"{title} / {LARGE_SECONDS:g} s", (seconds,), (LARGE_SECONDS,), 1.0)
    yield Comparison(f"{title}, peak / {LARGE_GB:g} GB", (peak,), (LARGE_GB,), 1.0, unit="GB")


def _later_calls() -> Iterator[Comparison]:
    torch.manual_seed(0)
    model, args = ResNet50(), (torch.randn(2, 3, 64, 64),)
    for name, verify in (("later calls", True), ("later calls, verify=False", False)):
        yield compare(
            f"discover, ResNet-50, 64² pixels, {name} / torch.export",
            lambda verify=verify: discover(model, args, verify=verify),
            lambda: torch.export.export(model, args, strict=False),
            pairs=5,
            limit=None,
        )


def run() -> Iterator[Comparison]:
    """With the check and without it.

    The check runs the model some seven times in float64, which the exporter does not do.
    """
    for name, title in MODELS.items():
        yield from _first_calls(name, title)
    yield from _large()
    yield from _later_calls()
