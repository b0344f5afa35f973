"""The three ways to train a classifier: what of it moves, how it is written, and how it is read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import peft
import safetensors.torch
import torch
from torch import Tensor, nn

from gi_edge.artifacts.adapter import WEIGHTS_FILES, Adapter, Method
from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.modeling.architecture import classifier_name, create_model, preprocess_of
from gi_edge.modeling.backbone import Backbone, backbone_of, load_backbone, resolved_name
from gi_edge.modeling.checkpoint import load_exactly, read_state
from gi_edge.modeling.lora import attach_lora, check_targets, load_adapter, save_adapter
from gi_edge.modeling.options import ModelRequest
from gi_edge.progress import Progress


def check_request(
    request: ModelRequest, *, image_size_px: int, fit: Literal["pad", "stretch", "crop"]
) -> PreprocessSpec:
    """Refuse what cannot train or not be merged, without loading weights; return what the model expects of pixels.

    Raises: ModelError for an unknown backbone, an image size it does not take, layers that LoRA cannot be merged into.
    """
    name = resolved_name(request.backbone, request.weights)
    with torch.device("meta"):
        model = create_model(name.partition(".")[0], 2, request.drop_path)
    if request.method == "lora":
        check_targets(model, request.lora)
    return preprocess_of(name, image_size_px, fit)


def prepare_model(request: ModelRequest, *, num_classes: int, progress: Progress) -> Backbone:
    """Load the backbone with a fresh classifier, and let the weights of the method train.

    Raises: ModelError as load_backbone and attach_lora do.
    """
    backbone = load_backbone(
        request.backbone,
        request.weights,
        num_classes=num_classes,
        progress=progress,
        drop_path=request.drop_path,
    )
    if request.method == "lora":
        return Backbone(attach_lora(backbone.model, request.lora), backbone.info)
    if request.method == "full":
        backbone.model.requires_grad_(True)
    return backbone


def enter_training(model: nn.Module) -> None:
    """Set to training mode what trains, and leave what is frozen whole in evaluation mode.

    So the running statistics of batch normalisation move in full fine-tuning only, and dropout or stochastic depth
    act only beside weights that train.
    """
    model.train()
    for module in model.modules():
        parameters = list(module.parameters())
        if parameters and not any(parameter.requires_grad for parameter in parameters):
            module.eval()


def parameter_groups(named: Mapping[str, Tensor], weight_decay: float) -> list[dict[str, Any]]:
    """Return the groups of an optimiser: matrices and kernels decay; biases, scales of norms and DoRA's magnitudes do
    not, since they are no directions that a penalty could shrink (as in timm's param_groups_weight_decay)."""
    trained = {name: value for name, value in named.items() if value.requires_grad}
    fixed = [value for name, value in trained.items() if _is_scale(name, value)]
    decayed = [value for name, value in trained.items() if not _is_scale(name, value)]
    groups = ((decayed, weight_decay), (fixed, 0.0))
    return [{"params": members, "weight_decay": decay} for members, decay in groups if members]


def weight_counts(model: nn.Module) -> tuple[int, int]:
    """Return (trainable, all) weights; the classifier that peft keeps unused beside the trained one does not count."""
    counted = [value for name, value in model.named_parameters() if ".original_module." not in name]
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in counted]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def save_trained(model: nn.Module, method: Method, folder: Path) -> None:
    """Write what was trained: a PEFT adapter, the whole state dict in timm's names, or the classifier's part of it."""
    if isinstance(model, peft.PeftModel):
        save_adapter(model, folder)
        return
    part = "" if method == "full" else f"{classifier_name(model)}."
    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items() if name.startswith(part)
    }
    path = folder / WEIGHTS_FILES[method]
    safetensors.torch.save_file(state, path, {"format": "pt"})
    path.chmod(0o644)  # safetensors writes for the owner alone


def load_trained(adapter: Adapter, weights: Path | None, progress: Progress) -> nn.Module:
    """Return a trained model for inference on the CPU: with LoRA still apart, or plain.

    weights: the local file of the base weights, where training took one. After full fine-tuning no base weights are
    needed, and weights is not read.
    Raises: ModelError if the base weights are not those of training, or a tensor does not fit.
    """
    manifest = adapter.manifest
    num_classes = len(manifest.classes)
    if manifest.method == "full":
        model = create_model(manifest.backbone.architecture, num_classes)
        load_exactly(model, read_state(adapter.weights_path), "", source=adapter.weights_path)
        return model.eval()
    model = backbone_of(manifest.backbone, weights, num_classes=num_classes, progress=progress).model
    if manifest.method == "lora":
        adapted: nn.Module = load_adapter(model, adapter.path)
        return adapted
    part = f"{classifier_name(model)}."
    load_exactly(model, read_state(adapter.weights_path), part, source=adapter.weights_path)
    return model.eval()


def _is_scale(name: str, value: Tensor) -> bool:
    return value.ndim <= 1 or "lora_magnitude_vector" in name
