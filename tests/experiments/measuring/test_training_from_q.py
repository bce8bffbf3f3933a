"""Many runs in one batch are the runs one by one."""

from pathlib import Path

import pytest
import torch
from torch import nn

from paramsym.data import load
from paramsym.experiments.measuring import training_from_q
from paramsym.experiments.measuring.reached_q import params_of, squares
from paramsym.experiments.measuring.training_from_q import STARTS, starts, train

pytest.importorskip("sklearn")


@pytest.mark.parametrize("optimiser", ["sgd", "adam"])
def test_a_batch_of_runs_against_plain_loops(
    optimiser: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_from_q, "HIDDEN", 6)
    lrs = [0.01, 0.1]
    settings = {"optimiser": optimiser, "seed": 4, "epochs": 1, "batch": 100, "lrs": lrs}
    found = train(settings, tmp_path)
    images = load("digits", seed=4, dtype=torch.float64)
    x, y = images.train_images.flatten(1), images.train_labels
    for start, rate in ((0, 1), (3, 0), (len(STARTS), 1)):
        generator = torch.Generator().manual_seed(4)
        net = starts(x.shape[1], 10, generator)[start]
        kind = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimiser]
        steps = kind(net.parameters(), lr=lrs[rate])
        for rows in torch.randperm(len(y), generator=generator).split(100):
            steps.zero_grad()
            nn.functional.cross_entropy(net(x[rows]), y[rows]).backward()
            steps.step()
        logits = net(images.test_images.flatten(1)).detach()
        loss = nn.functional.cross_entropy(net(x), y).detach()
        assert float(found["loss"][start, rate]) == pytest.approx(float(loss), rel=1e-9)
        right = (logits.argmax(1) == images.test_labels).double().mean()
        assert float(found["accuracy"][start, rate]) == pytest.approx(float(right))
    assert float(found["drift"].max()) < 1e-13


def test_starts_are_one_function_with_the_imbalance_asked_for() -> None:
    nets = starts(5, 3, torch.Generator().manual_seed(0))
    for net, s in zip(nets, (*STARTS, None), strict=True):
        written, read = squares(params_of(net))
        places = (written / read).log() / 2
        if s is None:
            assert float(places.std()) > 0.01
        else:
            assert float((places - s).abs().max()) < 1e-12
