"""The workspace: generated frames, random weights, and per model an adapter and its bundles, made by the commands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch
from torch import nn

from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.quantisation import Dialect
from gi_edge.data.synthetic import CLASSES, SyntheticSpec, write_dataset
from gi_edge.errors import GiEdgeError
from gi_edge.metrics.parity import Precision
from gi_edge.modeling.architecture import create_model
from gi_edge.workspace import artifact_folders
from gpu_suite.options import Options

DATASET = "frames"
WEIGHTS_NOTE = "random, seed {seed}: scores mean nothing, parity compares numbers, and times do not depend on weights"
_CALIBRATION = ("--int8", "--int8-target", "both", "--calibration", "minmax", "--calibration-frames", "32")


@dataclass(frozen=True)
class Place:
    """Where everything of a suite lies."""

    root: Path
    options: Options

    @property
    def data(self) -> Path:
        """Folder of the frames."""
        return self.root / "data" / DATASET

    def weights(self, model: str) -> Path:
        """File of a model's random weights."""
        return self.root / "weights" / f"{model}.seed{self.options.seed}.safetensors"

    def adapter(self, model: str) -> Path:
        """Folder of its adapter."""
        return self.root / "adapters" / model

    def bundle_of(self, model: str, precision: Precision, dialect: Dialect) -> str | None:
        """Return the name of the bundle that holds a model in a precision for a runtime, None if none does."""
        for folder in artifact_folders(self.root / "bundles"):
            if folder.name == model or folder.name.startswith(f"{model}-"):
                try:
                    read_bundle(folder).model(precision, dialect)
                except GiEdgeError:
                    continue
                return folder.name
        return None


def write_inputs(place: Place) -> None:
    """Write frames, weights and gi-edge.toml, those that are not there yet. Raises: ModelError for an unknown model."""
    options = place.options
    if not place.data.exists():
        spec = SyntheticSpec(
            videos_per_finding=options.videos_per_finding,
            frames_per_stretch=options.frames_per_stretch,
            size_px=options.image_size_px,
            seed=options.seed,
        )
        write_dataset(place.data, spec)
    for model in options.models:
        if not place.weights(model).exists():
            write_weights(model, place.weights(model), options.seed)
    text = f'[datasets.{DATASET}]\npath = "data/{DATASET}"\nspec = "synthetic"\n'
    (place.root / "gi-edge.toml").write_text(text, encoding="utf-8")


def write_weights(architecture: str, path: Path, seed: int) -> None:
    """Write random weights of an architecture, as timm draws them; only GRN, which timm starts at zero, is drawn here,
    so that its sums take part in the answers."""
    torch.manual_seed(seed)
    model = create_model(architecture, len(CLASSES))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if ".grn." in name:
                nn.init.normal_(parameter, 0.5 if name.endswith("weight") else 0.0, 0.2)
    path.parent.mkdir(parents=True, exist_ok=True)
    state = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
    safetensors.torch.save_file(state, path, {"format": "pt", "license": "none: random numbers"})


def train_words(place: Place, model: str) -> list[str]:
    """Return the command that trains a model for a few steps."""
    options = place.options
    words = ["train", "--dataset", DATASET, "--name", model, "--device", options.device, "--tracker", "none"]
    words += ["--backbone", model, "--weights", str(place.weights(model)), "--image-size", str(options.image_size_px)]
    words += ["--epochs", str(options.epochs), "--batch-size", "16", "--learning-rate", "3e-3"]
    return [*words, "--rank", str(options.rank), "--seed", str(options.seed), "--holdout-fraction", "0.25"]


def export_words(place: Place, model: str, name: str, precisions: tuple[Precision, ...]) -> list[str]:
    """Return the command that writes a bundle with fp32 and these precisions."""
    words = ["export", "--adapter", model, "--name", name, "--weights", str(place.weights(model)), "--allow-undecided"]
    for precision in precisions:
        words += _CALIBRATION if precision == "int8" else [] if precision == "fp32" else [f"--{precision}"]
    return words


def engine_words(bundle: str, precision: Precision, runtime: str, batch_sizes: tuple[int, ...]) -> list[str]:
    """Return the command that builds an engine for all batch sizes, best at the middle one."""
    ordered = sorted(batch_sizes)
    sizes = f"1:{ordered[len(ordered) // 2]}:{ordered[-1]}"
    return ["engine", bundle, "--precision", precision, "--runtime", runtime, "--batch", sizes, "--force"]
