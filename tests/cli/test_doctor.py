"""gi-edge doctor on this machine, whole and with broken modules in the way."""

from __future__ import annotations

import json
import os

import pytest
from support import gi_edge_process

from gi_edge.cli.doctor import command
from gi_edge.progress import Silent
from gi_edge.runtime.doctor import USUAL_TIMEOUT_S, diagnose
from gi_edge.runtime.tiny import TINY_LOGITS

WRONG = """
__version__ = "9.9"
class SessionOptions:
    def add_session_config_entry(self, key, value): pass
class InferenceSession:
    def __init__(self, path, options, providers, enable_fallback): pass
    def get_providers(self): return ["CPUExecutionProvider"]
    def get_modelmeta(self):
        class Meta: custom_metadata_map = {}
        return Meta
    def get_inputs(self):
        class Pixels: name, shape = "pixels", ["batch", 4, 4, 3]
        return [Pixels]
    def run(self, names, feed):
        import numpy
        return [numpy.zeros((2, 3), numpy.float32)]
def get_available_providers(): return ["CPUExecutionProvider"]
class capi:
    class onnxruntime_pybind11_state:
        class NotImplemented(Exception): pass
"""
RIGHT = WRONG.replace("numpy.zeros((2, 3), numpy.float32)", f"numpy.array({TINY_LOGITS}, numpy.float32)")
AT_EXIT = "\nimport atexit, os, time\natexit.register(lambda: {})\n"
CRASHES_LATER = AT_EXIT.format("os.kill(os.getpid(), 11)")
HANGS_LATER = AT_EXIT.format("time.sleep(600)")
ENDS_LATER = AT_EXIT.format("os._exit(3)")


@pytest.fixture
def doctor(tmp_path):
    """Run doctor with modules of these contents before all others."""

    def run(*words, **modules):
        folder = tmp_path / "broken"
        folder.mkdir()
        for name, content in modules.items():
            (folder / f"{name}.py").write_text(content)
        path = os.pathsep.join([str(folder), *filter(None, [os.environ.get("PYTHONPATH")])])
        return gi_edge_process("doctor", *words, cwd=tmp_path, PYTHONPATH=path)

    return run


def state_of(done, name="onnxruntime cpu"):
    return next(runtime for runtime in json.loads(done.out)["runtimes"] if runtime["name"] == name)


def test_a_machine_with_onnx_runtime_can_bench(doctor):
    done = doctor("--json")
    assert done.code == 0, done.err
    assert state_of(done)["status"] == "runs"
    found = json.loads(done.out)
    assert found["packages"]["numpy"]
    assert found["machine"]["python"]
    assert "next: gi-edge" in done.err


def test_the_table_says_the_same(doctor):
    done = doctor()
    assert done.code == 0, done.err
    (line,) = [line for line in done.out.splitlines() if line.strip().startswith("onnxruntime cpu")]
    assert "runs" in line
    assert "processor" in done.out
    assert "known not to go together" in done.out or "Known: " in done.out


def test_a_stand_in_that_answers_right_runs(doctor):
    assert state_of(doctor("--json", onnxruntime=RIGHT))["status"] == "runs"


@pytest.mark.parametrize(
    ("modules", "found"),
    [
        ({"onnxruntime": "raise RuntimeError('built for another world')"}, "RuntimeError: built for another world"),
        ({"onnxruntime": "raise ImportError('libonnxruntime.so.1: no such file')"}, "libonnxruntime.so.1"),
        ({"onnxruntime": "import os; os.abort()"}, "crashed: SIGABRT"),
        ({"onnxruntime": "import os; print('noise'); os._exit(3)"}, "ended with code 3 before it answered"),
        ({"onnxruntime": "import sys; sys.exit('gone')"}, "SystemExit: gone"),
        ({"onnxruntime": "import time; time.sleep(600)"}, "gave no answer within 8 s"),
        ({"onnxruntime": WRONG}, "runs but computes wrong numbers"),
        ({"onnxruntime": RIGHT + CRASHES_LATER}, "answered, then crashed: SIGSEGV"),
        ({"onnxruntime": RIGHT + HANGS_LATER}, "answered, then did not end within 8 s"),
        ({"onnxruntime": RIGHT + ENDS_LATER}, "answered, then ended with code 3"),
        ({"onnxruntime": WRONG + CRASHES_LATER}, "]], then crashed: SIGSEGV"),
        ({"numpy": "raise ImportError('numpy is broken')"}, "numpy is broken"),
        ({"numpy": "import os; os.kill(os.getpid(), 11)"}, "crashed: SIGSEGV"),
    ],
)
def test_a_broken_runtime_is_told_and_not_suffered(doctor, modules, found):
    done = doctor("--json", "--timeout", 8, **modules)
    state = state_of(done)
    assert (state["status"], found in state["detail"]) == ("fails", True), state
    assert "Traceback" not in done.err + done.out
    runs = [runtime["name"] for runtime in json.loads(done.out)["runtimes"] if runtime["status"] == "runs"]
    assert done.code == (0 if runs else 1)
    if not runs:
        assert "error: no runtime of this machine can run a model. To mend: " in done.err


def test_a_timeout_of_nothing_is_a_wrong_option(doctor):
    done = doctor("--timeout", 0)
    assert done.code == 2
    assert "0" in done.err


def test_too_short_a_time_is_no_fault_of_the_runtimes(doctor):
    (option,) = [option for option in command.params if option.name == "timeout"]
    assert option.default == USUAL_TIMEOUT_S
    done = doctor("--timeout", 0.01)
    assert done.code == 1
    assert "gave no answer within 0.01 s" in done.out
    assert done.err.endswith("can run a model. To mend: gi-edge doctor --timeout 120\n")


@pytest.mark.parametrize(
    ("fault", "timeout_s", "mend"),
    [
        ("gave no answer within 2 s", 2.0, "gi-edge doctor --timeout 120"),
        ("answered, then did not end within 2 s", 2.0, "gi-edge doctor --timeout 120"),
        ("gave no answer within 120 s", 120.0, "pip install --force-reinstall numpy 'gi-edge[cuda]'"),
        ("crashed: SIGSEGV", 2.0, "pip install --force-reinstall numpy 'gi-edge[cuda]'"),
    ],
)
def test_the_mend_is_more_time_where_less_than_usual_was_given(monkeypatch, fault, timeout_s, mend):
    monkeypatch.setattr("gi_edge.runtime.doctor.probed", lambda name, timeout_s: {"fault": fault})
    monkeypatch.setattr("gi_edge.runtime.doctor.faults_here", lambda facts: ())
    assert diagnose(timeout_s, Silent()).next_command == mend
