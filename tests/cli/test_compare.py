"""gi-edge compare: two adapters on the same test frames."""

from __future__ import annotations

import json

import pytest
from support import TRAINING, gi_edge_process, write_frames


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """One dataset, one split, two adapters: one trained, one hardly."""
    root = tmp_path_factory.mktemp("pair")
    write_frames(root / "data" / "lesions", per_class=30)
    words = f"train --dataset lesions --split splits/lesions.csv {TRAINING}"
    for line in (
        "init",
        "data split --holdout-fraction 0.3",
        f"{words} --name good",
        f"{words} --name poor --epochs 1 --learning-rate 1e-9 --rank 2",
        f"train --dataset lesions {TRAINING} --epochs 1 --name elsewhere --seed 7",
    ):
        done = gi_edge_process(*line.split(), cwd=root)
        assert done.code == 0, done.err
    return root


def test_costs_scores_and_paired_differences(pair, gi_edge):
    done = gi_edge("compare", "poor", "good", "--json", "--output", "c.json", cwd=pair)
    assert done.code == 0, done.err
    found = json.loads(done.out)
    assert found == json.loads((pair / "c.json").read_text())
    poor, good = found["adapters"]
    assert (poor["name"], good["name"]) == ("poor", "good")
    assert poor["differences"] == {}
    assert (poor["rank"], good["rank"]) == (2, 4)
    assert poor["trainable_weights"] < good["trainable_weights"]
    assert poor["size_bytes"] < good["size_bytes"]
    assert good["train_seconds"] > 0
    assert good["peak_memory_bytes"] > 100e6
    for score in ("macro_f1", "accuracy", "mcc"):
        difference = good["differences"][score]
        values = [item["evaluation"]["overall"][score]["value"] for item in (poor, good)]
        assert difference["difference"] == pytest.approx(values[1] - values[0])
        assert difference["interval"]["low"] > 0
    manifest = json.loads((pair / "adapters" / "good" / "manifest.json").read_text())
    assert good["evaluation"]["overall"] == manifest["evaluation"]["overall"]


def test_the_table_says_what_is_compared(pair, gi_edge):
    done = gi_edge("compare", "poor", "good", cwd=pair)
    assert done.code == 0, done.err
    for words in ("minus poor", "Macro-F1", "MCC", "near-duplicate clusters", "Always answering", "Peak memory"):
        assert words in done.out, words


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        ("compare good", 2, "two adapters or more"),
        ("compare good elsewhere", 1, "were not tested on the same frames"),
        ("compare good nobody", 1, "no adapter 'nobody'"),
    ],
)
def test_what_cannot_be_compared_is_refused(pair, gi_edge, words, code, found):
    done = gi_edge(*words.split(), cwd=pair)
    assert done.code == code, done.err
    assert found in done.err
