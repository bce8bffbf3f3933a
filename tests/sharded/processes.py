"""Processes that share a mesh on this machine, and run one function together."""

import datetime
import logging
import traceback
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from torch._C._distributed_c10d import FileStore

PATIENCE = 60.0
"""Seconds after which a process that waits for another one gives up."""


class Processes:
    """A group of processes over gloo, started on first use, and anew after a failure."""

    def __init__(self, size: int, folder: Path) -> None:
        self.size, self.folder = size, folder
        self._starts = 0
        self._workers: list[tuple[Any, Any]] = []

    def run(self, function: Callable[..., Any], *args: Any) -> list[Any]:
        """Results of `function(*args)` in every process, by rank.

        Raises:
            AssertionError: If one fails, with its traceback.
        """
        if not self._workers:
            self._start()
        for pipe, _ in self._workers:
            pipe.send((function, args))
        replies = [self._reply(pipe) for pipe, _ in self._workers]
        failures = [value for succeeded, value in replies if not succeeded]
        if failures:
            self.stop()
            raise AssertionError("\n".join(failures))
        return [value for _, value in replies]

    def _reply(self, pipe: Any) -> tuple[bool, Any]:
        try:
            return pipe.recv() if pipe.poll(2 * PATIENCE) else (False, "no answer")
        except EOFError:
            return False, "a process ended without an answer"

    def _start(self) -> None:
        context = mp.get_context("spawn")
        store = self.folder / f"store{self._starts}"
        self._starts += 1
        for rank in range(self.size):
            ours, theirs = context.Pipe()
            args = (rank, self.size, store, theirs)
            process = context.Process(target=_work, args=args, daemon=True)
            process.start()
            theirs.close()
            self._workers.append((ours, process))

    def stop(self) -> None:
        """End all processes, kindly first."""
        for pipe, _ in self._workers:
            with suppress(BrokenPipeError):
                pipe.send(None)
        for pipe, process in self._workers:
            process.join(10.0)
            if process.is_alive():
                process.kill()
                process.join()
            pipe.close()
        self._workers.clear()


def _work(rank: int, size: int, store: Path, pipe: Any) -> None:
    warnings.simplefilter("error")
    warnings.filterwarnings("ignore", category=DeprecationWarning, module="torch")
    warnings.filterwarnings("ignore", category=FutureWarning, module="torch")
    logging.getLogger("torch").setLevel(logging.ERROR)  # gloo has no all-to-all, and says so
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        store=FileStore(str(store), size),
        rank=rank,
        world_size=size,
        timeout=datetime.timedelta(seconds=PATIENCE),
    )
    try:
        while (task := pipe.recv()) is not None:
            function, args = task
            try:
                pipe.send((True, function(*args)))
            except Exception:
                pipe.send((False, f"rank {rank}: {traceback.format_exc()}"))
                break
    finally:
        dist.destroy_process_group()
