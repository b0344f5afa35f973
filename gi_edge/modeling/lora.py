"""LoRA on layers that it can be merged into, through peft."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import peft
import safetensors
from torch import nn

from gi_edge.errors import ModelError
from gi_edge.modeling.architecture import classifier_name
from gi_edge.modeling.options import LoraOptions

TARGETS = r".*\.mlp\.fc[12]"
"""Of ConvNeXt-V2: Linear on tiny and larger, 1x1 Conv2d on the smaller sizes; both merge."""
_STAGE = re.compile(r"(?:stages|layers)\.(\d+)\.")
_OTHER_METHOD = "train every weight: --method full, or the classifier alone: --method probe"


def attach_lora(model: nn.Module, options: LoraOptions) -> peft.PeftModel:
    """Put LoRA on the target layers and train the classifier in full; the answers stay those of the model.

    Raises: ModelError if a target cannot be merged later, or none is found.
    """
    layers = check_targets(model, options)
    ranks = _rank_pattern(options, layers)
    alphas = {key: options.alpha * rank / options.rank for key, rank in ranks.items()}
    config = peft.LoraConfig(
        r=options.rank,
        lora_alpha=options.alpha,
        lora_dropout=options.dropout,
        use_rslora=options.rslora,
        use_dora=options.dora,
        target_modules=options.targets or TARGETS,
        exclude_modules=_left_out(options),
        rank_pattern=ranks,
        alpha_pattern={} if options.rslora else alphas,
        modules_to_save=[classifier_name(model)],
    )
    return peft.get_peft_model(model, config)


def check_targets(model: nn.Module, options: LoraOptions) -> tuple[str, ...]:
    """Return the names of the layers that get LoRA. Works on the meta device.

    Raises: ModelError if there is none, one cannot be merged, one is the classifier, or stages are not four.
    """
    pattern = options.targets or TARGETS
    try:
        layers = _matching(model, pattern)
    except re.error as error:
        raise ModelError(f"targets '{pattern}' is no regular expression: {error}", fix="--set targets=REGEX") from error
    name = getattr(model, "default_cfg", {}).get("architecture", type(model).__name__)
    if not layers:
        raise ModelError(f"{name} has no layer whose name matches '{pattern}', so LoRA has no place", fix=_OTHER_METHOD)
    classifier = classifier_name(model)
    for layer in layers:
        fault = _why_not_mergeable(model.get_submodule(layer))
        if layer == classifier:
            fault = "is the classifier, which trains in full anyway"
        if fault:
            raise ModelError(f"LoRA on {name}: '{layer}' {fault}", fix=f"--set targets=REGEX, or {_OTHER_METHOD}")
    if options.stage_ranks is not None:
        stages = {int(match.group(1)) for layer in layers if (match := _STAGE.search(layer))}
        if stages != {0, 1, 2, 3}:
            raise ModelError(f"{name} has no four stages with LoRA, so stage_ranks has no meaning", fix="--rank N")
    left_out = re.compile(_left_out(options) or "(?!)")
    return tuple(layer for layer in layers if not left_out.fullmatch(layer))


def save_adapter(model: peft.PeftModel, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors, and no other file."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "adapter_model.safetensors").chmod(0o644)  # safetensors writes for the owner alone


def load_adapter(model: nn.Module, folder: Path) -> peft.PeftModel:
    """Put a saved adapter on its backbone, for inference.

    Raises: ModelError if its tensors do not fit the backbone.
    """
    _check_names(model, folder)
    try:
        return peft.PeftModel.from_pretrained(model, folder).eval()
    except (RuntimeError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the adapter {folder} does not fit the backbone: {str(error).splitlines()[0]}",
            fix="export it with the backbone and weights it was trained on",
        ) from error


def _why_not_mergeable(layer: nn.Module) -> str:
    if isinstance(layer, nn.Conv2d) and layer.groups > 1:
        return f"is a convolution of {layer.groups} groups; LoRA on it cannot be merged"
    if isinstance(layer, nn.Linear | nn.Conv2d):
        return ""
    return f"is a {type(layer).__name__}; LoRA is merged into Linear and Conv2d only"


def _matching(model: nn.Module, pattern: str) -> list[str]:
    targets = re.compile(pattern)
    return [name for name, _ in model.named_modules() if targets.fullmatch(name)]


def _rank_pattern(options: LoraOptions, layers: tuple[str, ...]) -> dict[str, int]:
    """Return peft's rank by regular expression on the end of a layer's name."""
    if options.stage_ranks is None:
        return {}
    noun = "stages" if any("stages." in layer for layer in layers) else "layers"
    return {rf"{noun}\.{stage}\..*": rank for stage, rank in enumerate(options.stage_ranks) if rank}


def _left_out(options: LoraOptions) -> str | None:
    stages = [str(stage) for stage, rank in enumerate(options.stage_ranks or ()) if not rank]
    return rf"(?:.*\.)?(?:stages|layers)\.(?:{'|'.join(stages)})\..*" if stages else None


def _check_names(model: nn.Module, folder: Path) -> None:
    """peft leaves a layer at its start values when the file lacks it, so compare names first."""
    path = folder / "adapter_model.safetensors"
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        layers = _matching(model, str(config.get("target_modules")))
        left_out = re.compile(config.get("exclude_modules") or "(?!)")
        with safetensors.safe_open(path, framework="pt") as file:
            names = set(file.keys())
    except (OSError, ValueError, TypeError, re.error, safetensors.SafetensorError) as error:
        raise ModelError(f"{folder} is no peft adapter: {error}", fix="train it again: gi-edge train") from error
    parts = ["lora_A.weight", "lora_B.weight", *(["lora_magnitude_vector"] if config.get("use_dora") else [])]
    expected = {
        f"base_model.model.{layer}.{part}" for layer in layers if not left_out.fullmatch(layer) for part in parts
    }
    expected |= {f"base_model.model.{classifier_name(model)}.{part}" for part in ("weight", "bias")}
    if different := sorted(expected ^ names):
        raise ModelError(
            f"the adapter {folder} is for another backbone: '{different[0]}' is on one side only",
            fix="export it with the backbone and weights it was trained on",
        )
