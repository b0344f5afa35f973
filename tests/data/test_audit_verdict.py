"""What an audit says of a split, in whole sentences."""

from __future__ import annotations

import pytest
from audits import audit, rows

from gi_edge.data.audit import audit_rows
from gi_edge.data.overlap import NearPair
from gi_edge.data.split import CLUSTER_NOUN


@pytest.mark.parametrize(
    ("train", "test", "leaks", "verdict"),
    [
        (
            ["a v 1", "b v 2", "a v 3"],
            ["a v 4", "a w 1"],
            True,
            "Part 'test' has 1 frame (50.0 %) from 1 video that part 'train' holds too: a score on this split can "
            "be higher than on a new video, and does not show by how much.",
        ),
        (
            ["a x", "b y"],
            ["a x", "b z"],
            True,
            "Part 'test' has 1 file in common with part 'train': a score on this split can be higher than on a new "
            "patient, and does not show by how much.",
        ),
        (
            ["a v 1", "b v 50"],
            ["a v 2", "b v 49"],
            True,
            "A rule that looks at no pixels scores 100.0 % accuracy here, and always answering 'a' 50.0 %: a score on "
            "this split does not show that a model recognises anything in a new patient.",
        ),
        (
            [*(f"a v {number}" for number in range(99)), "b v 900"],
            [*(f"a v {number}" for number in range(100, 199)), "b v 901"],
            True,
            "A rule that looks at no pixels scores 100.0 % macro-F1 here, and always answering 'a' 49.7 %: a score on "
            "this split does not show that a model recognises anything in a new patient.",
        ),
        (
            ["a x", "b y"],
            ["a z", "b w"],
            False,
            "No file is in two parts, but the video of the frames is not known and near-copies were not "
            "sought: one patient's frames can be on both sides, so a score on this split does not show that a model "
            "works on a new patient.",
        ),
        (
            ["a x", "b v 1"],
            ["a w 1", "b w 2"],
            False,
            "No file is in two parts, but the video of 1 of 4 frames is not known and near-copies were not "
            "sought: one patient's frames can be on both sides, so a score on this split does not show that a model "
            "works on a new patient.",
        ),
        (
            ["a v 1", "b v 2"],
            ["a w 1", "a u 1", "b u 2"],
            False,
            "No video is in two parts: a score on this split shows how a model does on 2 videos that training never "
            "saw; it cannot speak of classes that fewer than 2 of them show (b).",
        ),
        (
            ["a v 1", "b v 2"],
            ["a w 1", "b w 2", "a u 1", "b u 2"],
            False,
            "No video is in two parts: a score on this split shows how a model does on 2 videos that training never "
            "saw; it cannot speak of another clinic or device.",
        ),
        (
            ["a v 1"],
            ["b w 1", "c w 2", "d w 3", "e w 4"],
            False,
            "No video is in two parts: a score on this split shows how a model does on 1 video that training never "
            "saw; it cannot speak of classes that fewer than 2 of them show (a, b, c and 2 more).",
        ),
    ],
)
def test_verdict(train, test, leaks, verdict):
    found = audit(train, test, group_noun="video")
    assert (found.leaks, found.verdict) == (leaks, verdict)


@pytest.mark.parametrize(
    ("train", "val", "test", "near", "verdict"),
    [
        (
            "a v 1",
            "a v 2",
            "a w 1",
            None,
            "No video of part 'test' is in another part: a score on this split shows how a model does on 1 video that "
            "training never saw; it cannot speak of classes that fewer than 2 of them show (a); and part 'val' has 1 "
            "frame (100.0 %) from 1 video that part 'train' holds too, so a choice made on part 'val' need not hold "
            "for a new video.",
        ),
        (
            "a x",
            "a x",
            "a y",
            None,
            "No file of part 'test' is in another part, but the video of the frames is not known and near-copies were "
            "not sought: one patient's frames can be on both sides, so a score on this split does not show that a "
            "model works on a new patient; and part 'val' has 1 file in common with part 'train', so a choice made on "
            "part 'val' need not hold for a new patient.",
        ),
        (
            "a x",
            "a y",
            "a z",
            [("x", "y")],
            "No file of part 'test' is in another part and near-copies are rare, but the video of the frames is not "
            "known: one patient's frames can be on both sides, so a score on this split does not show that a model "
            "works on a new patient; and part 'val' has 1 frame (100.0 %) with a near-copy in part 'train', so a "
            "choice made on part 'val' need not hold for a new patient.",
        ),
    ],
)
def test_a_verdict_names_what_training_and_validation_share(train, val, test, near, verdict):
    listed = rows("train", train) + rows("val", val) + rows("test", test)
    pairs = near and [NearPair(first=first, second=second, distance=1) for first, second in near]
    found = audit_rows(listed, train="train", test="test", near_duplicates=pairs, group_noun="video")
    assert (found.leaks, found.verdict) == (False, verdict)


def test_a_verdict_on_clusters_names_what_training_and_validation_share():
    listed = rows("train", "a v 1") + rows("val", "a v 2") + rows("test", "a w 1")
    found = audit_rows(listed, train="train", test="test", group_noun=CLUSTER_NOUN)
    assert found.verdict.startswith(
        "No near-duplicate cluster of part 'test' is in another part, but no video or patient is known: "
    )
    assert found.verdict.endswith("so a choice made on part 'val' need not hold for a new patient.")


def test_almost_all_never_reads_as_all():
    train = ["a v 1", *(f"b v {number}" for number in range(1000, 2000))]
    test = ["b v 2", *(f"b v {number}" for number in range(1000, 3000))]
    listed = rows("train", *train, "c v 900000") + rows("test", *test, *["c v 900001"] * 200)
    found = audit_rows(listed, train="train", test="test")
    assert found.pixel_free.accuracy == 2200 / 2201
    assert "scores 99.9 % accuracy here" in found.verdict
