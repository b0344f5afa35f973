"""On which provider ONNX Runtime put the nodes of a graph."""

from __future__ import annotations

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import onnxruntime as ort

from gi_edge.runtime.session import Placement

_RECORD = "session.record_ep_graph_assignment_info"
"""Session option of onnxruntime_session_options_config_keys.h; older versions take it and do nothing."""


def record_placements(options: ort.SessionOptions) -> None:
    """Let a session keep where its nodes go, which costs no time that could be measured."""
    options.add_session_config_entry(_RECORD, "1")


def placements_of(session: ort.InferenceSession) -> tuple[Placement, ...] | None:
    """Return where the nodes went, most nodes first, the constant ones folded and none fused yet.

    None where this version does not tell: then profiled_placements does.
    """
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    groups = session.get_provider_graph_assignment_info()
    return _counted((group.ep_name, node.op_type) for group in groups for node in group.get_nodes())


def profiled_placements(path: Path, providers: list[Any], feed: dict[str, Any]) -> tuple[Placement, ...]:
    """Load a model once more, run it once with ONNX Runtime's profiler on, and count the nodes that it names.

    With TensorRT behind it a whole subgraph counts as one node.
    """
    with tempfile.TemporaryDirectory() as folder:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.enable_profiling = True
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = ort.InferenceSession(path, options, providers=providers, enable_fallback=0)
        session.run(["logits"], feed)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    told = (event["args"] for event in events if event.get("cat") == "Node" and "provider" in event.get("args", {}))
    return _counted((arguments["provider"], arguments["op_name"]) for arguments in told)


def _counted(nodes: Iterable[tuple[str, str]]) -> tuple[Placement, ...]:
    found: dict[str, list[str]] = defaultdict(list)
    for provider, operator in nodes:
        found[provider].append(operator)
    kinds = {provider: tuple(sorted(set(operators))) for provider, operators in found.items()}
    placed = [Placement(provider, len(operators), kinds[provider]) for provider, operators in found.items()]
    return tuple(sorted(placed, key=lambda placement: (-placement.nodes, placement.provider)))
