"""Tiny classifiers whose every weight matters, and frames for them."""

from __future__ import annotations

import numpy as np
import timm
import torch

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.modeling.options import LoraOptions

SPEC = PreprocessSpec(size_px=64)
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 64, 64, 3), dtype=np.uint8)
SHAPE = {"depths": (1, 1, 1, 1), "dims": (8, 16, 24, 32)}


def convnext_of(name, fc1_scale=1.0, **shape):
    """A ConvNeXt-V2 with random norms, biases and GRN, none of which is one or zero."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, **{**SHAPE, **shape}).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.ndim == 1 or ".grn." in key:
                parameter.normal_(0.3, 0.5)
            else:
                parameter.mul_(5)
            if ".fc1." in key:
                parameter.mul_(fc1_scale)
        model.head.fc.weight.normal_(0, 1)
    return model


def relative(found, expected):
    """Largest difference, as a share of the largest expected value."""
    return (abs(found - expected).max() / abs(expected).max()).item()


GENERIC = {
    "resnet10t": {},
    "densenet121": {"growth_rate": 8, "block_config": (1, 1, 1, 1)},
    "test_efficientnet": {},
    "swin_tiny_patch4_window7_224": {
        "img_size": 64,
        "window_size": 2,
        "embed_dim": 16,
        "depths": (1, 1, 1, 1),
        "num_heads": (1, 1, 2, 2),
    },
}
"""Small forms of classifiers that are no ConvNeXt-V2."""


def generic_of(name):
    """A classifier of GENERIC with random batch statistics and classifier."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=4, **GENERIC[name]).eval()
    with torch.no_grad():
        for key, buffer in model.named_buffers():
            if key.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif key.endswith("running_var"):
                buffer.uniform_(0.4, 1.2)
        for parameter in model.get_classifier().parameters():
            parameter.normal_()
    return model


RANK_2 = LoraOptions(rank=2, alpha=4)


def answers(model, size=64):
    frames = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        return model(frames)
