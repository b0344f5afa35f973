"""Procedural mucosa: textures of one patient, the view a camera has of it, light, optics and sensor.

Image coordinates run from -1 to 1 over the frame; world coordinates are image coordinates at zoom 1. Arrays are
float32 [size_px, size_px] unless said otherwise; colours are linear reflectances per channel, red first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from gi_edge.data.findings import Canvas, Finding, paint, paint_bubbles, step, weights
from gi_edge.data.textures import lookup, smooth_noise, vessel_map

Array = NDArray[np.float32]

_NOISE_PER_UNIT = 30.0
_FINE_PER_UNIT = 42.0
_VESSEL_PER_UNIT = 70.0

_TONES = np.array(
    [[0.98, 0.40, 0.32], [0.92, 0.46, 0.40], [1.05, 0.48, 0.22], [0.95, 0.58, 0.28], [0.86, 0.36, 0.30]],
    dtype=np.float32,
)
"""Mucosa from rose (colonoscope) over orange and tan (capsule) to dark red; judged by eye against real frames."""


@dataclass(frozen=True)
class Patient:
    """What does not change within a video: tissue, scope and recorder."""

    noise: Array
    """Smooth noise of unit variance, [4, 128, 128], periodic."""
    fine: Array
    """Grain of the mucosa and of its wet film, unit variance, [3, 128, 128], periodic."""
    vessels: Array
    """Vessel darkness 0..1, [1, 256, 256], periodic."""
    tone: Array
    """Reflectance of the mucosa, [3]."""
    vessel_strength: float
    redness: float
    """Strength of reddened patches, which mimic blood; 0 for none."""
    bile: float
    """Strength of the yellow-green film, 0..1."""
    gloss: float
    grain: float
    toward_lamp: tuple[float, float]
    """Unit vector from the lens to the lamp, as bubbles show it."""
    exposure: float
    mask: tuple[float, float, float]
    """Half width, half height and corner cut of the visible field in image units."""
    blur_px: float
    noise_level: float
    jpeg_quality: int


@dataclass(frozen=True)
class View:
    """A stretch of bowel wall: where the lumen is, how the folds run, and what lies on the wall."""

    origin: tuple[float, float]
    """Where on the patient's textures the stretch lies."""
    has_lumen: bool
    lumen_xy: tuple[float, float]
    lumen_radius: float
    fold_height: float
    fold_rate: float
    fold_angle: float
    fold_sharpness: float
    tilt: float
    findings: tuple[Finding, ...]


@dataclass(frozen=True)
class Camera:
    """Pose and light of one frame. angle in radians, light as offset of the lamp and relative power."""

    x: float
    y: float
    angle: float
    zoom: float
    lamp: tuple[float, float]
    power: float


@dataclass(frozen=True)
class Rendered:
    """A frame, uint8 [size_px, size_px, 3], its visible field, and what each kind of finding covers of it."""

    pixels: NDArray[np.uint8]
    field: Array
    covers: dict[str, Array]


def random_patient(rng: np.random.Generator) -> Patient:
    """Draw a patient and a scope."""
    shares = rng.dirichlet(np.full(len(_TONES), 0.35)).astype(np.float32)
    vessel_strength = float(rng.uniform(0.3, 0.9)) if rng.random() < 0.55 else 0.0
    round_field = rng.random() < 0.4
    lamp = rng.uniform(0, 2 * np.pi)
    width = float(rng.uniform(0.93, 1.02))
    return Patient(
        noise=smooth_noise(rng, 4, slope=1.9, longest=64.0, shortest=12.0),
        fine=smooth_noise(rng, 3, slope=0.7, longest=16.0, shortest=2.2),
        vessels=vessel_map(rng) if vessel_strength > 0 else np.zeros((1, 1, 1), dtype=np.float32),
        tone=(shares @ _TONES) * np.float32(rng.uniform(0.9, 1.08)),
        vessel_strength=vessel_strength,
        redness=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.45 else 0.0,
        bile=float(rng.uniform(0.2, 0.9)) if rng.random() < 0.3 else 0.0,
        gloss=float(rng.uniform(0.2, 1.0)),
        grain=float(rng.uniform(0.3, 1.0)),
        toward_lamp=(float(np.cos(lamp)), float(np.sin(lamp))),
        exposure=float(rng.uniform(1.5, 2.9)),
        mask=(width, width, 2.0) if round_field else (1.0, 1.0, float(rng.uniform(0.25, 0.62))),
        blur_px=float(rng.uniform(0.35, 0.95)),
        noise_level=float(rng.uniform(0.006, 0.022)),
        jpeg_quality=int(rng.integers(78, 94)),
    )


def random_view(rng: np.random.Generator, findings: tuple[Finding, ...]) -> View:
    """Draw a stretch of wall. findings lie on it, in coordinates of its first camera."""
    has_lumen = bool(rng.random() < 0.45)
    folded = has_lumen or rng.random() < 0.6
    bearing, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.6)
    return View(
        origin=(float(rng.uniform(-2, 2)), float(rng.uniform(-2, 2))),
        has_lumen=has_lumen,
        lumen_xy=(float(distance * np.cos(bearing)), float(distance * np.sin(bearing))),
        lumen_radius=float(rng.uniform(0.15, 0.5)),
        fold_height=float(rng.uniform(0.4, 1.0)) if folded else 0.0,
        fold_rate=float(rng.uniform(0.7, 1.6) if has_lumen else rng.uniform(0.7, 1.5)),
        fold_angle=float(rng.uniform(0, np.pi)),
        fold_sharpness=float(rng.uniform(0.45, 1.6)),
        tilt=float(rng.uniform(0.0, 0.55)),
        findings=findings,
    )


def render(patient: Patient, view: View, camera: Camera, size_px: int, rng: np.random.Generator) -> Rendered:
    """Render one frame. rng feeds the sensor noise only."""
    axis = (np.arange(size_px, dtype=np.float32) + 0.5) * np.float32(2 / size_px) - np.float32(1)
    x, y = np.meshgrid(axis, axis)
    cos, sin = np.float32(np.cos(camera.angle)), np.float32(np.sin(camera.angle))
    wx = (cos * x - sin * y) / np.float32(camera.zoom) + np.float32(camera.x)
    wy = (sin * x + cos * y) / np.float32(camera.zoom) + np.float32(camera.y)
    u, v = wx + np.float32(view.origin[0]), wy + np.float32(view.origin[1])
    noise = lookup(patient.noise, u * _NOISE_PER_UNIT, v * _NOISE_PER_UNIT)
    canvas = _mucosa(patient, view, wx, wy, noise)
    covers: dict[str, Array] = {}
    visible = _field(patient.mask, x, y)
    for finding in view.findings:
        cover = paint(canvas, finding, wx, wy, noise) * visible
        covers[finding.kind] = np.maximum(covers.get(finding.kind, cover), cover)
    rgb = _shade(patient, canvas, camera, x, y)
    for finding in view.findings:
        if finding.kind in ("bubbles", "stray"):
            circles = _circles(finding, camera, size_px)
            paint_bubbles(rgb, circles, patient.toward_lamp, 0.45 + 0.55 * finding.contrast)
    return Rendered(_expose(patient, rgb * visible, rng), visible, covers)


def _mucosa(patient: Patient, view: View, wx: Array, wy: Array, noise: Array) -> Canvas:
    """Lay out height, light and reflectance of the wall without findings."""
    height = 0.075 * noise[0]
    light = np.ones_like(wx)
    if view.has_lumen:
        dx = wx - np.float32(view.lumen_xy[0]) + 0.04 * noise[2]
        dy = wy - np.float32(view.lumen_xy[1]) + 0.04 * noise[3]
        radius = np.hypot(dx, dy) + np.float32(1e-3)
        triangle = (dx**3 - 3 * dx * dy**2) / radius**3
        depth = np.float32(1) / (radius * (1 + 0.10 * triangle) + np.float32(0.04))
        phase = np.float32(-view.fold_rate) * np.log2(depth) + 0.14 * noise[1] + np.float32(view.fold_angle)
        saw = phase - np.floor(phase)
        # A fold hides what lies behind it: dark behind the crest, with a rounded lip instead of a cut.
        behind = np.where(saw < 0.84, (saw / np.float32(0.84)) ** 2.2, ((1 - saw) / np.float32(0.16)) ** 1.5)
        extent = view.fold_height * step(noise[2] + 0.6 * noise[0], -1.3, 1.0)
        light -= extent * 0.55 * behind
        height += extent * 0.07 * (1 - behind) * radius
        light *= np.exp(np.float32(-0.6 * view.lumen_radius) * np.maximum(depth - np.float32(1.0), 0) ** 1.4)
        u, v = dx * depth * np.sqrt(depth), dy * depth * np.sqrt(depth)
    else:
        along = wx * np.float32(np.cos(view.fold_angle)) + wy * np.float32(np.sin(view.fold_angle))
        wave = np.abs(np.sin(np.float32(np.pi) * (along * np.float32(view.fold_rate) + 0.35 * noise[1])))
        extent = view.fold_height * step(noise[2], -1.0, 0.8)
        height += extent * 0.16 * (wave + np.float32(0.01)) ** np.float32(view.fold_sharpness)
        light -= extent * 0.5 * np.exp(-((wave / np.float32(0.28)) ** 2))
        across = wy * np.float32(np.cos(view.fold_angle)) - wx * np.float32(np.sin(view.fold_angle))
        light *= np.exp(-view.tilt * 1.3 * (across + np.float32(0.4)))
        u, v = wx + np.float32(view.origin[0]), wy + np.float32(view.origin[1])
    fine = lookup(patient.fine, u * _FINE_PER_UNIT, v * _FINE_PER_UNIT)
    albedo = _tissue(patient, noise, fine, u, v)
    return Canvas(height, light, albedo, fine, np.full_like(wx, patient.gloss), np.full_like(wx, patient.grain))


def _tissue(patient: Patient, noise: Array, fine: Array, u: Array, v: Array) -> Array:
    """Return the reflectance of the mucosa, [3, size_px, size_px]."""
    shade = 1 + 0.07 * noise[1] + 0.035 * patient.grain * fine[2]
    absorbed = weights(0.0, 0.10, 0.12) * noise[3]
    if patient.vessel_strength > 0:
        vessel = lookup(patient.vessels, u * _VESSEL_PER_UNIT, v * _VESSEL_PER_UNIT)[0]
        absorbed = absorbed + weights(0.25, 0.75, 0.6) * (vessel * np.float32(patient.vessel_strength))
    if patient.redness > 0:
        patch = step(noise[2] - 0.4 * noise[1], 0.5, 1.6) * np.float32(patient.redness)
        absorbed = absorbed + weights(0.08, 0.75, 0.65) * patch
    if patient.bile > 0:
        film = step(noise[0] + 0.5 * noise[2] - 0.1 * fine[1], -0.1, 0.6) * np.float32(patient.bile)
        absorbed = absorbed + weights(0.45, 0.25, 1.0) * film
    return np.asarray(patient.tone[:, None, None] * shade * np.exp(-absorbed), dtype=np.float32)


def _shade(patient: Patient, canvas: Canvas, camera: Camera, x: Array, y: Array) -> Array:
    """Light the canvas with a point lamp near the lens; return linear RGB 0..1, [3, size_px, size_px]."""
    per_unit = np.float32(x.shape[0] / 2)
    slope_y, slope_x = np.gradient(canvas.height)
    nx = -slope_x * per_unit - 0.10 * canvas.grain * canvas.fine[0]
    ny = -slope_y * per_unit - 0.10 * canvas.grain * canvas.fine[1]
    lx, ly = np.float32(camera.lamp[0]) - x, np.float32(camera.lamp[1]) - y
    lz = np.float32(0.95)
    norm = 1 / np.sqrt(nx**2 + ny**2 + 1)
    distance = np.sqrt(lx**2 + ly**2 + lz**2)
    diffuse = np.maximum((nx * lx + ny * ly + lz) * norm / distance, 0) ** np.float32(1.3)
    lit = diffuse * canvas.light / (0.35 + 0.55 * distance**2)
    rgb = 1 - np.exp(np.float32(-patient.exposure * camera.power) * canvas.albedo * (lit + np.float32(0.015)))
    # Half vector between lamp and lens; the film of mucus is rougher than the tissue, hence the second grain.
    hx, hy, hz = lx / distance - 0.45 * x, ly / distance - 0.45 * y, lz / distance + 1
    gx, gy = nx - 0.22 * canvas.fine[1], ny - 0.22 * canvas.fine[2]
    facing = (gx * hx + gy * hy + hz) / np.sqrt((gx**2 + gy**2 + 1) * (hx**2 + hy**2 + hz**2))
    glint = step(facing, 0.993, 0.999) * canvas.gloss * np.minimum(canvas.light, 1)
    return np.asarray(rgb + glint * weights(1.0, 0.96, 0.88) * (1 - 0.5 * rgb), dtype=np.float32)


def _circles(finding: Finding, camera: Camera, size_px: int) -> Array:
    """Return the bubbles of a finding as centre x, y and radius in pixels, [n, 3]."""
    part = np.asarray(finding.parts, dtype=np.float32)
    dx, dy = part[:, 0] + finding.x - camera.x, part[:, 1] + finding.y - camera.y
    cos, sin = np.cos(camera.angle), np.sin(camera.angle)
    image = np.stack([cos * dx + sin * dy, cos * dy - sin * dx], axis=1) * camera.zoom
    return np.column_stack([(image + 1) * (size_px / 2) - 0.5, part[:, 2] * (camera.zoom * size_px / 2)])


def _expose(patient: Patient, rgb: Array, rng: np.random.Generator) -> NDArray[np.uint8]:
    """Blur, add sensor noise and quantise; return uint8 [size_px, size_px, 3]."""
    sharp = Image.fromarray((np.clip(rgb, 0, 1) * 255).astype(np.uint8).transpose(1, 2, 0))
    soft = np.asarray(sharp.filter(ImageFilter.GaussianBlur(patient.blur_px * rgb.shape[1] / 160)), dtype=np.float32)
    grain = rng.standard_normal(soft.shape, dtype=np.float32) * np.float32(255 * patient.noise_level)
    return np.asarray(np.clip(soft + grain * (0.25 + soft / 255), 0, 255), dtype=np.uint8)


def _field(mask: tuple[float, float, float], x: Array, y: Array) -> Array:
    """Return the visible field: a disc when the corner cut exceeds 1, else a square with cut corners."""
    half_x, half_y, cut = mask
    inside = 1 - np.hypot(x / half_x, y / half_y) if cut > 1 else 2 - cut - np.abs(x) - np.abs(y)
    return np.asarray(np.clip(inside * (x.shape[0] / 2), 0, 1), dtype=np.float32)
