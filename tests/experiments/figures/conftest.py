"""Experiments made short: the same code on fewer steps, members and images."""

import dataclasses

import pytest

from paramsym.experiments.figures import fig3, fig6, fig7, fig9, fig10, fig11
from paramsym.experiments.measuring import attacking
from paramsym.experiments.measuring.image_models import Training


@pytest.fixture
def short_experiments(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (fig3, fig6, fig7):
        monkeypatch.setattr(module, "STEPS", {"quick": 100, "paper": 100})
    monkeypatch.setattr(fig9, "STEPS", 60)
    monkeypatch.setattr(fig9, "SMALL", (("40 samples", (3, 2, 2), 40),))
    monkeypatch.setattr(fig10, "MEMBERS", {"quick": (2, 4)})
    monkeypatch.setattr(fig10, "SCALES", (1.0, 0.1, 0.01))
    monkeypatch.setattr(fig11, "MEMBERS", {"quick": 3})
    monkeypatch.setattr(fig11, "IMAGES", {"quick": 12})
    monkeypatch.setattr(attacking, "SUITE_IMAGES", 4)
    monkeypatch.setattr(fig11, "SUITE", ("apgd-ce",))
    of = Training.of
    monkeypatch.setattr(
        Training,
        "of",
        classmethod(
            lambda cls, *args, **more: dataclasses.replace(of(*args, **more), epochs=1, test=60)
        ),
    )
