"""Other tools' figures are read from what they really print, and held against the same figure of ours."""

from __future__ import annotations

import os
import stat

import pytest
from benches import QUICK, Fake, held_out_subject, opened, subject_of

from gi_edge.errors import RuntimeUnavailableError
from gi_edge.progress import Silent
from gi_edge_bench import cross_check
from gi_edge_bench.cross_check import check_tools, cross_checks_of
from gi_edge_bench.energy import Meter
from gi_edge_bench.scenarios import Plan, time_plan
from gi_edge_bench.tool_output import told_by_perf_test, told_by_polygraphy, told_by_trtexec

TRTEXEC = """\
&&&& RUNNING TensorRT.trtexec [TensorRT v100300] # trtexec --loadEngine=model.plan
[10/03/2024-10:47:59] [I] === Performance summary ===
[10/03/2024-10:47:59] [I] Throughput: 130.298 qps
[10/03/2024-10:47:59] [I] Latency: min = 5.38672 ms, max = 13.3664 ms, mean = 7.60628 ms, median = 7.16092 ms, \
percentile(90%) = 10.2996 ms, percentile(95%) = 10.8698 ms, percentile(99%) = 12.9675 ms
[10/03/2024-10:47:59] [I] GPU Compute Time: min = 5.34595 ms, max = 13.3388 ms, mean = 7.58404 ms, \
median = 7.14139 ms, percentile(90%) = 10.2881 ms, percentile(95%) = 10.8175 ms, percentile(99%) = 12.9485 ms
[10/03/2024-10:47:59] [I] Total GPU Compute Time: 2.96536 s
"""
POLYGRAPHY = """\
[I] onnxrt-runner-N0-11/21/25-13:22:08  | Activating and starting inference
[I] Creating ONNX-Runtime Inference Session with providers: ['CPUExecutionProvider']
[I] onnxrt-runner-N0-11/21/25-13:22:08  | Completed 100 iteration(s) in 5911 ms | Average inference time: 59.11 ms.
[I] PASSED | Runtime: 1.037s | Command: polygraphy run model.onnx --onnxrt
"""
PERF_TEST = """\
Session creation time cost: 0.0273071 s
First inference time cost: 20 ms
Average inference time cost: 17.735 ms
Peak working set size:35299328
Min Latency: 0.0159831 s
P50 Latency: 0.0167086 s
P90 Latency: 0.0232702 s
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH with nothing on it but what the test puts there, and a shell."""
    monkeypatch.setenv("PATH", str(tmp_path))

    def put(name, text, code=0):
        file = tmp_path / name
        file.write_text(f"#!/bin/sh\n/bin/cat <<'END'\n{text}END\nexit {code}\n")
        file.chmod(file.stat().st_mode | stat.S_IXUSR)

    return put


@pytest.fixture
def timed(workspace):
    bundle, _ = held_out_subject(workspace)
    session = Fake()
    session.provider = "CPUExecutionProvider"
    subject = subject_of(session)
    speeds = [time_plan(Plan("single-stream", region), subject, QUICK, Meter()) for region in ("host", "device")]
    return opened(bundle, session), subject, speeds


@pytest.mark.parametrize(
    ("read", "output", "tool", "milliseconds"),
    [
        (told_by_trtexec, TRTEXEC, "trtexec 10.3.0", 7.14139),
        (told_by_trtexec, TRTEXEC.replace("v100300", "v8601"), "trtexec 8.6.1", 7.14139),
        (told_by_polygraphy, POLYGRAPHY, "polygraphy", 59.11),
        (told_by_perf_test, PERF_TEST, "onnxruntime_perf_test", 16.7086),
        (told_by_perf_test, "P50 Latency is 0.0587108 sec\n", "onnxruntime_perf_test", 58.7108),
    ],
)  # fmt: skip
def test_outputs_are_read(read, output, tool, milliseconds):
    told = read(output)
    assert told.tool == tool
    assert told.milliseconds == pytest.approx(milliseconds)


@pytest.mark.parametrize("read", [told_by_trtexec, told_by_polygraphy, told_by_perf_test])
def test_an_output_without_the_figure_is_none(read):
    assert read("[I] === Performance summary ===\n[I] Throughput: 130 qps\n") is None


def test_an_older_polygraphy_is_not_asked_for_what_it_lacks(path, timed):
    path("polygraphy", POLYGRAPHY)
    (only,) = cross_checks_of(*timed, QUICK, Silent())
    assert only.tool == "polygraphy"
    assert "--sequential-runners" not in only.command


def test_each_tool_is_held_against_the_same_figure_of_ours(path, timed):
    path("polygraphy", POLYGRAPHY + "Polygraphy | Version: 0.49.9 | Path: ['x']\n [--sequential-runners]\n")
    path("onnxruntime_perf_test", PERF_TEST)
    path("trtexec", TRTEXEC)  # for engines only
    model, subject, speeds = timed
    first, second = cross_checks_of(model, subject, speeds, QUICK, Silent())
    assert (first.tool, first.their_ms, first.our_ms) == ("polygraphy 0.49.9", 59.11, speeds[0].summary.mean_ms)
    assert first.ratio == speeds[0].summary.mean_ms / 59.11
    assert "--input-shapes 'pixels:[1,32,32,3]'" in first.command
    assert "--onnxrt --providers cpu" in first.command
    assert first.command.endswith("--sequential-runners")
    assert (second.tool, second.our_ms) == ("onnxruntime_perf_test", speeds[0].summary.p50_ms)
    assert second.command.startswith("onnxruntime_perf_test -e cpu -m times -r ")


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        (
            "[!] Could not load the model\n[E] FAILED | Runtime: 0.1s\n",
            1,
            "polygraphy failed: [!] Could not load the model; by hand: polygraphy run",
        ),
        ("fine\n", 0, "polygraphy printed no time that is known here; by hand: polygraphy run"),
    ],
)
def test_a_tool_that_fails_is_told_and_left_out(path, timed, text, code, said):
    lines = []

    class Listening(Silent):
        def say(self, text):
            lines.append(text)

    path("polygraphy", text, code)
    model, subject, speeds = timed
    assert cross_checks_of(model, subject, speeds, QUICK, Listening()) == ()
    assert lines[0].startswith(said)
    assert cross_checks_of(model, subject, speeds[1:], QUICK, Listening()) == ()
    assert "--region host" in lines[-1]


@pytest.mark.parametrize(("printed", "said"), [("[!] no room\nworking\n", "[!] no room"), ("", "timed out after")])
def test_a_tool_that_takes_too_long_is_told_with_what_it_printed(path, tmp_path, timed, monkeypatch, printed, said):
    lines = []

    class Listening(Silent):
        def say(self, text):
            lines.append(text)

    path("polygraphy", printed)
    tool = tmp_path / "polygraphy"
    tool.write_text(tool.read_text().replace("exit 0", '[ "$2" = --help ] || exec /bin/sleep 30'))
    monkeypatch.setattr(cross_check, "_LIMIT_SECONDS", 1)
    assert cross_checks_of(*timed, QUICK, Listening()) == ()
    (line,) = lines
    assert line.startswith("polygraphy failed: ")
    assert said in line


@pytest.mark.parametrize(
    ("provider", "shown", "told"),
    [("CPUExecutionProvider", "", "unset"), ("CUDAExecutionProvider", "NVIDIA_TF32_OVERRIDE=0 ", "0"),
     ("TensorrtExecutionProvider", "", "unset")],
)  # fmt: skip
def test_tools_compute_fp32_with_cuda_as_our_sessions_do(path, tmp_path, timed, monkeypatch, provider, shown, told):
    monkeypatch.delenv("NVIDIA_TF32_OVERRIDE", raising=False)
    for name, output in (("polygraphy", POLYGRAPHY), ("onnxruntime_perf_test", PERF_TEST)):
        path(name, output)
        tool = tmp_path / name
        note = f'echo "${{NVIDIA_TF32_OVERRIDE-unset}}" > {tmp_path}/{name}.told'
        tool.write_text(
            tool.read_text().replace("#!/bin/sh", f"#!/bin/sh\n[ $2 = --help ] || [ $1 = --version ] || {note}")
        )
    timed[0].session.provider = provider
    found = cross_checks_of(*timed, QUICK, Silent())
    assert [check.command.partition(" -")[0] for check in found] == [
        f"{shown}polygraphy run model.fp32.onnx",
        f"{shown}onnxruntime_perf_test",
    ]
    for name in ("polygraphy", "onnxruntime_perf_test"):
        assert (tmp_path / f"{name}.told").read_text().strip() == told


def test_without_any_tool_the_option_is_refused_before_anything_is_measured(path, workspace, gi_edge, tmp_path):
    with pytest.raises(RuntimeUnavailableError, match="none of trtexec, polygraphy, onnxruntime_perf_test"):
        check_tools()
    done = gi_edge("bench", "lesions", "--cross-check", "--output", tmp_path / "r.json", cwd=workspace)
    assert done.code == 1
    assert "leave out --cross-check" in done.err
    assert os.environ["PATH"] == str(tmp_path)
