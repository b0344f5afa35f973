"""The model that is exported has to be the one whose scores the adapter recorded."""

from __future__ import annotations

import json

import numpy as np
import pytest

from gi_edge.artifacts.adapter import read_adapter
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


def test_frames_that_changed_places_are_refused(copied, gi_edge):
    data = copied / "data" / "lesions"
    blue, green = sorted(path for path in data.iterdir() if path.is_dir())[:2]
    blue.rename(data / "aside")
    green.rename(blue)
    (data / "aside").rename(green)
    refused(copied, gi_edge, "weights or frames are not those")
