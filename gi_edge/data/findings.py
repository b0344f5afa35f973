"""Procedural findings: polyps, blood, ulcers and bubbles, painted onto a canvas of bowel wall."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
"""float32 throughout; NumPy's own types do not follow that through every operation."""
Edge = float | np.floating[Any] | Array

KINDS = ("blood", "bubbles", "polyp", "ulcer")
MIMICS = ("bulge", "mucus", "stray")
"""Normal things that look like a finding: a bulge of the wall, a fleck of mucus, a lone bubble."""


@dataclass
class Canvas:
    """The wall before it is lit; float32 [size_px, size_px] each, albedo and fine with channels first."""

    height: Array
    light: Array
    albedo: Array
    fine: Array
    gloss: Array
    grain: Array


@dataclass(frozen=True)
class Finding:
    """A finding at a place in world coordinates. contrast and variant run from 0 to 1."""

    kind: str
    x: float
    y: float
    radius: float
    aspect: float
    angle: float
    contrast: float
    variant: float
    parts: tuple[tuple[float, float, float], ...]
    """Lobes of a polyp, streaks of blood or single bubbles: offset x, y and radius."""


def random_finding(kind: str, rng: np.random.Generator, reach: float) -> Finding:
    """Draw a finding (or mimic) whose centre lies within reach of the origin."""
    bearing, distance = rng.uniform(0, 2 * np.pi), reach * np.sqrt(rng.random())
    radius = {
        "polyp": rng.uniform(0.10, 0.42),
        "blood": rng.uniform(0.16, 0.60),
        "bubbles": rng.uniform(0.18, 0.55),
        "ulcer": rng.uniform(0.09, 0.32),
        "bulge": rng.uniform(0.15, 0.45),
        "mucus": rng.uniform(0.04, 0.14),
        "stray": 0.1,
    }[kind]
    return Finding(
        kind=kind,
        x=float(distance * np.cos(bearing)),
        y=float(distance * np.sin(bearing)),
        radius=float(radius),
        aspect=float(rng.uniform(0.6, 1.0)),
        angle=float(rng.uniform(0, np.pi)),
        contrast=float(rng.random()),
        variant=float(rng.random()),
        parts=_parts(kind, radius, rng),
    )


def paint(canvas: Canvas, finding: Finding, wx: Array, wy: Array, noise: Array) -> Array:
    """Paint a finding. wx, wy: world coordinates; noise: smooth noise [4, ...]. Returns its cover, 0..1."""
    dx, dy = wx - np.float32(finding.x), wy - np.float32(finding.y)
    if finding.kind in ("bubbles", "stray"):
        cover = np.zeros_like(wx)
        for x, y, radius in finding.parts:
            np.maximum(cover, np.hypot(dx - np.float32(x), dy - np.float32(y)) < radius, out=cover)
        return cover
    cos, sin = np.float32(np.cos(finding.angle)), np.float32(np.sin(finding.angle))
    along, across = cos * dx + sin * dy, cos * dy - sin * dx
    return _PAINTERS[finding.kind](canvas, finding, along, across / np.float32(finding.aspect), noise)


def _paint_polyp(canvas: Canvas, finding: Finding, along: Array, across: Array, noise: Array) -> Array:
    dome = np.zeros_like(along)
    nearest = np.full_like(along, 9.0)
    for x, y, radius in finding.parts:
        distance = np.hypot(along - np.float32(x), across - np.float32(y)) / np.float32(radius)
        distance *= 1 + 0.06 * noise[2]
        dome = np.maximum(dome, np.float32(radius) * np.clip(1 - distance**2, 0, 1) ** np.float32(0.85))
        np.minimum(nearest, distance, out=nearest)
    cover = step(nearest, 1.10, 0.88)
    strength = np.float32(0.35 + 0.65 * finding.contrast)
    canvas.height += dome * strength * np.float32(0.62)
    # The lamp sits at the lens, so that a polyp shades the wall around its foot.
    canvas.light *= 1 - 0.35 * strength * step(nearest, 1.7, 0.95) * (1 - cover)
    canvas.light *= 1 + cover * strength * (0.35 - 0.3 * np.minimum(nearest, 1) ** 2)
    redder = np.float32(1.6 * finding.variant - 0.45) * strength
    speckle = 1 + 0.10 * strength * canvas.fine[2]
    tint = np.exp(-redder * weights(0.02, 0.42, 0.30)) * speckle
    canvas.albedo *= 1 + cover * (tint - 1)
    canvas.grain *= 1 + cover * np.float32(0.8 * finding.contrast)
    return cover


def _paint_blood(canvas: Canvas, finding: Finding, along: Array, across: Array, noise: Array) -> Array:
    ragged = 0.20 * noise[1] + 0.14 * noise[0] + 0.06 * canvas.fine[0]
    radius = np.float32(finding.radius)
    thickness = np.zeros_like(along)
    if finding.variant < 0.7:
        pool = np.hypot(along, across) / radius + ragged * 1.6
        thickness = step(pool, 1.15, 0.35)
    for offset, bend, width in finding.parts:
        line = np.abs(across - np.float32(offset) - np.float32(bend) * along**2 - 0.14 * noise[3] - 0.10 * noise[2])
        line = (
            line / (np.float32(width) * np.maximum(1 + 0.6 * noise[1], 0.15))
            + step(np.abs(along) / radius, 1.0, 2.2) * 3
            + ragged
        )
        thickness = np.maximum(thickness, 0.9 * step(line, 1.25, 0.1))
    depth = thickness * np.float32(0.55 + 1.6 * finding.contrast) * (1 + 0.3 * noise[2])
    canvas.albedo *= np.exp(-np.maximum(depth, 0) * weights(0.42, 1.80, 1.45))
    canvas.grain *= 1 - 0.7 * thickness
    canvas.gloss *= 1 + 0.5 * thickness
    return thickness


def _paint_ulcer(canvas: Canvas, finding: Finding, along: Array, across: Array, noise: Array) -> Array:
    distance = np.hypot(along, across) / np.float32(finding.radius)
    distance += 0.20 * noise[1] + 0.12 * noise[3] + 0.05 * canvas.fine[1]
    floor = step(distance, 1.05, 0.60) * np.float32(0.35 + 0.5 * finding.contrast) * (1 + 0.12 * canvas.fine[0])
    rim = np.exp(-(((distance - np.float32(1.15)) / np.float32(0.28)) ** 2))
    canvas.albedo *= np.exp(-rim * np.float32(0.4 + 0.6 * finding.variant) * weights(0.06, 0.7, 0.55))
    fibrin = weights(1.0, 0.82, 0.50) * (1 + 0.10 * canvas.fine[2])
    canvas.albedo += floor * (fibrin - canvas.albedo)
    canvas.height += np.float32(finding.radius) * (0.16 * rim - 0.22 * floor)
    return step(distance, 1.05, 0.85)


def _paint_mucus(canvas: Canvas, finding: Finding, along: Array, across: Array, noise: Array) -> Array:
    """Paint a fleck of mucus: as pale as fibrin, without the red rim of an ulcer."""
    distance = np.hypot(along, across) / np.float32(finding.radius) + 0.25 * noise[1] + 0.12 * canvas.fine[1]
    cover: Array = step(distance, 1.0, 0.6) * np.float32(0.35 + 0.5 * finding.contrast)
    canvas.albedo += cover * (weights(0.98, 0.86, 0.52) - canvas.albedo)
    canvas.height += np.float32(0.05 * finding.radius) * cover
    return cover


def _paint_bulge(canvas: Canvas, finding: Finding, along: Array, across: Array, noise: Array) -> Array:
    """Paint a bulge of normal wall: as raised as a polyp, without its edge and hue."""
    distance = np.hypot(along, across) / np.float32(finding.radius) + 0.10 * noise[1]
    cover: Array = np.exp(-(distance**2))
    canvas.height += np.float32(finding.radius * (0.25 + 0.35 * finding.contrast)) * cover
    return cover


_PAINTERS = {
    "polyp": _paint_polyp,
    "blood": _paint_blood,
    "ulcer": _paint_ulcer,
    "mucus": _paint_mucus,
    "bulge": _paint_bulge,
}


def paint_bubbles(rgb: Array, circles: Array, lamp: tuple[float, float], contrast: float) -> None:
    """Draw bubbles over the lit frame rgb [3, size_px, size_px], in place.

    circles: centre x, y and radius in pixels, [n, 3]. lamp: direction towards the lamp, in radii of a bubble.
    """
    size_px = rgb.shape[1]
    toward_x, toward_y = 0.42 * lamp[0], 0.42 * lamp[1]
    for x, y, radius in circles.tolist():
        left, right = max(int(x - radius) - 1, 0), min(int(x + radius) + 3, size_px)
        top, bottom = max(int(y - radius) - 1, 0), min(int(y + radius) + 3, size_px)
        if left >= right or top >= bottom:
            continue
        u = (np.arange(left, right, dtype=np.float32)[None, :] - np.float32(x)) / np.float32(radius)
        v = (np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)) / np.float32(radius)
        distance = np.hypot(u, v)
        soft = np.float32(0.9 / radius)
        ring = np.exp(-(((distance - 0.80) / (0.13 + soft / 2)) ** 2))
        edge = np.exp(-(((distance - 0.97) / (0.06 + soft / 2)) ** 2)) * (0.55 - 0.45 * (u * lamp[0] + v * lamp[1]))
        spot = step(np.hypot(u - toward_x, v - toward_y), 0.16 + soft, 0.08)
        spot += 0.6 * step(np.hypot(u + 1.2 * toward_x, v + 1.2 * toward_y), 0.11 + soft, 0.05)
        inside = step(distance, 1 + soft, 1 - soft)
        window = rgb[:, top:bottom, left:right]
        window *= 1 - np.float32(contrast) * inside * (0.55 * ring - 0.08)
        window += np.float32(contrast) * (0.45 * np.maximum(edge, 0) + 0.9 * inside * spot) * (1 - window)


def _parts(kind: str, radius: float, rng: np.random.Generator) -> tuple[tuple[float, float, float], ...]:
    if kind == "polyp":
        lobes = [(0.0, 0.0, radius)]
        for _ in range(int(rng.integers(0, 3)) if radius > 0.16 else 0):
            bearing = rng.uniform(0, 2 * np.pi)
            lobes.append(
                (
                    radius * 0.7 * np.cos(bearing),
                    radius * 0.7 * np.sin(bearing),
                    radius * rng.uniform(0.4, 0.7),
                )
            )
        return _floats(lobes)
    if kind == "blood":
        return _floats(
            [(rng.normal(0, 0.22), rng.normal(0, 0.3), rng.uniform(0.03, 0.11)) for _ in range(rng.integers(1, 3))]
        )
    if kind == "bubbles":
        count = int(rng.integers(5, 40))
        sizes = np.clip(np.exp(rng.normal(np.log(rng.uniform(0.035, 0.085)), 0.4, count)), 0.02, 0.2)
        spread = rng.normal(0, 0.55, (count, 2)) * radius
        return _floats([(x, y, size) for (x, y), size in zip(spread.tolist(), sizes.tolist(), strict=True)])
    if kind == "stray":
        return _floats([(0.0, 0.0, rng.uniform(0.03, 0.09))])
    return ()


def _floats(rows: list[tuple[float, float, float]]) -> tuple[tuple[float, float, float], ...]:
    return tuple((float(a), float(b), float(c)) for a, b, c in rows)


def step(value: Array, low: Edge, high: Edge) -> Array:
    """Return the smooth step from 0 at low to 1 at high; low may exceed high."""
    span = np.asarray(high - low, dtype=np.float32)
    t = np.clip((value - np.float32(low)) / span, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def weights(red: float, green: float, blue: float) -> Array:
    """Return one value per channel, [3, 1, 1]."""
    return np.array([red, green, blue], dtype=np.float32)[:, None, None]
