"""Check a bundle once more, where it lies now: files, graphs, engines. Needs no torch and no GPU."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np

from gi_edge.artifacts.bundle import PREPROCESS_FILE, Bundle, ModelEntry, model_sha256, read_bundle
from gi_edge.artifacts.engine import engine_folders, read_engine
from gi_edge.artifacts.manifest import ENGINES_FOLDER, MANIFEST
from gi_edge.artifacts.properties import model_properties
from gi_edge.config import Value, json_from_value
from gi_edge.errors import ArtifactError, GateError, GiEdgeError, RuntimeUnavailableError
from gi_edge.files import sha256_file
from gi_edge.metrics.agreement import flip_rate_upper95
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.limits import limit_checks
from gi_edge.metrics.parity import Parity, Precision
from gi_edge.runtime.session import FLOAT_INPUT, PIXEL_INPUT

_PROBABILITY_ERROR = 1e-5
"""Two softmaxes in fp32 differ by a few of its roundings, 6e-8 each."""
_BOUND_ERROR = 1e-9
"""Between two versions of SciPy."""


class Check(Value):
    """One question to a bundle and its answer."""

    name: str
    status: Literal["pass", "fail", "skipped"]
    detail: str
    """What was found; of a failed check what is wrong, of a skipped one what it needs."""


class BundleCheck(Value):
    """All answers, in the order in which they were asked."""

    bundle: str
    manifest_sha256: str | None
    """The identity of the whole bundle, engines apart; None if there is no manifest."""
    checks: tuple[Check, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """Those that say no."""
        return tuple(check for check in self.checks if check.status == "fail")


def check_bundle(path: Path) -> BundleCheck:
    """Ask every question. If the files are not whole, nothing else is asked."""
    listing = path / MANIFEST
    identity = sha256_file(listing) if listing.is_file() else None
    try:
        bundle = read_bundle(path)
    except GiEdgeError as error:
        checks: tuple[Check, ...] = (Check(name="files", status="fail", detail=error.message),)
    else:
        sealed = Check(name="files", status="pass", detail=f"{len(bundle.manifest.files)} files have their sha256")
        checks = (sealed, *_checks(bundle))
    return BundleCheck(bundle=path.name, manifest_sha256=identity, checks=checks)


def _checks(bundle: Bundle) -> Iterator[Check]:
    yield _asked("preprocess", lambda: _preprocess(bundle))
    yield _asked("reference", lambda: _reference(bundle))
    yield _asked("training", lambda: _training(bundle))
    for model in bundle.manifest.models:
        yield from _model_checks(bundle, model)
    yield _asked("engines folder", lambda: _engines_folder(bundle))
    for folder in engine_folders(bundle.path):
        name = folder.relative_to(bundle.path).as_posix()
        yield _asked(name, lambda folder=folder: _engine(bundle, folder))  # type: ignore[misc]


def _asked(name: str, question: Callable[[], str]) -> Check:
    try:
        return Check(name=name, status="pass", detail=question())
    except RuntimeUnavailableError as error:  # says something of this machine, nothing of the bundle
        return Check(name=name, status="skipped", detail=error.message)
    except GiEdgeError as error:
        return Check(name=name, status="fail", detail=error.message)


def _preprocess(bundle: Bundle) -> str:
    found = (bundle.path / PREPROCESS_FILE).read_text(encoding="utf-8")
    _agree(PREPROCESS_FILE, found, json_from_value(bundle.manifest.preprocess))
    return f"the manifest's: {bundle.manifest.preprocess.size_px} px"


def _reference(bundle: Bundle) -> str:
    reference = bundle.reference()
    n, classes = len(reference.ids), len(bundle.manifest.classes)
    _agree("reference.npz, shape of the logits", reference.logits.shape, (n, classes))
    _agree("reference.npz, type of the logits", str(reference.logits.dtype), "float32")
    _agree("reference.npz, number of labels and hashes", (len(reference.labels), len(reference.sha256)), (n, n))
    _agree("reference.npz, frames", set(reference.ids), set(bundle.split().ids("test")))
    if not n or not np.isfinite(reference.logits).all():
        raise _wrong("reference.npz holds no frame, or a logit that is not finite")
    if reference.labels.min() < 0 or reference.labels.max() >= classes:
        raise _wrong(f"reference.npz names a class outside 0 to {classes - 1}")
    return f"{n} held-out frames, logits [{n}, {classes}]"


def _training(bundle: Bundle) -> str:
    """What the manifest says of the training part and of the merge."""
    counts = Counter(row.label for row in bundle.split().rows if row.part == "train")
    most = [label for label, count in counts.items() if count == max(counts.values())]
    if bundle.manifest.majority_label not in most:
        raise _wrong(f"the manifest's most frequent class is {bundle.manifest.majority_label}, split.csv's {most[0]}")
    changed = _not_passed("fp32", bundle.manifest.merge)
    if changed:
        raise _wrong(f"merging changed the model: {'; '.join(changed)}")
    return f"{counts.total()} training frames, merged within {bundle.manifest.merge.max_abs_error:.1e}"


def _model_checks(bundle: Bundle, model: ModelEntry) -> Iterator[Check]:
    yield _asked(f"{model.path} verdict", lambda: _verdict(bundle, model))
    name = f"{model.path} graph"
    if find_spec("onnx") is None:
        graph = Check(name=name, status="skipped", detail="types and shapes need: pip install onnx")
    else:
        graph = _asked(name, lambda: _graph(bundle, model))
    yield graph
    name = f"{model.path} answers"
    if find_spec("onnxruntime") is None:
        yield Check(name=name, status="skipped", detail="needs: pip install 'gi-edge[cuda]'")
    elif graph.status != "fail":
        yield _asked(name, lambda: _answers(bundle, model))


def _verdict(bundle: Bundle, model: ModelEntry) -> str:
    found = model_sha256(bundle.path / model.path)
    _agree("the file that the verdict is about, its sha256", model.verdict.file_sha256, found)
    verdict, parity = model.verdict, model.verdict.parity
    if verdict.status == "fail":
        raise _wrong(f"the export's verdict is fail: {'; '.join(verdict.reasons)}")
    _agree("the verdict's frames", len(bundle.reference().ids), parity.n)
    bound = flip_rate_upper95(parity.flips, parity.n)
    if abs(bound - parity.flip_rate_upper95) > _BOUND_ERROR:
        told = f"{parity.flip_rate_upper95:.1%}"
        raise _wrong(f"{parity.flips} of {parity.n} frames changed class: at most {bound:.1%}, the verdict says {told}")
    recorded = {check.name: (check.outcome, check.value, check.limit) for check in verdict.checks}
    for check in limit_checks(verdict.precision, parity):
        if recorded.get(check.name) != (check.outcome, check.value, check.limit):
            raise _wrong(f"the verdict's check {check.name} does not follow from its own numbers")
    return f"{verdict.status}, computed by {verdict.computed_by}"


def _not_passed(precision: Precision, parity: Parity) -> list[str]:
    return [check.reason for check in limit_checks(precision, parity) if check.outcome != "pass"]


def _graph(bundle: Bundle, model: ModelEntry) -> str:
    import onnx

    from gi_edge_export.graph import properties_of, tensors_of
    from gi_edge_export.graph_types import check_graph_precision

    path = bundle.path / model.path
    try:
        onnx.checker.check_model(str(path), full_check=True)
        graph = onnx.load(path, load_external_data=False)
    except Exception as error:  # the checker raises classes without a common base
        raise _wrong(f"onnx refuses it: {str(error).splitlines()[0]}") from error
    kept = model.quantisation.kept if model.quantisation else ()
    check_graph_precision(graph, model.precision, kept)
    opset = next((item.version for item in graph.opset_import if item.domain == ""), None)
    _agree("opset", opset, model.opset)
    classes, side = len(bundle.manifest.classes), bundle.manifest.preprocess.size_px
    takes = (PIXEL_INPUT, (side, side, 3)) if model.input == "uint8" else (FLOAT_INPUT, (3, side, side))
    inputs, outputs = ([(item.name, item.dims) for item in items] for items in tensors_of(graph))
    _agree("inputs", inputs, [takes])
    _agree("outputs", outputs, [("logits", (classes,)), ("probabilities", (classes,))])
    _properties(bundle, model, properties_of(graph))
    return f"onnx.checker, types {model.precision}, inputs, outputs and properties as in the manifest"


def _properties(bundle: Bundle, model: ModelEntry, found: dict[str, str]) -> None:
    promised = model_properties(bundle.manifest, bundle.manifest.adapter_sha256, model.precision)
    for key, value in promised.items():
        _agree(f"property {key}", found.get(key), value)


def _answers(bundle: Bundle, model: ModelEntry) -> str:
    """Run two frames of random pixels: which frames does not matter to what is asked."""
    from gi_edge.runtime.onnxruntime import open_session

    session = open_session(bundle.path / model.path, "cpu")
    _properties(bundle, model, session.properties)
    side, temperature = bundle.manifest.preprocess.size_px, bundle.manifest.temperature
    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    logits, probabilities = session.run_both(pixels)
    _agree("shape of the logits", logits.shape, (2, len(bundle.manifest.classes)))
    error = float(np.abs(probabilities - softmax(logits, temperature)).max())
    if not error <= _PROBABILITY_ERROR:
        raise _wrong(
            f"its probabilities are not the softmax of its logits at the manifest's temperature {temperature:g}: "
            f"one is off by {error:.2g}"
        )
    return f"in {session.runtime}; probabilities are the softmax of the logits at temperature {temperature:g}"


def _engines_folder(bundle: Bundle) -> str:
    """Every file below engines/ belongs to an engine; hidden ones are of a build that runs or was killed."""
    root = bundle.path / ENGINES_FOLDER
    stray = [
        path.relative_to(bundle.path).as_posix()
        for path in sorted(root.rglob("*"))
        if not path.is_dir() and len(path.relative_to(root).parts) < 3 and not path.name.startswith(".")
    ]
    if stray:
        raise _wrong(f"{', '.join(stray)}: no engine's")
    count = len(engine_folders(bundle.path))
    return f"{count} engines" if count else "none: the bundle is ONNX only"


def _engine(bundle: Bundle, folder: Path) -> str:
    entry = read_engine(bundle, folder).entry
    if not entry.proof.matrices.get(entry.precision):
        raise GateError(f"its proof names no matrix layer in {entry.precision}", fix="gi-edge engine BUNDLE --force")
    counts = ", ".join(f"{count} {name}" for name, count in entry.proof.matrices.items())
    return f"plan has its sha256 and is of this bundle; matrix layers {counts} ({entry.proof.method})"


def _agree(what: str, found: object, promised: object) -> None:
    if found != promised:
        raise _wrong(f"{what}: found {_short(found)}, the manifest says {_short(promised)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _wrong(message: str) -> ArtifactError:
    return ArtifactError(message, fix="copy the bundle again, or make it anew with gi-edge export")
