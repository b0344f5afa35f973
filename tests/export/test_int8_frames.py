"""The frames that INT8 is made from, and the whole way through the command line."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from types import SimpleNamespace

import pytest
from benches import QUICK_WORDS

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.artifacts.bundle import models_for, read_bundle
from gi_edge.data.split import SplitRow, split_from_rows
from gi_edge.errors import DataError
from gi_edge.progress import Silent
from gi_edge_export.quantize.frames import calibration_frames, chosen_ids

CLASSES = ("a", "b", "c")


def split_of(**counts):
    rows = [
        SplitRow(frame=f"{label}/{number}", label=label, group=f"{label}{number // 4}", part="train")
        for label, count in counts.items()
        for number in range(count)
    ]
    rows += [SplitRow(frame=f"{label}/t", label=label, group=f"{label}t", part="test") for label in counts]
    return split_from_rows(rows, "video")


@pytest.mark.parametrize(("count", "expected"), [(11, [4, 4, 3]), (40, [26, 11, 3]), (500, [60, 24, 3])])
def test_calibration_frames_follow_the_classes_and_spare_none(count, expected):
    split = split_of(a=60, b=24, c=3)
    ids = chosen_ids(split, "train", count, CLASSES)
    found = Counter(frame[0] for frame in ids)
    assert [found[label] for label in CLASSES] == expected
    assert ids == chosen_ids(split, "train", count, CLASSES)
    assert set(ids) <= set(split.ids("train"))
    if count == 40:
        assert len({(frame[0], int(frame[2:]) // 4) for frame in ids}) == 15 + 6 + 1  # every video


@pytest.mark.parametrize(
    ("counts", "count", "message", "fix"),
    [
        ({"a": 60, "b": 24, "c": 3}, 10, "10 calibration frames are too few for 3 classes", "--calibration-frames 11"),
        ({"a": 60, "b": 24}, 200, "the split has none of 'c'", "gi-edge data split"),
    ],
)
def test_too_few_frames_are_refused(counts, count, message, fix):
    with pytest.raises(DataError) as caught:
        chosen_ids(split_of(**counts), "train", count, CLASSES)
    assert message in caught.value.message
    assert fix in caught.value.fix


def test_int8_for_both_runtimes_joins_the_bundle(copied, gi_edge):
    words = (
        "--int8",
        "--int8-target",
        "both",
        "--calibration-frames",
        24,
        "--allow-undecided",
        "--triton",
        "--name",
        "x",
    )
    done = gi_edge("export", *words, "--json", cwd=copied)
    assert done.code == 0, done.err
    models = {entry["path"]: entry for entry in json.loads(done.out)["models"]}
    assert list(models) == ["model.fp32.onnx", "model.int8.onnx", "model.int8-tensorrt.onnx"]
    assert models["model.fp32.onnx"]["quantisation"] is None
    for path, dialect in (("model.int8.onnx", "onnxruntime"), ("model.int8-tensorrt.onnx", "tensorrt")):
        made = models[path]["quantisation"]
        assert (made["dialect"], made["calibration_frames"], len(made["tried"])) == (dialect, 24, 3)
        assert made["method"] == min(made["tried"], key=lambda score: score["divergence"])["method"]
        assert made["divergence"] < 1e-3
        assert f"int8 for {dialect}: {made['method']} on 24 training frames" in done.err
    assert models["model.int8.onnx"]["verdict"]["computed_by"].endswith("matrices by int8 kernels")
    folder = copied / "bundles" / "x"
    assert sorted(path.name for path in (folder / "model_repository").iterdir()) == ["x-fp32-onnx", "x-int8-onnx"]
    assert gi_edge("verify", "x", cwd=copied).code == 0
    bundle = read_bundle(folder)
    assert bundle.model("int8").path == "model.int8.onnx"
    assert bundle.model("int8", "tensorrt").path == "model.int8-tensorrt.onnx"
    done = gi_edge("bench", "x", *QUICK_WORDS, "--json", cwd=copied)
    assert done.code in (0, 3), done.err
    assert [model["file"] for model in json.loads(done.out)["bundles"][0]["models"]] == list(models)[:2]


def test_each_runtime_is_given_its_own_dialect():
    """ONNX Runtime computes either; TensorRT's parser takes its own only."""

    def paths(runtime, *dialects):
        entries = [SimpleNamespace(precision="fp32", quantisation=None, path="fp32")]
        entries += [
            SimpleNamespace(precision="int8", quantisation=SimpleNamespace(dialect=d), path=d) for d in dialects
        ]
        return [entry.path for entry in models_for(entries, runtime)]

    assert paths("onnxruntime", "tensorrt", "onnxruntime") == ["fp32", "onnxruntime"]
    assert paths("tensorrt", "tensorrt", "onnxruntime") == ["fp32", "tensorrt"]
    assert paths("onnxruntime", "tensorrt") == ["fp32", "tensorrt"]
    assert paths("tensorrt", "onnxruntime") == ["fp32"]


def remove_training_frames(root, split):
    for frame in split.ids("train"):
        (root / frame).unlink()


def copy_a_test_frame(root, split):
    for frame in split.ids("train"):
        shutil.copyfile(root / split.ids("test")[0], root / frame)


def break_a_frame(root, split):
    (root / split.ids("train")[0]).write_bytes(b"cut")


@pytest.mark.parametrize(
    ("damage", "count", "message"),
    [
        (remove_training_frames, 200, "int8 needs 42 training frames, and 42 of them are not in"),
        (copy_a_test_frame, 200, "42 training frames for int8 are test frames, byte for byte"),
        (break_a_frame, 200, "1 of the training frames for int8 cannot be read, the first: .*: not an image"),
        (lambda *_: None, 5, "5 calibration frames are too few for 3 classes: 4 of each are needed"),
    ],
)
def test_frames_that_cannot_serve_are_refused(copied, damage, count, message):
    adapter = read_adapter(copied / "adapters" / "lesions")
    assert len(adapter.split.ids("train")) == 42
    damage(copied / "data" / "lesions", adapter.split)
    with pytest.raises(DataError, match=message):
        calibration_frames(adapter, copied / "data" / "lesions", count, Silent())


def test_a_refusal_comes_before_any_work_and_leaves_nothing(copied, gi_edge):
    done = gi_edge("export", "--int8", "--calibration-frames", 5, "--name", "x", cwd=copied)
    assert done.code == 1
    assert done.err.startswith("error: 5 calibration frames are too few for 3 classes")
    assert "--calibration-frames 12" in done.err
    assert [path.name for path in (copied / "bundles").iterdir()] == ["lesions"]


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (("--calibration", "minmax"), 2, "add --int8"),
        (("--int8-target", "both"), 2, "add --int8"),
        (("--int8", "--calibration-frames", "0"), 2, "x>=1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_first(copied, gi_edge, words, code, message):
    done = gi_edge("export", *words, "--name", "x", cwd=copied)
    assert done.code == code
    assert message in done.err


@pytest.mark.tensorrt
def test_an_int8_engine_is_asked_for_its_dialect_first(copied, gi_edge):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install 'gi-edge[tensorrt-rtx]'")
    done = gi_edge("export", "--int8", "--engine", "tensorrt-rtx", "--sm", "86", "--name", "x", cwd=copied)
    assert done.code == 1
    assert "add --int8-target both" in done.err
