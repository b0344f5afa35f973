"""Pretrain the backbone that the package carries, on generated frames: ``python training/pretrain_embedded.py``.

It learns what is in a frame (findings, folds, vessels, lumen, colour, sizes) and in which cell each finding lies,
from ``render_attribute_frames``, whose random streams are apart from those of ``write_dataset``. The cells matter
most: whole-frame labels alone teach little in the time there is. Both heads are dropped; the rest is saved as
float16 safetensors.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional

from gi_edge.data.synthetic import AMOUNTS, ATTRIBUTES, GRID, KINDS, PRESENCE, render_attribute_frames
from gi_edge.modeling.architecture import EMBEDDED_SHAPE

OUTPUT = Path(__file__).parents[1] / "gi_edge" / "modeling" / "weights" / "gi-edge-small.safetensors"
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet normalisation, as in timm's configuration of convnextv2_atto."""
BATCH_SIZE, CHUNK, HELD_OUT = 32, 250, 1000
LEARNING_RATE, WEIGHT_DECAY, CLIP_NORM = 4e-3, 0.05, 1.0
RENDERED_PX, SMALL_PX, FINAL_PX = 160, 96, 128
FINAL_EPOCHS = 3
"""Most epochs run on small frames, which cost half as much; the last ones on frames of the demo's size."""

AMOUNT_COLUMNS = slice(len(PRESENCE), len(PRESENCE) + len(AMOUNTS))
CELL_COLUMNS = slice(AMOUNT_COLUMNS.stop, len(ATTRIBUTES))
CELL_GAIN, CELL_WEIGHT = 4.0, 2.0
"""A cell counts as wholly covered from a quarter up; the weight of the cells in the loss."""

log = logging.getLogger("pretrain_embedded")


def main() -> None:
    """Render, train, report on held-out frames, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--frames", type=int, default=16_000, help="training frames to render")
    parser.add_argument("--epochs", type=int, default=23)
    parser.add_argument("--seed", type=int, default=20_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=OUTPUT)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.manual_seed(arguments.seed)
    torch.set_num_threads(arguments.threads)

    started = time.perf_counter()
    frames, targets = render(arguments.frames + HELD_OUT, arguments.seed, arguments.threads)
    log.info("rendered %d frames in %.0f s", len(frames), time.perf_counter() - started)
    model = AttributeModel().to(memory_format=torch.channels_last)
    train(model, frames[HELD_OUT:], targets[HELD_OUT:], arguments.epochs)
    report(model, frames[:HELD_OUT], targets[:HELD_OUT])
    save(model, arguments)
    log.info("done in %.0f s: %s", time.perf_counter() - started, arguments.output)


def render(count: int, seed: int, workers: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Render frames, uint8 [count, 3, size, size], and targets, float32 [count, A], amounts standardised."""
    chunks = -(-count // CHUNK)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        parts = list(pool.map(render_chunk, range(seed, seed + chunks)))
    frames = np.concatenate([frame for frame, _ in parts])[:count]
    targets = np.concatenate([target for _, target in parts])[:count]
    amounts = targets[:, AMOUNT_COLUMNS]
    amounts -= amounts.mean(axis=0)
    amounts /= amounts.std(axis=0) + 1e-6
    return torch.from_numpy(frames.transpose(0, 3, 1, 2)), torch.from_numpy(targets)


def render_chunk(seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Render CHUNK frames; the seeds of the chunks are seed, seed + 1, …"""
    return render_attribute_frames(CHUNK, RENDERED_PX, seed)


class AttributeModel(torch.nn.Module):
    """The backbone with its classifier for presence and amounts, and one more head for the cells."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = timm.create_model("convnextv2_atto", num_classes=AMOUNT_COLUMNS.stop, **EMBEDDED_SHAPE)
        # timm's deviation of 0.02 suits wide layers; with 16 channels the signal dies and nothing is learnt.
        for layer in self.backbone.modules():
            if isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)):
                torch.nn.init.trunc_normal_(layer.weight, std=layer.weight[0].numel() ** -0.5)
        self.cells = torch.nn.Conv2d(EMBEDDED_SHAPE["dims"][-1], len(KINDS), 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits [n, len(ATTRIBUTES)] of images [n, 3, size, size]."""
        features = self.backbone.forward_features(images)
        cells = functional.interpolate(self.cells(features), size=GRID, mode="bilinear", align_corners=False)
        return torch.cat([self.backbone.forward_head(features), cells.flatten(1)], dim=1)


def train(model: torch.nn.Module, frames: torch.Tensor, targets: torch.Tensor, epochs: int) -> None:
    """Train in place: AdamW, one cosine cycle with warm-up, bfloat16 autocast."""
    steps = len(frames) // BATCH_SIZE
    optimizer = torch.optim.AdamW(model.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=epochs * steps, pct_start=0.1)
    model.train()
    sized = {size_px: resize(frames, size_px) for size_px in (SMALL_PX, FINAL_PX)}
    for epoch in range(epochs):
        started, total = time.perf_counter(), 0.0
        current = sized[FINAL_PX if epoch >= epochs - FINAL_EPOCHS else SMALL_PX]
        for indices in torch.randperm(len(frames))[: steps * BATCH_SIZE].view(steps, BATCH_SIZE):
            images, truth = augment(current[indices].float() / 255, targets[indices])
            with torch.autocast("cpu", torch.bfloat16):
                logits = model(images)
            loss = loss_from_logits(logits.float(), truth)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
            schedule.step()
            total += loss.item()
        log.info("epoch %d/%d loss %.4f, %.0f s", epoch + 1, epochs, total / steps, time.perf_counter() - started)


def resize(frames: torch.Tensor, size_px: int) -> torch.Tensor:
    """Resize frames, uint8 [n, 3, size, size], a batch at a time."""
    return torch.cat(
        [functional.interpolate(part, size=size_px, mode="bilinear", antialias=True) for part in frames.split(1000)]
    )


def augment(images: torch.Tensor, targets: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Flip and turn images, float [n, 3, size, size] in 0..1, with their cells; shift colour, normalise."""
    count = len(images)
    cells = targets[:, CELL_COLUMNS].view(count, len(KINDS), GRID, GRID)
    for axis in (2, 3):
        flip = torch.rand(count, 1, 1, 1) < 0.5
        images, cells = (torch.where(flip, value.flip(axis), value) for value in (images, cells))
    turns = int(torch.randint(4, ()))
    images, cells = torch.rot90(images, turns, (2, 3)), torch.rot90(cells, turns, (2, 3))
    gain = (1 + 0.15 * (2 * torch.rand(count, 1, 1, 1) - 1)) * (1 + 0.03 * (2 * torch.rand(count, 3, 1, 1) - 1))
    truth = torch.cat([targets[:, : CELL_COLUMNS.start], cells.flatten(1)], dim=1)
    return normalise((images * gain).clamp(0, 1)), truth


def normalise(images: torch.Tensor) -> torch.Tensor:
    """Subtract the mean and divide by the deviation of ImageNet; channels last in memory."""
    scaled = (images - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)
    return scaled.contiguous(memory_format=torch.channels_last)


def loss_from_logits(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropy on presence and cells plus smooth L1 on amounts."""
    cross_entropy = functional.binary_cross_entropy_with_logits
    presence = cross_entropy(logits[:, : len(PRESENCE)], targets[:, : len(PRESENCE)])
    amounts = functional.smooth_l1_loss(logits[:, AMOUNT_COLUMNS], targets[:, AMOUNT_COLUMNS])
    cells = cross_entropy(logits[:, CELL_COLUMNS], (CELL_GAIN * targets[:, CELL_COLUMNS]).clamp(max=1))
    return presence + 0.5 * amounts + CELL_WEIGHT * cells


@torch.inference_mode()
def report(model: torch.nn.Module, frames: torch.Tensor, targets: torch.Tensor) -> None:
    """Log balanced accuracy per presence attribute and R² per amount on held-out frames."""
    model.eval()
    logits = torch.cat([model(normalise(batch.float() / 255)) for batch in resize(frames, FINAL_PX).split(BATCH_SIZE)])
    for column, name in enumerate(PRESENCE + AMOUNTS):
        guess, truth = logits[:, column], targets[:, column]
        if name in PRESENCE:
            hit, miss = (guess[truth == 1] > 0).float().mean(), (guess[truth == 0] <= 0).float().mean()
            log.info("%-15s balanced accuracy %.3f", name, (hit + miss) / 2)
        else:
            log.info("%-15s R² %.3f", name, 1 - (guess - truth).square().mean() / truth.var())


def save(model: AttributeModel, arguments: argparse.Namespace) -> None:
    """Write everything but the heads as float16 safetensors."""
    state = {
        name: value.half().contiguous() for name, value in model.backbone.state_dict().items() if "head.fc" not in name
    }
    metadata = {
        "license": "Apache-2.0",
        "architecture": f"convnextv2_atto depths={EMBEDDED_SHAPE['depths']} dims={EMBEDDED_SHAPE['dims']}",
        "made_by": "training/pretrain_embedded.py",
        "seed": str(arguments.seed),
        "frames": str(arguments.frames),
        "epochs": str(arguments.epochs),
    }
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, arguments.output, metadata=metadata)
    arguments.output.chmod(0o644)


if __name__ == "__main__":
    main()
