"""The mend of a damaged artefact is a command that can be typed as it stands."""

from __future__ import annotations

import json

import pytest

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.manifest import MANIFEST
from gi_edge.artifacts.remake import export_again, train_again
from gi_edge.errors import ArtifactError
from gi_edge.files import sha256_file


def written(folder, told):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MANIFEST).write_text(told if isinstance(told, str) else json.dumps(told))
    return folder


def models(*precisions, **fields):
    return [{"precision": precision, **fields} for precision in precisions]


def int8(dialect):
    return {"precision": "int8", "quantisation": {"dialect": dialect}}


@pytest.mark.parametrize(
    ("name", "told", "command"),
    [
        ("data", {"dataset": {"name": "data"}}, "--dataset data --force"),
        ("big", {"dataset": {"name": "data"}}, "--dataset data --name big --force"),
        ("big", {"dataset": {"name": "my data"}}, "--dataset 'my data' --name big --force"),
        ("big", "{", "--dataset DATASET --name big --force"),
        ("big", "[1]", "--dataset DATASET --name big --force"),
        ("big", {"dataset": "data"}, "--dataset DATASET --name big --force"),
        ("big", {"dataset": {"name": 3}}, "--dataset DATASET --name big --force"),
    ],
)
def test_an_adapter_is_trained_again_on_its_own_dataset_under_its_own_name(tmp_path, name, told, command):
    folder = written(tmp_path / name, told)
    assert train_again(folder) == f"gi-edge train {command}"
    with pytest.raises(ArtifactError) as caught:
        read_adapter(folder)
    assert f"gi-edge train {command}" in caught.value.fix


@pytest.mark.parametrize(
    ("told", "command"),
    [
        ({"config": {"adapter": "full"}}, "--adapter full --force"),
        ({"config": {"adapter": "big"}, "models": models("fp32")}, "--adapter big --name full --force"),
        (
            {"config": {"adapter": "big"}, "models": models("fp32", "int8", "fp16", input="uint8")},
            "--adapter big --name full --fp16 --int8 --force",
        ),
        (
            {"config": {"adapter": "big"}, "models": [*models("fp32", "bf16"), int8("tensorrt")]},
            "--adapter big --name full --bf16 --int8 --int8-target tensorrt --force",
        ),
        (
            {"config": {"adapter": "big"}, "models": [int8("onnxruntime"), int8("tensorrt")], "samples": [{}, {}]},
            "--adapter big --name full --int8 --int8-target both --samples 2 --force",
        ),
        (
            {"config": {"adapter": "big"}, "models": models("fp32", input="float")},
            "--adapter big --name full --input float --force",
        ),
        ({"kind": "adapter"}, "--adapter full --force"),
        ({"models": "fp16", "samples": 3, "config": []}, "--adapter ADAPTER --name full --force"),
        ("", "--adapter ADAPTER --name full --force"),
    ],
)
def test_a_bundle_is_exported_again_from_its_adapter_with_what_it_held(tmp_path, told, command):
    folder = written(tmp_path / "bundles" / "full", told)
    assert export_again(folder) == f"gi-edge export {command}"
    with pytest.raises(ArtifactError) as caught:
        read_bundle(folder)
    assert f"gi-edge export {command}" in caught.value.fix


def test_a_bundle_that_does_not_name_its_adapter_finds_it_in_its_workspace(tmp_path):
    written(tmp_path / "adapters" / "another", {"name": "another"})
    adapter = written(tmp_path / "adapters" / "big", {"name": "big"})
    folder = written(tmp_path / "bundles" / "full", {"adapter_sha256": sha256_file(adapter / MANIFEST)})
    assert export_again(folder) == "gi-edge export --adapter big --name full --force"


def test_a_precision_that_is_lacking_joins_those_there(tmp_path):
    folder = written(tmp_path / "full", {"config": {"adapter": "full"}, "models": models("fp32", "fp16", "int8")})
    assert export_again(folder, "--bf16") == "gi-edge export --adapter full --fp16 --int8 --bf16 --force"
    more = ("--int8", "--int8-target", "both")
    wanted = "gi-edge export --adapter full --fp16 --int8 --int8-target both --force"
    assert export_again(folder, *more) == wanted
