"""A split says what its rows show, and its CSV form comes back equal."""

from __future__ import annotations

import pytest

from gi_edge.data.split import SplitRow, csv_from_split, split_from_csv, split_from_rows

Rows = list[tuple[str, str]]
APART: Rows = [("v1", "train"), ("v2", "val"), ("v3", "test"), ("v4", "test")]
SHARED: Rows = [("v1", "train"), ("v2", "val"), ("v1", "test"), ("v4", "test")]
VAL_SHARED: Rows = [("v1", "train"), ("v1", "val"), ("v3", "test"), ("v4", "test")]
UNKNOWN: Rows = [("", "train"), ("", "val"), ("", "test"), ("", "test")]
PARTLY: Rows = [("v1", "train"), ("v2", "val"), ("v1", "test"), ("", "test")]
CLUSTERS: Rows = [("cluster-000000", "train"), ("cluster-000001", "val"), ("cluster-000002", "test")]
CLUSTERS_SHARED: Rows = [("cluster-000000", "train"), ("cluster-000001", "val"), ("cluster-000000", "test")]
MIXED: Rows = [("cluster-000000", "train"), ("v1", "val"), ("v2", "test")]
END = "so a score here does not show that the model works on a new patient."


def made(rows: Rows):
    return split_from_rows(
        [SplitRow(frame=f"a/{n}.jpg", label="it's, a", group=group, part=part) for n, (group, part) in enumerate(rows)],
        "video",
    )


@pytest.mark.parametrize(
    ("rows", "kind", "noun", "caution"),
    [
        (APART, "group", "video", "Split by video: the test part holds 2 videos that training never saw."),
        (MIXED, "group", "video", "Split by video: the test part holds 1 video that training never saw."),
        (
            SHARED,
            "frame",
            "video",
            f"Frame-level split: 1 of 2 test frames come from 1 video that training saw, {END}",
        ),
        (
            VAL_SHARED,
            "frame",
            "video",
            "Frame-level split: 0 of 2 test frames come from a video that training saw, but validation shares videos "
            "with them or with training, so a choice made on validation need not hold for a new patient.",
        ),
        (
            PARTLY,
            "frame",
            "video",
            "Frame-level split: 1 of 2 test frames come from 1 video that training saw, and of 1 the video is not "
            f"known, {END}",
        ),
        (
            UNKNOWN,
            "frame",
            "frame",
            "Frame-level split, no video or patient is known: near-copies of training frames can be in the test "
            f"part, {END}",
        ),
        (
            CLUSTERS,
            "cluster",
            "near-duplicate cluster",
            "Split by near-duplicate cluster: the test part holds 1 near-duplicate cluster that training never saw, "
            f"but no video or patient is known and one patient can be in both, {END}",
        ),
        (
            CLUSTERS_SHARED,
            "frame",
            "near-duplicate cluster",
            "Frame-level split: 1 of 1 test frames come from 1 near-duplicate cluster that training saw, " + END,
        ),
    ],
)
def test_kind_and_caution_come_from_the_rows_and_survive_the_csv_form(rows, kind, noun, caution):
    split = made(rows)
    assert (split.kind, split.group_noun, split.caution) == (kind, noun, caution)
    again = split_from_csv(csv_from_split(split), group_noun="video")
    assert again == split
    assert again.fingerprint == split.fingerprint


def test_rows_are_sorted_and_counted():
    rows = [SplitRow(frame=name, label="a", group="", part=part) for name, part in (("b", "test"), ("a", "train"))]
    split = split_from_rows(rows, "video")
    assert split.ids("train") == ("a",)
    assert [row.frame for row in split.rows] == ["a", "b"]
    assert split.counts() == {"train": 1, "val": 0, "test": 1}


def test_the_csv_form():
    assert csv_from_split(made(CLUSTERS)) == (
        "frame,label,group,part\n"
        'a/0.jpg,"it\'s, a",cluster-000000,train\n'
        'a/1.jpg,"it\'s, a",cluster-000001,val\n'
        'a/2.jpg,"it\'s, a",cluster-000002,test\n'
    )
    assert made(APART).fingerprint != made(SHARED).fingerprint


@pytest.mark.parametrize(
    "text", ["", "file,label\n", "frame,label,group,part\na,b,c\n", "frame,label,group,part\na,b,c,dev\n"]
)
def test_another_form_is_refused(text):
    with pytest.raises(ValueError, match="columns|line 2 is not frame, label, group and one of"):
        split_from_csv(text, group_noun="video")
