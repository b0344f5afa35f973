"""The commands as a user types them: what they write, print, refuse, and with which exit code."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from benches import QUICK_WORDS
from safetensors.torch import load_file
from support import SMALL, TRAINING, hidden_or_new, write_frames

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.results import read_result
from gi_edge.files import sha256_file

VERBS = ("init", "demo", "train", "export", "engine", "verify", "bench", "predict", "report")


# --- help


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_imports_nothing_heavy(verb):
    """--help answers at once because it imports click and nothing else of weight."""
    code = (
        "import sys\n"
        "from gi_edge.cli.main import cli\n"
        f"try: cli({[verb, '--help'] if verb else ['--help']!r})\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "heavy = {'torch', 'timm', 'peft', 'numpy', 'sklearn', 'scipy', 'pydantic', 'rich', 'onnxruntime', 'PIL'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "Usage:" in done.stdout


def test_unknown_verbs_and_options_are_usage_errors(gi_edge, tmp_path):
    assert gi_edge("trian", cwd=tmp_path).code == 2
    wrong = gi_edge("train", "--epoch", 3, cwd=tmp_path)
    assert wrong.code == 2
    assert "--epochs" in wrong.err


# --- the path


def test_the_path_leaves_whole_artefacts(workspace):
    adapter = read_adapter(workspace / "adapters" / "lesions")
    bundle = read_bundle(workspace / "bundles" / "lesions")
    assert adapter.manifest.classes == bundle.manifest.classes == ("blue lesion", "green lesion", "red lesion")
    assert adapter.manifest.test.macro.f1 > 0.9 > adapter.manifest.test.majority_macro_f1
    assert adapter.manifest.split.fingerprint == bundle.manifest.split.fingerprint
    assert [model.precision for model in bundle.manifest.models] == ["fp32", "fp16"]
    assert [model.verdict.status for model in bundle.manifest.models] == ["pass", "undecided"]
    for model in bundle.manifest.models:
        assert model.verdict.file_sha256 == sha256_file(bundle.path / model.path)
    assert "PyTorch on cpu, computing in half precision" in bundle.manifest.models[1].verdict.computed_by
    assert bundle.manifest.merge.max_abs_error < 1e-4
    assert (bundle.path / "labels.txt").read_text().splitlines() == list(bundle.manifest.classes)
    assert bundle.reference().ids == adapter.split.ids("test")
    assert hidden_or_new(workspace / "adapters") == hidden_or_new(workspace / "bundles") == []


def test_training_again_gives_the_same_adapter(copied, gi_edge):
    first = load_file(copied / "adapters" / "lesions" / "adapter_model.safetensors")
    done = gi_edge("train", *TRAINING.split(), "--force", cwd=copied)
    assert done.code == 0, done.err
    again = load_file(copied / "adapters" / "lesions" / "adapter_model.safetensors")
    assert first.keys() == again.keys()
    assert all((first[name] == again[name]).all() for name in first)


def test_the_model_card_names_data_licences_and_baseline(workspace):
    card = (workspace / "adapters" / "lesions" / "README.md").read_text()
    for expected in ("gi-edge-small", "Apache-2.0", "majority baseline", "Split by near-duplicate cluster", "macro-F1"):
        assert expected in card


def test_train_works_without_a_workspace(gi_edge, frames, tmp_path):
    done = gi_edge("train", "--data", frames, *SMALL, "--name", "x", "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert manifest["kind"] == "adapter"
    assert manifest["dataset"]["name"] == "frames"
    assert (tmp_path / "adapters" / "x" / "manifest.json").is_file()
    again = gi_edge("export", "--adapter", "x", cwd=tmp_path)
    assert again.code == 1
    assert "--data DIR" in again.err
    exported = gi_edge("export", "--adapter", "x", "--data", frames, "--json", cwd=tmp_path)
    assert exported.code == 0, exported.err
    assert [model["precision"] for model in json.loads(exported.out)["models"]] == ["fp32"]


def test_settings_come_from_flags_then_workspace_then_recipe(gi_edge, frames, tmp_path):
    (tmp_path / "gi-edge.toml").write_text(
        f'[datasets.d]\npath = "{frames}"\n[train]\nrecipe = "demo"\nimage_size_px = 32\nepochs = 2\n'
    )
    done = gi_edge("train", "--epochs", 1, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    config = json.loads(done.out)["config"]
    assert (config["backbone"], config["rank"]) == ("gi-edge-small", 8)  # recipe
    assert config["image_size_px"] == 32  # workspace over recipe
    assert config["epochs"] == 1  # flag over workspace


def test_train_without_options_trains_every_dataset(gi_edge, tmp_path):
    for name in ("one", "two"):
        write_frames(tmp_path / "data" / name, per_class=6)
    assert gi_edge("init", "--backbone", "gi-edge-small", cwd=tmp_path).code == 0
    done = gi_edge("train", "--image-size", 32, "--epochs", 1, cwd=tmp_path)
    assert done.code == 0, done.err
    sheets = {"one.augmentation.png", "two.augmentation.png"}
    assert {path.name for path in (tmp_path / "adapters").iterdir()} == {"one", "two", *sheets}


def test_an_unreadable_image_among_good_ones_is_named_and_counted(gi_edge, frames, tmp_path):
    (frames / "red lesion" / "004.jpg").write_bytes(b"\xff\xd8\xff\xe0 cut")
    done = gi_edge("train", "--data", frames, *SMALL, "--json", cwd=tmp_path)
    assert done.code == 0, done.err
    assert "skipped red lesion/004.jpg: " in done.err
    assert "skipped 1 unreadable of 36 images" in done.err
    assert json.loads(done.out)["dataset"]["unreadable"] == ["red lesion/004.jpg"]


# --- init


def test_init_finds_the_trees_and_refuses_to_overwrite(gi_edge, tmp_path):
    write_frames(tmp_path / "data" / "my set", per_class=1)
    done = gi_edge("init", cwd=tmp_path)
    assert done.code == 0, done.err
    text = (tmp_path / "gi-edge.toml").read_text()
    assert '[datasets."my set"]\npath = "data/my set"\nspec = "folders"' in text
    again = gi_edge("init", cwd=tmp_path)
    assert again.code == 1
    assert "--force" in again.err
    assert (tmp_path / "gi-edge.toml").read_text() == text


def test_init_without_data_writes_an_example_and_train_says_what_is_missing(gi_edge, tmp_path):
    assert gi_edge("init", cwd=tmp_path).code == 0
    done = gi_edge("train", cwd=tmp_path)
    assert done.code == 1
    assert "lists no dataset" in done.err


# --- bench, predict, report


def test_bench_writes_result_and_page_and_report_renders_it_again(copied, gi_edge):
    words = ["bench", "--minimum-seconds", 0.05, "--minimum-count", 3, "--warmup-seconds", 0.01, "--idle-gap-ms", 10]
    done = gi_edge(*words, "--allow-undecided", cwd=copied)
    assert done.code == 0, done.err
    assert "undecided at export" in done.out
    (result,) = (copied / "reports").glob("*.json")
    assert [run.name for run in read_result(result).bundles] == ["lesions"]
    page = result.with_suffix(".html")
    before = page.read_text()
    assert "blue lesion" in before
    page.unlink()
    assert gi_edge("report", result, cwd=copied).code == 0
    assert page.read_text() == before


def test_open_verdicts_exit_3_unless_allowed(copied, gi_edge):
    """The result is written all the same, a bundle is not; speed alone asks for no verdict."""
    quick = QUICK_WORDS
    done = gi_edge("bench", *quick, cwd=copied)
    assert done.code == 3
    assert "lesions fp16 could not be judged: too little data to decide on macro-F1" in done.err
    assert "--allow-undecided" in done.err
    assert len(list((copied / "reports").glob("*.json"))) == 1
    output = copied / "reports" / "fast.json"
    assert gi_edge("bench", *quick, "--speed-only", "--output", output, cwd=copied).code == 0
    done = gi_edge("export", "--fp16", "--name", "x", cwd=copied)
    assert done.code == 3
    assert "the fp16 model could not be judged: too little data to decide on macro-F1" in done.err
    assert not (copied / "bundles" / "x").exists()


def test_bench_exits_3_when_a_model_answers_otherwise(copied, gi_edge, monkeypatch):
    from gi_edge.runtime.onnxruntime import OnnxRuntimeSession

    honest = OnnxRuntimeSession.run
    monkeypatch.setattr(OnnxRuntimeSession, "run", lambda self, pixels: honest(self, pixels[..., ::-1].copy()))
    done = gi_edge("bench", *QUICK_WORDS, "--json", cwd=copied)
    assert done.code == 3
    assert "does not answer as the trained model" in done.err
    assert json.loads(done.out)["bundles"][0]["models"][0]["parity"]["verdict"]["status"] == "fail"
    assert len(list((copied / "reports").glob("*.json"))) == 1


def test_predict_answers_files_and_folders(workspace, gi_edge):
    folder = workspace / "data" / "lesions" / "red lesion"
    done = gi_edge("predict", "lesions", folder, "--json", cwd=workspace)
    assert done.code == 0, done.err
    answers = [json.loads(line) for line in done.out.splitlines()]
    assert len(answers) == 20
    assert {answer["class"] for answer in answers} == {"red lesion"}
    assert sum(answers[0]["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    plain = gi_edge("predict", workspace / "bundles" / "lesions", folder / "000.jpg", cwd=workspace)
    label, probability, path = plain.out.strip().split("\t")
    assert (label, path) == ("red lesion", str(folder / "000.jpg"))
    assert float(probability) == pytest.approx(answers[0]["probability"], abs=1e-4)


def test_predict_skips_what_it_cannot_read_and_says_so(workspace, gi_edge, tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    good = workspace / "data" / "lesions" / "red lesion" / "000.jpg"
    done = gi_edge("predict", "lesions", tmp_path / "bad.jpg", good, tmp_path / "absent.jpg", cwd=workspace)
    assert done.code == 1
    assert done.out.startswith("red lesion\t")
    assert len(done.out.splitlines()) == 1
    assert "bad.jpg: not an image" in done.err
    assert "absent.jpg: " in done.err
    assert "2 of 3 images could not be read" in done.err
