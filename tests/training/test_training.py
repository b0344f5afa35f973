"""The optimisation and what surrounds it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from gi_edge.errors import ModelError
from gi_edge.progress import Silent
from gi_edge_training.augment import augmentation
from gi_edge_training.config import TrainSettings, read_recipe, recipe_names
from gi_edge_training.loop import fit, learning_rate_factor


class Heard(Silent):
    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)


class Linear(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.frozen = nn.Linear(4, 4)
        self.head = nn.Linear(4, 2)
        self.frozen.requires_grad_(False)

    def forward(self, pixels):
        return self.head(self.frozen(pixels))


def separable(n=64):
    pixels = torch.randn(n, 4, generator=torch.Generator().manual_seed(0))
    labels = (pixels[:, 0] > 0).long()
    return DataLoader(list(zip(pixels, labels.tolist(), strict=True)), batch_size=16)


def test_fit_learns_moves_only_what_trains_and_tells_each_epoch():
    model, heard = Linear(), Heard()
    frozen = model.frozen.weight.clone()
    settings = TrainSettings(epochs=3, learning_rate=0.5)
    fit(model, separable(), settings, progress=heard, score=lambda: "score 0.5")
    losses = [float(line.split("training loss ")[1].split(",")[0]) for line in heard.lines]
    assert len(losses) == 3
    assert losses[2] < 0.7 * losses[0]
    assert torch.equal(model.frozen.weight, frozen)
    assert all(line.endswith("score 0.5") for line in heard.lines)


def test_a_loss_that_is_no_number_ends_the_run_with_a_lower_rate_to_try():
    model = Linear()
    with torch.no_grad():
        model.head.weight.fill_(float("nan"))
    with pytest.raises(ModelError, match="the loss became nan in epoch 1") as caught:
        fit(model, separable(), TrainSettings(epochs=3, learning_rate=0.1), progress=Silent(), score=lambda: "")
    assert caught.value.fix == "--learning-rate 0.01"


def test_the_schedule_warms_up_then_falls_as_a_cosine():
    factors = [learning_rate_factor(step, 100, 0.1) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert factors[9] == factors[10] == 1.0
    assert factors[55] == pytest.approx(0.5)
    assert factors[100] == pytest.approx(0, abs=1e-12)
    assert factors[10:] == sorted(factors[10:], reverse=True)
    assert learning_rate_factor(0, 1, 0.0) == 1.0


def test_augmentation_keeps_shape_and_type_and_the_red_of_blood():
    torch.manual_seed(0)
    blood = torch.zeros(3, 64, 64, dtype=torch.uint8)
    blood[0] = 170
    blood[1:] = 25
    made = torch.stack([augmentation(64)(blood) for _ in range(50)])
    assert made.shape == (50, 3, 64, 64)
    assert made.dtype == torch.uint8
    red, green, blue = (made[:, channel].float() for channel in range(3))
    assert ((red > 2.5 * green) & (red > 2.5 * blue)).all()
    assert len(torch.unique(made[:, 0, 0, 0])) > 10


def test_augmentation_follows_the_seed():
    image = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 64), dtype=np.uint8))
    transform = augmentation(64)
    torch.manual_seed(1)
    first = transform(image)
    torch.manual_seed(1)
    assert torch.equal(first, transform(image))
    assert not torch.equal(first, transform(image))


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_is_valid(name):
    settings = TrainSettings.model_validate(read_recipe(name))
    assert settings.backbone


def test_a_recipe_may_be_a_file(tmp_path):
    (tmp_path / "mine.toml").write_text("rank = 3\n")
    assert read_recipe(str(tmp_path / "mine.toml")) == {"rank": 3}
