"""Sabotaged exports of a trained model: each is caught, and by which check or proof is written beside it."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx import helper, numpy_helper
from support import COLOURS
from torch import nn

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.progress import Silent
from gi_edge_export.deploy import deployed_from_model
from gi_edge_export.graph_types import check_graph_precision
from gi_edge_export.onnx import write_onnx
from gi_edge_export.quantize.graph import FORMS, activations_of, quantised_from_graph
from gi_edge_export.quantize.ranges import ranges_from_seen, seen_from_pixels
from gi_edge_export.verify import Trained, check_model

SPEC = PreprocessSpec(size_px=32)
WRONG = {
    "wrong mean": SPEC.model_copy(update={"mean": (0.0, 0.0, 0.0)}),
    "wrong std": SPEC.model_copy(update={"std": (1.0, 1.0, 1.0)}),
}


def frames(count, seed):
    """Noisy pixels of three colours, and which colour each is."""
    random = np.random.default_rng(seed)
    truth = random.integers(0, 3, count)
    colours = np.array(list(COLOURS.values()))[truth]
    light = random.normal(0, 25, (count, 1, 1, 3))
    pixels = random.normal(0, 40, (count, 32, 32, 3)) + colours[:, None, None] + light
    return pixels.clip(0, 255).astype(np.uint8), truth


def trained_model():
    torch.manual_seed(0)
    model = timm.create_model("convnextv2_atto", num_classes=3, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32))
    classifier, optimizer = PixelClassifier(model, SPEC).train(), torch.optim.AdamW(model.parameters(), lr=5e-3)
    pixels, truth = frames(240, seed=0)
    for rows in np.array_split(np.random.default_rng(0).integers(0, 240, 60 * 24), 60):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(classifier(torch.from_numpy(pixels[rows])), torch.from_numpy(truth[rows]))
        loss.backward()
        optimizer.step()
    return model.eval()


class Bgr(nn.Module):
    """A classifier whose caller hands it blue, green, red."""

    def __init__(self, honest):
        super().__init__()
        self.honest = honest

    def forward(self, pixels):
        return self.honest(pixels.flip(-1))


class SwappedLabels(Bgr):
    """A classifier whose first two labels are exchanged."""

    def forward(self, pixels):
        return self.honest(pixels)[:, [1, 0, 2]]


def reorder(graph, name, axis, order):
    """Put a Gather with this order between the pixels and their consumers, or where the logits are made."""
    graph.graph.initializer.append(numpy_helper.from_array(np.array(order), "order"))
    nodes = list(graph.graph.node)
    made_at = next((place for place, node in enumerate(nodes) if name in node.output), None)
    for node in nodes:
        names = node.input if made_at is None else node.output
        names[:] = ["renamed" if item == name else item for item in names]
    ends = (name, "renamed") if made_at is None else ("renamed", name)
    gather = helper.make_node("Gather", [ends[0], "order"], [ends[1]], axis=axis)
    graph.graph.node.insert(0 if made_at is None else made_at + 1, gather)


def permute_weight(graph):
    """Reverse the output channels of the largest weight."""
    weights = [item for item in graph.graph.initializer if len(item.dims) > 1]
    largest = max(weights, key=lambda item: int(np.prod(item.dims)))
    largest.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(largest)[::-1].copy(), largest.name))


EDITS = {
    "one weight permuted": permute_weight,
    "BGR": lambda graph: reorder(graph, "pixels", 3, [2, 1, 0]),
    "labels swapped": lambda graph: reorder(graph, "logits", 1, [1, 0, 2]),
}


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A trained model with its answers on 1,500 test frames, and its honest file and classifier by precision."""
    folder = tmp_path_factory.mktemp("honest")
    model = trained_model()
    pixels, truth = frames(1500, seed=1)
    classifiers = {precision: deployed_from_model(model, SPEC, precision) for precision in ("fp32", "fp16")}
    logits = logits_of(PixelClassifier(model, SPEC), pixels)
    classifiers["int8"] = classifiers["fp32"]
    assert (logits.argmax(axis=1) == truth).mean() > 0.95
    graphs = {name: write_onnx(folder / f"{name}.onnx", item, SPEC, {}) for name, item in classifiers.items()}
    graphs["int8"] = int8_from_fp32(graphs["int8"])
    onnx.save(graphs["int8"], folder / "int8.onnx")
    trained = Trained(pixels, logits, truth, tuple(COLOURS), None, 1.0)
    return SimpleNamespace(folder=folder, model=model, trained=trained, classifiers=classifiers, graphs=graphs)


def int8_from_fp32(graph):
    """Quantise every matrix, calibrated on frames of neither part."""
    form = FORMS["onnxruntime"]
    seen = seen_from_pixels(graph, activations_of(graph), frames(40, seed=2)[0], SPEC, Silent())
    return quantised_from_graph(graph, ranges_from_seen(graph, seen, "minmax", form), form)


def judged(honest, precision, path, classifier=None):
    classifier = classifier or honest.classifiers[precision]
    return check_model(precision, path, classifier, honest.trained, allow_undecided=False).verdict


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8"])
def test_the_honest_export_passes(honest, precision):
    verdict = judged(honest, precision, honest.folder / f"{precision}.onnx")
    assert verdict.status == "pass"
    assert verdict.parity.n == 1500


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("edit", EDITS)
def test_a_sabotaged_file_is_caught_by_its_numbers(honest, tmp_path, edit, precision):
    """fp32: the largest logit difference. fp16: the classifier in PyTorch is sound, but the file's own pass is not."""
    graph = onnx.load(honest.folder / f"{precision}.onnx")
    EDITS[edit](graph)
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, tmp_path / "model.onnx")
    found = "a logit is off by" if precision == "fp32" else "the ONNX file: .*a probability is off by"
    with pytest.raises(GateError, match=found) as caught:
        judged(honest, precision, tmp_path / "model.onnx")
    assert "the ONNX file: " in caught.value.message or precision == "fp32"
    assert caught.value.exit_code == 3


@pytest.mark.parametrize("edit", EDITS)
def test_a_sabotaged_int8_file_is_caught_by_its_diagnoses(honest, tmp_path, edit):
    graph = onnx.load(honest.folder / "int8.onnx")
    EDITS[edit](graph)
    check_graph_precision(graph, "int8")
    onnx.save(graph, tmp_path / "model.onnx")
    with pytest.raises(GateError, match="frames newly missed; 1 point of sensitivity may be lost"):
        judged(honest, "int8", tmp_path / "model.onnx")


@pytest.mark.parametrize("kind", WRONG)
def test_a_file_with_the_wrong_scaling_is_caught_by_its_numbers(honest, tmp_path, kind):
    write_onnx(tmp_path / "model.onnx", deployed_from_model(honest.model, WRONG[kind]), WRONG[kind], {})
    with pytest.raises(GateError, match="a logit is off by"):
        judged(honest, "fp32", tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("kind", "made"),
    [
        ("wrong mean", lambda model: deployed_from_model(model, WRONG["wrong mean"], "fp16", "uint8")),
        ("wrong std", lambda model: deployed_from_model(model, WRONG["wrong std"], "fp16", "uint8")),
        ("BGR", lambda model: Bgr(deployed_from_model(model, SPEC, "fp16", "uint8"))),
        ("labels swapped", lambda model: SwappedLabels(deployed_from_model(model, SPEC, "fp16", "uint8"))),
    ],
)
def test_a_sabotaged_half_model_is_caught_by_its_numbers_and_its_diagnoses(honest, kind, made):
    """Probabilities move in all; where answers change, so do macro-F1 and the classes that lose frames."""
    with pytest.raises(GateError, match="a probability is off by") as caught:
        judged(honest, "fp16", honest.folder / "fp16.onnx", made(honest.model).eval())
    if kind in ("BGR", "labels swapped"):
        assert "macro-F1 fell by" in caught.value.message
        assert "frames newly missed; 1 point of sensitivity may be lost" in caught.value.message


@pytest.mark.parametrize(("made", "asked"), [("fp32", "fp16"), ("fp16", "fp32"), ("fp32", "int8")])
def test_another_precision_passed_off_is_caught_by_the_proof_from_the_graph(honest, made, asked):
    """As fp16, the fp32 file answers right, better than half precision can: only the types in the graph tell."""
    if asked == "fp16":
        path = honest.folder / "fp32.onnx"
        assert judged(honest, "fp16", path, honest.classifiers["fp32"]).status == "pass"
    with pytest.raises(GateError, match=f"{asked} was asked for, but "):
        check_graph_precision(honest.graphs[made], asked)


def test_too_few_frames_stop_the_export_unless_it_is_allowed(honest):
    few = Trained(
        honest.trained.pixels[:60], honest.trained.logits[:60], honest.trained.truth[:60], tuple(COLOURS), None, 1.0
    )
    path, classifier = honest.folder / "fp16.onnx", honest.classifiers["fp16"]
    with pytest.raises(GateError, match="could not be judged: too little data to decide on macro-F1") as caught:
        check_model("fp16", path, classifier, few, allow_undecided=False)
    assert caught.value.exit_code == 3
    assert "--allow-undecided" in caught.value.fix
    assert check_model("fp16", path, classifier, few, allow_undecided=True).verdict.status == "undecided"
