"""Readers trust nothing that they did not hash."""

from __future__ import annotations

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
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.artifacts.results import BenchResult, read_result
from gi_edge.data.audit import SplitAudit
from gi_edge.data.check import DataCheck
from gi_edge.errors import ArtifactError, GiEdgeError

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
