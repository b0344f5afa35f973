"""Rows like Kvasir-Capsule's labelled frames: 43 videos, 11 uneven classes in stretches, numbered frames."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from gi_edge.data.audit_rows import AuditRow

CLASSES = (
    "Normal",
    "Ileo-cecal valve",
    "Reduced Mucosal View",
    "Pylorus",
    "Angiectasia",
    "Ulcer",
    "Foreign Bodies",
    "Lymphangiectasia",
    "Erosion",
    "Blood",
    "Erythematous",
)
SHARES = np.array([0.735, 0.09, 0.062, 0.033, 0.0186, 0.0184, 0.0166, 0.0127, 0.011, 0.0097, 0.0034])
VIDEOS = 43
FRAMES_PER_VIDEO = 1100


def capsule_rows(part_of: Callable[[str, int], str], seed: int = 0) -> list[AuditRow]:
    """Return about 47,000 rows; part_of names the part of a video and a frame's running number."""
    random = np.random.default_rng(seed)
    rows: list[AuditRow] = []
    for _ in range(VIDEOS):
        video = random.bytes(8).hex()
        number, left = int(random.integers(1, 2000)), FRAMES_PER_VIDEO
        while left > 0:
            label = str(random.choice(CLASSES, p=SHARES / SHARES.sum()))
            length = min(left, int(random.integers(20, 160)))
            for step in range(length):
                name = f"{video}_{number + step}.jpg"
                rows.append(AuditRow(name, label, video, number + step, part_of(video, len(rows))))
            number += length + int(random.integers(100, 3000))
            left -= length
    return rows
