"""Augmentation: what it may do to a frame and what not, and the sheet that shows it."""

from __future__ import annotations

import colorsys
import io
import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from gi_edge.data.preprocess import PreprocessSpec
from gi_edge.progress import Silent
from gi_edge_training.augment import augmentation, colour_from_draws, placement_from_draws
from gi_edge_training.config import TrainJob, TrainSettings
from gi_edge_training.contact_sheet import contact_sheet, write_contact_sheet
from gi_edge_training.data import read_training_data

MIDDLE = [0.5] * 4
BLOOD = {"fresh": (170, 25, 25), "bright": (190, 60, 50), "dark": (90, 22, 20)}


@pytest.fixture
def frame():
    """A smooth random frame, [3, 64, 64], of no extreme levels, so that nothing is clamped."""
    torch.manual_seed(3)
    coarse = torch.rand(1, 3, 6, 6) * 120 + 60
    return torch.nn.functional.interpolate(coarse, (64, 64), mode="bicubic")[0].clamp(50, 190).to(torch.uint8)


def hue(levels):
    return colorsys.rgb_to_hsv(*(float(level) for level in levels))[0]


@pytest.mark.parametrize("colour", BLOOD.values(), ids=BLOOD)
def test_blood_keeps_its_hue_within_one_percent_of_the_circle(colour):
    torch.manual_seed(0)
    patch = torch.tensor(colour, dtype=torch.uint8)[:, None, None].expand(3, 32, 32)
    made = torch.stack([augmentation(32)(patch)[:, 16, 16] for _ in range(400)])
    moves = [(hue(levels) - hue(colour) + 0.5) % 1 - 0.5 for levels in made]
    rounding = 1 / 6 / (made.max(dim=1).values - made.min(dim=1).values).min().item()  # half a level up, half down
    assert max(map(abs, moves)) <= 0.01 + rounding
    assert max(moves) > 0.005
    assert min(moves) < -0.005
    red, green, blue = made.float().T
    assert ((red > 1.8 * green) & (red > 1.8 * blue)).all()


def test_no_colour_moves_further_than_blood():
    """The largest draw, over the whole circle, in floats."""
    colours = [colorsys.hsv_to_rgb(turn / 360, 1.0, 1.0) for turn in range(360)]
    matrix, _ = colour_from_draws([0.5, 0.5, 0.5, 1.0], 0.0)
    moved = torch.tensor(colours) @ matrix.T
    moves = [(hue(new) - hue(old) + 0.5) % 1 - 0.5 for new, old in zip(moved, colours, strict=True)]
    assert max(moves) == pytest.approx(0.01, rel=0.03)
    assert min(moves) > 0.007


def test_every_angle_and_both_hands_are_drawn():
    torch.manual_seed(0)
    angles, hands = [], []
    for draws in torch.rand(4000, 6).tolist():
        (a, b, _), (c, d, _) = placement_from_draws(draws)
        hands.append(a * d - b * c > 0)
        angles.append(math.degrees(math.atan2(-b, d)) % 360)
    counts, _ = np.histogram(angles, bins=24, range=(0, 360))
    assert counts.min() > 4000 / 24 * 0.7
    assert 0.46 < np.mean(hands) < 0.54


def test_a_mark_is_seen_on_all_sides(frame):
    """A bright spot on the right of the frame comes to lie in every twelfth of the circle."""
    torch.manual_seed(0)
    marked = torch.zeros(3, 64, 64, dtype=torch.uint8)
    marked[:, 30:34, 48:52] = 255
    sides = set()
    for _ in range(200):
        levels = augmentation(64)(marked)[0].float()
        spots = (levels > 0.7 * levels.max()).nonzero().float().mean(dim=0) - 31.5
        sides.add(int(math.degrees(math.atan2(spots[0], spots[1])) % 360 // 30))
    assert sides == set(range(12))


def test_most_of_the_frame_stays_in_sight():
    torch.manual_seed(0)
    white = torch.full((3, 64, 64), 255, dtype=torch.uint8)
    shares, filled = [], []
    for _ in range(400):
        state = torch.get_rng_state()
        (a, b, _), (c, d, _) = placement_from_draws(torch.rand(10).tolist()[:6])
        torch.set_rng_state(state)
        seen = (augmentation(64)(white)[0] > 128).float().mean().item()
        filled.append(seen)
        shares.append(seen * abs(a * d - b * c))
    assert min(shares) > 0.5
    assert np.mean(shares) > 0.65
    assert min(filled) > 0.7


def test_nothing_is_blanked_inside_the_frame():
    torch.manual_seed(0)
    white = torch.full((3, 64, 64), 200, dtype=torch.uint8)
    for _ in range(50):
        assert (augmentation(64)(white)[:, 24:40, 24:40] > 100).all()


def test_it_returns_bytes_of_the_same_shape(frame):
    made = augmentation(64)(frame)
    assert made.shape == (3, 64, 64)
    assert made.dtype == torch.uint8
    assert made.is_contiguous()
    by_pixel = frame.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    torch.manual_seed(5)
    expected = augmentation(64)(frame)
    torch.manual_seed(5)
    assert torch.equal(augmentation(64)(by_pixel), expected)


def test_it_follows_the_seed_also_in_another_process(frame):
    transform = augmentation(64)
    torch.manual_seed(1)
    first = transform(frame)
    torch.manual_seed(1)
    assert torch.equal(pickle.loads(pickle.dumps(transform))(frame), first)
    assert not torch.equal(transform(frame), first)


@pytest.mark.parametrize("draws", [[0.5, 0.5, 0.5], [1.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 1.0], [0.2, 0.9, 0.1]])
def test_colours_are_those_of_torchvision(frame, draws):
    brightness, contrast, saturation = (
        1 + most * (2 * draw - 1) for most, draw in zip((0.2, 0.2, 0.15), draws, strict=True)
    )
    levels = frame.float() / 255
    expected = functional.adjust_brightness(functional.adjust_saturation(levels, saturation), brightness)
    expected = functional.adjust_contrast(expected, contrast)
    grey = (frame.float().mean(dim=(1, 2)) @ torch.tensor([0.299, 0.587, 0.114])).item()
    matrix, shift = colour_from_draws([*draws, 0.5], grey)
    made = (matrix @ frame.float().reshape(3, -1) + shift).reshape(3, 64, 64)
    assert (made.clamp(0, 255) - 255 * expected).abs().max() < 0.3


@pytest.mark.parametrize("angle", [0, 30, 145, 270])
def test_the_turn_is_that_of_torchvision(frame, monkeypatch, angle):
    draws = [1.0, 0.5, 0.5, 0.5, angle / 360, 0.0, *MIDDLE]
    monkeypatch.setattr(torch, "rand", lambda count: torch.tensor(draws, dtype=torch.float64))
    made = augmentation(64)(frame).float()
    expected = functional.rotate(frame.float(), angle, interpolation=v2.InterpolationMode.BILINEAR)
    assert (made - expected).abs().max() < 1.5


def test_the_middle_draw_cuts_out_the_middle(frame, monkeypatch):
    monkeypatch.setattr(torch, "rand", lambda count: torch.tensor([0.0, 0.5, 0.5, 0.5, 0.0, 0.0, *MIDDLE]))
    made = augmentation(64)(frame).float()
    side = math.sqrt(0.6) * 64
    low = (64 - side) / 2
    grid = torch.linspace(low + side / 128, 64 - low - side / 128, 64)
    places = torch.stack(torch.meshgrid(grid, grid, indexing="xy"), dim=-1)[None] / 32 - 1
    expected = torch.nn.functional.grid_sample(frame.float()[None], places, align_corners=False)[0]
    assert (made - expected).abs().max() < 1.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_it_works_where_the_frame_is(frame):
    torch.manual_seed(1)
    expected = augmentation(64)(frame)
    torch.manual_seed(1)
    made = augmentation(64)(frame.cuda())
    assert made.device.type == "cuda"
    assert (made.cpu().int() - expected.int()).abs().max() <= 2


def test_the_sheet_has_a_row_for_each_class_and_depends_on_the_seed_alone(frame):
    frames = {
        "blue lesion": frame.permute(1, 2, 0).numpy().copy(),
        "a class": np.full((64, 64, 3), (200, 20, 20), np.uint8),
    }
    torch.manual_seed(9)
    before = torch.get_rng_state()
    made = contact_sheet(frames, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(10)
    assert contact_sheet(frames, seed=4) == made
    assert contact_sheet(frames, seed=5) != made
    sheet = np.asarray(Image.open(io.BytesIO(made)))
    assert sheet.shape == (6 + 2 * (144 + 6 + 22), 6 + 8 * (144 + 6), 3)
    plain = np.asarray(Image.fromarray(frames["blue lesion"]).resize((144, 144), Image.Resampling.BILINEAR))
    assert np.array_equal(sheet[28 : 28 + 144, 6 : 6 + 144], plain)
    assert (sheet[200 : 200 + 144, 6 : 6 + 144] == (200, 20, 20)).all()
    tiles = {sheet[28 : 28 + 144, 6 + 150 * column : 150 + 150 * column].tobytes() for column in range(8)}
    assert len(tiles) == 8


def test_the_sheet_lies_beside_the_adapter_and_shows_the_first_training_frames(frames, tmp_path):
    settings = TrainSettings(image_size_px=64, split_by="frame")
    job = TrainJob(name="a", dataset="d", data=frames, settings=settings, output=tmp_path / "adapters" / "a")
    data = read_training_data(job, PreprocessSpec(size_px=64), Silent())
    path = write_contact_sheet(data, job, Silent())
    assert path == tmp_path / "adapters" / "a.augmentation.png"
    assert not job.output.exists()
    train = set(data.rows("train"))
    first = [next(row for row in sorted(train) if data.labels[row] == label) for label in range(3)]
    expected = {data.classes[label]: np.array(data.pixels[row]) for label, row in enumerate(first)}
    assert path.read_bytes() == contact_sheet(expected, settings.seed)
