"""LoRA on the pointwise layers of ConvNeXt-V2, through peft."""

from __future__ import annotations

import json
import re
from pathlib import Path

import peft
import safetensors
from torch import nn

from gi_edge.errors import ModelError
from gi_edge.modeling.checkpoint import CLASSIFIER

TARGETS = r".*\.mlp\.fc[12]"
"""Linear on tiny and larger, 1x1 Conv2d on the smaller sizes; both merge. Depthwise convolutions would not."""


def attach_lora(model: nn.Module, *, rank: int, alpha: float, dropout: float) -> peft.PeftModel:
    """Put LoRA of scale alpha / rank on every fc1 and fc2, and train the classifier in full; B starts at zero."""
    config = peft.LoraConfig(
        r=rank, lora_alpha=alpha, lora_dropout=dropout, target_modules=TARGETS, modules_to_save=[CLASSIFIER]
    )
    return peft.get_peft_model(model, config)


def save_adapter(model: peft.PeftModel, folder: Path) -> None:
    """Write adapter_config.json and adapter_model.safetensors, and no other file."""
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    (folder / "adapter_model.safetensors").chmod(0o644)  # safetensors writes for the owner alone


def load_adapter(model: nn.Module, folder: Path) -> peft.PeftModel:
    """Put a saved adapter on its backbone, for inference.

    Raises: ModelError if its tensors do not fit the backbone.
    """
    _check_targets(model, folder)
    try:
        return peft.PeftModel.from_pretrained(model, folder).eval()
    except (RuntimeError, ValueError, KeyError, safetensors.SafetensorError) as error:
        raise ModelError(
            f"the adapter {folder} does not fit the backbone: {str(error).splitlines()[0]}",
            fix="export it with the backbone and weights it was trained on",
        ) from error


def weight_counts(model: nn.Module) -> tuple[int, int]:
    """Return (trainable, all) weights."""
    sizes = [(parameter.numel(), parameter.requires_grad) for parameter in model.parameters()]
    return sum(size for size, trained in sizes if trained), sum(size for size, _ in sizes)


def _check_targets(model: nn.Module, folder: Path) -> None:
    """peft leaves a layer at its start values when the file lacks it, so compare names first."""
    path = folder / "adapter_model.safetensors"
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
        targets = re.compile(str(config.get("target_modules")))
        with safetensors.safe_open(path, framework="pt") as file:
            names = set(file.keys())
    except (OSError, ValueError, re.error, safetensors.SafetensorError) as error:
        raise ModelError(f"{folder} is no peft adapter: {error}", fix="train it again: gi-edge train") from error
    layers = [name for name, _ in model.named_modules() if targets.fullmatch(name)]
    expected = {f"base_model.model.{layer}.lora_{half}.weight" for layer in layers for half in "AB"}
    expected |= {f"base_model.model.{CLASSIFIER}.{part}" for part in ("weight", "bias")}
    if different := sorted(expected ^ names):
        raise ModelError(
            f"the adapter {folder} is for another backbone: '{different[0]}' is on one side only",
            fix="export it with the backbone and weights it was trained on",
        )
