"""Settings of a training run. Every default stands here, and only here."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from gi_edge.artifacts.adapter import Method
from gi_edge.config import Value
from gi_edge.data.partition import HOLDOUT_FRACTION, SplitBy
from gi_edge.modeling.options import LoraOptions, ModelRequest

Rank = Annotated[int, Field(ge=0)]
LORA_SETTINGS = ("rank", "alpha", "dropout", "rslora", "dora", "stage_ranks", "targets")
"""Read by the method lora only."""

Tracker = Literal["tensorboard", "mlflow", "wandb", "none"]


class TrainSettings(Value):
    """What decides the outcome; recorded whole in the adapter."""

    method: Method = "lora"
    """lora: LoRA and the classifier. full: every weight. probe: the classifier alone, the rest frozen."""
    backbone: str | None = None
    """timm tag or architecture, or "gi-edge-small"; None: by the weights file (a ConvNeXt-V2), else Tiny."""
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
    drop_path: float = Field(default=0.0, ge=0, lt=1)
    """Largest rate of stochastic depth, rising over the blocks; a probe has none."""
    rank: int = Field(default=16, ge=1)
    """Rank of the LoRA matrices."""
    alpha: float = Field(default=32.0, gt=0)
    """LoRA is scaled by alpha / rank; with rslora by alpha / sqrt(rank)."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """On the input of the LoRA matrices."""
    rslora: bool = False
    """Rank-stabilised scaling."""
    dora: bool = False
    """Train the magnitude of each output channel apart from its direction."""
    stage_ranks: tuple[Rank, Rank, Rank, Rank] | None = None
    """Rank in each stage, instead of rank; 0: no LoRA there. alpha / rank stays what it is for rank, so that all
    stages are scaled alike; with rslora alpha stays, as that scaling is made for unequal ranks."""
    targets: str | None = None
    """Regular expression on the names of the layers that get LoRA; None: fc1 and fc2 of every block."""
    split_by: SplitBy = "auto"
    """What the split keeps together: groups where all are known, else near-duplicate clusters; "frame" by name only."""
    holdout_fraction: float = Field(default=HOLDOUT_FRACTION, gt=0, le=0.33)
    """Share of the frames in the validation and in the test part, each."""
    seed: int = 0
    """Of the split, the fresh weights, the order of frames and the augmentation."""

    @model_validator(mode="after")
    def _some_stage_has_lora(self) -> TrainSettings:
        if self.stage_ranks is not None and not any(self.stage_ranks):
            raise ValueError('stage_ranks leaves no stage with LoRA; that is method = "probe"')
        return self

    def unread(self) -> tuple[str, ...]:
        """Return the names of the settings that the method does not read."""
        lora = () if self.method == "lora" else LORA_SETTINGS
        return (*lora, *(("drop_path",) if self.method == "probe" else ()))

    def recorded(self) -> dict[str, Any]:
        """Return what decides the outcome, as JSON values: the settings that the method reads."""
        return self.model_dump(mode="json", exclude=set(self.unread()))


class TrainJob(Value):
    """Where a run reads and writes; not recorded, since paths belong to one machine."""

    settings: TrainSettings
    recipe: str | None = None
    """Name of the recipe, or of its file; recorded, though the settings say all."""
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

    def request(self) -> ModelRequest:
        """Return which model this is and what of it trains."""
        settings = self.settings
        return ModelRequest(
            backbone=settings.backbone,
            weights=self.weights,
            method=settings.method,
            lora=LoraOptions.model_validate({name: getattr(settings, name) for name in LORA_SETTINGS}),
            drop_path=settings.drop_path,
        )
