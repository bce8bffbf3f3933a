"""Labels become products of ranges again, and words are what they stand for."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import paramsym as ps
from paramsym.action import act, tangent
from paramsym.discovery.shifting.layout import NONE, layout
from paramsym.discovery.shifting.pushing import term_on
from paramsym.discovery.shifting.words import Irregular, Word, placed, target_axes
from paramsym.moment_map import moment


def test_heads_that_share_a_key() -> None:
    """Two groups of three heads of four: the middle factor repeats."""
    labels = np.broadcast_to(np.arange(8).reshape(2, 1, 4), (2, 3, 4)).reshape(24)
    found = layout(labels)
    assert found is not None
    assert [(r.size, r.stride) for r in found.axes[0]] == [(2, 4), (3, 0), (4, 1)]


def test_a_part_of_every_head() -> None:
    """Keys of a projection that holds queries, keys and values head by head."""
    labels = np.full((2, 3, 4), NONE)
    labels[:, 1] = np.arange(8).reshape(2, 4)
    found = layout(labels.reshape(24))
    assert found is not None
    assert [(r.size, r.start, r.stop) for r in found.axes[0]] == [(2, 0, 2), (12, 4, 8)]


@pytest.mark.parametrize("labels", [[0, 2, 1], [0, 0, 1], [0, NONE, 1, 2]])
def test_no_structure(labels: list[int]) -> None:
    found = layout(np.array(labels))
    assert found is None


@st.composite
def arrays(draw: st.DrawFn) -> np.ndarray:
    """Components along some of a few factors, each cut to a block, seen as one or two axes."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=1, max_size=4))
    shown = draw(st.lists(st.booleans(), min_size=len(sizes), max_size=len(sizes)))
    n = int(np.prod([s for s, on in zip(sizes, shown, strict=True) if on]))
    inner = [s if on else 1 for s, on in zip(sizes, shown, strict=True)]
    labels = np.broadcast_to(np.arange(n).reshape(inner), sizes)
    before, after = draw(st.integers(0, 2)), draw(st.integers(0, 2))
    wide = np.full((before + sizes[0] + after, *sizes[1:]), NONE)
    wide[before : before + sizes[0]] = labels
    cut = draw(st.integers(0, len(sizes)))
    return wide.reshape(int(np.prod(wide.shape[:cut])), -1)


@settings(max_examples=150, deadline=None)
@given(arrays())
def test_a_term_adds_what_the_labels_say(labels: np.ndarray) -> None:
    """Twin: entry by entry."""
    n = int(labels.max()) + 1
    shift = torch.randn(n, dtype=torch.float64)
    term = term_on("p", labels.shape, Word.identity(n), labels, -2.0)
    family = ps.Family("f", ps.Translation(n), terms=(term,))
    family.require_shapes({"p": labels.shape})
    params = {"p": torch.randn(labels.shape, dtype=torch.float64)}
    moved = act([(family, shift)], params)["p"]
    expected = torch.where(
        torch.from_numpy(labels == NONE), 0.0, -2.0 * shift[torch.from_numpy(labels.clip(0))]
    )
    assert torch.equal(moved, params["p"] + expected)
    covector = {"p": torch.randn(labels.shape, dtype=torch.float64)}
    paired = float((moment(family, params, covector) * shift).sum())
    field = tangent([(family, shift)], params)["p"]
    assert paired == pytest.approx(float((covector["p"] * field).sum()), abs=1e-12)


def test_a_part_of_a_shift_is_no_word() -> None:
    """A term whose shift had components without effect would count them as directions."""
    with pytest.raises(Irregular):
        placed(Word.identity(6), np.arange(3))


def test_more_letters_than_there_are() -> None:
    word, parts = placed(Word.identity(4), np.arange(4))
    word, axes = target_axes(word, parts, (4,))
    many, letters = word.fresh([1] * 60)
    with pytest.raises(Irregular):
        replace(many, shift=(*many.shift, *letters)).term("p", axes[0], 1.0)
