"""The exported files: equal to the trained network in each precision, proven from their types, loaded unchanged."""

from __future__ import annotations

import collections
import os
import subprocess
import sys

import numpy as np
import onnx
import openvino
import pytest
import torch
from networks import GENERIC, PIXELS, SPEC, convnext_of, generic_of
from onnx.reference import ReferenceEvaluator
from torch import nn

from gi_edge.artifacts.bundle import model_sha256
from gi_edge.data.preprocess import images_from_pixels
from gi_edge.errors import GateError, ModelError, RuntimeUnavailableError
from gi_edge.files import sha256_file
from gi_edge.metrics.calibration import softmax
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.runtime.onnxruntime import open_session
from gi_edge_export.config import OnnxForm, opset_of
from gi_edge_export.deploy import deployed_from_model
from gi_edge_export.graph_types import check_graph_precision, widened_from_graph
from gi_edge_export.onnx import write_onnx

PRECISIONS = ("fp32", "fp16", "bf16")
ROUNDING = {"fp16": 0.02, "bf16": 0.1}
PREPROCESS = {"gi_edge.preprocess": SPEC.model_dump_json()}


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """The same weights in all precisions, as classifier and as file, beside timm's own answers."""
    folder = tmp_path_factory.mktemp("onnx")
    model = convnext_of("convnextv2_atto")
    classifiers = {precision: deployed_from_model(model, SPEC, precision) for precision in PRECISIONS}
    graphs = {
        precision: write_onnx(
            folder / f"{precision}.onnx",
            classifier,
            SPEC,
            {"gi_edge.precision": precision},
            OnnxForm(opset=opset_of(precision)),
        )
        for precision, classifier in classifiers.items()
    }
    return folder, classifiers, graphs, logits_of(PixelClassifier(model, SPEC), PIXELS)


def test_the_file_answers_as_timms_own_network_at_any_batch_size(exported):
    folder, _, _, expected = exported
    session = open_session(folder / "fp32.onnx", "cpu")
    for batch in (1, 2, 5):
        assert np.abs(session.run(PIXELS[:batch]) - expected[:batch]).max() < 1e-4


def test_openvino_loads_the_file_unchanged(exported):
    folder, _, _, expected = exported
    model = openvino.Core().compile_model(
        folder / "fp32.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    )
    for batch in (1, 5):
        found = model([PIXELS[:batch]])
        assert np.abs(found["logits"] - expected[:batch]).max() < 1e-4
        assert np.abs(found["probabilities"] - softmax(expected[:batch])).max() < 1e-4


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_half_precision_stays_within_rounding(exported, precision):
    _, classifiers, _, exact = exported
    half = logits_of(classifiers[precision], PIXELS)
    assert 0 < np.abs(half - exact).max() < ROUNDING[precision] * np.abs(exact).max()


def test_the_half_file_computed_in_true_half_answers_as_the_classifier(exported):
    """onnx's reference evaluator computes each operator in the type of the graph, as numpy halves."""
    folder, classifiers, _, _ = exported
    (found, _) = ReferenceEvaluator(str(folder / "fp16.onnx")).run(None, {"pixels": PIXELS[:2]})
    expected = logits_of(classifiers["fp16"], PIXELS[:2])
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_the_bfloat16_file_is_the_same_graph_and_onnxruntime_says_that_it_cannot(exported, tmp_path):
    folder, _, graphs, exact = exported
    with pytest.raises(RuntimeUnavailableError, match=r"cannot compute bf16\.onnx.*--precision fp32"):
        open_session(folder / "bf16.onnx", "cpu")
    onnx.save(widened_from_graph(graphs["bf16"]), tmp_path / "wide.onnx")
    found = open_session(tmp_path / "wide.onnx", "cpu").run(PIXELS)
    assert 0 < np.abs(found - exact).max() < ROUNDING["bf16"] * np.abs(exact).max()


def test_each_graph_is_in_its_precision_and_no_other(exported):
    _, _, graphs, _ = exported
    for made, graph in graphs.items():
        for asked in PRECISIONS:
            if asked == made:
                check_graph_precision(graph, asked)
            else:
                with pytest.raises(GateError, match=f"{asked} was asked for"):
                    check_graph_precision(graph, asked)


def test_the_graph_is_the_rewritten_one(exported):
    """Per block one convolution, two Gemm with their biases inside and one pass of GRN; no norm keeps an affine."""
    _, _, graphs, _ = exported
    count = collections.Counter(node.op_type for node in graphs["fp32"].graph.node)
    blocks, reduces = 4, 3
    assert count["Conv"] == count["Gelu"] == count["MatMul"] == blocks
    assert count["Gemm"] == 2 * blocks + reduces + 2
    assert count["Transpose"] == 2 * blocks + reduces + 1
    assert count["ReduceL2"] == count["ReduceSum"] == count["Pow"] == 0
    assert graphs["fp32"].graph.node[0].op_type == "Cast"
    assert [graphs["fp16"].graph.node[place].op_type for place in (0, 1)] == ["Cast", "Sub"]


def test_one_matrix_left_in_fp32_is_found(exported):
    _, _, graphs, _ = exported
    mixed = onnx.ModelProto.FromString(graphs["fp16"].SerializeToString())
    node = next(node for node in mixed.graph.node if node.op_type == "Gemm")
    half = {item.name: item for item in mixed.graph.initializer}
    for name in node.input[1:]:
        wide = onnx.numpy_helper.to_array(half[name]).astype(np.float32)
        half[name].CopyFrom(onnx.numpy_helper.from_array(wide, name))
    del mixed.graph.value_info[:]
    at = list(mixed.graph.node).index(node)
    back = onnx.helper.make_node("Cast", ["wide_out"], [node.output[0]], to=onnx.TensorProto.FLOAT16)
    wide = onnx.helper.make_node("Cast", [node.input[0]], ["wide_in"], to=onnx.TensorProto.FLOAT)
    node.input[0], node.output[0] = "wide_in", "wide_out"
    mixed.graph.node.insert(at + 1, back)
    mixed.graph.node.insert(at, wide)
    with pytest.raises(GateError, match="Gemm"):
        check_graph_precision(mixed, "fp16")


def test_everything_in_half_is_mended_by_the_export_and_refused_without(tmp_path):
    """The naive route: PyTorch's own half network. Written by this module, its sums get casts around them."""
    naive = PixelClassifier(convnext_of("convnextv2_atto").half(), SPEC, torch.float16).eval()
    graph = write_onnx(tmp_path / "naive.onnx", naive, SPEC, {})
    check_graph_precision(graph, "fp16")
    casts = {node.output[0]: node.input[0] for node in graph.graph.node if node.op_type == "Cast"}
    for node in graph.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = casts.get(name, name) if node.op_type == "ReduceL2" else name
    with pytest.raises(GateError, match="ReduceL2 .* computes in FLOAT16, not FLOAT"):
        del graph.graph.value_info[:]
        check_graph_precision(graph, "fp16")


@pytest.mark.parametrize("name", ["convnextv2_atto", "resnet10t"])
def test_a_file_that_takes_scaled_images_answers_alike(name, tmp_path):
    model = generic_of(name) if name in GENERIC else convnext_of(name)
    expected = logits_of(PixelClassifier(model, SPEC), PIXELS)
    network = deployed_from_model(model, SPEC, "fp32", "float")
    graph = write_onnx(tmp_path / "m.onnx", network, SPEC, PREPROCESS, OnnxForm(input="float"))
    (images,) = graph.graph.input
    assert images.name == "images"
    assert [dim.dim_value for dim in images.type.tensor_type.shape.dim][1:] == [3, 64, 64]
    session = open_session(tmp_path / "m.onnx", "cpu")
    assert np.abs(session.run(PIXELS) - expected).max() < 1e-4 * np.abs(expected).max()
    (logits, _) = ReferenceEvaluator(graph).run(None, {"images": images_from_pixels(PIXELS[:1], SPEC)})
    assert np.abs(logits - expected[:1]).max() < 1e-4 * np.abs(expected).max()


@pytest.mark.parametrize(("name", "precision"), [("resnet10t", "fp32"), *((name, "fp16") for name in GENERIC)])
def test_other_classifiers_are_exported_in_their_precision(name, precision, tmp_path):
    model = generic_of(name)
    exact = logits_of(PixelClassifier(model, SPEC), PIXELS)
    network = deployed_from_model(model, SPEC, precision)
    graph = write_onnx(tmp_path / "m.onnx", network, SPEC, {})
    check_graph_precision(graph, precision)
    limit = {"fp32": 1e-4, "fp16": 0.05}[precision] * np.abs(exact).max()
    assert np.abs(logits_of(network, PIXELS) - exact).max() < limit
    assert np.abs(open_session(tmp_path / "m.onnx", "cpu").run(PIXELS) - exact).max() < limit


def test_probabilities_are_the_softmax_of_the_logits_at_the_temperature(tmp_path):
    network = deployed_from_model(convnext_of("convnextv2_atto"), SPEC)
    graph = write_onnx(tmp_path / "m.onnx", network, SPEC, {}, OnnxForm(temperature=2.5))
    logits, probabilities = ReferenceEvaluator(graph).run(None, {"pixels": PIXELS[:2]})
    assert [output.name for output in graph.graph.output] == ["logits", "probabilities"]
    assert np.allclose(probabilities, softmax(logits / 2.5), atol=1e-6)


def test_weights_above_the_limit_of_protobuf_go_into_a_second_file(exported, tmp_path):
    folder, classifiers, graphs, _ = exported
    form = OnnxForm(external_above_bytes=10_000)
    split = write_onnx(tmp_path / "split.onnx", classifiers["fp32"], SPEC, {"gi_edge.precision": "fp32"}, form)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["split.onnx", "split.onnx.data"]
    assert (tmp_path / "split.onnx").stat().st_size < (folder / "fp32.onnx").stat().st_size / 2
    assert split.SerializeToString() == graphs["fp32"].SerializeToString()
    answers = [open_session(path, "cpu").run(PIXELS) for path in (folder / "fp32.onnx", tmp_path / "split.onnx")]
    assert np.array_equal(*answers)
    check_graph_precision(onnx.load(tmp_path / "split.onnx", load_external_data=False), "fp32")
    assert model_sha256(folder / "fp32.onnx") == sha256_file(folder / "fp32.onnx")
    both = model_sha256(tmp_path / "split.onnx")
    weights = tmp_path / "split.onnx.data"
    weights.write_bytes(weights.read_bytes()[::-1])
    assert model_sha256(tmp_path / "split.onnx") != both


def test_files_carry_their_properties_and_nothing_of_this_machine(exported):
    folder, _, graphs, _ = exported
    assert [(item.key, item.value) for item in graphs["fp16"].metadata_props] == [("gi_edge.precision", "fp16")]
    assert b".py" not in (folder / "fp16.onnx").read_bytes()
    versions = {precision: graph.opset_import[0].version for precision, graph in graphs.items()}
    assert versions == {"fp32": 20, "fp16": 20, "bf16": 22}


def test_equal_weights_give_equal_bytes_in_another_process_too(exported, tmp_path):
    folder, _, _, _ = exported
    code = (
        "import sys; from pathlib import Path; from networks import SPEC, convnext_of;"
        "from gi_edge_export.deploy import deployed_from_model; from gi_edge_export.onnx import write_onnx;"
        "network = deployed_from_model(convnext_of('convnextv2_atto'), SPEC, 'fp16');"
        "write_onnx(Path(sys.argv[1]), network, SPEC, {'gi_edge.precision': 'fp16'})"
    )
    other = {**os.environ, "PYTHONHASHSEED": "77", "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", code, tmp_path / "there.onnx"], check=True, env=other)
    assert (tmp_path / "there.onnx").read_bytes() == (folder / "fp16.onnx").read_bytes()


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_model_given_stays_as_it_was(precision):
    model = convnext_of("convnextv2_atto")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    deployed_from_model(model, SPEC, precision)
    assert all(
        torch.equal(tensor, before[name]) and tensor.dtype == torch.float32
        for name, tensor in model.state_dict().items()
    )


class _Svd(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(64, 4)

    def forward(self, x):
        return self.fc(torch.linalg.svdvals(x[..., 0].float()))


def test_an_unsupported_operator_is_one_line_that_names_it(tmp_path):
    with pytest.raises(ModelError, match=r"cannot be written as ONNX: .*svd") as caught:
        write_onnx(tmp_path / "m.onnx", _Svd(), SPEC, {})
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_an_operator_set_without_bfloat16_convolutions_is_refused(tmp_path):
    network = deployed_from_model(convnext_of("convnextv2_atto"), SPEC, "bf16")
    with pytest.raises(ModelError, match=r"onnx refuses the graph: .*Conv"):
        write_onnx(tmp_path / "m.onnx", network, SPEC, {}, OnnxForm(opset=20))
    assert list(tmp_path.iterdir()) == []
