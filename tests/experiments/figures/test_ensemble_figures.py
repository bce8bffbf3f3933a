"""Figures 10 and 11 from end to end on small nets, and their findings in both directions."""

import dataclasses
import math
import struct
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from torch import Tensor

from paramsym.experiments.experiment import Experiment, Finished, Settings, Summary
from paramsym.experiments.figures import fig10, fig11
from paramsym.experiments.measuring.attacking import VICTIMS, Attacked
from paramsym.experiments.measuring.ensemble_comparison import GROUP, KINDS, Comparison, made_as
from paramsym.experiments.measuring.image_models import digest, trained

TINY = Settings("quick", seeds=2, seed=3)


pytestmark = pytest.mark.usefixtures("short_experiments")


def _run(
    experiment: Experiment, settings: Settings, tmp_path: Path
) -> tuple[list[Finished], Summary]:
    finished = []
    for i, task in enumerate(experiment.tasks(settings)):
        scratch = tmp_path / str(i)
        scratch.mkdir()
        finished.append(Finished(task, task.compute(task.settings, scratch)))
    return finished, experiment.summarize(settings, finished)


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("experiment", [fig10.FIG10, fig11.FIG11], ids=lambda e: e.name)
def test_a_figure_from_end_to_end(experiment: Experiment, published: bool, tmp_path: Path) -> None:
    settings = dataclasses.replace(TINY, published=published)
    _, summary = _run(experiment, settings, tmp_path)
    claims = [finding.claim for finding in summary.findings]
    assert len(set(claims)) == len(claims)
    for table in summary.tables.values():
        assert len({len(column) for column in table.values()}) == 1
        assert len(next(iter(table.values()))) > 0
    for drawing in summary.drawings.values():
        drawing.figure.savefig(tmp_path / "figure.png")
        assert len(drawing.caption) > 80


def _cifar(folder: Path, count: int = 40) -> Path:
    """A folder in the layout of CIFAR-10, of random images."""
    rng = torch.Generator().manual_seed(0)
    folder.mkdir()
    for name in ("data_batch_1.bin", "test_batch.bin"):
        content = b""
        for label in range(count):
            pixels = torch.randint(256, (3072,), generator=rng, dtype=torch.uint8)
            content += struct.pack("B", label % 10) + bytes(pixels.tolist())
        (folder / name).write_bytes(content)
    return folder


def test_the_same_experiment_on_a_folder_of_images(tmp_path: Path) -> None:
    folder = _cifar(tmp_path / "images")
    settings = dataclasses.replace(TINY, seeds=1, data=str(folder))
    (task,) = fig10.tasks(settings)
    assert task.settings["training"]["data"] == str(folder)
    (tmp_path / "scratch").mkdir()
    arrays = task.compute(task.settings, tmp_path / "scratch")
    assert arrays["right"].shape == (len(KINDS), 3, 2, 40)
    # Other files are another task.
    with (folder / "test_batch.bin").open("r+b") as file:
        file.seek(5)
        file.write(b"\x00\x01\x02")
    assert fig10.tasks(settings)[0].key != task.key
    with pytest.raises(FileNotFoundError, match=r"holds no \*\.bin file"):
        digest(str(tmp_path))


def test_published_settings_are_those_of_the_public_code() -> None:
    (correct, *_), (published, *_) = (
        fig11.tasks(dataclasses.replace(TINY, published=flag)) for flag in (False, True)
    )
    assert not correct.settings["training"]["softmax_twice"]
    assert published.settings["training"]["softmax_twice"]
    assert published.settings["training"]["test_on_training"]
    assert (published.settings["training"]["low"], published.settings["training"]["high"]) == (
        -0.5,
        0.5,
    )
    assert correct.key != published.key


def test_the_head_computes_the_network(tmp_path: Path) -> None:
    (task, *_) = fig10.tasks(TINY)
    found = trained(task.settings["training"], tmp_path)
    images = found.images.test_images
    head, features = found.head(images)
    with torch.no_grad():
        torch.testing.assert_close(
            head(features).float(), found.model(images), rtol=1e-4, atol=1e-5
        )
    again = trained(task.settings["training"], tmp_path)
    for p, q in zip(found.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(p, q)


# -- Figure 10 -------------------------------------------------------------------------------------

N = 400


def _flags(share: float) -> Tensor:
    """So many of N images, always the same first ones."""
    return torch.arange(N) < share * N


def _comparison(group: Sequence[float], others: Sequence[float], **more: Tensor) -> Comparison:
    """Three seeds with a network of accuracy 0.8, and ensembles of given accuracies."""
    scales = (1.0, 0.1, 0.01)
    kinds = tuple(KINDS)
    right = torch.zeros(3, len(kinds), len(scales), 1, N, dtype=torch.bool)
    for i, kind in enumerate(kinds):
        for j in range(len(scales)):
            right[:, i, j, 0] = _flags(group[j] if kind == GROUP else others[j])
    shape = (3, len(kinds), len(scales))
    what = {
        "member": torch.full(shape, 0.8).double(),
        "loss": torch.ones(*shape, 2).double(),
        "disagreement": torch.zeros(shape).double(),
        "condition": torch.ones(3, len(scales)).double(),
        "finite": torch.ones(shape).double(),
    }
    single = _flags(0.8).expand(3, -1)
    return Comparison((0, 1, 2), kinds, scales, (10,), single, right, **{**what, **more})


def test_figure_10_judges_in_both_directions() -> None:
    same = _comparison([0.5, 0.8, 0.8], [0.3, 0.5, 0.8])
    assert fig10.preserves(_comparison([0.5, 0.8, 0.8], [0.1, 0.1, 0.1])).holds
    assert not fig10.preserves(_comparison([0.5, 0.8, 0.7], [0.1, 0.1, 0.1])).holds
    assert fig10.smaller_drop(same, 1.0, True).holds
    assert not fig10.smaller_drop(_comparison([0.5, 0.8, 0.8], [0.6, 0.5, 0.8]), 1.0, True).holds
    assert fig10.loss_unchanged(same).holds
    changed = same.loss.clone()
    changed[:, :, 1] = torch.tensor([1.3, 1.31, 1.32])[:, None, None]
    assert not fig10.loss_unchanged(dataclasses.replace(same, loss=changed)).holds


def test_diversity_is_read_off_where_members_lose_a_point() -> None:
    found = _comparison([0.8] * 3, [0.8] * 3)
    member = torch.full_like(found.member, 0.8)
    disagreement = torch.zeros_like(found.disagreement)
    # Of scales 1, 0.1, 0.01 members lose 10, 2 and 0 points, and disagree in 30, 8 and 0 %.
    member[:, :, 0], member[:, :, 1] = 0.7, 0.78
    disagreement[:, :, 0], disagreement[:, :, 1] = 0.3, 0.08
    found = dataclasses.replace(found, member=member, disagreement=disagreement)
    at = fig10.diversity_at(found, GROUP, 0.01)
    torch.testing.assert_close(at, torch.full((3,), 0.04).double())
    assert not fig10.diversity(found).holds  # all the same
    group = found.kinds.index(GROUP)
    more = disagreement.clone()
    more[:, group, 1] = torch.tensor([0.12, 0.13, 0.14])
    assert fig10.diversity(dataclasses.replace(found, disagreement=more)).holds
    lost = member.clone()
    lost[:, 1] = 0.5
    assert bool(
        fig10.diversity_at(dataclasses.replace(found, member=lost), found.kinds[1], 0.01)
        .isnan()
        .all()
    )


def test_the_kinds_at_all_and_at_half_of_the_samples() -> None:
    assert made_as(GROUP, 16) == ("pinv", 16)
    assert made_as("qr/2", 16) == ("qr", 8)
    assert made_as("inverse", 16) == ("inverse", 16)


# -- Figure 11 -------------------------------------------------------------------------------------


def _attacked(single: float, transfer: float, adaptive: float, suite: float = 0.3) -> Attacked:
    """Three seeds: the single model under attack, and ensembles under both kinds of examples."""
    strengths = fig11.attacks(1)
    victims = tuple(VICTIMS)

    def filled(rows: int, first: float, rest: float, count: int) -> Tensor:
        flags = torch.stack([_flags(first), *[_flags(rest)] * (rows - 1)])
        return flags[None, :, None].expand(3, -1, count, -1)

    return Attacked(
        (0, 1, 2),
        victims,
        strengths,
        0.01,
        {k: filled(1 + len(victims), single, transfer, len(s)) for k, s in strengths.items()},
        {k: filled(len(victims), adaptive, adaptive, len(s)) for k, s in strengths.items()},
        torch.stack([_flags(0.3), _flags(suite)])[None].expand(3, -1, -1),
    )


def test_figure_11_judges_in_both_directions() -> None:
    assert fig11.improves(_attacked(0.5, 0.6, 0.4), adaptive=False).holds
    assert not fig11.improves(_attacked(0.5, 0.5, 0.6), adaptive=False).holds
    assert fig11.improves(_attacked(0.5, 0.4, 0.6), adaptive=True).holds
    assert not fig11.improves(_attacked(0.5, 0.6, 0.5), adaptive=True).holds
    assert fig11.negligible(_attacked(0.5, 0.5, 0.1)).holds
    assert not fig11.negligible(_attacked(0.5, 0.6, 0.5)).holds
    # Both kinds of examples have to be withstood: one is not enough.
    assert fig11.beats(_attacked(0.5, 0.6, 0.6)).holds
    assert not fig11.beats(_attacked(0.5, 0.6, 0.5)).holds
    assert not fig11.beats(_attacked(0.5, 0.5, 0.6)).holds
    assert fig11.standard(_attacked(0.5, 0.5, 0.5, suite=0.5)).holds
    assert not fig11.standard(_attacked(0.5, 0.5, 0.5, suite=0.3)).holds


def test_without_the_suite_nothing_is_said_of_it() -> None:
    found = _attacked(0.5, 0.5, 0.5)
    finding = fig11.standard(dataclasses.replace(found, suite=found.suite[..., :0]))
    assert finding.holds is None
    assert math.isnan(finding.value)
