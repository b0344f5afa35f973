"""The model that is exported has to be the one whose scores the adapter recorded."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.artifacts.frames_file import FRAMES_FILE
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.errors import DataError, ModelError
from gi_edge_export.recorded import check_recorded


def refused(copied, gi_edge, told):
    done = gi_edge("export", "--adapter", "lesions", "--name", "never", "--allow-undecided", cwd=copied)
    assert done.code == 1, done.err
    assert told in done.err
    assert sorted(path.name for path in (copied / "bundles").iterdir()) == ["lesions"]


def change_manifest(copied, **change):
    listing = copied / "adapters" / "lesions" / MANIFEST
    content = json.loads(listing.read_text())
    for key, function in change.items():
        content[key] = function(content[key])
    listing.write_text(json.dumps(content))


def test_another_order_of_the_classes_is_refused(copied, gi_edge):
    change_manifest(copied, classes=lambda names: [names[1], names[0], *names[2:]])
    refused(copied, gi_edge, "test frames otherwise than its manifest records: class order")


def test_other_preprocessing_is_refused(copied, gi_edge):
    change_manifest(copied, preprocess=lambda spec: {**spec, "mean": [3.0, -3.0, 3.0]})
    refused(copied, gi_edge, "test frames otherwise than its manifest records: class order, preprocessing")


def test_labels_that_changed_since_the_training_are_refused(workspace):
    adapter = read_adapter(workspace / "adapters" / "lesions")
    classes, test = adapter.manifest.classes, [row for row in adapter.split.rows if row.part == "test"]
    truth = np.array([classes.index(row.label) for row in test])
    ids = [row.frame for row in test]
    truth[0] = (truth[0] + 1) % len(classes)
    with pytest.raises(DataError, match=f"'{ids[0]}' is labelled '{classes[truth[0]]}' in the dataset"):
        check_recorded(adapter, ids, truth, np.eye(len(classes), dtype=np.float32)[truth])


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_one_frame_may_be_answered_otherwise_by_rounding_but_no_more_of_so_few(workspace, changed):
    adapter = read_adapter(workspace / "adapters" / "lesions")
    classes, test = adapter.manifest.classes, [row for row in adapter.split.rows if row.part == "test"]
    truth = np.array([classes.index(row.label) for row in test])
    left = np.array(adapter.manifest.test.confusion)
    answers = np.empty_like(truth)
    for row, label in enumerate(truth):
        answers[row] = left[label].argmax()
        left[label, answers[row]] -= 1
    answers[:changed] = (answers[:changed] + 1) % len(classes)
    ids, logits = [row.frame for row in test], np.eye(len(classes), dtype=np.float32)[answers]
    if changed < 2:
        check_recorded(adapter, ids, truth, logits)
    else:
        with pytest.raises(ModelError, match=f"at least 2 of {len(ids)} test frames"):
            check_recorded(adapter, ids, truth, logits)


def exchange_two_classes(copied):
    data = copied / "data" / "lesions"
    blue, green = sorted(path for path in data.iterdir() if path.is_dir())[:2]
    blue.rename(data / "aside")
    green.rename(blue)
    (data / "aside").rename(green)


def test_frames_that_changed_places_are_refused(copied, gi_edge):
    exchange_two_classes(copied)
    refused(copied, gi_edge, "test frames are not the files that lesions was trained with; the first is 'blue lesion/")


def replace_a_frame(copied, part):
    """Put a training frame of another class in the place of the last frame of a part; return its id and the part's."""
    split = read_adapter(copied / "adapters" / "lesions").split
    rows = [row for row in split.rows if row.part == part]
    other = next(row for row in split.rows if row.part == "train" and row.label != rows[-1].label)
    data = copied / "data" / "lesions"
    shutil.copyfile(data / other.frame, data / rows[-1].frame)
    return rows[-1].frame, len(rows)


def forget_the_frames(copied):
    """Make the adapter one of an earlier gi-edge."""
    (copied / "adapters" / "lesions" / FRAMES_FILE).unlink()
    change_manifest(copied, files=lambda entries: [entry for entry in entries if entry["path"] != FRAMES_FILE])


@pytest.mark.parametrize("precision", [[], ["--int8"]])
def test_one_test_frame_replaced_by_a_training_frame_is_refused(copied, gi_edge, precision):
    """Too few for its answer to tell. int8 finds the training frame among the test frames, and blames no split."""
    frame, count = replace_a_frame(copied, "test")
    done = gi_edge("export", *precision, "--name", "never", "--allow-undecided", cwd=copied)
    assert done.code == 1, done.err
    assert f"1 of {count} test frames are not the files that lesions was trained with" in done.err
    assert f"the first is '{frame}'" in done.err
    assert "or train again on these frames: gi-edge train --dataset lesions --force" in done.err
    assert [path.name for path in (copied / "bundles").iterdir()] == ["lesions"]


@pytest.mark.parametrize(("part", "noun"), [("test", "test"), ("val", "validation")])
def test_evaluate_scores_no_frames_but_those_of_the_training(copied, gi_edge, part, noun):
    frame, count = replace_a_frame(copied, part)
    done = gi_edge("evaluate", "--adapter", "lesions", "--part", part, cwd=copied)
    assert done.code == 1, done.err
    assert f"1 of {count} {noun} frames are not the files that lesions was trained with" in done.err
    assert f"the first is '{frame}'" in done.err
    assert not (copied / "reports" / f"evaluate-lesions-{part}").exists()
    other = "val" if part == "test" else "test"
    assert gi_edge("evaluate", "--adapter", "lesions", "--part", other, cwd=copied).code == 0


def test_int8_makes_its_choices_on_the_validation_frames_of_the_training(copied, gi_edge):
    frame, count = replace_a_frame(copied, "val")
    done = gi_edge("export", "--int8", "--name", "never", "--allow-undecided", cwd=copied)
    assert done.code == 1, done.err
    assert f"1 of {count} validation frames are not the files that lesions was trained with" in done.err
    assert f"the first is '{frame}'" in done.err


@pytest.mark.parametrize(
    "words", [("export", "--allow-undecided", "--name", "x"), ("evaluate", "--adapter", "lesions")]
)
def test_an_adapter_without_a_record_of_its_frames_says_so_once(copied, gi_edge, words):
    forget_the_frames(copied)
    done = gi_edge(*words, cwd=copied)
    assert done.code == 0, done.err
    assert done.err.count("lesions has no frames.csv") == 1
    assert "whether the content of its test frames is still the same could not be compared" in done.err


def test_frames_that_changed_places_are_found_by_the_answers_too(copied, gi_edge):
    forget_the_frames(copied)
    exchange_two_classes(copied)
    refused(copied, gi_edge, "weights or frames are not those")
