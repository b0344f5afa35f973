"""How long an export takes, its gate included: ``python bench/throughput/export_time.py --data DIR --output FILE``.

Takes frames of a class-per-folder tree into a data set whose test part holds --test frames, trains a LoRA adapter on
ConvNeXt-V2 with random weights for one epoch of a few frames, and times the whole command ``gi-edge export`` once for
every set of options, in a process of its own as a user has it. The weights are random, so the verdicts say nothing; the
time does not depend on them. No part of the package.
"""

from __future__ import annotations

import argparse
import csv
import json
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import timm
import torch
from safetensors.torch import save_file

from gi_edge.data.index import image_files
from gi_edge_bench.environment import environment_now

PARTS = ("train", "validation")
FRAMES_EACH = 64
"""Of the training and of the validation part."""
OPTIONS = ("", "--fp16")


def write_frames(source: Path, folder: Path, test: int) -> None:
    """Copy frames of every class in turn, and write the label file with a part for each.

    Raises: SystemExit if the tree holds too few.
    """
    classes = sorted(path for path in source.iterdir() if path.is_dir())
    listed = [image_files(path) for path in classes]
    turns = [
        (files[turn], path.name)
        for turn in range(max(map(len, listed)))
        for files, path in zip(listed, classes, strict=True)
        if turn < len(files)
    ]
    parts = [part for part in PARTS for _ in range(FRAMES_EACH)] + ["test"] * test
    if len(turns) < len(parts):
        raise SystemExit(f"{source} has {len(turns)} frames, {len(parts)} are needed: --test N")
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "label", "part"))
        for number, ((path, label), part) in enumerate(zip(turns, parts, strict=False)):
            name = f"{number:05d}{path.suffix}"
            shutil.copyfile(path, folder / name)
            table.writerow((name, label, part))


def gi_edge(workspace: Path, command: str) -> float:
    """Run a command of gi-edge and return the seconds it took."""
    sys.stderr.write(f"$ gi-edge {command}\n")
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gi_edge", *shlex.split(command)], cwd=workspace, check=True)
    return time.perf_counter() - start


def measure(data: Path, architecture: str, size_px: int, test: int, sets: list[str]) -> list[dict[str, Any]]:
    """Train in a temporary workspace and time the exports there."""
    with tempfile.TemporaryDirectory() as place:
        workspace = Path(place)
        write_frames(data, workspace / "data" / "frames", test)
        torch.manual_seed(0)
        save_file(timm.create_model(architecture, num_classes=1000).state_dict(), workspace / "base.safetensors")
        gi_edge(workspace, "init --data data/frames --spec csv --weights base.safetensors")
        gi_edge(workspace, f"train --image-size {size_px} --epochs 1")
        rows = []
        for options in sets:
            command = f"export --adapter frames --allow-undecided --force {options}".rstrip()
            rows.append({"command": f"gi-edge {command}", "seconds": round(gi_edge(workspace, command), 1)})
        return rows


def main() -> None:
    """Measure and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="frames, class per folder")
    parser.add_argument("--architecture", default="convnextv2_tiny")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--test", type=int, default=500, help="frames that the gate compares")
    parser.add_argument("--options", nargs="+", default=OPTIONS, help="of each export, such as '' or '--fp16 --int8'")
    parser.add_argument("--output", type=Path, required=True)
    given = parser.parse_args()
    rows = measure(given.data, given.architecture, given.image_size, given.test, given.options)
    report = {
        "command": shlex.join(["python", "bench/throughput/export_time.py", *sys.argv[1:]]).replace(
            str(given.data), "DIR"
        ),
        "architecture": given.architecture,
        "weights": "random",
        "image_size_px": given.image_size,
        "test_frames": given.test,
        "runs_each": 1,
        "environment": environment_now().model_dump(mode="json"),
        "exports": rows,
    }
    given.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    sys.stdout.writelines(f"{row['seconds']:7.1f} s  {row['command']}\n" for row in rows)


if __name__ == "__main__":
    main()
