"""Batches are one function of seed, epoch and position, whoever makes them."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge_training import loader
from gi_edge_training.config import TrainSettings
from gi_edge_training.loader import Frames, Share, TrainingLoader

CPU = torch.device("cpu")
ALONE = Share()
LABELS = np.array([0] * 14 + [1] * 5 + [2] * 2)


def frames():
    """21 frames of which every second one trains: the pixels of row i begin around 10 * i."""
    pixels = np.random.default_rng(0).integers(0, 40, (21, 32, 32, 3)) + 10 * np.arange(21)[:, None, None, None]
    return Frames(pixels.clip(0, 255).astype(np.uint8), LABELS, np.arange(21), PreprocessSpec(size_px=32, fit="pad"))


def epoch(number=1, share=ALONE, **settings):
    given = TrainSettings(**{"batch_size": 8, "seed": 3, **settings})
    return list(TrainingLoader(frames(), given, CPU, share).epoch(number))


def test_every_frame_comes_once_in_an_order_of_the_epoch():
    first, second = epoch(1), epoch(2)
    assert [batch.frames for batch in first] == [8, 8, 5]
    assert [batch.counted for batch in first] == [8, 8, 5]
    labels = [torch.cat([batch.labels for batch in batches]).tolist() for batches in (first, second)]
    assert Counter(labels[0]) == Counter(labels[1]) == Counter(LABELS.tolist())
    assert labels[0] != labels[1]
    assert all(torch.equal(a.pixels, b.pixels) for a, b in zip(first, epoch(1), strict=True))
    assert not torch.equal(first[0].pixels, epoch(1, seed=4)[0].pixels)


@pytest.mark.parametrize(
    ("batch_size", "smallest", "sizes"), [(10, 1, [10, 10, 1]), (10, 2, [10, 11]), (5, 2, [5, 5, 5, 6]), (40, 30, [21])]
)
def test_a_last_batch_that_is_too_small_joins_the_one_before(batch_size, smallest, sizes):
    loaded = TrainingLoader(frames(), TrainSettings(batch_size=batch_size, seed=3), CPU, ALONE, smallest)
    batches = list(loaded.epoch(1))
    assert len(loaded) == len(sizes)
    assert [len(batch.labels) for batch in batches] == [batch.frames for batch in batches] == sizes
    assert Counter(torch.cat([batch.labels for batch in batches]).tolist()) == Counter(LABELS.tolist())


@pytest.mark.parametrize("balance", ["none", "sampler"])
@pytest.mark.parametrize("processes", [2, 3, 6])
def test_the_parts_of_all_processes_are_the_batches_of_one(balance, processes):
    """The last batch has 5 frames, so that of six processes the sixth has a stand-in that does not count."""
    whole = epoch(balance=balance)
    parts = [epoch(share=Share(index, processes), balance=balance) for index in range(processes)]
    for number, batch in enumerate(whole):
        mine = [part[number] for part in parts]
        assert all(len(part.labels) == max(1, part.counted) for part in mine)
        assert {part.frames for part in mine} == {batch.frames}
        assert torch.equal(torch.cat([part.pixels[: part.counted] for part in mine]), batch.pixels)
        assert torch.equal(torch.cat([part.labels[: part.counted] for part in mine]), batch.labels)
    assert [part[-1].counted for part in parts].count(0) == max(0, processes - 5)


def test_the_sampler_draws_classes_equally_often():
    batches = [batch for number in range(1, 61) for batch in epoch(number, balance="sampler")]
    drawn = Counter(torch.cat([batch.labels for batch in batches]).tolist())
    assert all(count / drawn.total() == pytest.approx(1 / 3, abs=0.05) for count in drawn.values())


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_workers_change_no_pixel_and_serve_every_epoch(monkeypatch):
    alone = [epoch(number) for number in (1, 2)]
    monkeypatch.setattr(loader, "loader_worker_count", lambda **_: 2)
    loaded = TrainingLoader(frames(), TrainSettings(batch_size=8, seed=3), CPU, ALONE)
    for number, batches in enumerate(alone, start=1):
        for one, other in zip(batches, loaded.epoch(number), strict=True):
            assert torch.equal(one.pixels, other.pixels)
            assert torch.equal(one.labels, other.labels)


def test_augmenting_leaves_the_random_state_of_dropout_alone():
    torch.manual_seed(5)
    expected = torch.rand(4)
    torch.manual_seed(5)
    epoch()
    assert torch.equal(torch.rand(4), expected)
