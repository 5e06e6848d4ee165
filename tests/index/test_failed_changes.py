"""A change of an index that fails on the way (Ctrl-C, out of memory) leaves nothing behind."""

from __future__ import annotations

import numpy as np
import pytest

from aigc_fast import CosineIndex
from aigc_fast.segment_writer import SegmentWriter

from .model import Model, assert_equal

ROWS = np.random.default_rng(0).standard_normal((12_000, 8)).astype(np.float32)


class Failing:
    """Makes the codes of the ``at``-th segment from now on fail, once."""

    def __init__(self, monkeypatch, at):
        self.left = at
        merged = SegmentWriter.merged

        def sometimes(*args):
            self.left -= 1
            if self.left == 0:
                raise KeyboardInterrupt
            return merged(*args)

        monkeypatch.setattr(SegmentWriter, "merged", sometimes)


def two_segments_and_a_tail():
    index, model = CosineIndex(ROWS[:3000]), Model(range(3000), ROWS[:3000])
    for rows in (ROWS[3000:7500], ROWS[7500:7800]):
        model.add(index.add(rows), rows)
    for ids in ([5, 7499], [7600]):  # every segment has marks of removed rows
        index.remove(ids)
        model.remove(ids)
    return index, model


@pytest.mark.parametrize("at", [1, 2])
@pytest.mark.parametrize(
    "change",
    [lambda index: index.add(ROWS[:4200]), lambda index: index.update(np.arange(1000, 5200), ROWS[:4200])],
    ids=["add", "update"],
)
def test_additions(monkeypatch, change, at):
    """Sealing the tail is the first merge, joining it with its neighbour the second."""
    index, model = two_segments_and_a_tail()
    Failing(monkeypatch, at)
    with pytest.raises(KeyboardInterrupt):
        change(index)
    assert_equal(index, model, ROWS[:3])
    for rows in (ROWS[:9], ROWS[9:600]):  # in the tail's room, and beyond it
        model.add(index.add(rows), rows)
        assert_equal(index, model, ROWS[:3])
    index.remove([8, 7700])
    model.remove([8, 7700])
    assert_equal(index, model, ROWS[:3])


def test_removals(monkeypatch):
    index, model = two_segments_and_a_tail()
    Failing(monkeypatch, 1)
    with pytest.raises(KeyboardInterrupt):
        index.remove(np.arange(3000, 6000))
    assert_equal(index, model, ROWS[:3])
    index.remove([9])
    model.remove([9])
    assert_equal(index, model, ROWS[:3])
