"""ConvNeXt-V2 backbones: by timm tag, from a local file, or the small one that the package carries."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

import timm
from huggingface_hub import hf_hub_download
from huggingface_hub.utils import logging as hub_logging
from torch import Tensor, nn

from gi_edge.artifacts.manifest import BackboneInfo
from gi_edge.errors import ModelError, did_you_mean
from gi_edge.modeling.checkpoint import (
    architecture_from_state,
    licence_of_file,
    load_frozen,
    normalise_names,
    read_state,
    sha256_of_backbone,
)
from gi_edge.progress import Progress

DEFAULT = "convnextv2_tiny.fcmae_ft_in22k_in1k"
EMBEDDED = "gi-edge-small"
EMBEDDED_SHAPE = {"depths": (2, 2, 4, 2), "dims": (16, 32, 64, 128)}
_EMBEDDED_BASE = "convnextv2_atto"


@dataclass(frozen=True)
class Backbone:
    """A frozen backbone with a new classifier, and what it is."""

    model: nn.Module
    info: BackboneInfo


def load_backbone(name: str | None, weights: Path | None, *, num_classes: int, progress: Progress) -> Backbone:
    """Build a ConvNeXt-V2 with frozen pretrained weights and a fresh, trainable classifier of num_classes.

    name is a timm tag, a timm architecture (then weights is needed), or EMBEDDED; None takes the architecture
    from the weights file or, without one, DEFAULT.

    Raises: ModelError if name, weights and architecture do not fit together, or a tag cannot be downloaded.
    """
    if weights is not None:
        return _from_file(name, weights, num_classes)
    if (name or DEFAULT) == EMBEDDED:
        return _embedded(num_classes)
    return _from_tag(name or DEFAULT, num_classes, progress)


def backbone_of(info: BackboneInfo, weights: Path | None, *, num_classes: int, progress: Progress) -> Backbone:
    """Load the backbone that an adapter was trained on, and prove that it is the same one.

    Raises: ModelError if the weights file is needed and not given, or the loaded weights differ.
    """
    kind, _, origin = info.weights.partition(":")
    if kind == "file" and weights is None:
        raise ModelError(f"the adapter needs its base weights, the file '{origin}'", fix=f"--weights PATH/TO/{origin}")
    name = origin if kind == "timm" and weights is None else info.architecture
    backbone = load_backbone(name, weights, num_classes=num_classes, progress=progress)
    if backbone.info.weights_sha256 != info.weights_sha256:
        raise ModelError(
            f"not the base weights of the adapter: it was trained on {info.weights} "
            f"(sha256 {info.weights_sha256[:12]}…), found {backbone.info.weights} "
            f"({backbone.info.weights_sha256[:12]}…)",
            fix="--weights FILE with the weights that training used",
        )
    return backbone


def _from_file(name: str | None, weights: Path, num_classes: int) -> Backbone:
    state = read_state(weights)
    architecture = name.partition(".")[0] if name else _architecture_of(state, weights)
    model = _create(architecture, num_classes)
    load_frozen(model, normalise_names(state, model), source=str(weights), architecture=architecture)
    return _backbone(model, architecture, f"file:{weights.name}", licence_of_file(weights))


def _architecture_of(state: dict[str, Tensor], weights: Path) -> str:
    found = architecture_from_state(normalise_names(state, _create(_EMBEDDED_BASE, 2)))
    if found is None:
        raise ModelError(f"{weights} is none of the ConvNeXt-V2 sizes", fix="name its architecture: --backbone NAME")
    return found


def _from_tag(tag: str, num_classes: int, progress: Progress) -> Backbone:
    tags = timm.list_pretrained("convnextv2_*")
    if tag not in tags:
        if tag in timm.list_models("convnextv2_*"):
            choices = ", ".join(item for item in tags if item.startswith(f"{tag}."))
            raise ModelError(
                f"'{tag}' names no pretrained weights", fix=f"--weights FILE, or --backbone with a tag: {choices}"
            )
        raise ModelError(
            f"no backbone '{tag}' ({did_you_mean(tag, [EMBEDDED, *tags])})",
            fix="--backbone with one of these names",
        )
    progress.say(f"base weights: timm/{tag}")
    try:
        with _quiet_hub():
            path = Path(hf_hub_download(f"timm/{tag}", "model.safetensors"))
    except OSError as error:
        raise ModelError(
            f"the weights of '{tag}' are not in the local cache and cannot be downloaded ({type(error).__name__})",
            fix=f"--weights FILE with model.safetensors of timm/{tag}, or --backbone {EMBEDDED} (needs no network)",
        ) from error
    architecture = tag.partition(".")[0]
    model = _create(architecture, num_classes)
    load_frozen(model, normalise_names(read_state(path), model), source=f"timm/{tag}", architecture=architecture)
    licence = timm.get_pretrained_cfg(tag).license or "not recorded by timm"
    return _backbone(model, architecture, f"timm:{tag}", licence)


def _embedded(num_classes: int) -> Backbone:
    model = _create(EMBEDDED, num_classes)
    with resources.as_file(resources.files("gi_edge.modeling") / "weights" / f"{EMBEDDED}.safetensors") as path:
        load_frozen(model, read_state(path), source=EMBEDDED, architecture=EMBEDDED)
        return _backbone(model, EMBEDDED, "embedded", licence_of_file(path))


def _backbone(model: nn.Module, architecture: str, weights: str, licence: str) -> Backbone:
    return Backbone(
        model,
        BackboneInfo(
            architecture=architecture, weights=weights, weights_sha256=sha256_of_backbone(model), licence=licence
        ),
    )


def _create(architecture: str, num_classes: int) -> nn.Module:
    model: nn.Module
    if architecture == EMBEDDED:
        model = timm.create_model(_EMBEDDED_BASE, num_classes=num_classes, **EMBEDDED_SHAPE)
        return model
    known = timm.list_models("convnextv2_*")
    if architecture not in known:
        raise ModelError(
            f"no backbone '{architecture}' ({did_you_mean(architecture, [EMBEDDED, *known])})",
            fix="--backbone with one of these names",
        )
    model = timm.create_model(architecture, num_classes=num_classes)
    return model


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Silence the hub's retry messages: the error that follows says what matters."""
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)
