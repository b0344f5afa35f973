"""The leakage audit: each finding on small cases, the baselines on rows like Kvasir-Capsule's."""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pytest
from audits import audit, near, rows
from capsule_like import CLASSES, FRAMES_PER_VIDEO, VIDEOS, capsule_rows
from sklearn.metrics import f1_score

from gi_edge.config import json_from_value
from gi_edge.data.audit import KEPT_PAIRS, SplitAudit, audit_rows
from gi_edge.data.audit_rows import AuditRow
from gi_edge.data.overlap import NEAR_SHARE_LIMIT, LabelConflict
from gi_edge.errors import DataError


def by_frame(video, number):
    return "test" if hashlib.sha256(f"{number}".encode()).digest()[0] < 51 else "train"


def by_video(video, number):
    return "test" if int(video[:2], 16) < 77 else "train"


def capsule_audit(part_of):
    return audit_rows(capsule_rows(part_of), train="train", test="test", group_noun="video")


def test_the_pixel_free_rule_solves_a_frame_split_of_capsule_videos():
    found = capsule_audit(by_frame)
    assert sum(part.frames for part in found.parts) == VIDEOS * FRAMES_PER_VIDEO == 47_300
    assert [part.groups for part in found.parts] == [43, 43]
    assert found.pixel_free.applied == found.pixel_free.n == found.parts[1].frames
    assert found.pixel_free.accuracy > 0.99
    assert found.pixel_free.macro_f1 > 0.99
    assert 0.6 < found.majority.accuracy < 0.85
    assert found.majority.macro_f1 < 0.1
    assert found.leaks
    percent = int(1000 * found.pixel_free.accuracy) / 10
    assert found.verdict.startswith(
        f"A rule that looks at no pixels scores {percent} % accuracy here, and always answering"
    )
    assert found.verdict.endswith("does not show that a model recognises anything in a new patient.")


def test_the_pixel_free_rule_falls_to_the_majority_between_videos():
    found = capsule_audit(by_video)
    assert [part.groups for part in found.parts] == [43 - found.parts[1].groups, found.parts[1].groups]
    assert found.pixel_free.applied == 0
    assert found.pixel_free.accuracy == found.majority.accuracy
    assert found.pixel_free.macro_f1 == found.majority.macro_f1
    assert not found.leaks
    assert found.verdict.startswith(
        f"No video is in two parts: a score on this split shows how a model does on {found.parts[1].groups} videos"
    )


def test_scores_are_those_of_scikit_learn_and_of_counting():
    listed = capsule_rows(by_frame)
    found = audit_rows(listed, train="train", test="test")
    truth = [row.label for row in listed if row.part == "test"]
    assert found.majority.accuracy == np.mean(np.array(truth) == "Normal")
    expected = f1_score(truth, ["Normal"] * len(truth), average="macro", zero_division=0.0)
    assert found.majority.macro_f1 == pytest.approx(expected, abs=1e-12)
    assert {item.label: item.frames for item in found.parts[1].classes} == {name: truth.count(name) for name in CLASSES}


@pytest.mark.parametrize(
    ("train", "test", "answer"),
    [
        (["a v 10", "b v 20"], "x v 14", "a"),
        (["a v 10", "b v 20"], "x v 16", "b"),
        (["a v 10", "b v 20"], "x v 15", "a"),  # a tie: the earlier
        (["b v 20", "a v 10"], "x v 15", "a"),  # whatever the order
        (["a v 10", "b v 20"], "x v 9999", "b"),
        (["a v 10", "b v 20"], "x v 0", "a"),
        (["a v 10", "b v 15"], "x v 15", "b"),
        (["b v 15", "a v 15"], "x v 15", "a"),  # one frame under two labels: the first by name
        (["a v 10", "b w 15"], "x v 15", "a"),  # the other video is nearer in number only
        (["a v 99999999999999999998", "b v 1"], "x v 99999999999999999999", "a"),
        (["b v 1", "b v 2", "a w 5"], "x u 5", "b"),  # a video that training never saw: the majority
    ],
)
def test_pixel_free_answer(train, test, answer):
    found = audit(train, [test.replace("x", answer, 1)])
    wrong = audit(train, [test.replace("x", "other", 1)])
    assert (found.pixel_free.accuracy, wrong.pixel_free.accuracy) == (1.0, 0.0)


def test_pixel_free_counts_where_it_applied_and_falls_back_elsewhere():
    found = audit(["a v 1", "b v 9", "b w 1"], ["a v 2", "b v 8", "b u 1", "a u 2", "b name"])
    assert found.pixel_free.model_dump() == {
        "n": 5,
        "applied": 2,
        "accuracy": 0.8,
        "macro_f1": pytest.approx((2 / 3 + 6 / 7) / 2),
    }
    assert found.majority.model_dump() == {
        "label": "b",
        "n": 5,
        "accuracy": 0.6,
        "macro_f1": pytest.approx((0 + 0.75) / 2),
    }


@pytest.mark.parametrize(("train", "test"), [(["a x"], ["a v 1"]), (["a v 1"], ["a x"]), (["a x"], ["b y"])])
def test_no_pixel_free_rule_without_video_and_number_and_the_reason(train, test):
    found = audit(train, test, group_noun="patient")
    assert found.pixel_free is None
    assert found.pixel_free_absent == "no patient and frame number is known in both parts"


def test_the_majority_is_of_the_training_part_and_the_first_by_name_among_equals():
    assert audit(["b x", "a y"], ["b 1", "b 2"]).majority.model_dump() == {
        "label": "a",
        "n": 2,
        "accuracy": 0.0,
        "macro_f1": 0.0,
    }


@pytest.mark.parametrize(
    ("train", "test", "groups", "frames", "share", "files"),
    [
        (["a v 1"], ["a w 1"], (), 0, 0.0, ()),
        (["a v 1", "a w 1"], ["a w 2", "b w 3", "a u 1", "a u 2"], ("w",), 2, 0.5, ()),
        (["a v 1", "a w 1"], ["a w 1", "a v 1"], ("v", "w"), 2, 1.0, ("v_1.jpg", "w_1.jpg")),
        (["a x.jpg"], ["a x.jpg", "a y.jpg"], None, 0, 0.0, ("x.jpg",)),
        (["a x.jpg"], ["a v 1"], None, 0, 0.0, ()),
    ],
)
def test_what_two_parts_share(train, test, groups, frames, share, files):
    (pair,) = audit(train, test).pairs
    assert (pair.groups, pair.frames, pair.share, pair.files) == (groups, frames, share, files)
    assert pair.is_leaking is bool(groups or files)


def test_every_pair_of_parts_is_compared_and_only_those_with_the_test_part_leak():
    listed = rows("train", "a v 1") + rows("val", "a v 2") + rows("zoo", "a w 1") + rows("test", "a u 1")
    found = audit_rows(listed, train="train", test="test")
    assert [part.part for part in found.parts] == ["train", "val", "zoo", "test"]
    assert [(pair.first, pair.second, pair.groups) for pair in found.pairs] == [
        ("train", "val", ("v",)),
        ("train", "zoo", ()),
        ("val", "zoo", ()),
        ("train", "test", ()),
        ("val", "test", ()),
        ("zoo", "test", ()),
    ]
    assert not found.leaks
    again = audit_rows(listed + rows("test", "a w 2"), train="train", test="test")
    assert again.leaks
    assert again.verdict.startswith("Part 'test' has 1 frame (50.0 %) from 1 group that part 'zoo' holds too")


@pytest.mark.parametrize(("first", "second", "shared"), [("x", "x", ("x",)), ("x", "y", ()), ("", "", ())])
def test_frames_of_one_file_are_one(first, second, shared):
    listed = [AuditRow("a/1", "a", None, None, "train", first), AuditRow("b/1", "b", None, None, "test", second)]
    found = audit_rows(listed, train="train", test="test")
    assert (found.pairs[0].files, len(found.conflicts), found.leaks) == (shared, len(shared), bool(shared))


@pytest.mark.parametrize(
    ("train", "test", "labels", "within", "across"),
    [
        (["a v 1", "b v 1"], ["a w 1"], {"train": ("a", "b")}, True, False),
        (["a v 1"], ["b v 1"], {"train": ("a",), "test": ("b",)}, False, True),
        (["a v 1", "b v 1"], ["a v 1"], {"train": ("a", "b"), "test": ("a",)}, True, True),
    ],
)
def test_a_file_under_two_labels(train, test, labels, within, across):
    found = audit(train, test).conflicts
    assert found == (LabelConflict(file="v_1.jpg", labels=labels),)
    assert (found[0].is_within, found[0].is_across) == (within, across)


def test_support_counts_frames_groups_and_repeated_rows():
    found = audit(["a v 1", "a v 2", "a w 1", "b v 3", "b v 3", "a name"], ["a u 1"])
    train, test = found.parts
    assert (train.frames, train.groups, train.ungrouped, train.repeated) == (6, 2, 1, 1)
    assert [(item.label, item.frames, item.groups) for item in train.classes] == [("a", 4, 2), ("b", 2, 1)]
    assert [(item.label, item.frames, item.groups) for item in test.classes] == [("a", 1, 1), ("b", 0, 0)]
    unknown = audit(["a x"], ["a y"]).parts[0]
    assert (unknown.groups, unknown.classes[0].groups, unknown.ungrouped) == (None, None, 1)


def test_near_duplicates_count_across_parts_only_and_are_turned():
    pairs = [near("4", "1", 3), near("1", "2", 0), near("1", "5", 2), near("2", "4", 3), near("1", "gone", 0)]
    found = audit(["a 1", "a 2", "a 3"], ["a 4", "a 5", "a 6", "a 7"], near_duplicates=pairs)
    assert [tuple(pair.model_dump().values()) for pair in found.near_duplicates] == [
        ("1", "train", "5", "test", 2),
        ("2", "train", "4", "test", 3),
    ]
    (pair,) = found.pairs
    assert (pair.near_pairs, pair.near_frames, pair.near_share) == (3, 2, 0.5)
    assert found.leaks
    assert found.verdict.startswith("Part 'test' has 2 frames (50.0 %) with a near-copy in part 'train': a")


def test_near_duplicates_not_sought_are_not_none_found():
    absent, none = audit(["a 1"], ["a 2"]), audit(["a 1"], ["a 2"], near_duplicates=())
    assert (absent.near_duplicates, absent.pairs[0].near_pairs, absent.pairs[0].near_share) == (None, None, None)
    assert (none.near_duplicates, none.pairs[0].near_pairs, none.pairs[0].near_share) == ((), 0, 0.0)
    assert "near-copies were not sought" in absent.verdict
    assert "near-copies are rare" in none.verdict


@pytest.mark.parametrize(("frames", "leaks"), [(1, False), (2, True)])
def test_near_duplicates_leak_from_a_hundredth_on(frames, leaks):
    assert NEAR_SHARE_LIMIT == 0.01
    test = [f"a t{number}" for number in range(200)]
    pairs = [near("s", f"t{number}") for number in range(frames)]
    assert audit(["a s"], test, near_duplicates=pairs).leaks is leaks


def test_an_audit_names_the_nearest_pairs_without_a_frame_twice_and_counts_all():
    pairs = [near(f"s{number}", f"t{number}", number) for number in range(150, 0, -1)]
    pairs += [near("s1", f"t{number}", 0.5 + number) for number in range(2, 20)]
    train, test = ([f"a {name}{number}" for number in range(200)] for name in "st")
    found = audit(train, test, near_duplicates=pairs)
    assert [pair.distance for pair in found.near_duplicates] == list(range(1, KEPT_PAIRS + 1))
    assert found.pairs[0].near_pairs == 168


@pytest.mark.parametrize(
    ("train", "test", "match"),
    [
        ("train", "train", "'train' is both the training and the test part"),
        ("train", "hold-out", "no frame in a part 'hold-out'; its parts: test, train"),
        ("fold", "test", "no frame in a part 'fold'"),
    ],
)
def test_parts_that_cannot_be_audited(train, test, match):
    with pytest.raises(DataError, match=match):
        audit_rows(rows("train", "a x") + rows("test", "a y"), train=train, test=test)


def test_no_rows_at_all():
    with pytest.raises(DataError, match="its parts: none"):
        audit_rows([], train="train", test="test")


def test_an_audit_is_json_and_comes_back_equal_whatever_the_order_of_the_rows():
    listed = rows("train", "a v 1", "b v 1", "b y") + rows("test", "a v 1", "b w 2", "b y")
    pairs = [near("v_1.jpg", "w_2.jpg"), near("y", "w_2.jpg")]
    first = audit_rows(listed, train="train", test="test", near_duplicates=pairs)
    second = audit_rows(listed[::-1], train="train", test="test", near_duplicates=pairs[::-1])
    assert json_from_value(first) == json_from_value(second)
    assert SplitAudit.model_validate(json.loads(json_from_value(first))) == first
