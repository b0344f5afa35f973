"""The precision proof: from the typed network, and from the inspector's JSON in the shapes NVIDIA documents."""

from __future__ import annotations

import json

import pytest

from gi_edge.errors import GateError
from gi_edge_export.engine.inspector import proof_from_inspection
from gi_edge_export.engine.layers import TypedLayer, check_layers

HALF = (
    TypedLayer("conv_1", "matrix", "fp16"),
    TypedLayer("norm_1", "sum", "fp32"),
    TypedLayer("matmul_1", "matrix", "fp16"),
)


def layer(name, kind, takes, gives, metadata=None, *, eleven=False):
    """One layer as engines of 10.x print it, or of 11.x: the type in a field of its own."""

    def tensor(text):
        if not eleven:
            return {"Name": "t", "Dimensions": [1, 8], "Format/Datatype": text}
        return {"Name": "t", "Dimensions": [1, 8], "Format": "Row major linear format (kLINEAR)", "DataType": text}

    return {
        "Name": name,
        "LayerType": kind,
        "Inputs": [tensor(text) for text in takes],
        "Outputs": [tensor(text) for text in gives],
        "Metadata": "\x1f".join(f"[ONNX Layer: {node}]" for node in metadata or ()),
    }


def text(*layers, eleven=False):
    ends = {"I/O Tensors": [{"Name": "pixels", "DataType": "UInt8"}]} if eleven else {"Bindings": ["pixels", "logits"]}
    return json.dumps({"Layers": list(layers), **ends})


def test_a_typed_network_is_counted():
    proof = check_layers(HALF, "fp16")
    assert (proof.method, proof.matrices, proof.sums) == ("typed network", {"fp16": 2}, {"fp32": 1})


@pytest.mark.parametrize(
    ("changed", "match"),
    [
        (
            TypedLayer("conv_1", "matrix", "fp32"),
            r"fp16 was asked for, but 'conv_1' computes in fp32, not fp16 \(1 such",
        ),
        (TypedLayer("sum_1", "sum", "fp16"), "'sum_1' computes in fp16, not fp32 for sums"),
        (TypedLayer("conv_1", "matrix", "bf16"), "computes in bf16, not fp16"),
    ],
)
def test_another_type_is_refused_with_exit_code_3(changed, match):
    with pytest.raises(GateError, match=match) as caught:
        check_layers((*HALF[1:], changed), "fp16")
    assert caught.value.exit_code == 3


def test_a_network_without_matrices_proves_nothing():
    with pytest.raises(GateError, match="no matrix layer"):
        check_layers(HALF[1:2], "fp16")


def test_int8_may_keep_some_matrices_wider_but_not_all():
    mixed = (TypedLayer("a", "matrix", "int8"), TypedLayer("b", "matrix", "fp32"), TypedLayer("n", "sum", "fp32"))
    proof = check_layers(mixed, "int8")
    assert (proof.matrices, proof.wider) == ({"fp32": 1, "int8": 1}, ("b",))
    with pytest.raises(GateError, match="int8 was asked for, but 'b' computes in fp32"):
        check_layers(mixed[1:], "int8")


@pytest.mark.parametrize("eleven", [False, True])
@pytest.mark.parametrize(
    "words", ["Half", "Row major linear FP16 format", "Channel major FP16 format where channel % 8 == 0"]
)
def test_an_engine_in_half_precision_is_recognised(words, eleven):
    content = text(
        layer("conv_1 + relu", "CaskConvolution", [words], [words], ["conv_1"], eleven=eleven),
        layer("__myl_Cast_Mean", "kgen", [words], ["Float"], ["norm_1"], eleven=eleven),
        layer("matmul_1_myl0_42", "gemm", [words, words], [words], ["matmul_1"], eleven=eleven),
        eleven=eleven,
    )
    proof = proof_from_inspection(content, HALF, "fp16")
    assert (proof.method, proof.matrices, proof.sums, proof.note) == ("engine inspector", {"fp16": 2}, {"fp32": 1}, "")


@pytest.mark.parametrize("eleven", [False, True])
@pytest.mark.parametrize("words", ["Float", "Row major linear FP32", "Row major linear BF16"])
def test_an_engine_that_widened_a_matrix_is_refused(words, eleven):
    content = text(
        layer("conv_1", "CaskConvolution", ["Half"], ["Half"], ["conv_1"], eleven=eleven),
        layer("matmul_1", "gemm", [words], ["Half"], ["matmul_1"], eleven=eleven),
    )
    with pytest.raises(GateError, match=r"computes 'matmul_1' in (fp32|bf16) \(1 of 2"):
        proof_from_inspection(content, HALF, "fp16")


def test_a_norm_fused_into_its_product_may_take_fp32():
    content = text(
        layer("__myl_NormGemm", "kgen", ["Float"], ["Half"], ["norm_1", "conv_1"]),
        layer("matmul_1", "MatrixMultiply", ["Half"], ["Float"], ["matmul_1"]),
    )
    assert proof_from_inspection(content, HALF, "fp16").matrices == {"fp16": 2}


def test_matrices_that_the_engine_does_not_name_are_counted():
    content = text(layer("conv_1", "CaskConvolution", ["Half"], ["Half"], ["conv_1"]))
    assert proof_from_inspection(content, HALF, "fp16").note == (
        "1 matrix layers of the network are not named by the engine"
    )


@pytest.mark.parametrize(
    "content",
    ["", "not json", "[]", '{"Layers": ["conv_1", "matmul_1"], "Bindings": []}', '{"Layers": [{"Name": "conv_1"}]}'],
)
def test_an_engine_that_names_no_types_is_no_proof(content):
    assert proof_from_inspection(content, HALF, "fp16") is None
