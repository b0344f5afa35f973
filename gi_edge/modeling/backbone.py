"""Backbones: by timm tag, from a local file, or the small one that the package carries."""

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
from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import (
    EMBEDDED,
    EMBEDDED_BASE,
    check_name,
    create_model,
    unknown_name,
)
from gi_edge.modeling.checkpoint import (
    architecture_from_state,
    licence_of_file,
    load_frozen,
    names_of_timm,
    normalise_names,
    read_state,
    sha256_of_backbone,
)
from gi_edge.progress import Progress

DEFAULT = "convnextv2_tiny.fcmae_ft_in22k_in1k"


@dataclass(frozen=True)
class Backbone:
    """A frozen backbone with a new classifier, and what it is."""

    model: nn.Module
    info: BackboneInfo


def load_backbone(
    name: str | None, weights: Path | None, *, num_classes: int, progress: Progress, drop_path: float = 0.0
) -> Backbone:
    """Build a model with frozen pretrained weights and a fresh, trainable classifier of num_classes.

    name is a timm tag, a timm architecture (then weights is needed), or EMBEDDED; None takes the architecture
    from the weights file (of a ConvNeXt-V2) or, without one, DEFAULT.

    Raises: ModelError if name, weights and architecture do not fit together, or a tag cannot be downloaded.
    """
    if weights is not None:
        return _from_file(name, weights, num_classes, drop_path)
    if (name or DEFAULT) == EMBEDDED:
        return _embedded(num_classes, drop_path)
    return _from_tag(name or DEFAULT, num_classes, drop_path, progress)


def resolved_name(name: str | None, weights: Path | None) -> str:
    """Return the tag or architecture that load_backbone will take, without loading its weights.

    Raises: ModelError if there is none of that name, or nothing says where its weights are.
    """
    if weights is not None and name is None:
        return _architecture_of(read_state(weights), weights)
    if weights is not None:
        if not weights.is_file():
            read_state(weights)
        check_name((name or "").partition(".")[0])
        return name or ""
    name = name or DEFAULT
    if name != EMBEDDED:
        _check_tag(name)
    return name


def backbone_of(info: BackboneInfo, weights: Path | None, *, num_classes: int, progress: Progress) -> Backbone:
    """Load the backbone that an adapter was trained on, and prove that it is the same one.

    Raises: ModelError if the weights file is needed and not given, or the loaded weights differ.
    """
    kind, _, origin = info.weights.partition(":")
    if kind == "file" and weights is None:
        raise ModelError(f"the adapter needs its base weights, the file '{origin}'", fix=f"--weights PATH/TO/{origin}")
    name = origin if kind == "timm" and weights is None else info.architecture
    try:
        backbone = load_backbone(name, weights, num_classes=num_classes, progress=progress)
    except ModelError as error:
        if weights is None:
            raise
        raise ModelError(
            f"{error.message}; the adapter was trained on {_described(info)}", fix=_own_weights(info)
        ) from error
    if backbone.info.weights_sha256 != info.weights_sha256:
        raise ModelError(
            f"not the base weights of the adapter: it was trained on {info.weights} "
            f"(sha256 {info.weights_sha256[:12]}…), found {backbone.info.weights} "
            f"({backbone.info.weights_sha256[:12]}…)",
            fix=_own_weights(info),
        )
    return backbone


def _described(info: BackboneInfo) -> str:
    return info.architecture if info.weights == "embedded" else f"{info.architecture} ({info.weights})"


def _own_weights(info: BackboneInfo) -> str:
    kind, _, origin = info.weights.partition(":")
    if kind == "file":
        return f"--weights FILE, the '{origin}' that training used"
    if kind == "timm":
        return f"--weights FILE with the weights of timm/{origin}, or no weights at all: then they are downloaded"
    return "leave out --weights, and weights in [train] of gi-edge.toml: the backbone is in the package"


def _from_file(name: str | None, weights: Path, num_classes: int, drop_path: float) -> Backbone:
    state = read_state(weights)
    architecture = name.partition(".")[0] if name else _architecture_of(state, weights)
    model = create_model(architecture, num_classes, drop_path)
    load_frozen(model, names_of_timm(state, model), source=str(weights), architecture=architecture)
    return _backbone(model, architecture, f"file:{weights.name}", licence_of_file(weights, architecture))


def _architecture_of(state: dict[str, Tensor], weights: Path) -> str:
    found = architecture_from_state(normalise_names(state, create_model(EMBEDDED_BASE, 2)))
    if found is None:
        raise ModelError(f"{weights} is none of the ConvNeXt-V2 sizes", fix="name its architecture: --backbone NAME")
    return found


def _check_tag(tag: str) -> None:
    if timm.get_pretrained_cfg(tag) is not None and tag in timm.list_pretrained():
        return
    if not timm.is_model(tag):
        raise unknown_name(tag)
    choices = ", ".join(timm.list_pretrained(f"{tag}.*"))
    raise ModelError(f"'{tag}' names no pretrained weights", fix=f"--weights FILE, or --backbone with a tag: {choices}")


def _from_tag(tag: str, num_classes: int, drop_path: float, progress: Progress) -> Backbone:
    _check_tag(tag)
    config = timm.get_pretrained_cfg(tag)
    if not config.hf_hub_id:
        raise ModelError(f"timm does not say where the weights of '{tag}' are", fix="--weights FILE")
    progress.say(f"base weights: {config.hf_hub_id}")
    try:
        with _quiet_hub():
            path = Path(hf_hub_download(config.hf_hub_id, config.hf_hub_filename or "model.safetensors"))
    except OSError as error:
        raise ModelError(
            f"the weights of '{tag}' are not in the local cache and cannot be downloaded ({type(error).__name__})",
            fix=f"--weights FILE with model.safetensors of timm/{tag}, or --backbone {EMBEDDED} (needs no network)",
        ) from error
    architecture = tag.partition(".")[0]
    model = create_model(architecture, num_classes, drop_path)
    load_frozen(model, names_of_timm(read_state(path), model), source=f"timm/{tag}", architecture=architecture)
    return _backbone(model, architecture, f"timm:{tag}", config.license or "not recorded by timm")


def _embedded(num_classes: int, drop_path: float) -> Backbone:
    model = create_model(EMBEDDED, num_classes, drop_path)
    with resources.as_file(resources.files("gi_edge.modeling") / "weights" / f"{EMBEDDED}.safetensors") as path:
        load_frozen(model, read_state(path), source=EMBEDDED, architecture=EMBEDDED)
        return _backbone(model, EMBEDDED, "embedded", licence_of_file(path, EMBEDDED))


def _backbone(model: nn.Module, architecture: str, weights: str, licence: str) -> Backbone:
    return Backbone(
        model,
        BackboneInfo(
            architecture=architecture, weights=weights, weights_sha256=sha256_of_backbone(model), licence=licence
        ),
    )


@contextmanager
def _quiet_hub() -> Iterator[None]:
    """Silence the hub's retry messages: the error that follows says what matters."""
    level = hub_logging.get_verbosity()
    hub_logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        hub_logging.set_verbosity(level)
