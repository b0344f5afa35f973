"""INT8 graphs: what is quantised and how, from which ranges, and which matrices are given back."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from networks import PIXELS, SPEC, convnext_of, generic_of, relative
from onnx import TensorProto, helper, numpy_helper

from gi_edge.errors import GateError, RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge_export.deploy import deployed_from_model
from gi_edge_export.graph_types import check_graph_precision
from gi_edge_export.onnx import write_onnx
from gi_edge_export.quantize.graph import FORMS, activations_of, quantisable, quantised_from_graph
from gi_edge_export.quantize.kernels import int8_kernels, text_from_kernels
from gi_edge_export.quantize.matrices import check_quantised, matrices_of
from gi_edge_export.quantize.ranges import Seen, range_of, ranges_from_seen, seen_from_pixels
from gi_edge_export.quantize.search import Reference, choose, divergence_of, smallest
from gi_edge_export.quantize.sessions import logits_of_graph, open_graph

DIALECTS = ("onnxruntime", "tensorrt")
LABELS = {
    "stem.projection",
    "head.fc",
    *(f"stages.{stage}.blocks.0.fc{place}" for stage in range(4) for place in (1, 2)),
    *(f"stages.{stage}.downsample.projection" for stage in (1, 2, 3)),
}


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """A tiny network's fp32 graph, its answers, and what its tensors were, on the same frames."""
    path = tmp_path_factory.mktemp("fp32") / "model.onnx"
    graph = write_onnx(path, deployed_from_model(convnext_of("convnextv2_atto"), SPEC), SPEC, {})
    seen = seen_from_pixels(graph, activations_of(graph), PIXELS, SPEC, Silent())
    return Reference(graph, SPEC, PIXELS, logits_of_graph(graph, PIXELS, SPEC), 1.0, seen)


def quantised(reference, dialect, kept=(), method="minmax"):
    form = FORMS[dialect]
    ranges = ranges_from_seen(reference.graph, reference.seen, method, form)
    return quantised_from_graph(reference.graph, ranges, form, kept)


def constants(graph):
    return {item.name: numpy_helper.to_array(item) for item in graph.graph.initializer}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_matrix_is_int8_and_the_answers_stay_near(reference, dialect):
    graph = quantised(reference, dialect)
    onnx.checker.check_model(graph, full_check=True)
    check_graph_precision(graph, "int8")
    assert {matrix.label for matrix in matrices_of(graph) if matrix.is_quantised} == LABELS
    assert [matrix.node.op_type for matrix in matrices_of(graph) if not matrix.is_quantised] == ["Conv"] * 4
    found = logits_of_graph(graph, PIXELS, SPEC)
    assert 1e-4 < relative(found, reference.logits) < 0.02
    assert graph.SerializeToString() == quantised(reference, dialect).SerializeToString()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_weights_are_int8_by_output_within_half_a_step(reference, dialect):
    made, source = constants(quantised(reference, dialect)), constants(reference.graph)
    node = next(item.node for item in quantisable(reference.graph) if item.label == "stages.1.blocks.0.fc1")
    output = node.output[0]
    steps, scale = made[f"{output}.weight.steps"], made[f"{output}.weight.scale"]
    weight = source[node.input[1]].T  # Gemm gets it as [inputs, outputs]
    assert steps.dtype == np.int8
    assert scale.shape == (64,)
    assert np.abs(steps).max(axis=0).tolist() == [127] * 64
    assert (np.abs(steps * scale - weight) <= scale / 2 * 1.0001).all()


def test_the_dialects_differ_in_zero_points_and_biases(reference):
    for dialect, kind in (("onnxruntime", np.uint8), ("tensorrt", np.int8)):
        graph = quantised(reference, dialect)
        values = constants(graph)
        zeros = [values[node.input[2]] for node in graph.graph.node if node.op_type == "QuantizeLinear"]
        assert {zero.dtype.type for zero in zeros} == {kind}
        assert any(zero > 0 for zero in zeros) == (dialect == "onnxruntime")
        assert any(value.dtype == np.int32 for value in values.values()) == (dialect == "onnxruntime")


def test_pixels_are_held_exactly_by_uint8(reference):
    values = constants(quantised(reference, "onnxruntime", method="percentile"))
    stem = next(item.node.input[0] for item in quantisable(reference.graph) if item.label == "stem.projection")
    assert (values[f"{stem}.from8.scale"], values[f"{stem}.from8.zero"]) == (1.0, 0)


def test_onnx_runtime_runs_its_dialect_in_int8_kernels(reference, tmp_path):
    for dialect, fused in (("onnxruntime", len(LABELS)), ("tensorrt", 0)):
        onnx.save(quantised(reference, dialect), tmp_path / f"{dialect}.onnx")
        assert int8_kernels(tmp_path / f"{dialect}.onnx") == fused
    assert text_from_kernels(tmp_path / "onnxruntime.onnx") == f"{len(LABELS)} matrices by int8 kernels"
    assert f"{len(LABELS)} by fp32 products of the same 8-bit values" in text_from_kernels(tmp_path / "tensorrt.onnx")


def test_a_convolutional_classifier_is_quantised_and_fused_too(tmp_path):
    graph = write_onnx(tmp_path / "fp32.onnx", deployed_from_model(generic_of("resnet10t"), SPEC), SPEC, {})
    seen = seen_from_pixels(graph, activations_of(graph), PIXELS, SPEC, Silent())
    made = quantised_from_graph(graph, ranges_from_seen(graph, seen, "minmax", form := FORMS["onnxruntime"]), form)
    check_graph_precision(made, "int8")
    onnx.save(made, tmp_path / "int8.onnx")
    assert int8_kernels(tmp_path / "int8.onnx") == len(quantisable(graph)) == 15
    assert relative(logits_of_graph(made, PIXELS, SPEC), logits_of_graph(graph, PIXELS, SPEC)) < 0.05


def test_a_matmul_is_quantised_by_column_and_fused_and_attention_is_left_alone(tmp_path):
    """x @ w, as transformers have it, and the product of two activations."""
    weight = np.float32([[1, 100], [-2, 50], [0.5, -100]])
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("MatMul", ["m", "t"], ["y"])]
    nodes.insert(1, helper.make_node("Transpose", ["m"], ["t"], perm=[0, 2, 1]))
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 3])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4, 4])
    inner = helper.make_graph(nodes, "g", [x], [y], [numpy_helper.from_array(weight, "w")])
    graph = helper.make_model(inner, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    assert activations_of(graph) == ("x",)
    made = quantised_from_graph(graph, {"x": (-1.0, 1.0)}, FORMS["onnxruntime"])
    check_graph_precision(made, "int8")
    np.testing.assert_allclose(constants(made)["m.weight.scale"], np.float32([2, 100]) / 127)
    onnx.save(made, tmp_path / "int8.onnx")
    assert int8_kernels(tmp_path / "int8.onnx") == 1
    x = np.random.default_rng(0).uniform(-1, 1, (2, 4, 3)).astype(np.float32)
    (found,) = open_graph(made).run(None, {"x": x})
    assert relative(found, (x @ weight) @ (x @ weight).transpose(0, 2, 1)) < 0.01


def test_a_bias_of_an_output_without_weights_survives(reference):
    graph = onnx.ModelProto.FromString(reference.graph.SerializeToString())
    node = next(item.node for item in quantisable(graph) if item.label == "head.fc")
    for item in graph.graph.initializer:
        if item.name == node.input[1]:
            item.CopyFrom(numpy_helper.from_array(np.zeros_like(numpy_helper.to_array(item)), item.name))
        if item.name == node.input[2]:
            bias = numpy_helper.to_array(item)
    form = FORMS["onnxruntime"]
    made = quantised_from_graph(graph, ranges_from_seen(graph, reference.seen, "minmax", form), form)
    np.testing.assert_allclose(logits_of_graph(made, PIXELS, SPEC), np.tile(bias, (len(PIXELS), 1)), rtol=1e-6)


def unquantise_weight(graph):
    """Leave the activations of the head in Q/DQ, and give it weights in fp32."""
    node = next(node for node in graph.graph.node if node.name == "head.fc")
    dequantise = next(item for item in graph.graph.node if item.output[0] == node.input[1])
    values = constants(graph)
    wide = values[dequantise.input[0]] * values[dequantise.input[1]]
    graph.graph.initializer.append(numpy_helper.from_array(wide, "wide.weight"))
    node.input[1] = "wide.weight"


def bypass_activation(graph):
    """Give the head its activations as they are before Q/DQ, the weights stay int8."""
    node = next(node for node in graph.graph.node if node.name == "head.fc")
    node.input[0] = node.input[0].removesuffix(".from8")


@pytest.mark.parametrize("sabotage", [unquantise_weight, bypass_activation])
def test_an_operand_left_wide_is_found(reference, sabotage):
    graph = quantised(reference, "onnxruntime")
    sabotage(graph)
    onnx.checker.check_model(graph, full_check=True)
    with pytest.raises(GateError, match="int8 was asked for, but '.*' computes in fp32"):
        check_graph_precision(graph, "int8")


def test_the_kept_matrices_have_to_be_those_of_the_list(reference):
    graph = quantised(reference, "onnxruntime", kept=("head.fc",))
    check_graph_precision(graph, "int8", ("head.fc",))
    with pytest.raises(GateError, match=r"'head\.fc' computes in fp32"):
        check_graph_precision(graph, "int8")
    with pytest.raises(GateError, match=r"'stem\.projection' is not in the graph in fp32 though listed as kept"):
        check_graph_precision(graph, "int8", ("head.fc", "stem.projection"))


def test_an_fp32_graph_is_no_int8_graph_whatever_is_listed(reference):
    with pytest.raises(GateError, match="computes in fp32"):
        check_graph_precision(reference.graph, "int8")
    with pytest.raises(GateError, match="no matrix with 8-bit operands"):
        check_quantised(reference.graph, tuple(LABELS))


def test_ranges_by_method():
    values = np.random.default_rng(0).normal(size=200_000).astype(np.float32)
    seen = Seen(low=-40.0, high=60.0, drawn=np.append(values, np.float32([-40, 60])))
    form = FORMS["onnxruntime"]
    assert range_of(seen, "minmax", form) == (-40.0, 60.0)
    low, high = range_of(seen, "percentile", form)
    assert (low, high) == pytest.approx((-3.89, 3.89), abs=0.2)  # the normal quantiles of 0.00005 and 0.99995
    low, high = range_of(seen, "entropy", form)
    assert 3.5 < high < 6
    assert low == -high
    one_sided = Seen(low=0.0, high=60.0, drawn=np.abs(seen.drawn))
    assert range_of(one_sided, "entropy", form)[0] == 0.0


def test_a_tensor_that_is_always_zero_has_a_range():
    seen = Seen(low=0.0, high=0.0, drawn=np.zeros(100, np.float32))
    for method in ("minmax", "percentile", "entropy"):
        assert range_of(seen, method, FORMS["tensorrt"]) == (0.0, 0.0)


def test_divergence_is_kullback_leibler():
    """softmax of log odds (3:1) against (1:1): 0.75 ln 1.5 + 0.25 ln 0.5."""
    reference, candidate = np.log(np.float32([[3, 1]])), np.zeros((1, 2), np.float32)
    assert divergence_of(reference, candidate, 1.0) == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))


@pytest.mark.parametrize(
    ("needed", "most", "found"),
    [(1, 9, 1), (2, 9, 2), (3, 9, 3), (6, 9, 6), (9, 9, 9), (10, 9, None), (1, 1, 1), (1, 0, None)],
)
def test_the_smallest_number_that_suffices_is_found_in_few_tries(needed, most, found):
    tried = []
    assert smallest(lambda count: not tried.append(count) and count >= needed, most) == found
    assert len(tried) <= 8
    assert all(1 <= count <= most for count in tried)


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_matrix_that_ruins_the_answers_is_kept_in_fp32(reference, dialect):
    """One activation whose calibrated range is far too wide."""
    label = "stages.2.blocks.0.fc2"
    spoilt = next(item.node.input[0] for item in quantisable(reference.graph) if item.label == label)
    was = reference.seen[spoilt]
    seen = {**reference.seen, spoilt: Seen(was.low * 1e4, was.high * 1e4, was.drawn)}
    ruined = Reference(reference.graph, SPEC, PIXELS, reference.logits, 1.0, seen)
    choice = choose(ruined, dialect, "minmax", Silent())
    assert choice.kept == (label,)
    assert (choice.matrices, choice.damage.flips) == (len(LABELS) - 1, 0)
    check_graph_precision(choice.graph, "int8", choice.kept)
    automatic = choose(ruined, dialect, "auto", Silent())
    assert automatic.method == "percentile"
    assert automatic.kept == ()
    assert [score.method for score in automatic.tried] == ["entropy", "percentile", "minmax"]
    assert min(automatic.tried, key=lambda score: score.divergence).method == "percentile"


def test_answers_that_nothing_saves_end_the_export(reference):
    elsewhere = Reference(reference.graph, SPEC, PIXELS, -reference.logits, 1.0, reference.seen)
    with pytest.raises(GateError, match="too far whatever stays in fp32: 5 of 5 change class") as caught:
        choose(elsewhere, "onnxruntime", "minmax", Silent())
    assert caught.value.fix == "export without --int8"


@pytest.mark.tensorrt
def test_tensorrt_takes_its_dialect_in_int8_and_refuses_the_other(reference, tmp_path):
    pytest.importorskip("tensorrt_rtx", reason="TensorRT for RTX is not installed: pip install 'gi-edge[tensorrt-rtx]'")
    from gi_edge.artifacts.engine import BatchRange, EngineTarget
    from gi_edge.runtime.tensorrt import load_toolkit
    from gi_edge_export.engine.build import build_plan, parse_onnx
    from gi_edge_export.engine.config import EngineSettings
    from gi_edge_export.engine.layers import check_layers

    for dialect in DIALECTS:
        onnx.save(quantised(reference, dialect, kept=("head.fc",)), tmp_path / f"{dialect}.onnx")
    toolkit = load_toolkit("tensorrt-rtx")
    parsed = parse_onnx(toolkit, tmp_path / "tensorrt.onnx")
    proof = check_layers(parsed.layers, "int8")
    assert proof.matrices == {"fp32": 5, "int8": len(LABELS) - 1}  # the head and four depthwise convolutions
    settings = EngineSettings(sms=(86,), batch=BatchRange(minimum=1, optimum=2, maximum=4))
    target = EngineTarget(device=None, compute_capabilities=("8.6",))
    assert len(build_plan(parsed, target, settings, "build", Silent()).content) > 10_000
    with pytest.raises(RuntimeUnavailableError, match="does not take onnxruntime.onnx"):
        parse_onnx(toolkit, tmp_path / "onnxruntime.onnx")
