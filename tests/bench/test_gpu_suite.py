"""The GPU suite on the CPU: the whole of it with a tiny model, and every failure that it has to survive."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from nvml_fake import install
from suites import BUSY, seen_on_a_gpu

from gi_edge.runtime.device import has_cuda_device
from gpu_suite.__main__ import main
from gpu_suite.options import Options
from gpu_suite.suite import Suite
from gpu_suite.table import text_from_suite
from gpu_suite.values import SuiteResult, file_name_of
from gpu_suite.work import bytes_per_image

MODEL = "gi-edge-small"
WORDS = f"--device cpu --models {MODEL} --image-size 32 --rank 2 --seconds 0.02 --videos-per-finding 8 --seed 3 "
WORDS += "--frames-per-stretch 2 --batch-sizes 1 2 --compile-batch-sizes 1 --precisions fp32 bf16"
PARTS = "ceilings onnxruntime tensorrt-rtx eager"


def suite(words, root, name):
    code = main([*WORDS.split(), *words.split(), "--workspace", str(root), "--output", str(root / name)])
    assert code == 0
    return SuiteResult.model_validate_json((root / name).read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("suite")
    return root, suite(f"--only {PARTS}", root, "out.json")


@pytest.mark.slow
def test_whole_suite(whole):
    root, result = whole
    assert result.is_complete
    assert result.weights.startswith("random, seed 3: scores mean nothing")
    assert result.settings["batch_sizes"] == [1, 2]
    # bench times single frames and batches on the device and from the host: two rows of one key
    both = [row.key for row in result.rows if row.region == "host"]
    assert {key[1] for key in both} == {"onnxruntime"}
    assert sorted(both) == sorted(
        row.key for row in result.rows if row.runtime == "onnxruntime" and row.region == "device"
    )
    keys = [row.key for row in result.rows if row.region != "host"]
    wanted = {
        (MODEL, runtime, network, precision, size)
        for runtime, network in (("onnxruntime", "deployed"), ("tensorrt-rtx", "deployed"), ("PyTorch eager", "timm"))
        for precision in ("fp32", "bf16")
        for size in ("1", "2")
    }
    assert sorted(keys) == sorted(wanted)
    for row in result.rows:
        assert (row.reason is None) == (row.images_per_second is not None)
    assert text_from_suite(result) == (root / "out.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_measured_rows(whole):
    _, result = whole
    measured = [row for row in result.rows if row.reason is None]
    assert {(row.runtime, row.precision) for row in measured} >= {
        ("onnxruntime", "fp32"),
        ("PyTorch eager", "fp32"),
        ("PyTorch eager", "bf16"),
    }
    work = result.work[MODEL]
    for row in measured:
        assert row.clock == "host"
        assert 0 < row.p50_ms < 1000
        assert (row.p99_ms is None) == (row.samples < 662)
        assert row.flops_per_second == pytest.approx(work.flops_per_image * row.images_per_second)
        moved = bytes_per_image(work, row.precision, row.batch_size, 32)
        assert row.bytes_per_second == pytest.approx(moved * row.images_per_second)
        ceiling = result.ceilings.matrix[row.precision].per_second
        assert row.share_of_matrix == pytest.approx(row.flops_per_second / ceiling)
        assert row.share_of_copy == pytest.approx(row.bytes_per_second / result.ceilings.memory.per_second)
        assert row.frames == 32
        limit = {"fp32": 1e-4, "bf16": 0.1}[row.precision]
        assert row.max_abs_error <= limit
    assert {row.verdict for row in measured if row.precision == "fp32"} == {"pass"}
    assert {row.max_abs_error for row in measured if row.precision == "bf16"} - {0.0}


@pytest.mark.slow
def test_what_cannot_run_is_a_row_with_its_reason(whole):
    root, result = whole
    reasons = {(row.runtime, row.precision): row.reason for row in result.rows if row.reason}
    assert "cannot compute model.bf16.onnx" in reasons["onnxruntime", "bf16"]
    if not has_cuda_device():
        assert reasons["tensorrt-rtx", "fp32"].startswith(("exit code 1: error: ", "tensorrt-rtx is not installed"))
    assert "cannot compute model.bf16.onnx" in (root / "out.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_compiled_answers_alike_and_the_workspace_is_kept(whole):
    root, _ = whole
    result = suite("--only compile --precisions fp32", root, "compiled.json")
    assert [step.command for step in result.steps] == [f"torch.compile, {MODEL}"]
    assert [(row.network, row.batch_size, row.verdict) for row in result.rows] == [("timm", 1, "pass")]
    assert all(row.note.endswith("mode default") and row.share_of_matrix is None for row in result.rows)
    assert all(row.flops_per_second > 0 for row in result.rows)


@pytest.fixture
def broken(tmp_path, monkeypatch):
    """A suite whose commands are answered by a function of (module, words)."""

    def make(answer, **options):
        from gpu_suite import suite as module

        calls = []

        def run_module(name, words, folder, limit_s, variables):
            calls.append((name, words))
            return answer(name, words, folder)

        monkeypatch.setattr(module, "run_module", run_module)
        monkeypatch.setattr(module, "write_inputs", lambda place: None)
        kept = []
        settings = Options(device="cpu", models=(MODEL,), image_size_px=32, **options)
        return Suite(tmp_path, settings, kept.append), calls, kept

    return make


def failed(text):
    from gpu_suite.commands import Done

    return Done("gi-edge", 1, "", f"noise\nerror: {text}\n", 0.5)


def test_a_failed_training_leaves_every_row_with_a_reason(broken):
    subject, calls, kept = broken(lambda *_: failed("no room"), batch_sizes=(1, 2), compile_batch_sizes=(2,))
    result = subject.run()
    assert [words[0] for name, words in calls if name == "gi_edge"] == ["train"]
    counts = {"onnxruntime": 8, "tensorrt": 8, "tensorrt-rtx": 8, "PyTorch eager": 6, "torch.compile": 3}
    found = [row.runtime for row in result.rows]
    assert {runtime: found.count(runtime) for runtime in counts} == counts
    assert {row.reason for row in result.rows} <= {
        "there is no bundle: its training failed",
        "there is no adapter: its training failed",
        "tensorrt is not installed",
        "tensorrt-rtx is not installed",
    }
    assert result.ceilings is None
    assert "Ceilings were not measured" in text_from_suite(result)
    assert not kept[0].is_complete
    assert result.is_complete


def test_a_refused_export_is_tried_precision_by_precision(broken):
    def answer(name, words, folder):
        if name == "gi_edge" and words[0] == "train":
            (folder / "adapters" / MODEL).mkdir(parents=True)
        return failed(f"refused {words[words.index('--name') + 1]}" if "--name" in words else "no")

    subject, calls, _ = broken(answer, batch_sizes=(1,), parts=("onnxruntime",))
    result = subject.run()
    names = [words[words.index("--name") + 1] for name, words in calls if words[0] == "export"]
    assert sorted(names) == sorted([MODEL, f"{MODEL}-fp32", f"{MODEL}-fp16", f"{MODEL}-bf16", f"{MODEL}-int8"])
    assert {row.precision: row.reason for row in result.rows} == {
        precision: f"exit code 1: error: refused {MODEL}-{precision}" for precision in ("fp32", "fp16", "bf16", "int8")
    }


def test_what_is_not_begun_in_time_is_told(broken):
    subject, calls, _ = broken(lambda *_: failed("no"), minutes=1e-6, parts=("eager",), batch_sizes=(1,))
    (subject.place.adapter(MODEL)).mkdir(parents=True)
    result = subject.run()
    assert calls == []
    assert [row.reason for row in result.rows] == ["not begun within 1e-06 minutes (--minutes)"] * 3


def test_rows_of_a_process_that_was_ended_are_kept(broken):
    from gpu_suite.commands import Done
    from gpu_suite.values import Row

    def answer(name, words, folder):
        job = json.loads(words[0])
        first = Row(
            model=MODEL, runtime="PyTorch eager", network="timm", precision="fp32", batch_size=1, images_per_second=10
        )
        assert [row[1:] for row in job["rows"]] == [["fp32", 1], ["fp16", 1]]
        return Done("torch", -9, first.model_dump_json() + '\n{"model": "cut o', "", 1.0)

    subject, _, _ = broken(answer, precisions=("fp32", "fp16"), batch_sizes=(1,), parts=("eager",))
    subject.place.adapter(MODEL).mkdir(parents=True)
    rows = subject.run().rows
    assert [(row.precision, row.images_per_second, row.reason) for row in rows] == [
        ("fp32", 10, None),
        ("fp16", None, "ended by signal 9: it said nothing"),
    ]
    assert rows[0].flops_per_second == 10 * subject.work[MODEL].flops_per_image


def test_engines_have_a_row_with_a_cuda_graph_and_the_gpu_is_described(broken, monkeypatch):
    from gpu_suite import suite as module
    from gpu_suite.commands import Done

    clocks = iter([300, 1980])
    fake = install(monkeypatch, sm_clock=lambda: next(clocks), computing=[])
    monkeypatch.setattr(module, "find_spec", lambda name: object())
    monkeypatch.setattr(module.Place, "bundle_of", lambda *_: "tiny-bundle")

    def answer(name, words, folder):
        return Done("gi-edge", 0, seen_on_a_gpu([1]) if words[0] == "bench" else "", "", 1.0)

    subject, calls, kept = broken(answer, precisions=("fp32",), batch_sizes=(1,), parts=("onnxruntime", "tensorrt"))
    result = subject.run()
    assert [(row.runtime, row.cuda_graph, row.energy.mean_watts) for row in result.rows] == [
        ("onnxruntime", False, 300),
        ("tensorrt", False, 300),
        ("tensorrt", True, 300),
    ]
    assert ["--cuda-graph" in words for _, words in calls if words[0] == "bench"] == [False, False, True]
    (gpu,) = result.environment.gpus
    assert (gpu.name, gpu.before.sm_clock_mhz, gpu.after.sm_clock_mhz) == ("Fake RTX", 300, 1980)
    assert kept[-1].environment.gpus[0].after is None
    assert fake.open == 0
    text = text_from_suite(result)
    assert "CUDA graph, host | fp32 | 1 |" in text
    assert "| 12.5 (300) | 1155 |" in text
    rows = f"{MODEL} onnxruntime fp32 batch 1; {MODEL} tensorrt fp32 batch 1; {MODEL} tensorrt fp32, CUDA graph batch 1"
    assert f"- throttled: {BUSY.text} ({rows})" in text


def test_a_graph_that_is_not_begun_in_time_is_told(broken, monkeypatch):
    from gpu_suite.bench_runs import Target
    from gpu_suite.values import Row

    subject, calls, _ = broken(lambda *_: failed("no"), minutes=1e-6)
    ran = [
        Row(model=MODEL, runtime="tensorrt", precision="fp32", batch_size=size, images_per_second=1.0)
        for size in (8, 1)
    ]
    (row,) = subject._graph_rows(Target(MODEL, "b", "fp32", "tensorrt"), ran)
    assert (row.cuda_graph, row.batch_size, row.reason) == (True, 1, "not begun within 1e-06 minutes (--minutes)")
    assert calls == []


@pytest.mark.skipif(has_cuda_device(), reason="there is a GPU")
def test_without_a_gpu_nothing_is_measured_unasked(capsys):
    assert main([]) == 1
    assert "the driver shows none. To mend:" in capsys.readouterr().err


def test_options_are_checked(capsys):
    assert main(["--device", "cpu", "--models", "no-such-model", "--only", "ceilings", "--seconds", "0"]) == 1
    assert "seconds" in capsys.readouterr().err
    assert main(["--device", "cpu", "--models", "no-such-model"]) == 1
    assert "no backbone 'no-such-model'" in capsys.readouterr().err


def test_file_names():
    assert file_name_of("NVIDIA H100 80GB HBM3") == "gpu_suite_nvidia_h100_80gb_hbm3.json"


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="reads the children in /proc")
def test_a_kill_ends_the_running_command_too(tmp_path):
    words = [*WORDS.split(), "--only", "ceilings", "--seconds", "60", "--workspace", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, "-m", "gpu_suite", *words, "--output", str(tmp_path / "out.json")],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr.readline() == "$ ceilings\n"
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    try:
        end = time.monotonic() + 30
        while not (child := children.read_text(encoding="ascii").strip()) and time.monotonic() < end:
            time.sleep(0.05)
    finally:
        process.terminate()
        _, err = process.communicate(timeout=60)
    assert child.isdigit()
    assert process.returncode == 1
    assert err.startswith("error: interrupted;")
    assert not Path(f"/proc/{child}").exists()
