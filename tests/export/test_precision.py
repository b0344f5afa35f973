"""The half-precision form: equal to fp32 within rounding, and proven from the graph's types."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
import timm
import torch
from onnx.reference import ReferenceEvaluator

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.runtime.onnxruntime import open_session
from gi_edge_export.onnx import write_onnx
from gi_edge_export.precision import check_graph_precision, half_from_model

SPEC = PreprocessSpec(size_px=64)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)


def model_of(name, grn_scale=1.0):
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, depths=(1, 1, 1, 1), dims=(8, 16, 24, 32)).eval()
    with torch.no_grad():
        for parameter_name, parameter in model.named_parameters():
            if ".grn." in parameter_name:
                parameter.normal_(0, 0.5)
            if ".fc1." in parameter_name:
                parameter.mul_(grn_scale)
        model.head.fc.weight.normal_(0, 1)
    return model


@pytest.fixture(scope="module", params=["convnextv2_atto", "convnextv2_tiny"])
def exported(request, tmp_path_factory):
    """The same weights in both precisions, as classifier and as file."""
    folder = tmp_path_factory.mktemp("onnx")
    model = model_of(request.param)
    classifiers = {"fp32": PixelClassifier(model, SPEC).eval(), "fp16": half_from_model(model, SPEC)}
    graphs = {
        precision: write_onnx(folder / f"{precision}.onnx", classifier, SPEC, {"gi_edge.precision": precision})
        for precision, classifier in classifiers.items()
    }
    return folder, classifiers, graphs


def test_files_answer_as_their_classifiers_at_any_batch_size(exported):
    folder, classifiers, _ = exported
    session = open_session(folder / "fp32.onnx", "cpu")
    expected = logits_of(classifiers["fp32"], PIXELS)
    for batch in (1, 2, 5):
        assert np.abs(session.run(PIXELS[:batch]) - expected[:batch]).max() < 1e-4


def test_half_precision_stays_within_rounding(exported):
    _, classifiers, _ = exported
    exact = logits_of(classifiers["fp32"], PIXELS)
    half = logits_of(classifiers["fp16"], PIXELS)
    assert 0 < np.abs(half - exact).max() < 0.05 * np.abs(exact).max()


def test_the_half_file_computed_in_true_half_answers_as_the_classifier(exported):
    """onnx's reference evaluator computes each operator in the type of the graph, as numpy halves."""
    folder, classifiers, _ = exported
    (found,) = ReferenceEvaluator(str(folder / "fp16.onnx")).run(None, {"pixels": PIXELS[:2]})
    expected = logits_of(classifiers["fp16"], PIXELS[:2])
    assert np.abs(found - expected).max() < 0.02 * np.abs(expected).max()


def test_each_graph_is_in_its_precision_and_no_other(exported):
    _, _, graphs = exported
    for made, graph in graphs.items():
        for asked in ("fp32", "fp16"):
            if asked == made:
                check_graph_precision(graph, asked)
            else:
                with pytest.raises(GateError, match=f"{asked} was asked for"):
                    check_graph_precision(graph, asked)


def test_one_matrix_left_in_fp32_is_found(exported):
    _, _, graphs = exported
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


def test_sums_in_half_are_found(tmp_path):
    model = model_of("convnextv2_atto")
    naive = PixelClassifier(model.half(), SPEC, torch.float16).eval()
    graph = write_onnx(tmp_path / "naive.onnx", naive, SPEC, {})
    with pytest.raises(GateError, match="computes in FLOAT16, not FLOAT"):
        check_graph_precision(graph, "fp16")


def test_large_activations_overflow_a_naive_half_sum_but_not_ours():
    """GRN inputs with a spatial RMS far above 4.6, where H·W·RMS² at 56x56 passes 65,504 (facebookresearch#66)."""
    spec = PreprocessSpec(size_px=224)
    pixels = np.random.default_rng(0).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)
    model = model_of("convnextv2_atto", grn_scale=90.0)
    energies = []
    model.stages[0].blocks[0].mlp.grn.register_forward_hook(
        lambda _, inputs, __: energies.append(inputs[0].square().sum(dim=(2, 3)).max().item())
    )
    exact = logits_of(PixelClassifier(model, spec), pixels)
    assert energies[0] > 65_504
    half = logits_of(half_from_model(model, spec), pixels)
    assert np.isfinite(half).all()
    assert (half.argmax(axis=1) == exact.argmax(axis=1)).all()


def test_files_carry_their_properties_and_nothing_of_this_machine(exported):
    folder, _, graphs = exported
    assert [(item.key, item.value) for item in graphs["fp16"].metadata_props] == [("gi_edge.precision", "fp16")]
    assert b".py" not in (folder / "fp16.onnx").read_bytes()
    opset = {item.domain: item.version for item in graphs["fp32"].opset_import}
    assert opset == {"": 20}


def test_equal_weights_give_equal_bytes(exported, tmp_path):
    folder, classifiers, _ = exported
    write_onnx(tmp_path / "again.onnx", classifiers["fp16"], SPEC, {"gi_edge.precision": "fp16"})
    assert (tmp_path / "again.onnx").read_bytes() == (folder / "fp16.onnx").read_bytes()


def test_the_model_given_stays_as_it_was():
    model = model_of("convnextv2_atto")
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    half_from_model(model, SPEC)
    assert all(
        torch.equal(tensor, before[name]) and tensor.dtype == torch.float32
        for name, tensor in model.state_dict().items()
    )
