"""Recipes, and the order in which the sources of settings override one another."""

from __future__ import annotations

import re

import pytest
import timm
import torch
from click.testing import CliRunner

from gi_edge.cli.train import command
from gi_edge.data.spec import read_spec
from gi_edge.errors import ConfigError
from gi_edge.modeling.architecture import create_model
from gi_edge.modeling.lora import attach_lora
from gi_edge.modeling.methods import weight_counts
from gi_edge.modeling.options import LoraOptions
from gi_edge_training.recipes import Asked, recipe_names, recipe_text, resolve


def resolved(recipe=None, spec="folders", workspace=None, assignments=(), classes_given=False, **flags):
    return resolve(
        Asked(
            recipe=recipe,
            spec=spec,
            classes_given=classes_given,
            workspace=workspace or {},
            assignments=assignments,
            flags=flags,
        )
    )


def test_each_source_overrides_the_one_before(tmp_path):
    recipe = tmp_path / "r.toml"
    recipe.write_text(
        "epochs = 1\nbatch_size = 11\nrank = 21\nseed = 31\nalpha = 41.0\n[dataset.kvasir-v2]\nseed = 32\n"
    )
    workspace = {"batch_size": 12, "rank": 22, "seed": 33}
    found = resolved(str(recipe), "kvasir-v2", workspace, ("rank=23", "seed=34"), seed=35).settings
    assert (found.epochs, found.batch_size, found.rank, found.seed, found.alpha) == (1, 12, 23, 35, 41.0)
    assert resolved(str(recipe), "kvasir-v2").settings.seed == 32
    assert resolved(str(recipe), "folders").settings.seed == 31


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("epochs=3", "epochs", 3),
        ("learning_rate = 1e-4", "learning_rate", 1e-4),
        ("learning-rate=1e-4", "learning_rate", 1e-4),
        ("dora=true", "dora", True),
        ("balance=sampler", "balance", "sampler"),
        ('balance="sampler"', "balance", "sampler"),
        ("stage_ranks=[1, 2, 3, 4]", "stage_ranks", (1, 2, 3, 4)),
        ("weights_licence=CC BY 4.0", "weights_licence", "CC BY 4.0"),
        ("targets=.*\\.mlp\\.fc1", "targets", ".*\\.mlp\\.fc1"),
        ("weights_licence=a\nseed = 1", "weights_licence", "a\nseed = 1"),
    ],
)
def test_a_value_is_toml_or_a_bare_word(text, name, value):
    assert getattr(resolved(assignments=(text,)).settings, name) == value


@pytest.mark.parametrize(
    ("asked", "match", "mend"),
    [
        ({"assignments": ("rnak=3",)}, "no setting 'rnak' \\(did you mean 'rank'", "--set KEY=VALUE"),
        ({"assignments": ("rank",)}, "there is no '='", "--set KEY=VALUE"),
        (
            {"assignments": ("rank=many",)},
            "^--set rank=many: rank must be a whole number, found 'many'",
            "--set rank=16",
        ),
        (
            {"assignments": ("stage_ranks=[0,0,0,0]",)},
            "^--set stage_ranks=.*: stage_ranks leaves no stage with LoRA",
            "--set stage_ranks=VALUE",
        ),
        ({"assignments": ("stage_ranks=[1,2]",)}, "stage_ranks.2 is missing", "--set stage_ranks=VALUE"),
        (
            {"workspace": {"rnak": 3}},
            "^\\[train\\] of gi-edge.toml: unknown key 'rnak' \\(did you mean 'rank'",
            "rename or delete rnak in [train]",
        ),
        (
            {"workspace": {"rank": "abc"}},
            "^\\[train\\] of gi-edge.toml: rank must be a whole",
            "rank = 16 in [train] of",
        ),
        (
            {"workspace": {"balance": "no"}},
            "balance must be 'none', 'sampler'.*found 'no'",
            'balance = "none" in [train]',
        ),
        ({"epochs": 0}, "^--epochs: epochs must be at least 1, found 0", "--epochs 10"),
        ({"image_size_px": 100}, "^--image-size: image_size_px must be a multiple of 32", "--image-size 224"),
        (
            {"epochs": 0, "assignments": ("rank=-1",), "workspace": {"dora": 3, "rank": 2}},
            "--epochs: epochs must be at least 1, found 0; --set rank=-1: rank must be at least 1, found -1; .*dora",
            "--epochs 10; --set rank=16; dora = false in [train] of gi-edge.toml",
        ),
        ({"method": "probe", "rank": 4}, "method probe does not read rank", "leave rank out, or --method lora"),
        ({"method": "full", "dora": True}, "method full does not read dora", "--method lora"),
        ({"recipe": "probe", "drop_path": 0.1}, "method probe does not read drop_path", "--method full"),
        ({"recipe": "full", "assignments": ("alpha=3",)}, "method full does not read alpha", "--method lora"),
        ({"method": "full"}, "full fine-tuning needs a learning rate of its own", "--recipe full"),
        ({"recipe": "lora"}, "no recipe 'lora' \\(did you mean", "--recipe NAME"),
    ],
)
def test_what_cannot_be_meant_is_refused(asked, match, mend):
    with pytest.raises(ConfigError, match=match) as caught:
        resolved(**asked)
    assert mend in caught.value.fix


def test_a_fault_in_a_recipe_names_its_file(tmp_path):
    (tmp_path / "r.toml").write_text('learning_rate = "fast"\nepochs = 3\n')
    with pytest.raises(ConfigError) as caught:
        resolved(str(tmp_path / "r.toml"), workspace={"epochs": 4})
    place = f"recipe {tmp_path / 'r.toml'}"
    assert caught.value.message == f"{place}: learning_rate must be a number, found 'fast'"
    assert caught.value.fix == f"learning_rate = 0.001 in {place}"


def test_a_table_for_an_unknown_spec_is_refused(tmp_path):
    (tmp_path / "r.toml").write_text("[dataset.kvasir-capsul]\nepochs = 3\n")
    with pytest.raises(ConfigError, match="no spec 'kvasir-capsul' \\(did you mean 'kvasir-capsule'"):
        resolved(str(tmp_path / "r.toml"))


def test_settings_of_a_workspace_that_a_method_does_not_read_are_noted_and_not_recorded():
    found = resolved("probe", workspace={"rank": 4, "epochs": 2})
    assert found.notes == ("method probe does not read rank",)
    assert not {"rank", "alpha", "dora", "drop_path"} & set(found.settings.recorded())
    assert found.settings.recorded()["epochs"] == 2
    assert {"rank", "alpha", "drop_path"} <= set(resolved().settings.recorded())


@pytest.mark.parametrize("name", ["full", "lora-base", "lora-tiny", "probe"])
def test_recipes_know_the_official_protocols(name):
    """GastroVision has 22 classes of more than 25 images, unless a split says which there are."""
    found = resolved(name, "gastrovision")
    spec = read_spec("gastrovision")
    assert len(set(spec.classes) - set(found.exclude)) == 22
    assert set(found.exclude) < set(spec.classes)
    assert "leaves out of gastrovision: Resection margins" in found.notes[-1]
    assert resolved(name, "gastrovision", classes_given=True).exclude == ()
    capsule = resolved(name, "kvasir-capsule")
    assert (capsule.settings.image_size_px, capsule.exclude) == (320, ())
    assert resolved(name, "folders").settings.image_size_px == 224


def test_the_recipes_are_the_ones_told():
    asked = CliRunner().invoke(command, ["--list-recipes"])
    assert asked.exit_code == 0
    assert [line.partition(":")[0] for line in asked.output.splitlines()] == list(recipe_names())
    told = " ".join(CliRunner().invoke(command, ["--help"]).output.split())
    assert f"({', '.join(recipe_names())})" in told


@pytest.mark.parametrize("name", ["lora-base", "lora-tiny", "full", "probe"])
def test_the_counts_in_the_recipes_are_the_real_ones(name):
    settings, classes = resolved(name).settings, 5
    tag = settings.backbone or "convnextv2_tiny.fcmae_ft_in22k_in1k"
    assert tag in timm.list_pretrained()
    with torch.device("meta"):
        model = create_model(tag.partition(".")[0], classes)
        head = sum(parameter.numel() for parameter in model.head.fc.parameters())
        whole, _ = weight_counts(model)
        if settings.method == "lora":
            options = LoraOptions(rank=settings.rank, alpha=settings.alpha)
            real = weight_counts(attach_lora(model, options))[0] - head
        else:
            real = whole - head if settings.method == "full" else head // classes
    assert f"{real:,}" in re.findall(r"[\d,]*\d", recipe_text(name))
