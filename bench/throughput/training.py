"""gi-edge's training against the loop that people write, in images a second and peak memory. No part of the package.

    python bench/throughput/training.py --data DIR --backbone convnextv2_atto --output FILE.json

DIR holds images, a folder per class. Each round starts every variant once, in its own process and in turn, so that a
busy machine disturbs all alike; a sample is one training step, from the request for the batch to the end of the
optimiser's step, and the first steps are not counted. `plain` is timm, peft, ImageFolder and DataLoader in fp32, eager,
which decodes every image in every epoch. The others are gi-edge, frames from its cache: as it stands, without bf16, and
with all weights trained. Weights are random: they do not change how long a step takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import safetensors.torch
import timm

PLAIN, OURS = "plain", "gi-edge"
VARIANTS: dict[str, dict[str, str]] = {
    PLAIN: {},
    OURS: {},
    "gi-edge, fp32": {"mixed_precision": "no"},
    "gi-edge, full fine-tuning": {"method": "full"},
}
WARMUP = 2


class Stamped:
    """The first batches of a loader, and when each was asked for."""

    def __init__(self, batches: Iterable[object], count: int) -> None:
        self.batches, self.count = batches, count
        self.seconds: list[float] = []

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Any]:
        given = iter(self.batches)
        for _ in range(self.count):
            self.seconds.append(time.perf_counter())
            yield next(given)
        self.seconds.append(time.perf_counter())


def plain(given: argparse.Namespace) -> Stamped:
    """Train with timm and peft by hand."""
    import peft
    import torch
    from torch.utils.data import DataLoader
    from torchvision import datasets, transforms

    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(given.image_size, scale=(0.6, 1.0)),
            transforms.RandomHorizontalFlip(),
            transforms.RandomVerticalFlip(),
            transforms.ColorJitter(0.2, 0.2, 0.15, 0.01),
            transforms.ToTensor(),
            transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )
    images = datasets.ImageFolder(str(given.data), transform)
    loader = DataLoader(images, given.batch_size, shuffle=True, num_workers=given.workers, drop_last=True)
    config = peft.LoraConfig(r=16, lora_alpha=32, target_modules=r".*\.mlp\.fc[12]", modules_to_save=["head.fc"])
    model = peft.get_peft_model(timm.create_model(given.backbone, num_classes=len(images.classes)), config).train()
    optimizer = torch.optim.AdamW([item for item in model.parameters() if item.requires_grad], lr=1e-3)
    batches = Stamped(loader, given.steps + WARMUP)
    for pixels, labels in batches:
        loss = torch.nn.functional.cross_entropy(model(pixels), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return batches


def ours(given: argparse.Namespace, changed: dict[str, str]) -> Stamped:
    """Train with gi-edge's own data, model and loop; the scores between epochs are left out."""
    import torch

    from gi_edge.modeling.memory import keep_freed_memory
    from gi_edge.modeling.methods import check_request, prepare_model
    from gi_edge.modeling.pixels import PixelClassifier
    from gi_edge.progress import Silent
    from gi_edge_training.checkpoint import CheckpointFile, RunState
    from gi_edge_training.config import TrainJob, TrainSettings
    from gi_edge_training.data import read_training_data
    from gi_edge_training.engine import accelerator_from_settings, resolved_settings
    from gi_edge_training.loader import Frames, Share, TrainingLoader
    from gi_edge_training.loop import Fitting, Validation, fit
    from gi_edge_training.loss import loss_from_settings

    device = torch.device("cpu")
    fixed = {"image_size_px": given.image_size, "batch_size": given.batch_size, "epochs": 1, "split_by": "frame"}
    settings = TrainSettings.model_validate({"backbone": given.backbone, **fixed, **changed})
    settings = resolved_settings(settings, device)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "random.safetensors"
        safetensors.torch.save_file(timm.create_model(given.backbone).state_dict(), weights)
        job = TrainJob(
            settings=settings,
            dataset="bench",
            name="bench",
            data=given.data,
            output=Path(folder) / "a",
            weights=weights,
        )
        request = job.request()
        preprocess = check_request(request, image_size_px=settings.image_size_px, fit=settings.fit)
        keep_freed_memory()
        data = read_training_data(job, preprocess, Silent())
        model = prepare_model(request, num_classes=len(data.classes), progress=Silent()).model
        frames = Frames(data.pixels, data.labels, data.rows("train"), data.preprocess)
        loader = TrainingLoader(frames, settings, device, Share())
        batches = Stamped(loader.epoch(1), given.steps + WARMUP)
        fitting = Fitting(
            PixelClassifier(model, data.preprocess),
            batches=lambda _: batches,
            loss=loss_from_settings(settings, torch.from_numpy(data.class_counts)),
            score=lambda: Validation(0.0, 1.0),
        )
        accelerator = accelerator_from_settings(settings, device)
        checkpoint = CheckpointFile(Path(folder) / "checkpoint.safetensors", {})
        fit(fitting, settings, accelerator, checkpoint, RunState(), Silent())
    return batches


def worker(given: argparse.Namespace) -> None:
    """Run one variant in this process and print its samples as JSON."""
    run: Callable[[], Stamped] = (
        (lambda: plain(given)) if given.variant == PLAIN else (lambda: ours(given, VARIANTS[given.variant]))
    )
    stamps = run().seconds
    steps = [after - before for before, after in zip(stamps[WARMUP:], stamps[WARMUP + 1 :], strict=False)]
    peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    sys.stdout.write(json.dumps({"steps_s": steps, "peak_memory_bytes": peak}))


def measured(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Start every variant in turn, round after round."""
    found: dict[str, dict[str, Any]] = {name: {"steps_s": [], "peak_memory_bytes": 0} for name in VARIANTS}
    for number in range(given.rounds):
        for name, item in found.items():
            command = [sys.executable, __file__, "--variant", name]
            for option in ("data", "backbone", "image_size", "batch_size", "steps", "workers"):
                command += [f"--{option.replace('_', '-')}", str(getattr(given, option))]
            answer = json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout)
            item["steps_s"] += answer["steps_s"]
            item["peak_memory_bytes"] = max(item["peak_memory_bytes"], answer["peak_memory_bytes"])
            speed = given.batch_size / statistics.median(answer["steps_s"])
            sys.stderr.write(f"round {number + 1}, {name}: {speed:.1f} images/s\n")
    return found


def main() -> None:
    """Measure, print a table, write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="folder of images, one folder per class")
    parser.add_argument("--backbone", default="convnextv2_tiny")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--steps", type=int, default=6, help="counted steps per round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2, help="DataLoader workers of the plain loop")
    parser.add_argument("--output", type=Path, help="JSON file")
    parser.add_argument("--variant", choices=VARIANTS, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.variant:
        worker(given)
        return
    found = measured(given)
    base = statistics.median(found[PLAIN]["steps_s"])
    sys.stdout.write(f"{given.backbone}, {given.image_size} px, batch {given.batch_size}\n")
    for name, item in found.items():
        median = statistics.median(item["steps_s"])
        sys.stdout.write(
            f"{name:26s} {given.batch_size / median:6.1f} images/s, {base / median:5.2f}× plain, "
            f"n = {len(item['steps_s'])} steps, peak {item['peak_memory_bytes'] / 1e9:.1f} GB\n"
        )
    if given.output:
        write(given, found)


def write(given: argparse.Namespace, found: dict[str, dict[str, Any]]) -> None:
    """Write settings, environment and every sample."""
    import torch

    from gi_edge_bench.environment import environment_now

    settings = {
        key: getattr(given, key) for key in ("backbone", "image_size", "batch_size", "steps", "rounds", "workers")
    }
    result = {
        "settings": settings,
        "environment": {**environment_now().model_dump(mode="json"), "torch": torch.__version__},
        "variants": found,
    }
    given.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
