"""Time the augmentation of one frame against torchvision's v2 chains: ``python bench/throughput/augmentation.py``.

One thread, the transforms in turn, milliseconds per 224 px frame: median and least of the rounds. No part of the
package.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from statistics import median

import torch
from torch import Tensor
from torchvision.transforms import v2

from gi_edge_training.augment import augmentation

SIZE_PX, ROUNDS, FRAMES_PER_ROUND = 224, 30, 10


def main() -> None:
    """Print a line for each transform."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    frame = torch.randint(0, 256, (SIZE_PX, SIZE_PX, 3), dtype=torch.uint8).permute(2, 0, 1)
    crop = v2.RandomResizedCrop(SIZE_PX, scale=(0.6, 1.0), ratio=(0.85, 1.18), antialias=True)
    chain = [crop, v2.RandomHorizontalFlip(), v2.ColorJitter(0.2, 0.2, 0.15, 0.01)]
    turn = v2.RandomRotation(180, interpolation=v2.InterpolationMode.BILINEAR)
    transforms: dict[str, Callable[[Tensor], Tensor]] = {
        "gi-edge: turn, crop, flip, colour": augmentation(SIZE_PX),
        "torchvision v2: crop, flip, colour": v2.Compose(chain),
        "torchvision v2: turn, crop, flip, colour": v2.Compose([turn, *chain]),
    }
    times: dict[str, list[float]] = {name: [] for name in transforms}
    for _ in range(ROUNDS):
        for name, transform in transforms.items():
            start = time.perf_counter()
            for _ in range(FRAMES_PER_ROUND):
                transform(frame)
            times[name].append((time.perf_counter() - start) / FRAMES_PER_ROUND * 1000)
    for name, values in times.items():
        sys.stdout.write(f"{name}: {median(values):.2f} ms, least {min(values):.2f} ms\n")


if __name__ == "__main__":
    main()
