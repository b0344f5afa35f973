"""gi-edge evaluate: the same numbers from the adapter in torch and from its bundle without."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image


@pytest.fixture(scope="module")
def evaluated(workspace, tmp_path_factory):
    """A copy of the workspace whose adapter and bundle were evaluated."""
    from support import gi_edge_process

    root = Path(shutil.copytree(workspace, tmp_path_factory.mktemp("evaluated") / "copy"))
    for words in ("--adapter lesions", "--bundle lesions", "--bundle lesions --precision fp16"):
        done = gi_edge_process("evaluate", *words.split(), "--json", cwd=root)
        assert done.code == 0, done.err
    return root


def result(root, name):
    return json.loads((root / "reports" / name / "evaluation.json").read_text())


def test_adapter_and_bundle_score_alike(evaluated):
    adapter, bundle = (result(evaluated, name) for name in ("evaluate-lesions-test", "evaluate-lesions-fp32-test"))
    assert adapter["runtime"].startswith("PyTorch ")
    assert bundle["runtime"].startswith("onnxruntime ")
    for field in ("n", "groups", "classes", "confusion", "baselines"):
        assert adapter["evaluation"][field] == bundle["evaluation"][field], field
    assert adapter["evaluation"]["overall"]["macro_f1"] == bundle["evaluation"]["overall"]["macro_f1"]


def test_the_adapter_carries_what_evaluate_finds(evaluated):
    manifest = json.loads((evaluated / "adapters" / "lesions" / "manifest.json").read_text())
    found = result(evaluated, "evaluate-lesions-test")
    assert found["split_fingerprint"] == manifest["split"]["fingerprint"]
    assert found["evaluation"]["overall"]["accuracy"] == manifest["evaluation"]["overall"]["accuracy"]


def test_the_frame_cache_changes_no_digit(evaluated):
    from support import gi_edge_process

    folders = []
    for cache in ("off", "new-cache", "new-cache"):
        folders.append(evaluated / f"by-{len(folders)}")
        words = f"evaluate --adapter lesions --output {folders[-1]}".split()
        done = gi_edge_process(*words, cwd=evaluated, GI_EDGE_CACHE=cache)
        assert done.code == 0, done.err
        assert ("are new in the cache" in done.err) is (len(folders) == 2)
    assert (evaluated / "new-cache" / "frames").is_dir()
    assert len({(folder / "predictions.csv").read_bytes() for folder in folders}) == 1
    results = [json.loads((folder / "evaluation.json").read_text()) | {"created": ""} for folder in folders]
    assert results[0] == results[1] == results[2]


def test_predictions_have_a_line_per_frame(evaluated):
    with (evaluated / "reports" / "evaluate-lesions-test" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    found = result(evaluated, "evaluate-lesions-test")["evaluation"]
    assert len(rows) == found["n"]
    wrong = sum(row["label"] != row["answer"] for row in rows)
    diagonal = sum(found["confusion"][i][i] for i in range(len(found["classes"])))
    assert wrong == found["n"] - diagonal
    for row in rows:
        probabilities = {label: float(row[label]) for label in found["classes"]}
        assert abs(sum(probabilities.values()) - 1) < 1e-4
        assert max(probabilities, key=probabilities.get) == row["answer"]


def test_pictures_and_page_are_there(evaluated):
    folder = evaluated / "reports" / "evaluate-lesions-fp16-test"
    names = {path.name for path in folder.iterdir()} - {"mistakes.jpg"}
    assert names == {
        *("evaluation.json", "predictions.csv", "page.html"),
        *("confusion.svg", "reliability.svg", "classes.svg"),
    }
    for name in names:
        if name.endswith(".svg"):
            assert ElementTree.parse(folder / name).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    assert "://" not in (folder / "page.html").read_text().replace("http://www.w3.org", "")
    if (folder / "mistakes.jpg").exists():
        with Image.open(folder / "mistakes.jpg") as sheet:
            assert sheet.width > 200


def test_the_table_names_averages_counts_and_baselines(evaluated, gi_edge):
    done = gi_edge("evaluate", "--bundle", "lesions", "--force", cwd=evaluated)
    assert done.code == 0, done.err
    for words in ("macro-F1", "weighted F1", "MCC", "balanced accuracy", "ajority", "95", "near-duplicate cluster"):
        assert words.lower() in done.out.lower(), words


@pytest.mark.parametrize(
    ("words", "code", "found"),
    [
        ("evaluate", 2, "give --adapter NAME or --bundle NAME"),
        ("evaluate --adapter lesions --bundle lesions", 2, "one of them"),
        ("evaluate --bundle lesions --part val", 2, "test part only"),
        ("evaluate --adapter lesion", 1, "did you mean 'lesions'"),
        ("evaluate --adapter lesions", 1, "exists already"),
        ("evaluate --adapter lesions --force --data bundles", 1, "CLASS/IMAGE.jpg"),
    ],
)
def test_what_cannot_serve_is_an_error(evaluated, gi_edge, words, code, found):
    done = gi_edge(*words.split(), cwd=evaluated)
    assert done.code == code, done.err
    assert found in done.err
    assert (evaluated / "reports" / "evaluate-lesions-test" / "evaluation.json").is_file()
