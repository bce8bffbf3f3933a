"""A real cluster of dask.distributed: the same results, whatever happens to its workers."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch
from distributed import Client, LocalCluster

from paramsym.experiments.experiment import Settings, Task
from paramsym.experiments.running.backends import RETRIES
from paramsym.experiments.running.cluster import Cluster
from paramsym.experiments.running.local import LocalPool
from paramsym.experiments.running.results import open_results
from paramsym.experiments.running.runner import run_all
from tests.experiments.running.tiny import (
    counts_slowly,
    experiment,
    kills_its_worker,
    noises,
    raises,
    threads,
)

ROOT = Path(__file__).parents[3]


@contextmanager
def scheduler() -> Iterator[str]:
    """The address of a scheduler without workers."""
    cluster: Any = LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50)
    with cluster:
        yield cluster.scheduler_address


@contextmanager
def worker_elsewhere(address: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.experiments.running.elsewhere", address],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stderr=subprocess.DEVNULL,
    )
    try:
        with Client(address) as client:
            client.wait_for_workers(1, timeout=100)
        yield process
    finally:
        process.kill()
        process.wait()


def test_a_local_cluster_gives_the_same_bits_whatever_dies(tmp_path: Path) -> None:
    (tmp_path / "deaths").mkdir()
    dying = Task("dies", kills_its_worker, {"deaths": str(tmp_path / "deaths"), "times": 1})
    failing = Task("fails", raises, {"x": 1})
    settings = Settings("quick", 4)
    tasks = [dying, Task("threads", threads, {}), *noises(settings)]
    report = run_all(
        [(experiment("good", tasks), settings), (experiment("bad", [failing]), settings)],
        tmp_path / "cluster",
        backend=Cluster("local", 2),
    )
    assert list(report.folders) == ["good"]
    assert report.computed == len(tasks)
    (failure,) = report.failures
    assert "'fails'" in failure.message
    assert "ValueError: no minimum was found" in failure.message
    there, here = open_results(tmp_path / "cluster"), open_results(tmp_path / "pool")
    assert all(not each.failure for each in LocalPool(1).run(noises(settings), here, print))
    for task in noises(settings):
        a, b = there.read(task), here.read(task)
        assert a is not None
        assert b is not None
        assert all(torch.equal(a.arrays[name], b.arrays[name]) for name in a.arrays)
    found = there.read(tasks[1])
    assert found is not None
    assert (int(found.arrays["torch"]), int(found.arrays["omp"])) == (1, 1)
    assert int(found.arrays["process"]) != os.getpid()


@pytest.mark.slow
def test_a_task_that_no_worker_survives(tmp_path: Path) -> None:
    (tmp_path / "deaths").mkdir()
    always = Task("always", kills_its_worker, {"deaths": str(tmp_path / "deaths"), "times": 99})
    results = open_results(tmp_path / "out")
    (outcome,) = Cluster("local", 1).run([always], results, print)
    assert f"worker was killed {RETRIES + 1} times" in outcome.failure
    assert len(list((tmp_path / "deaths").iterdir())) == RETRIES + 1


def test_a_worker_on_another_machine_sends_its_results(tmp_path: Path) -> None:
    """It joins a scheduler that is not ours, and sees no folder of results."""
    results = open_results(tmp_path / "out")
    settings = Settings("quick", 3)
    with scheduler() as address, worker_elsewhere(address):
        report = run_all(
            [(experiment("tiny"), settings)], tmp_path / "out", backend=Cluster(address, 1)
        )
    assert report.computed == 3
    assert not report.failures
    assert not list((results.folder / "partial").iterdir())
    here = open_results(tmp_path / "here")
    assert all(not each.failure for each in LocalPool(1).run(noises(settings), here, print))
    for task in noises(settings):
        a, b = results.read(task), here.read(task)
        assert a is not None
        assert b is not None
        assert torch.equal(a.arrays["sum"], b.arrays["sum"])


def test_a_scheduler_without_workers(tmp_path: Path) -> None:
    results = open_results(tmp_path)
    with scheduler() as address:
        running = Cluster(address, 1, patience=0.5).run(
            noises(Settings("quick", 1)), results, print
        )
        with pytest.raises(ConnectionError, match=rf"has no workers.*dask worker {address}"):
            next(running)


def test_a_scheduler_that_loses_its_workers(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    settings = {"log": str(tmp_path / "log"), "to": 10_000, "pause": 0.02, "name": "slow"}
    with scheduler() as address, worker_elsewhere(address) as worker:

        def kill_when_under_way() -> None:
            while not (tmp_path / "log").exists():
                time.sleep(0.05)
            worker.kill()

        killer = Thread(target=kill_when_under_way)
        killer.start()
        slow = Task("slow", counts_slowly, settings)
        with pytest.raises(ConnectionError, match=r"lost all of its workers.*same command goes on"):
            next(Cluster(address, 1, patience=2).run([slow], results, print))
        killer.join()


def test_a_scheduler_that_goes_away(tmp_path: Path) -> None:
    results = open_results(tmp_path / "out")
    settings = {"log": str(tmp_path / "log"), "to": 10_000, "pause": 0.02, "name": "slow"}
    server = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--port", "0", "--no-dashboard",
         "--host", "127.0.0.1", "--scheduler-file", str(tmp_path / "scheduler.json")],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        while not (tmp_path / "scheduler.json").exists():
            time.sleep(0.05)
        address = json.loads((tmp_path / "scheduler.json").read_text())["address"]

        def kill_when_under_way() -> None:
            while not (tmp_path / "log").exists():
                time.sleep(0.05)
            server.kill()

        with worker_elsewhere(address):
            killer = Thread(target=kill_when_under_way)
            killer.start()
            slow = Task("slow", counts_slowly, settings)
            with pytest.raises(ConnectionError, match=r"went away|has lost all of its workers"):
                next(Cluster(address, 1, patience=2).run([slow], results, print))
            killer.join()
    finally:
        server.kill()
        server.wait()
