"""Tasks on a cluster of dask.distributed."""

import logging
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, final
from uuid import uuid4

import dask.config
from distributed import Client, Future, KilledWorker, LocalCluster, wait

from paramsym.experiments.experiment import Task
from paramsym.experiments.running.backends import RETRIES, Outcome, failed, killed
from paramsym.experiments.running.results import Results
from paramsym.experiments.running.working import complete

LOCAL = "local"
"""Address that stands for a cluster of processes on this machine, started for the run."""


@final
@dataclass(frozen=True)
class Cluster:
    """Runs tasks on the workers of a scheduler of dask.distributed.

    Workers that see the folder of results keep checkpoints and results there; the others send their
    results back. A scheduler that is not ours has its own limit of retries
    (`distributed.scheduler.allowed-failures`, 3 unless configured).

    Attributes:
        address: Of the scheduler, as `"tcp://host:8786"`, or `"local"`.
        jobs: Number of processes of a local cluster.
        patience: Seconds to wait for the scheduler, and for its workers.
    """

    address: str
    jobs: int
    patience: float = 30.0

    def run(
        self, tasks: Sequence[Task], results: Results, say: Callable[[str], None]
    ) -> Generator[Outcome, None, None]:
        """As `Backend.run`."""
        waiting = deque(tasks)
        running: dict[Future, Task] = {}
        with ExitStack() as stack:
            client = self._client(stack, len(tasks))
            while waiting or running:
                with self._connected():
                    # No more than run at once: a task that waits on a worker shares its fate.
                    while waiting and len(running) < max(1, _threads(client)):
                        task = waiting.popleft()
                        name = f"{task.name}-{uuid4().hex}"
                        future = client.submit(complete, task, results, key=name, pure=False)
                        running[future] = task
                    done = self._done(client, list(running))
                    outcomes = [_outcome(future, running.pop(future)) for future in done]
                yield from outcomes

    def _client(self, stack: ExitStack, tasks: int) -> Client:
        stack.enter_context(
            dask.config.set(
                {
                    "distributed.scheduler.allowed-failures": RETRIES,
                    "distributed.comm.timeouts.connect": self.patience,
                    # A killed process is started again; on a busy machine that takes a while.
                    "distributed.deploy.lost-worker-timeout": "1 hour",
                }
            )
        )
        log = logging.getLogger("distributed")
        stack.callback(log.setLevel, log.level)
        log.setLevel(logging.CRITICAL)
        where: Any = self.address
        if self.address == LOCAL:
            where = stack.enter_context(
                LocalCluster(
                    n_workers=min(self.jobs, tasks),
                    threads_per_worker=1,
                    processes=True,
                    dashboard_address="127.0.0.1:0",
                    silence_logs=logging.CRITICAL,
                )
            )
        try:
            client = stack.enter_context(Client(where, timeout=self.patience))
        except (OSError, ValueError) as error:
            raise ConnectionError(
                f"no scheduler of dask.distributed answers at {self.address} within "
                f"{self.patience:g} s. Start one with `dask scheduler`, or write `--cluster local`."
            ) from error
        try:
            client.wait_for_workers(1, timeout=self.patience)
        except TimeoutError as error:
            raise ConnectionError(
                f"the scheduler at {self.address} has no workers. "
                f"Start some with `dask worker {self.address}`."
            ) from error
        return client

    def _done(self, client: Client, running: list[Future]) -> list[Future]:
        """Futures that are done: at least one."""
        while True:
            try:
                ended: Any = wait(running, self.patience, return_when="FIRST_COMPLETED")
                return list(ended.done)
            except TimeoutError:
                self._require_workers(client)

    @contextmanager
    def _connected(self) -> Iterator[None]:
        try:
            yield
        except ConnectionError:
            raise
        except (OSError, CancelledError) as error:
            raise ConnectionError(
                f"the scheduler at {self.address} went away. What is finished is kept: when it "
                "answers again, the same command goes on from there."
            ) from error

    def _require_workers(self, client: Client) -> None:
        try:
            client.wait_for_workers(1, timeout=self.patience)
        except (TimeoutError, OSError) as error:
            raise ConnectionError(
                f"the cluster at {self.address} has lost all of its workers. What is finished is "
                "kept: when it has workers again, the same command goes on from there."
            ) from error


def _threads(client: Client) -> int:
    threads: Any = client.nthreads()
    return sum(threads.values())


def _outcome(future: Future, task: Task) -> Outcome:
    try:
        return future.result()
    except KilledWorker:
        return killed(task)
    except (OSError, CancelledError):
        raise
    except Exception as error:  # of a worker that does not have what the task needs
        return failed(task, error)
