"""A device has no torch: the device path in an environment that holds the base and the runtime extra only."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from benches import QUICK_WORDS
from support import gi_edge_process

ROOT = Path(__file__).parents[1]
FORBIDDEN = ("torch", "torchvision", "timm", "peft", "transformers", "matplotlib", "jinja2")


@pytest.fixture(scope="module")
def device_python(tmp_path_factory):
    """The interpreter of a fresh environment with gi-edge[cuda] from a built wheel, and nothing else."""
    folder = tmp_path_factory.mktemp("device")
    python = os.environ.get("GI_EDGE_DEVICE_PYTHON", sys.executable)
    quiet = {"check": True, "capture_output": True, "text": True}
    subprocess.run([python, "-m", "venv", folder / "env"], **quiet)
    inside = str(folder / "env" / "bin" / "python")
    subprocess.run([sys.executable, "-m", "pip", "wheel", "--no-deps", "-q", "-w", folder, ROOT], **quiet)
    (wheel,) = folder.glob("gi_edge-*.whl")
    constraints = ROOT / "constraints.txt"
    subprocess.run([inside, "-m", "pip", "install", "-q", "-c", constraints, f"{wheel}[cuda]"], **quiet)
    return inside


@pytest.mark.slow
def test_the_environment_has_no_torch(device_python):
    code = f"import importlib.util as u; print([name for name in {FORBIDDEN!r} if u.find_spec(name)])"
    done = subprocess.run([device_python, "-c", code], capture_output=True, text=True, check=True, cwd="/")
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_bench_predict_and_help_run_without_torch(device_python, copied):
    short = [*QUICK_WORDS, "--provider", "cpu", "--allow-undecided"]
    done = gi_edge_process("bench", *short, cwd=copied, python=device_python)
    assert done.code == 0, done.err
    assert "lesions fp32" in done.out
    assert "pip install 'gi-edge[report]' && gi-edge report" in done.err
    assert len(list((copied / "reports").glob("*.json"))) == 1
    done = gi_edge_process("verify", "lesions", "--json", cwd=copied, python=device_python)
    assert done.code == 0, done.err
    answers = {check["name"]: check["status"] for check in json.loads(done.out)["checks"]}
    assert (answers["model.fp16.onnx answers"], answers["model.fp16.onnx graph"]) == ("pass", "skipped")
    done = gi_edge_process("engine", "lesions", cwd=copied, python=device_python)
    assert "pip install 'gi-edge[tensorrt]'" in done.err
    frame = copied / "data" / "lesions" / "red lesion" / "000.jpg"
    done = gi_edge_process("predict", "lesions", frame, "--json", cwd=copied, python=device_python)
    assert done.code == 0, done.err
    assert json.loads(done.out)["class"] == "red lesion"
    for verb in ("init", "demo", "train", "export", "engine", "verify", "bench", "predict", "report"):
        assert gi_edge_process(verb, "--help", cwd=copied, python=device_python).code == 0


@pytest.mark.slow
@pytest.mark.parametrize("words", [["train", "--force"], ["export", "--force"]])
def test_what_needs_torch_names_its_extra(device_python, copied, words):
    done = gi_edge_process(*words, cwd=copied, python=device_python)
    assert done.code == 1
    assert f"To mend: pip install 'gi-edge[{words[0]}]'" in done.err
    assert "Traceback" not in done.err
