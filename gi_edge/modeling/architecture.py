"""Which models there are: the embedded one, every ConvNeXt-V2, and any timm classifier with one classifier layer."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import timm
from torch import nn

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.errors import ModelError

EMBEDDED = "gi-edge-small"
EMBEDDED_BASE = "convnextv2_atto"
EMBEDDED_SHAPE = {"depths": (2, 2, 4, 2), "dims": (16, 32, 64, 128)}
BASELINES = ("densenet121", "densenet201", "resnet50", "efficientnet_b0", "swin_tiny_patch4_window7_224")
"""Named in messages and tests; any other timm model with one classifier layer may serve as well."""


def create_model(architecture: str, num_classes: int, drop_path: float = 0.0) -> nn.Module:
    """Build a model with random weights and a classifier of num_classes.

    drop_path: largest rate of stochastic depth, rising over the blocks; timm's own default, which differs between
    models, is never taken. Raises: ModelError for an unknown name, or where the model knows no stochastic depth.
    """
    check_name(architecture)
    shape: dict[str, Any] = EMBEDDED_SHAPE if architecture == EMBEDDED else {}
    name = EMBEDDED_BASE if architecture == EMBEDDED else architecture
    model: nn.Module
    try:
        model = timm.create_model(name, num_classes=num_classes, drop_path_rate=drop_path, **shape)
    except TypeError as error:
        if "drop_path_rate" not in str(error):
            raise
        if drop_path:
            raise ModelError(
                f"{architecture} has no blocks to drop (drop_path {drop_path:g})", fix="--drop-path 0"
            ) from error
        model = timm.create_model(name, num_classes=num_classes, **shape)
    classifier_name(model)
    return model


def check_name(name: str) -> None:
    """Raise ModelError with the nearest names unless name is the embedded model or an architecture of timm."""
    if name != EMBEDDED and not timm.is_model(name):
        raise unknown_name(name)


def unknown_name(name: str) -> ModelError:
    """Return the error for a name that is neither an architecture nor a tag of pretrained weights."""
    known = [EMBEDDED, *timm.list_models("convnextv2_*"), *timm.list_pretrained("convnextv2_*")]
    near = difflib.get_close_matches(name, [*known, *timm.list_models(), *timm.list_pretrained()], n=1, cutoff=0.5)
    hint = f"did you mean '{near[0]}'? " if near else ""
    return ModelError(
        f"no backbone '{name}' ({hint}known: {', '.join(known)}; for baselines other classifiers of timm, such as "
        f"{', '.join(BASELINES)})",
        fix="--backbone with one of these names",
    )


def classifier_name(model: nn.Module) -> str:
    """Return the name of the layer that gives the logits, as timm records it.

    Raises: ModelError where that is not one linear layer.
    """
    config: dict[str, Any] = getattr(model, "default_cfg", {})
    architecture = config.get("architecture", type(model).__name__)
    name = config.get("classifier")
    layer = model.get_submodule(name) if isinstance(name, str) else None
    if not isinstance(name, str) or not isinstance(layer, nn.Linear):
        raise ModelError(
            f"{architecture} does not end in one linear classifier (found {name!r})",
            fix=f"--backbone of another architecture, such as {', '.join(BASELINES)}",
        )
    return name


def belongs_to_classifier(name: str, classifier: str) -> bool:
    """Return whether a tensor of a state dict is one of the classifier's."""
    return name.startswith(f"{classifier}.")


def preprocess_of(name: str, size_px: int, fit: Literal["pad", "stretch", "crop"]) -> PreprocessSpec:
    """Return what an architecture or a tag of pretrained weights expects of its pixels.

    Raises: ModelError if the model takes one size only, and it is not size_px.
    """
    config = timm.get_pretrained_cfg(EMBEDDED_BASE if name == EMBEDDED else name)
    if config is None:
        return PreprocessSpec(size_px=size_px, fit=fit)
    if config.fixed_input_size and config.input_size[1] != size_px:
        raise ModelError(
            f"{name} takes images of {config.input_size[1]} px only, not {size_px}",
            fix=f"--image-size {config.input_size[1]}",
        )
    resampling: Literal["bilinear", "bicubic"] = "bilinear" if config.interpolation == "bilinear" else "bicubic"
    mean, std = tuple(config.mean), tuple(config.std)
    return PreprocessSpec(size_px=size_px, fit=fit, interpolation=resampling, mean=mean, std=std)
