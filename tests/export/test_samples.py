"""Packed frames: chosen alike every time, carried with their licence, enough for a device without the dataset."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from benches import QUICK_WORDS

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.errors import ArtifactError, DataError
from gi_edge.files import sha256_file
from gi_edge.progress import Silent
from gi_edge_bench.frames import packed_frames
from gi_edge_export.samples import sample_rows

LABELS = np.array([0] * 60 + [1] * 30 + [2] * 2)
HASHES = [f"{(i * 7919) % 997:04d}" for i in range(92)]
GROUPS = [f"v{i // 6}" for i in range(92)]


@pytest.fixture(scope="module")
def packed(workspace, tmp_path_factory):
    """A workspace whose bundle carries six of its twelve test frames, and whose dataset is gone."""
    from support import gi_edge_process

    root = Path(shutil.copytree(workspace, tmp_path_factory.mktemp("packed") / "copy"))
    done = gi_edge_process("export", "--force", "--samples", 6, cwd=root)
    assert done.code == 0, done.err
    shutil.move(root / "data" / "lesions", root / "away")
    return root


@pytest.mark.parametrize(("count", "expected"), [(3, [1, 1, 1]), (10, [6, 3, 1]), (92, [60, 30, 2])])
def test_samples_are_in_proportion_with_one_of_each_class(count, expected):
    rows = sample_rows(LABELS, GROUPS, HASHES, count)
    assert np.bincount(LABELS[list(rows)]).tolist() == expected
    assert len(set(rows)) == count


def test_samples_spread_over_the_groups_and_depend_on_content_only():
    rows = sample_rows(LABELS, GROUPS, HASHES, 14)
    assert len({GROUPS[row] for row in rows if LABELS[row] == 0}) == 9  # one each of nine of ten videos
    order = np.random.default_rng(0).permutation(92)
    again = sample_rows(LABELS[order], [GROUPS[i] for i in order], [HASHES[i] for i in order], 14)
    assert {HASHES[row] for row in rows} == {HASHES[order[row]] for row in again}


@pytest.mark.parametrize("count", [2, 93])
def test_a_number_that_cannot_be_is_refused_with_the_range(count):
    with pytest.raises(DataError) as caught:
        sample_rows(LABELS, GROUPS, HASHES, count)
    assert caught.value.fix == "give a number from 3 to 92"


def test_the_bundle_carries_original_files_with_their_licence(packed):
    bundle = read_bundle(packed / "bundles" / "lesions")
    samples = bundle.manifest.samples
    assert len(samples) == 6
    reference = bundle.reference()
    known = dict(zip(reference.ids, reference.sha256, strict=True))
    for entry in samples:
        assert sha256_file(bundle.path / entry.path) == known[entry.frame]
        assert (bundle.path / entry.path).read_bytes() == (packed / "away" / entry.frame).read_bytes()
    assert "Licence: " in (bundle.path / "samples" / "LICENCE.txt").read_text()
    listed = {entry.path for entry in bundle.manifest.files}
    assert {entry.path for entry in samples} | {"samples/LICENCE.txt"} <= listed


def test_bench_without_the_dataset_compares_the_packed_frames(packed, gi_edge):
    done = gi_edge("bench", *QUICK_WORDS, "--json", cwd=packed)
    assert done.code == 0, done.err
    assert "compared on the 6 frames packed in the bundle" in done.err
    (model,) = json.loads(done.out)["bundles"][0]["models"]
    assert (model["parity"]["frames"], model["parity"]["verdict"]["parity"]["n"]) == ("samples", 6)
    assert model["parity"]["verdict"]["status"] == "pass"  # fp32, by its numbers


def test_evaluate_without_the_dataset_scores_the_packed_frames(packed, gi_edge):
    done = gi_edge("evaluate", "--bundle", "lesions", "--json", cwd=packed)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert (found["evaluation"]["n"], found["source"]) == (6, "bundle")
    assert found["runtime"].endswith(", on 6 frames packed in the bundle")


def test_a_bundle_without_samples_and_without_the_dataset_says_what_to_give(workspace):
    with pytest.raises(ArtifactError, match="has no packed frames") as caught:
        packed_frames(read_bundle(workspace / "bundles" / "lesions"), Silent())
    assert "--samples N" in caught.value.fix


def test_exchanged_samples_are_not_compared(packed, tmp_path):
    """The manifest's hashes hold, since an attacker or a mishap may rewrite both; the reference's hash does not."""
    folder = Path(shutil.copytree(packed / "bundles" / "lesions", tmp_path / "lesions"))
    content = json.loads((folder / MANIFEST).read_text())
    first, second = content["samples"][0], content["samples"][1]
    first["path"], second["path"] = second["path"], first["path"]
    (folder / MANIFEST).write_text(json.dumps(content))
    with pytest.raises(ArtifactError, match="is not the frame"):
        packed_frames(read_bundle(folder), Silent())
