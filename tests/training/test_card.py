"""The model card: front matter that the hub reads, and what the scores do not show."""

from __future__ import annotations

import pytest
import yaml
from huggingface_hub import ModelCard

from gi_edge.artifacts.adapter import read_adapter
from gi_edge_training.card import card_from_manifest, limits_from_manifest
from gi_edge_training.card_metadata import front_matter_from_manifest


@pytest.fixture(scope="module")
def manifest(workspace):
    return read_adapter(workspace / "adapters" / "lesions").manifest


def changed(manifest, part, **values):
    return manifest.model_copy(update={part: getattr(manifest, part).model_copy(update=values)})


def front_matter(manifest):
    return yaml.safe_load(front_matter_from_manifest(manifest))


def test_the_hub_reads_the_card_of_an_adapter(workspace, manifest):
    card = ModelCard.load(workspace / "adapters" / "lesions" / "README.md")
    found = card.data.to_dict()
    assert found == front_matter(manifest)
    assert (found["library_name"], found["pipeline_tag"]) == ("peft", "image-classification")
    assert found["datasets"] == ["lesions"]
    results = found["model-index"][0]["results"][0]
    values = {item["name"]: item["value"] for item in results["metrics"]}
    overall = manifest.evaluation.overall
    assert values["Macro-F1"] == pytest.approx(overall.macro_f1.value, abs=5e-5)
    assert values["MCC, multi-class"] == pytest.approx(overall.mcc.value, abs=5e-5)
    assert results["dataset"]["split"] == "test"
    for heading in ("Data", "Split", "Licence", "Training", "Scores on the test part", "Limits", "Use"):
        assert f"\n## {heading}\n" in card.text
    assert "](learning_curves.svg)" in card.text
    assert (workspace / "adapters" / "lesions" / "learning_curves.svg").is_file()


@pytest.mark.parametrize(
    ("weights", "data", "expected"),
    [
        ("CC BY 4.0", "cc-by-4.0", {"license": "cc-by-4.0"}),
        ("cc-by-nc-4.0", "CC BY 4.0", {"license": "other", "license_name": "weights-cc-by-nc-4.0-data-cc-by-4.0"}),
        ("Apache-2.0", "not recorded", {"license": "other", "license_name": "see-the-card"}),
        ("CC BY 4.0", "CC BY 4.0; ask before commercial use", {"license": "other", "license_name": "see-the-card"}),
    ],
)
def test_a_licence_is_claimed_only_where_weights_and_data_share_it(manifest, weights, data, expected):
    given = changed(changed(manifest, "backbone", licence=weights), "dataset", licence=data)
    found = front_matter(given)
    assert {key: found[key] for key in ("license", "license_name") if key in found} == expected


def test_base_weights_of_the_hub_are_linked_and_others_are_not(manifest):
    assert "base_model" not in front_matter(manifest)
    tagged = changed(manifest, "backbone", weights="timm:convnextv2_tiny.fcmae_ft_in22k_in1k")
    assert front_matter(tagged)["base_model"] == "timm/convnextv2_tiny.fcmae_ft_in22k_in1k"


def test_names_with_signs_of_yaml_and_markdown_stay_whole(manifest):
    odd = changed(manifest, "dataset", name="a: b #1", exclude=("x|y",)).model_copy(
        update={"classes": ("a|b", *manifest.classes[1:])}
    )
    assert front_matter(odd)["datasets"] == ["a: b #1"]
    card = card_from_manifest(odd)
    assert "a\\|b, green lesion" in card
    assert "such as x\\|y." in limits_from_manifest(odd)


def test_classes_without_an_interval_are_named_as_limits(manifest):
    assert "Too few test frames" in limits_from_manifest(manifest)
    assert "green lesion" in limits_from_manifest(manifest)
    assert "do not cover the luck of one training" in limits_from_manifest(manifest)
