"""Readers trust nothing that they did not hash."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from gi_edge.artifacts.adapter import AdapterManifest, read_adapter
from gi_edge.artifacts.bench_comparison import BenchComparison
from gi_edge.artifacts.bundle import BundleManifest, read_bundle, read_reference
from gi_edge.artifacts.engine import EngineEntry
from gi_edge.artifacts.evaluation import EvaluationResult
from gi_edge.artifacts.frames_file import FRAMES_FILE, check_frames, csv_from_hashes
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.artifacts.results import BenchResult, read_result
from gi_edge.data.audit import SplitAudit
from gi_edge.data.check import DataCheck
from gi_edge.data.index import Frame
from gi_edge.errors import ArtifactError, DataError, GiEdgeError
from gi_edge.files import sha256_file
from gi_edge.progress import Silent

GOLDEN = Path(__file__).parent.parent / "golden"


@pytest.fixture
def bundle(workspace, tmp_path):
    return Path(shutil.copytree(workspace / "bundles" / "lesions", tmp_path / "lesions"))


@pytest.fixture
def adapter(workspace, tmp_path):
    return Path(shutil.copytree(workspace / "adapters" / "lesions", tmp_path / "lesions"))


def change_manifest(folder, **fields):
    content = json.loads((folder / MANIFEST).read_text())
    content.update(fields)
    (folder / MANIFEST).write_text(json.dumps(content))


def flip_a_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "match"),
    [
        (lambda f: flip_a_bit(f / "model.fp32.onnx"), r"'model\.fp32\.onnx' was altered"),
        (lambda f: (f / "model.fp16.onnx").write_bytes(b""), r"'model\.fp16\.onnx' was altered"),
        (lambda f: (f / "reference.npz").unlink(), r"'reference\.npz' is missing"),
        (lambda f: (f / "extra.bin").write_bytes(b"x"), r"'extra\.bin' is not listed"),
        (
            lambda f: (f / "labels.txt").rename(f.parent / "l") and (f / "labels.txt").symlink_to(f.parent / "l"),
            "plain",
        ),
        (lambda f: (f / MANIFEST).unlink(), "is no bundle"),
        (lambda f: (f / MANIFEST).write_text("{"), "is no bundle"),
        (lambda f: (f / MANIFEST).write_text("[1]"), "is no bundle"),
        (lambda f: change_manifest(f, kind="adapter"), "its manifest says 'adapter'"),
        (lambda f: change_manifest(f, schema_version=2), "has schema 2; this gi-edge reads 1"),
    ],
)
def test_a_damaged_bundle_is_refused_and_told(bundle, damage, match):
    damage(bundle)
    with pytest.raises(ArtifactError, match=match) as caught:
        read_bundle(bundle)
    is_told = "is no bundle: manifest" not in caught.value.message and "says None" not in caught.value.message
    known = "--adapter lesions --fp16" if is_told else "--adapter ADAPTER --name lesions"
    assert f"gi-edge export {known} --force" in caught.value.fix


@pytest.mark.parametrize("path", ["../outside", "/etc/passwd", "a/../../b"])
def test_a_path_that_leaves_the_folder_is_refused(bundle, path):
    files = json.loads((bundle / MANIFEST).read_text())["files"]
    change_manifest(bundle, files=[*files, {"path": path, "size_bytes": 0, "sha256": "0"}])
    with pytest.raises(ArtifactError, match="path outside"):
        read_bundle(bundle)


def test_an_unknown_field_of_a_manifest_is_refused(bundle):
    change_manifest(bundle, colour="red")
    with pytest.raises(ArtifactError, match="another version of gi-edge wrote .* unknown key 'colour'") as told:
        read_bundle(bundle)
    assert told.value.fix == "make it anew: gi-edge export --adapter lesions --fp16 --force"


def test_a_changed_split_is_refused(adapter):
    path = adapter / "split.csv"
    path.write_text(path.read_text().replace(",test", ",train", 1))
    with pytest.raises(ArtifactError, match=r"'split\.csv' was altered"):
        read_adapter(adapter)


def test_an_adapter_knows_the_files_of_its_held_out_frames(workspace, adapter):
    with (adapter / FRAMES_FILE).open(newline="") as file:
        found = [(row["frame"], row["sha256"]) for row in csv.DictReader(file)]
    split = read_adapter(adapter).split
    ids = sorted([*split.ids("val"), *split.ids("test")])
    assert found == [(frame, sha256_file(workspace / "data" / "lesions" / frame)) for frame in ids]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "has not the columns frame, sha256"),
        (b"frame,label\n", "has not the columns frame, sha256"),
        (b"frame,sha256\na/0.jpg,ab\n", r"line 2 is not a frame and a sha256: \['a/0\.jpg', 'ab'\]"),
        (b"frame,sha256\na/0.jpg\n", "line 2 is not a frame and a sha256"),
        (b"\xff", "cannot be read: .*utf-8"),
    ],
)
def test_a_record_of_frames_in_no_form_is_refused(adapter, content, match):
    whole = read_adapter(adapter)
    (adapter / FRAMES_FILE).write_bytes(content)
    with pytest.raises(ArtifactError, match=match) as caught:
        check_frames(whole, "test", (), (), Silent())
    assert caught.value.fix == "gi-edge train --dataset lesions --force"


def test_an_altered_record_of_frames_is_no_whole_adapter(adapter):
    flip_a_bit(adapter / FRAMES_FILE)
    with pytest.raises(ArtifactError, match=r"'frames\.csv' was altered"):
        read_adapter(adapter)


def test_names_of_frames_survive_the_record(tmp_path, adapter):
    """Names may hold what CSV divides by. A frame that the record does not name is not one of the training."""
    names = ['a/x,"y".jpg', "a/line\nbreak\r.jpg", "a/ünï.jpg"]
    frames = [Frame(name, tmp_path / "x", 0, None) for name in names]
    hashes = [f"{number:064x}" for number in range(3)]
    whole = read_adapter(adapter)
    (adapter / FRAMES_FILE).write_bytes(csv_from_hashes(dict(zip(names, hashes, strict=True))).encode())
    check_frames(whole, "val", frames, hashes, Silent())
    unknown = Frame("a/new.jpg", tmp_path / "new.jpg", 0, None)
    with pytest.raises(DataError, match=r"^1 of 4 validation frames .* the first is 'a/new\.jpg'"):
        check_frames(whole, "val", [*frames, unknown], [*hashes, "f" * 64], Silent())


def test_a_reference_with_pickled_objects_is_refused(bundle):
    np.savez(bundle / "reference.npz", frame=np.array([{}], dtype=object), sha256=[], label=[], logits=[])
    with pytest.raises(ArtifactError, match="no reference logits"):
        read_reference(bundle / "reference.npz")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"kind": "adapter", "schema_version": 2}'])
def test_what_is_no_result_is_refused(tmp_path, content):
    (tmp_path / "r.json").write_text(content)
    with pytest.raises(ArtifactError, match="is no bench result"):
        read_result(tmp_path / "r.json")


def test_a_result_with_wrong_fields_names_them(tmp_path):
    (tmp_path / "r.json").write_text('{"kind": "bench-result", "schema_version": 2}')
    with pytest.raises(GiEdgeError, match="environment is missing"):
        read_result(tmp_path / "r.json")


@pytest.mark.parametrize("version", ["1", "3", "null", '"2"'])
def test_a_result_of_another_schema_is_refused_by_name(tmp_path, version):
    (tmp_path / "r.json").write_text(f'{{"kind": "bench-result", "schema_version": {version}, "bundles": []}}')
    with pytest.raises(
        ArtifactError, match="is a bench result of schema .*, and this gi-edge reads schema 2"
    ) as caught:
        read_result(tmp_path / "r.json")
    assert caught.value.fix == "measure again with this gi-edge: gi-edge bench"


@pytest.mark.parametrize(
    "model",
    [
        *(AdapterManifest, BundleManifest, BenchComparison, BenchResult, EngineEntry),
        *(EvaluationResult, SplitAudit, DataCheck),
    ],
)
def test_the_schema_changes_only_on_purpose(model):
    """Made by python tests/golden/write_schemas.py; a change of meaning raises schema_version as well."""
    expected = json.loads((GOLDEN / f"{model.__name__}.schema.json").read_text())
    assert model.model_json_schema() == expected


def test_artefacts_name_no_path_of_this_machine(workspace):
    secret = str(workspace)
    for path in [*(workspace / "adapters").rglob("*"), *(workspace / "bundles").rglob("*")]:
        if path.is_file():
            assert secret.encode() not in path.read_bytes(), path
            assert str(Path(__file__).parents[2]).encode() not in path.read_bytes(), path
