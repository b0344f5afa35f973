"""Settings of a training run. Every default stands here, and only here."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from gi_edge.config import Value, read_toml
from gi_edge.data.partition import HOLDOUT_FRACTION, SplitBy
from gi_edge.errors import ConfigError, did_you_mean

Tracker = Literal["tensorboard", "mlflow", "wandb", "none"]


class TrainSettings(Value):
    """What decides the outcome; recorded whole in the adapter."""

    backbone: str | None = None
    """timm tag or architecture of a ConvNeXt-V2, or "gi-edge-small"; None: by the weights file, else Tiny."""
    weights_licence: str | None = None
    """Licence of a local weights file, where the file does not record it."""
    image_size_px: int = Field(default=224, gt=0, multiple_of=32)
    """Height and width of the model's input."""
    fit: Literal["pad", "stretch", "crop"] = "pad"
    """How a frame is brought to a square; pad loses nothing."""
    epochs: int = Field(default=10, ge=1)
    batch_size: int = Field(default=32, ge=2)
    learning_rate: float = Field(default=1e-3, gt=0)
    """Peak of the schedule: linear warm-up, then cosine to zero."""
    weight_decay: float = Field(default=0.01, ge=0)
    warmup_fraction: float = Field(default=0.1, ge=0, lt=1)
    """Share of all steps."""
    balance: Literal["none", "sampler", "weights", "logit-adjustment"] = "none"
    """For classes with few frames: draw all classes equally often, weight their loss, or adjust their logits."""
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    patience: int = Field(default=0, ge=0)
    """Epochs without a better validation macro-F1 after which training ends; 0: never. The best epoch is kept."""
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Of the forward pass in training; auto: bf16 where the processor computes in it. Scores are always fp32."""
    compile: bool = False
    """Compile the forward pass in training by torch.compile: a longer start, faster steps."""
    accumulate: int = Field(default=1, ge=1)
    """Batches per step of the optimiser."""
    clip_norm: float = Field(default=1.0, gt=0)
    """Largest norm of the gradient."""
    rank: int = Field(default=16, ge=1)
    """Rank of the LoRA matrices."""
    alpha: float = Field(default=32.0, gt=0)
    """LoRA is scaled by alpha / rank."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the input of the LoRA matrices."""
    split_by: SplitBy = "auto"
    """What the split keeps together: groups where all are known, else near-duplicate clusters; "frame" by name only."""
    holdout_fraction: float = Field(default=HOLDOUT_FRACTION, gt=0, le=0.33)
    """Share of the frames in the validation and in the test part, each."""
    seed: int = 0
    """Of the split, the fresh weights, the order of frames and the augmentation."""


class TrainJob(Value):
    """Where a run reads and writes; not recorded, since paths belong to one machine."""

    settings: TrainSettings
    dataset: str
    name: str
    """Of the adapter."""
    data: Path
    """Folder of the images."""
    spec: str = "folders"
    exclude: tuple[str, ...] = ()
    split: Path | None = None
    """CSV file of a split that was made before; None: make one as the settings say."""
    weights: Path | None = None
    """Local file with the backbone's weights."""
    output: Path
    """Folder of the adapter."""
    force: bool = False
    resume: bool = False
    """Go on with the unfinished run of this output."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    tracker: Tracker = "tensorboard"
    log: Path | None = None
    """Folder of the tracker's log of this run; None: no log is kept."""


def recipe_names() -> tuple[str, ...]:
    """Return the names of the recipes in the package."""
    folder = resources.files("gi_edge_training") / "recipes"
    return tuple(sorted(item.name.removesuffix(".toml") for item in folder.iterdir() if item.name.endswith(".toml")))


def read_recipe(name: str) -> dict[str, Any]:
    """Return a recipe of the package, or of a .toml file. Raises: ConfigError with the nearest name."""
    if name.endswith(".toml"):
        return read_toml(Path(name))
    if name not in recipe_names():
        raise ConfigError(
            f"no recipe '{name}' ({did_you_mean(name, recipe_names())})", fix="--recipe NAME or FILE.toml"
        )
    with resources.as_file(resources.files("gi_edge_training") / "recipes" / f"{name}.toml") as path:
        return read_toml(path)
