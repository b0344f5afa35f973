"""Which runtime builds for what, and what differs between the versions: decided without any of them installed."""

from __future__ import annotations

import sys
from enum import Enum
from types import ModuleType, SimpleNamespace

import pytest

from gi_edge.artifacts.engine import BatchRange, EngineTarget, batch_range_from_text
from gi_edge.errors import ConfigError, MissingDependencyError, RuntimeUnavailableError
from gi_edge.runtime.device import CudaDevice
from gi_edge.runtime.tensorrt import Toolkit, load_toolkit
from gi_edge_export.engine.config import EngineSettings
from gi_edge_export.engine.run import check_settings
from gi_edge_export.engine.target import target_of, toolkit_of
from gi_edge_export.engine.timings import timings_path, use_timings

ORIN = CudaDevice("Orin", "8.7")
ADA = CudaDevice("NVIDIA GeForce RTX 4090", "8.9")


def module(name, version, *, flag=True, sms=()):
    """A module as far as the decisions look at it: version, creation flag, architectures."""
    made = ModuleType(name)
    made.__version__ = version
    made.NetworkDefinitionCreationFlag = SimpleNamespace(STRONGLY_TYPED=1) if flag else SimpleNamespace()
    made.ComputeCapability = Enum("ComputeCapability", ["NONE", "CURRENT", *(f"SM{sm}" for sm in sms)])
    return made


TEN = Toolkit("tensorrt", module("tensorrt", "10.3.0"))
ELEVEN = Toolkit("tensorrt", module("tensorrt", "11.4.0", flag=False))
RTX = Toolkit("tensorrt-rtx", module("tensorrt_rtx", "1.7.1", sms=(75, 80, 86, 89, 120)))


def test_strong_typing_is_asked_for_where_there_is_a_choice():
    weak = SimpleNamespace(get_flag=lambda flag: False)
    strong = SimpleNamespace(get_flag=lambda flag: True)
    assert (TEN.network_flags(), ELEVEN.network_flags()) == (0b10, 0)
    assert not TEN.is_strongly_typed(weak)
    assert TEN.is_strongly_typed(strong)
    assert ELEVEN.is_strongly_typed(weak)


def test_only_rtx_builds_for_others_and_only_tensorrt_keeps_timings():
    assert (TEN.builds_for_others, ELEVEN.builds_for_others, RTX.builds_for_others) == (False, False, True)
    assert (TEN.keeps_timings, ELEVEN.keeps_timings, RTX.keeps_timings) == (True, True, False)
    assert (TEN.served_sms(), RTX.served_sms()) == ((), (75, 80, 86, 89, 120))


@pytest.mark.parametrize(
    ("toolkit", "sms", "device", "label", "capabilities"),
    [
        (RTX, (120, 86, 86), None, "sm86-sm120", ("8.6", "12.0")),
        (RTX, (86,), ADA, "sm86", ("8.6",)),
        (RTX, (), ADA, "nvidia-geforce-rtx-4090", ("8.9",)),
        (TEN, (), ORIN, "orin", ("8.7",)),
        (ELEVEN, (), ADA, "nvidia-geforce-rtx-4090", ("8.9",)),
    ],
)
def test_targets(toolkit, sms, device, label, capabilities):
    target = target_of(toolkit, sms, device)
    assert (target.label, target.compute_capabilities) == (label, capabilities)
    assert (target.device is None) == bool(sms)


@pytest.mark.parametrize(
    ("toolkit", "sms", "device", "error", "match"),
    [
        (RTX, (90,), None, RuntimeUnavailableError, r"does not serve SM 90; it serves 75, 80, 86, 89, 120"),
        (RTX, (86, 87), None, RuntimeUnavailableError, r"SM 87 \(Jetson Orin\)"),
        (RTX, (), ORIN, RuntimeUnavailableError, r"SM 87 \(Jetson Orin\)"),
        (RTX, (), None, RuntimeUnavailableError, "the driver shows none → name the targets: --sm 86,89,120"),
        (TEN, (), None, RuntimeUnavailableError, "the driver shows none → run gi-edge engine on the device"),
        (TEN, (86,), ADA, ConfigError, "builds for the GPU of the machine it runs on"),
    ],
)
def test_what_cannot_be_built_is_told_before_any_work(toolkit, sms, device, error, match):
    with pytest.raises(error, match=match):
        target_of(toolkit, sms, device)


def install(monkeypatch, *modules):
    """Make exactly these of the two runtimes importable."""
    known = {made.__name__: made for made in modules}
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.setitem(sys.modules, name, known.get(name))
    monkeypatch.setattr(
        "gi_edge_export.engine.target.find_spec", lambda name: SimpleNamespace() if name in known else None
    )


@pytest.mark.parametrize(
    ("installed", "settings", "chosen"),
    [
        ((TEN, RTX), {}, "tensorrt"),
        ((RTX,), {}, "tensorrt-rtx"),
        ((TEN, RTX), {"sms": (86,)}, "tensorrt-rtx"),
        ((TEN, RTX), {"runtime": "tensorrt-rtx"}, "tensorrt-rtx"),
    ],
)
def test_auto_takes_what_can_do_it(monkeypatch, installed, settings, chosen):
    install(monkeypatch, *(toolkit.trt for toolkit in installed))
    assert toolkit_of(EngineSettings(**settings)).name == chosen


@pytest.mark.parametrize(
    ("settings", "extra"),
    [({}, "tensorrt"), ({"runtime": "tensorrt"}, "tensorrt"), ({"sms": (86,)}, "tensorrt-rtx")],
)
def test_without_a_runtime_its_extra_is_named(monkeypatch, settings, extra):
    install(monkeypatch)
    monkeypatch.setitem(sys.modules, "tensorrt", None)
    with pytest.raises((MissingDependencyError, RuntimeUnavailableError)) as caught:
        toolkit_of(EngineSettings(**settings))
    assert type(caught.value) is MissingDependencyError
    assert f"pip install 'gi-edge[{extra}]'" in caught.value.fix


def test_a_runtime_that_does_not_load_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "tensorrt.py").write_text("raise OSError('libnvinfer.so.10: cannot open shared object file')")
    monkeypatch.delitem(sys.modules, "tensorrt", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(RuntimeUnavailableError, match=r"does not load: libnvinfer\.so\.10"):
        load_toolkit("tensorrt")


def test_tensorrt_8_is_refused(monkeypatch):
    install(monkeypatch, module("tensorrt", "8.6.1"))
    with pytest.raises(RuntimeUnavailableError, match=r"tensorrt 8\.6\.1 is too old; 10\.0"):
        load_toolkit("tensorrt")


def test_triton_is_refused_for_rtx_plans(monkeypatch):
    install(monkeypatch, RTX.trt)
    with pytest.raises(ConfigError, match=r"Triton serves plans of TensorRT, not of tensorrt-rtx-1\.7\.1"):
        check_settings(EngineSettings(sms=(86,), triton=True))


class Config:
    """A builder config as far as timings go: it takes only caches that it measured itself."""

    def __init__(self):
        self.used = None

    def create_timing_cache(self, content):
        return content

    def set_timing_cache(self, cache, ignore_mismatch):
        assert ignore_mismatch is False
        if cache in (b"", b"own"):
            self.used = cache
        return self.used is not None


@pytest.mark.parametrize(
    ("kept", "used", "told"), [(None, b"", 0), (b"own", b"own", 0), (b"measured on another GPU", b"", 1)]
)
def test_timings_of_another_device_are_left_out_and_told(monkeypatch, tmp_path, kept, used, told):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    target = EngineTarget(device="Orin", compute_capabilities=("8.7",))
    path = timings_path(TEN, target)
    if kept is not None:
        path.parent.mkdir(parents=True)
        path.write_bytes(kept)
    said, config = [], Config()
    use_timings(TEN, config, target, SimpleNamespace(say=said.append))
    assert (config.used, len(said)) == (used, told)
    assert path == tmp_path / "gi-edge" / "timings" / "tensorrt-10.3.0-orin.cache"


def test_rtx_is_given_no_timings():
    config = Config()
    use_timings(RTX, config, EngineTarget(device="x", compute_capabilities=("8.9",)), SimpleNamespace())
    assert config.used is None


def test_batch_ranges():
    assert batch_range_from_text("1:8:32") == BatchRange(minimum=1, optimum=8, maximum=32)
    assert batch_range_from_text("4").text == "4:4:4"


@pytest.mark.parametrize("text", ["", "a", "1:2", "8:4:32", "0:1:2", "1:2:3:4"])
def test_wrong_batch_ranges_are_refused(text):
    with pytest.raises(ConfigError, match="batch"):
        batch_range_from_text(text)


def test_a_target_keeps_what_tells_gpus_of_one_name_apart():
    agx = CudaDevice("Orin", "8.7", 61 << 30, 16, is_integrated=True)
    target = target_of(TEN, (), agx)
    assert (target.multiprocessors, target.memory_bytes, target.label) == (16, 61 << 30, "orin-16-sm")
    assert timings_path(TEN, target).name == "tensorrt-10.3.0-orin-16-sm.cache"
    card = target_of(TEN, (), CudaDevice(ADA.name, "8.9", 24 << 30, 128))
    assert (card.multiprocessors, card.label) == (128, "nvidia-geforce-rtx-4090")
    assert target_of(RTX, (86,), ADA).multiprocessors is None


def test_folder_names_of_devices_are_plain():
    target = EngineTarget(device="../Tesla T4 (rev/2)", compute_capabilities=("7.5",))
    assert target.label == "tesla-t4-rev-2"
