"""The commands as a user types them: what they write, print, refuse, and with which exit code."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file
from support import TRAINING, gi_edge_process, write_frames

from gi_edge.artifacts.adapter import read_adapter
from gi_edge.artifacts.bundle import read_bundle
from gi_edge.artifacts.results import read_result
from gi_edge.files import sha256_file

VERBS = ("init", "demo", "train", "export", "engine", "verify", "bench", "predict", "report")
SMALL = ["--backbone", "gi-edge-small", "--image-size", 32, "--epochs", 1, "--rank", 2]


def hidden_or_new(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.name.startswith(".") or path.suffix == ".partial")


@pytest.fixture
def copied(workspace, tmp_path):
    """A private copy of the trained workspace."""
    return Path(shutil.copytree(workspace, tmp_path / "copy"))


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
    words = ["bench", "--minimum-seconds", 0.05, "--minimum-count", 3, "--warmup-seconds", 0.01]
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
    quick = ["--minimum-seconds", 0.05, "--minimum-count", 3, "--warmup-seconds", 0, "--batch-size", 1]
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
    done = gi_edge("bench", "--minimum-seconds", 0.05, "--minimum-count", 3, "--json", cwd=copied)
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


# --- bad input: one line, the mend, exit code 1, nothing half-written


def one_image_class(tmp_path):
    folder = write_frames(tmp_path / "d", per_class=4)
    (folder / "rare").mkdir()
    shutil.copy(folder / "red lesion" / "000.jpg", folder / "rare" / "0.jpg")
    return ["train", "--data", folder, *SMALL]


def wrong_weights(tmp_path):
    import timm
    from safetensors.torch import save_file

    save_file(timm.create_model("convnextv2_atto").state_dict(), tmp_path / "atto.safetensors")
    data = write_frames(tmp_path / "d", per_class=4)
    return ["train", "--data", data, "--weights", tmp_path / "atto.safetensors", "--backbone", "convnextv2_nano"]


BAD = {
    "no workspace": (lambda t: ["train"], "no gi-edge.toml here or above", "gi-edge init --data DIR"),
    "no folder": (lambda t: ["train", "--data", t / "none"], "there is no folder", "--data"),
    "empty folder": (
        lambda t: (t / "e").mkdir() or ["train", "--data", t / "e"],
        "found 0 class folder",
        "CLASS/IMAGE.jpg",
    ),
    "class with one image": (one_image_class, "class 'rare' has 1 readable image", "--exclude 'rare'"),
    "unknown class": (
        lambda t: ["train", "--data", write_frames(t / "d"), *SMALL, "--exclude", "red lesions"],
        "did you mean 'red lesion'",
        "--exclude",
    ),
    "unknown spec": (
        lambda t: ["train", "--data", write_frames(t / "d"), *SMALL, "--spec", "folder"],
        "did you mean 'folders'",
        "--spec",
    ),
    "unknown recipe": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--recipe", "dmo"],
        "did you mean 'demo'",
        "--recipe",
    ),
    "weights of another architecture": (wrong_weights, "does not fit convnextv2_nano", "--backbone convnextv2_atto"),
    "no weights file": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--weights", t / "w.pth"],
        "there is no weights file",
        "--weights FILE",
    ),
    "no network": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--backbone", "convnextv2_atto.fcmae"],
        "cannot be downloaded",
        "--weights FILE",
    ),
    "impossible setting": (
        lambda t: ["train", "--data", write_frames(t / "d"), "--epochs", 0, "--rank", -1],
        "epochs: Input should be greater than or equal to 1 (found 0); rank: ",
        "training settings",
    ),
    "no CUDA": (
        lambda t: ["train", "--data", write_frames(t / "d"), *SMALL, "--device", "cuda"],
        "PyTorch finds no CUDA device",
        "--device cpu",
    ),
    "unknown adapter": (lambda t: ["export", "--adapter", "polyps"], "no adapter 'polyps'", "gi-edge train"),
    "no adapter at all": (lambda t: ["export"], "no adapter in", "gi-edge train"),
    "no bundle at all": (lambda t: ["bench"], "no bundle in", "gi-edge export"),
    "unknown bundle": (lambda t: ["predict", "polyps", "x.jpg"], "no bundle 'polyps'", "gi-edge export"),
    "no result": (lambda t: ["report", t / "r.json"], "is no bench result", "gi-edge bench"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_with_its_mend(case, gi_edge, tmp_path, monkeypatch):
    if case == "no CUDA":
        monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    words, found, mend = BAD[case]
    done = gi_edge(*words(tmp_path), cwd=tmp_path)
    assert done.code == 1, done.err
    last = done.err.splitlines()[-1]
    assert last.startswith("error: ")
    assert found in last
    assert mend in last.split("To mend: ")[1]
    assert "Traceback" not in done.err
    assert not list((tmp_path / "adapters").glob("*"))
    assert not (tmp_path / "bundles").exists()


@pytest.mark.parametrize("words", [["train", *SMALL], ["export", "--fp16"]])
def test_an_existing_output_is_kept_without_force(copied, gi_edge, words):
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    done = gi_edge(*words, cwd=copied)
    assert done.code == 1
    assert "exists already. To mend: add --force" in done.err
    assert {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()} == before


def test_an_adapter_for_another_backbone_is_not_exported(copied, gi_edge):
    from safetensors.torch import save_file

    weights = load_file(Path(__file__).parents[2] / "gi_edge/modeling/weights/gi-edge-small.safetensors")
    save_file({name: tensor + 1e-3 for name, tensor in weights.items()}, copied / "other.safetensors")
    done = gi_edge("export", "--weights", copied / "other.safetensors", "--name", "x", cwd=copied)
    assert done.code == 1
    assert "not the base weights of the adapter" in done.err
    assert not (copied / "bundles" / "x").exists()


def test_a_gate_that_says_no_exits_3_and_writes_nothing(copied, gi_edge, monkeypatch):
    import gi_edge_export.run as export_run
    from gi_edge_export.deploy import deployed_from_model

    def sabotaged(model, spec, precision, input_form):
        network = deployed_from_model(model, spec, precision, input_form)
        if precision == "fp16":
            network.head.fc.weight.data = network.head.fc.weight.data.roll(1, dims=0)
        return network

    monkeypatch.setattr(export_run, "deployed_from_model", sabotaged)
    done = gi_edge("export", "--fp16", "--name", "x", cwd=copied)
    assert done.code == 3
    assert "the fp16 model does not answer as the trained one" in done.err
    assert not (copied / "bundles" / "x").exists()
    assert hidden_or_new(copied / "bundles") == []


def test_every_precision_and_scaled_images_in_one_bundle(copied, gi_edge):
    words = ["--fp16", "--bf16", "--input", "float", "--name", "x", "--allow-undecided", "--json"]
    done = gi_edge("export", *words, cwd=copied)
    assert done.code == 0, done.err
    manifest = json.loads(done.out)
    assert [(entry["precision"], entry["input"], entry["opset"]) for entry in manifest["models"]] == [
        ("fp32", "float", 20), ("fp16", "float", 20), ("bf16", "float", 22),
    ]  # fmt: skip
    assert manifest["headroom"]["size_px"] == manifest["preprocess"]["size_px"]
    assert "fp16 headroom on" in done.err
    words = ["--minimum-seconds", "0.05", "--minimum-count", "1", "--allow-undecided", "--json"]
    done = gi_edge("bench", "x", *words, cwd=copied)
    assert done.code == 0, done.err
    assert [model["precision"] for model in json.loads(done.out)["bundles"][0]["models"]] == ["fp32", "fp16"]
    assert "bf16: left out" in done.err
    done = gi_edge("bench", "x", "--precision", "bf16", "--speed-only", cwd=copied)
    assert done.code == 1
    assert "ONNX Runtime's CPUExecutionProvider cannot compute model.bf16.onnx" in done.err


def test_fp16_that_would_overflow_is_refused_before_it_is_made(copied, gi_edge, monkeypatch):
    import gi_edge_export.run as export_run
    from gi_edge_export.merge import merged_from_trained

    def loud(trained):
        merged = merged_from_trained(trained)
        convolution = merged.stages[1].blocks[0].conv_dw  # a norm follows, so that fp32 answers as before
        convolution.weight.data *= 1e6
        convolution.bias.data *= 1e6
        return merged

    monkeypatch.setattr(export_run, "merged_from_trained", loud)
    done = gi_edge("export", "--fp16", "--name", "x", cwd=copied)
    assert done.code == 3
    assert "fp16 overflows at stages.1.blocks.0: " in done.err
    assert not (copied / "bundles" / "x").exists()


def train_until_epoch(cwd, epoch, signum, words):
    """Start a training and end it by a signal once an epoch was told; return the process and the rest it said."""
    code = "from gi_edge.cli.main import main; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, "train", *words],
        cwd=cwd, stderr=subprocess.PIPE, text=True, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        # in the background of a shell SIGINT is ignored, and children inherit that
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    with running:
        assert running.stderr is not None
        for line in running.stderr:
            if line.startswith(f"epoch {epoch}/"):
                break
        running.send_signal(signum)
        rest = running.stderr.read()
    return running, rest


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_training_loses_nothing_and_ends_in_the_same_adapter(copied, signum):
    words = [*map(str, SMALL), "--epochs", "4", "--dropout", "0.1"]
    whole = gi_edge_process("train", *words, "--name", "whole", cwd=copied)
    assert whole.code == 0, whole.err
    before = (copied / "adapters" / "lesions" / "manifest.json").read_bytes()
    running, rest = train_until_epoch(copied, 1, signum, [*words, "--force"])
    assert (copied / "adapters" / "lesions" / "manifest.json").read_bytes() == before
    if signum == signal.SIGINT:
        assert running.returncode == 1
        assert "error: interrupted; nothing was half-written. To mend: gi-edge train" in rest
        assert rest.rstrip().endswith("--resume")
    refused = gi_edge_process("train", *words, cwd=copied)
    assert refused.code == 1
    other = gi_edge_process("train", *words, "--resume", "--force", "--seed", 9, cwd=copied)
    assert other.code == 1
    assert "is another: seed was 0, now 9" in other.err
    resumed = gi_edge_process("train", *words, "--resume", "--force", cwd=copied)
    assert resumed.code == 0, resumed.err
    assert "resuming after epoch" in resumed.err
    assert hidden_or_new(copied / "adapters") == []
    files = [copied / "adapters" / name / "adapter_model.safetensors" for name in ("whole", "lesions")]
    assert files[0].read_bytes() == files[1].read_bytes()


def test_an_unfinished_run_is_neither_lost_nor_invented(copied, gi_edge):
    words = [*map(str, SMALL), "--name", "other"]
    none = gi_edge("train", *words, "--resume", cwd=copied)
    assert none.code == 1
    assert "there is no unfinished run to resume" in none.err
    unfinished = copied / "adapters" / ".other.unfinished.safetensors"
    unfinished.write_bytes(b"cut short")
    kept = gi_edge("train", *words, cwd=copied)
    assert kept.code == 1
    assert "add --resume to go on with it, or --force to begin anew" in kept.err
    damaged = gi_edge("train", *words, "--resume", cwd=copied)
    assert damaged.code == 1
    assert "cannot be read" in damaged.err
    assert unfinished.read_bytes() == b"cut short"
    anew = gi_edge("train", *words, "--force", cwd=copied)
    assert anew.code == 0, anew.err
    assert not unfinished.exists()


def test_a_missing_package_names_its_extra(workspace, tmp_path):
    """onnxruntime is made unimportable, as on a device without the cuda extra."""
    blocker = tmp_path / "sitecustomize.py"
    blocker.write_text("import sys\nsys.modules['onnxruntime'] = None\n")
    done = gi_edge_process("predict", "lesions", "x.jpg", cwd=workspace, PYTHONPATH=str(tmp_path))
    assert done.code == 1
    assert "'onnxruntime' is not installed. To mend: pip install 'gi-edge[cuda]'" in done.err
