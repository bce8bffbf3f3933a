"""`paramsym` with the experiments of the tests, as a program: for runs that are killed."""

import sys

from paramsym.cli import main
from paramsym.experiments import EXPERIMENTS
from paramsym.experiments.experiment import Experiment, Task
from tests.experiments.running.tiny import counts_slowly, experiment


def counting(log: str) -> Experiment:
    """Six tasks of 20 steps; the log says who did which step."""
    return experiment(
        "counting",
        [
            Task(
                f"count {name}",
                counts_slowly,
                {"log": log, "to": 20, "pause": 0.05, "name": name},
                cost=10 - index,
            )
            for index, name in enumerate("abcdef")
        ],
    )


if __name__ == "__main__":
    log = sys.argv.pop(1)
    EXPERIMENTS["counting"] = counting(log)
    main()
