"""Weights files: read without pickle's code execution, brought to timm's names, matched to an architecture."""

from __future__ import annotations

import hashlib
import pickle
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from timm.models.convnext import checkpoint_filter_fn
from torch import Tensor, nn

from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import EMBEDDED, belongs_to_classifier, classifier_name

_SIZES: dict[
    tuple[tuple[int, ...], int], str
] = {  # depths and stem width of the ConvNeXt-V2 family (Woo et al. 2023, appendix A.1)
    ((2, 2, 6, 2), 40): "convnextv2_atto",
    ((2, 2, 6, 2), 48): "convnextv2_femto",
    ((2, 2, 6, 2), 64): "convnextv2_pico",
    ((2, 2, 8, 2), 80): "convnextv2_nano",
    ((3, 3, 9, 3), 96): "convnextv2_tiny",
    ((3, 3, 27, 3), 96): "convnextv2_small",
    ((3, 3, 27, 3), 128): "convnextv2_base",
    ((3, 3, 27, 3), 192): "convnextv2_large",
    ((3, 3, 27, 3), 352): "convnextv2_huge",
}

_UNPICKLING = (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError)
"""What torch.load raises on bytes that are no pickle, or one that would run code."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a .safetensors file, or a .pth, .pt or .bin file of plain tensors. Tensors stay on the CPU.

    Raises: ModelError if the file is absent or not a state dict.
    """
    fix = "give a .safetensors file, or a .pth, .pt or .bin file of plain tensors: --weights FILE"
    if not path.is_file():
        raise ModelError(f"there is no weights file {path}", fix=fix)
    try:
        if path.suffix == ".safetensors":
            return safetensors.torch.load_file(path)
        with warnings.catch_warnings():  # of another pickle protocol: it is read, or refused below
            warnings.filterwarnings("ignore", "Detected pickle protocol")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror or error}", fix=fix) from error
    except (safetensors.SafetensorError, *_UNPICKLING) as error:  # torch's own text advises to run the file's code
        form = "whole safetensors file" if path.suffix == ".safetensors" else "file of plain tensors, or it is damaged"
        raise ModelError(f"{path} cannot be read as weights: it is no {form}", fix=fix) from error
    while isinstance(content, dict) and isinstance(inner := content.get("model", content.get("state_dict")), dict):
        content = inner
    if not isinstance(content, dict) or not all(isinstance(item, Tensor) for item in content.values()):
        raise ModelError(f"{path} holds no state dict of tensors", fix=fix)
    return content


def licence_of_file(path: Path, architecture: str) -> str:
    """Return the licence that a safetensors file records in its metadata, or that none is recorded.

    Few files record one, and Meta's ConvNeXt-V2 weights are CC BY-NC 4.0 wherever they were copied to.
    """
    if path.suffix == ".safetensors":
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        for key in ("license", "licence"):
            if key in metadata:
                return str(metadata[key])
    hint = " (Meta's ConvNeXt-V2 weights are CC-BY-NC-4.0: non-commercial)"
    return "not recorded in the weights file" + (hint if architecture.startswith("convnextv2_") else "")


def architecture_from_state(state: dict[str, Tensor]) -> str | None:
    """Return the timm name of the ConvNeXt-V2 size that a state has, None if it is none of them."""
    if not any(".grn." in name for name in state) or "stem.0.weight" not in state:
        return None
    depths = tuple(
        len({name.split(".")[3] for name in state if name.startswith(f"stages.{stage}.blocks.")}) for stage in range(4)
    )
    return _SIZES.get((depths, state["stem.0.weight"].shape[0]))


def normalise_names(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Bring the published ConvNeXt-V2 names to timm's."""
    if "downsample_layers.0.0.weight" in state:
        return dict(checkpoint_filter_fn(state, model))
    return state


def names_of_timm(state: dict[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """Bring the published names of any architecture to timm's, by timm's own rules where it has some.

    A state that those rules do not understand is returned as it is: what does not fit is told by load_frozen.
    """
    rules = vars(sys.modules[type(model).__module__]).get("checkpoint_filter_fn")
    if rules is None or rules is checkpoint_filter_fn or set(model.state_dict()) == set(state):
        return normalise_names(state, model)
    try:
        return dict(rules(state, model))
    except (KeyError, IndexError, AttributeError, ValueError, RuntimeError):
        return state


def load_frozen(model: nn.Module, state: dict[str, Tensor], *, source: str, architecture: str) -> None:
    """Load a state into a model, its classifier apart, and freeze what was loaded.

    Raises: ModelError naming the first tensor that does not fit, and the architecture that would.
    """
    classifier = classifier_name(model)
    wanted = {k: tensor for k, tensor in model.state_dict().items() if not belongs_to_classifier(k, classifier)}
    found = {k: tensor for k, tensor in state.items() if not belongs_to_classifier(k, classifier)}
    fault = _first_misfit(wanted, found)
    if fault:
        actual = architecture_from_state(state)
        family = "a ConvNeXt-V2" if architecture == EMBEDDED or "convnextv2" in architecture else architecture
        raise ModelError(
            f"{source} does not fit {architecture}: {fault}",
            fix=f"--backbone {actual}" if actual else f"give the weights of {family}, or another --backbone",
        )
    model.load_state_dict({name: _as_trained(tensor) for name, tensor in found.items()}, strict=False)
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(belongs_to_classifier(name, classifier))


def load_exactly(model: nn.Module, state: Mapping[str, Tensor], part: str, *, source: Path) -> None:
    """Load a state that gi-edge wrote: all tensors whose names begin with part, no more and no fewer.

    Raises: ModelError naming the first tensor that does not fit.
    """
    wanted = {name: tensor for name, tensor in model.state_dict().items() if name.startswith(part)}
    if fault := _first_misfit(wanted, dict(state)):
        raise ModelError(f"{source} does not fit its manifest: {fault}", fix="train it again: gi-edge train --force")
    model.load_state_dict(dict(state), strict=False)


def _as_trained(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor


def sha256_of_backbone(model: nn.Module) -> str:
    """Return the sha256 over names, shapes and fp32 bytes of all tensors but the classifier's, in name order."""
    digest = hashlib.sha256()
    classifier = classifier_name(model)
    for name, tensor in sorted(model.state_dict().items()):
        if not belongs_to_classifier(name, classifier):
            digest.update(f"{name}{tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _first_misfit(wanted: dict[str, Tensor], found: dict[str, Tensor]) -> str:
    for name, tensor in wanted.items():
        if name not in found:
            return f"'{name}' is missing"
        if found[name].shape != tensor.shape:
            return f"'{name}' has shape {tuple(found[name].shape)}, expected {tuple(tensor.shape)}"
        if not found[name].isfinite().all():
            return f"'{name}' holds NaN or infinity"
    extra = sorted(found.keys() - wanted.keys())
    return f"'{extra[0]}' is not part of it" if extra else ""
