"""Time the leakage audit on 50,000 generated rows: ``python bench/audit_speed.py``. No part of the package."""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gi_edge.data.audit import audit_rows
from gi_edge.data.audit_rows import rows_from_csv
from gi_edge.data.overlap import NearPair
from gi_edge.data.spec import read_spec

FRAMES, VIDEOS, CLASSES, PAIRS = 50_000, 43, 14, 200_000


def main() -> None:
    """Write two CSVs, then time reading and auditing them, with and without near-duplicate pairs."""
    random, spec = np.random.default_rng(0), read_spec("synthetic")
    names = [f"{number % VIDEOS:016x}_{number // VIDEOS}.jpg" for number in range(FRAMES)]
    labels = [f"class {number // 977 % CLASSES}" for number in range(FRAMES)]
    held = random.random(FRAMES) < 0.2
    pairs = [NearPair(first=names[a], second=names[b], distance=1.0) for a, b in random.integers(0, FRAMES, (PAIRS, 2))]
    with tempfile.TemporaryDirectory() as folder:
        for part, wanted in (("train", False), ("test", True)):
            lines = [
                f"{name},{label}" for name, label, own in zip(names, labels, held, strict=True) if bool(own) is wanted
            ]
            (Path(folder) / part).write_text("\n".join(["filename,label", *lines]), encoding="utf-8")
        start = time.perf_counter()
        rows = [row for part in ("train", "test") for row in rows_from_csv(Path(folder) / part, spec, part)]
    times = [("read the CSVs", time.perf_counter() - start)]
    for title, near in (("audit", None), (f"audit with {PAIRS:,} near pairs", pairs)):
        start = time.perf_counter()
        audit_rows(rows, train="train", test="test", near_duplicates=near)
        times.append((title, time.perf_counter() - start))
    for title, seconds in times:
        sys.stdout.write(f"{title}: {seconds:.2f} s for {len(rows):,} rows\n")


if __name__ == "__main__":
    main()
