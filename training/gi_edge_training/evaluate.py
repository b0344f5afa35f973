"""What a trained adapter answers on one part of its dataset, in PyTorch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from gi_edge.artifacts.adapter import Adapter
from gi_edge.artifacts.evaluation import Predictions
from gi_edge.artifacts.frames_file import check_frames
from gi_edge.artifacts.held_out import held_out_frames
from gi_edge.data.frame_cache import cache_folder
from gi_edge.data.split import Part
from gi_edge.metrics.calibration import softmax
from gi_edge.modeling.memory import keep_freed_memory
from gi_edge.modeling.methods import load_trained
from gi_edge.modeling.pixels import PixelClassifier, logits_of
from gi_edge.progress import Progress
from gi_edge_training.engine import device_from_name


def predictions_of_adapter(
    adapter: Adapter, data: Path, weights: Path | None, part: Part, progress: Progress
) -> Predictions:
    """Answer every frame of a part, from the files below data or, where those are unchanged, from the frame cache.

    Raises: DataError if a frame is absent, unreadable or not the one of the training; ModelError if the base weights
    are not the adapter's.
    """
    manifest = adapter.manifest
    held_out = held_out_frames(manifest, data, adapter.split.ids(part), progress, cache_folder())
    check_frames(adapter, part, held_out.frames, held_out.sha256, progress)
    device = device_from_name("auto")
    if device.type == "cpu":
        keep_freed_memory()
    classifier = PixelClassifier(load_trained(adapter, weights, progress), manifest.preprocess).to(device)
    logits = logits_of(classifier, np.asarray(held_out.pixels))
    runtime = f"PyTorch {torch.__version__} on {device.type}, fp32"
    return Predictions(held_out.frames, softmax(logits, manifest.temperature), "adapter", None, runtime)
