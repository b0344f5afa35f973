"""What the types in a graph prove, and the casts that keep sums wide, on graphs made by hand."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from gi_edge.errors import GateError
from gi_edge_export.graph_types import check_graph_precision, types_of, widen_sums, widened_from_graph


def graph_of(nodes, dtype, weights=()):
    x = helper.make_tensor_value_info("x", dtype, ["batch", 4])
    y = helper.make_tensor_value_info("y", dtype, ["batch", None])
    graph = helper.make_graph(nodes, "g", [x], [y], initializer=list(weights))
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def product(dtype, columns=3):
    kind = helper.tensor_dtype_to_np_dtype(dtype)
    weight = onnx.numpy_helper.from_array(np.arange(4 * columns).reshape(4, columns).astype(kind), "w")
    return graph_of([helper.make_node("MatMul", ["x", "w"], ["y"], name="product")], dtype, [weight])


@pytest.mark.parametrize(
    ("asked", "dtype"),
    [("fp32", TensorProto.FLOAT), ("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)],
)
def test_a_matrix_has_to_be_in_the_precision_asked_for(asked, dtype):
    for made in (TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16):
        if made == dtype:
            check_graph_precision(product(made), asked)
        else:
            with pytest.raises(GateError, match=f"{asked} was asked for, but MatMul 'product' computes in"):
                check_graph_precision(product(made), asked)


def test_a_graph_without_a_matrix_proves_nothing():
    with pytest.raises(GateError, match="no matrix operator"):
        check_graph_precision(graph_of([helper.make_node("Relu", ["x"], ["y"])], TensorProto.FLOAT), "fp32")


def test_large_weights_are_typed_without_their_values():
    graph = product(TensorProto.FLOAT16, columns=4096)
    for item in graph.graph.initializer:
        item.raw_data = item.raw_data[:5000]  # a shape inference that read them would refuse
    assert types_of(graph)["y"] == types_of(graph)["w"] == TensorProto.FLOAT16


def test_a_sum_in_half_overflows_until_it_is_widened():
    axes = onnx.numpy_helper.from_array(np.array([1], np.int64), "axes")
    weight = onnx.numpy_helper.from_array(np.eye(4, dtype=np.float16), "w")
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
        helper.make_node("ReduceL2", ["m", "axes"], ["y"], name="norm"),
    ]
    graph = graph_of(nodes, TensorProto.FLOAT16, [axes, weight])
    x = np.full((2, 4), 300, np.float16)
    with np.errstate(over="ignore"):
        assert np.isinf(ReferenceEvaluator(graph).run(None, {"x": x})[0]).all()
    with pytest.raises(GateError, match="ReduceL2 'norm' computes in FLOAT16, not FLOAT"):
        check_graph_precision(graph, "fp16")
    widen_sums(graph)
    onnx.checker.check_model(graph, full_check=True)
    check_graph_precision(graph, "fp16")
    (found,) = ReferenceEvaluator(graph).run(None, {"x": x})
    assert found.dtype == np.float16
    assert found.tolist() == [[600.0], [600.0]]


def test_widening_leaves_a_graph_in_fp32_alone():
    graph = product(TensorProto.FLOAT)
    before = graph.SerializeToString()
    widen_sums(graph)
    assert graph.SerializeToString() == before


@pytest.mark.parametrize("dtype", [TensorProto.FLOAT16, TensorProto.BFLOAT16])
def test_a_widened_graph_has_no_half_left_and_the_same_weights(dtype):
    wide = widened_from_graph(product(dtype))
    onnx.checker.check_model(wide, full_check=True)
    check_graph_precision(wide, "fp32")
    (found,) = ReferenceEvaluator(wide).run(None, {"x": np.ones((1, 4), np.float32)})
    assert found.tolist() == [[18.0, 22.0, 26.0]]


@pytest.mark.parametrize("side", [0, 1])
def test_a_product_with_a_constant_vector_is_a_sum_and_may_not_be_half(side):
    for dtype in (np.float16, np.float32):
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        ones = onnx.numpy_helper.from_array(np.ones((1, 4) if side == 0 else (4, 1), dtype), "ones")
        weight = onnx.numpy_helper.from_array(np.eye(4, dtype=dtype), "w")
        names = ["ones", "m"] if side == 0 else ["m", "ones"]
        nodes = [
            helper.make_node("MatMul", ["x", "w"], ["m"], name="product"),
            helper.make_node("MatMul", names, ["y"], name="energy"),
        ]
        ends = [helper.make_tensor_value_info(name, kind, [None, None]) for name in ("x", "y")]
        graph = helper.make_model(
            helper.make_graph(nodes, "g", ends[:1], ends[1:], [ones, weight]),
            opset_imports=[helper.make_opsetid("", 20)],
            ir_version=10,
        )
        if dtype == np.float32:
            check_graph_precision(graph, "fp32")
        else:
            with pytest.raises(GateError, match="'energy' computes in FLOAT16, not FLOAT"):
                check_graph_precision(graph, "fp16")


def test_operators_that_are_hidden_prove_nothing():
    graph = product(TensorProto.FLOAT16)
    inner = helper.make_graph([], "branch", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT16, [1, 3])])
    node = helper.make_node("If", ["c"], ["z"], name="choice", then_branch=inner, else_branch=inner)
    graph.graph.node.append(node)
    with pytest.raises(GateError, match="within If 'choice' are not looked into"):
        check_graph_precision(graph, "fp16")
    del graph.graph.node[-1]
    body = [helper.make_node("MatMul", ["a", "b"], ["c"])]
    graph.functions.append(helper.make_function("d", "f", ["a", "b"], ["c"], body, [helper.make_opsetid("", 20)]))
    with pytest.raises(GateError, match="function 'f'"):
        check_graph_precision(graph, "fp16")
