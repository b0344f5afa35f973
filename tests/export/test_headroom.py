"""The headroom report: what fp16 would have to hold, block by block, and the limits of GRN."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import GENERIC, PIXELS, SPEC, convnext_of, generic_of

from gi_edge.artifacts.headroom import FP16_LARGEST
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import GateError
from gi_edge.modeling.pixels import logits_of
from gi_edge_export.deploy import deployed_from_model, untyped_from_model
from gi_edge_export.headroom import check_headroom, headroom_from_pixels
from gi_edge_export.network import GrnScale
from gi_edge_export.some_frames import HEADROOM_FRAMES


def measure(model, pixels=PIXELS, spec=SPEC):
    return headroom_from_pixels(untyped_from_model(model, spec, "uint8", centred=True), pixels)


def test_fp16_holds_exactly_this_much():
    assert float(np.finfo(np.float16).max) == FP16_LARGEST
    with np.errstate(over="ignore"):
        assert np.isinf(np.float32(FP16_LARGEST + 16).astype(np.float16))


@pytest.mark.parametrize(
    ("size_px", "limits"),
    [(224, (4.57, 9.14, 18.28, 36.56)), (384, (2.67, 5.33, 10.66, 21.33))],
)
def test_grn_in_half_breaks_at_the_known_spatial_rms(size_px, limits):
    """H·W·RMS² = 65,504 in stages 1 to 4, which run at a 4th to a 32nd of the input's size; true halves overflow."""
    for stage, limit in enumerate(limits):
        positions = (size_px // 4 // 2**stage) ** 2
        assert (FP16_LARGEST / positions) ** 0.5 == pytest.approx(limit, abs=0.01)
        for rms, overflows in ((limit * 0.99, False), (limit * 1.01, True)):
            x = np.full((1, positions, 8), rms, np.float16)
            with np.errstate(over="ignore"):
                naive = np.square(x).astype(np.float32).sum(axis=1).astype(np.float16)
            assert np.isinf(naive).all() == overflows
            ours = GrnScale(torch.ones(8), 1e-6, positions).float()(torch.from_numpy(x))
            assert ours.dtype == torch.float16
            assert torch.allclose(ours, torch.full_like(ours, 2.0))


def test_blocks_stand_in_the_order_they_run_with_what_they_reach():
    model = convnext_of("convnextv2_tiny", depths=(1, 2, 1, 1))
    report = measure(model)
    assert [block.block for block in report.blocks] == [
        "stem", "stages.0.blocks.0",
        "stages.1.downsample", "stages.1.blocks.0", "stages.1.blocks.1",
        "stages.2.downsample", "stages.2.blocks.0",
        "stages.3.downsample", "stages.3.blocks.0", "head",
    ]  # fmt: skip
    assert (report.frames, report.size_px) == (5, 64)

    seen = {}
    network = untyped_from_model(model, SPEC, "uint8", centred=True)
    block = network.stages[1].blocks[0]
    block.fc1.register_forward_hook(lambda _, __, output: seen.update(fc1=output.abs().max().item()))
    block.grn.register_forward_hook(lambda _, inputs, __: seen.update(grn=inputs[0]))
    with torch.inference_mode():
        network(torch.from_numpy(PIXELS))
    found = report.blocks[3]
    assert found.largest >= seen["fc1"]
    assert found.grn_sum_of_squares == pytest.approx(seen["grn"].square().sum(dim=1).max().item(), rel=1e-5)
    assert found.grn_rms == pytest.approx(seen["grn"].square().mean(dim=1).max().sqrt().item(), rel=1e-5)
    assert report.blocks[0].grn_rms is None


def test_a_naive_half_graph_overflows_ours_does_not_and_the_report_names_the_block():
    """GRN inputs above the limit of its sum, but far below that of fp16 itself (facebookresearch/ConvNeXt-V2#66)."""
    model = convnext_of("convnextv2_atto", fc1_scale=30.0)
    report = measure(model)
    check_headroom(report)
    naive = report.first_naive_overflow
    assert naive is not None
    assert (naive.block, naive.naive_overflow.partition(",")[0]) == ("stages.0.blocks.0", "GRN's sum of squares")
    assert naive.grn_rms > (FP16_LARGEST / 256) ** 0.5
    assert report.tightest.share < 0.5
    assert f"overflow at {naive.block}" in report.line()

    exact = logits_of(deployed_from_model(model, SPEC), PIXELS)
    half = logits_of(deployed_from_model(model, SPEC, "fp16"), PIXELS)
    assert np.isfinite(half).all()
    assert (half.argmax(axis=1) == exact.argmax(axis=1)).all()


def test_what_fp16_cannot_hold_is_refused_by_name_and_bf16_holds_it():
    model = convnext_of("convnextv2_atto")
    with torch.no_grad():
        model.stages[2].blocks[0].mlp.fc1.weight.mul_(3e5)
    report = measure(model)
    with pytest.raises(GateError, match=r"fp16 overflows at stages\.2\.blocks\.0: .* reaches .*--bf16"):
        check_headroom(report)
    assert np.isfinite(logits_of(deployed_from_model(model, SPEC, "bf16"), PIXELS)).all()


def test_weights_beyond_half_are_refused_by_name():
    model = convnext_of("convnextv2_atto")
    with torch.no_grad():
        model.stages[1].blocks[0].mlp.fc2.weight[0] = 1e6
    with pytest.raises(GateError, match=r"a weight of 'stages\.1\.blocks\.0\.fc2' is too large for fp16"):
        deployed_from_model(model, SPEC, "fp16")


def test_activations_that_are_not_finite_are_refused():
    model = convnext_of("convnextv2_atto")
    with torch.no_grad():
        model.stages[1].blocks[0].conv_dw.weight.fill_(float("inf"))
    with pytest.raises(GateError, match=r"stages\.1\.blocks\.0 is not finite even in fp32"):
        measure(model)


def test_many_frames_are_sampled_evenly():
    spec = PreprocessSpec(size_px=32)
    pixels = np.zeros((HEADROOM_FRAMES * 2, 32, 32, 3), np.uint8)
    pixels[-1] = 255  # the last is always among them
    report = measure(convnext_of("convnextv2_atto"), pixels, spec)
    assert report.frames == HEADROOM_FRAMES
    assert report.blocks[0].largest >= 255 - 124


@pytest.mark.parametrize("name", GENERIC)
def test_other_classifiers_are_measured_too(name):
    report = measure(generic_of(name))
    check_headroom(report)
    assert len(report.blocks) > 3
    assert all(block.largest > 0 for block in report.blocks)
