"""Adapter: what a training leaves, in the form that its method has elsewhere, with the manifest that makes it
reproducible."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from gi_edge.artifacts.manifest import Manifest, read_manifest
from gi_edge.artifacts.remake import train_again
from gi_edge.artifacts.split_file import read_split_of
from gi_edge.config import Value
from gi_edge.data.split import Split
from gi_edge.metrics.classification import Classification
from gi_edge.metrics.evaluation import Evaluation

Method = Literal["lora", "full", "probe"]
WEIGHTS_FILES: dict[Method, str] = {
    "lora": "adapter_model.safetensors",
    "full": "model.safetensors",
    "probe": "classifier.safetensors",
}
"""What was trained: a PEFT adapter with the classifier; the whole state dict in timm's names; the classifier's part of
that."""


class EpochRecord(Value):
    """One epoch of a training."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the batches of what training minimises."""
    val_macro_f1: float
    val_loss: float | None = None
    """Mean natural log loss of the validation frames at temperature 1, without class weights or smoothing; None where
    it was not recorded."""
    learning_rate: float | None = None
    """Of the last step of the epoch; None where it was not recorded."""


class AdapterManifest(Manifest):
    """What an adapter is and how it scored."""

    kind: Literal["adapter"] = "adapter"
    method: Method = "lora"
    """What trained: LoRA and the classifier, every weight, or the classifier."""
    trainable_weights: int
    """Weights that were trained, those of the classifier among them."""
    total_weights: int
    """All weights of the model as it trained, LoRA's among them."""
    history: tuple[EpochRecord, ...]
    best_epoch: int
    """The epoch whose weights these are: the first of highest validation macro-F1."""
    val: Classification
    test: Classification
    evaluation: Evaluation
    """Of the test part: all scores with their intervals and both baselines."""


@dataclass(frozen=True)
class Adapter:
    """A checked adapter folder."""

    path: Path
    manifest: AdapterManifest
    split: Split

    @property
    def weights_path(self) -> Path:
        """The file with what was trained."""
        return self.path / WEIGHTS_FILES[self.manifest.method]


def read_adapter(path: Path) -> Adapter:
    """Read and check an adapter. Raises: ArtifactError if it is not whole and unaltered."""
    remake = train_again(path)
    manifest = read_manifest(path, AdapterManifest, "adapter", remake)
    return Adapter(path, manifest, read_split_of(path, manifest, remake))


def method_words(method: Method, config: Mapping[str, Any]) -> str:
    """Return a method and its shape in few words, such as "DoRA r=8", from the recorded settings."""
    if method != "lora":
        return {"full": "full fine-tuning", "probe": "linear probe"}[method]
    ranks = config.get("stage_ranks") or [config["rank"]]
    kind = ("rs" if config.get("rslora") else "") + ("DoRA" if config.get("dora") else "LoRA")
    return f"{kind} r={'/'.join(map(str, ranks))}"
