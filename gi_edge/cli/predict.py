"""gi-edge predict."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from gi_edge.cli.options import provider_option

if TYPE_CHECKING:
    from gi_edge.runtime.classifier import Classifier, Prediction


@click.command()
@click.argument("bundle")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@provider_option
@click.option("--precision", type=click.Choice(["fp32", "fp16", "bf16", "int8"]), default="fp32", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per image, with every class.")
def command(**given: Any) -> None:  # noqa: ANN401
    """Classify IMAGES, files or folders, with BUNDLE: class, probability and file per line.

    Files that cannot be read are named on stderr and never guessed; the exit code is then 1. Needs no torch.
    """
    from gi_edge.cli.console import ConsoleProgress, print_text, workspace
    from gi_edge.deps import extra
    from gi_edge.errors import DataError

    folder = workspace().bundle_path(given["bundle"])
    paths = list(_paths(given["images"]))
    with extra("cuda"):
        from gi_edge.runtime.classifier import Classifier
    classifier = Classifier.from_bundle(folder, given["precision"], given["provider"])
    progress = ConsoleProgress()
    unreadable = 0
    for prediction in classifier.predict(paths):
        if prediction.probabilities is None:
            unreadable += 1
            progress.say(f"skipped {prediction.path}: {prediction.error}")
        else:
            print_text(_line(classifier, prediction, as_json=given["as_json"]))
    if unreadable:
        raise DataError(f"{unreadable} of {len(paths)} images could not be read", fix="see the lines above")


def _paths(arguments: tuple[Path, ...]) -> Iterator[Path]:
    from gi_edge.data.index import image_files
    from gi_edge.errors import DataError

    for argument in arguments:
        if argument.is_dir():
            found = [*image_files(argument)]
            for folder in sorted(path for path in argument.rglob("*") if path.is_dir()):
                found += image_files(folder)
            if not found:
                raise DataError(f"no image files in {argument}", fix="name a folder with .jpg or .png files")
            yield from found
        else:
            yield argument


def _line(classifier: Classifier, prediction: Prediction, *, as_json: bool) -> str:
    assert prediction.probabilities is not None
    best = int(prediction.probabilities.argmax())
    label, probability = classifier.classes[best], float(prediction.probabilities[best])
    if not as_json:
        return f"{label}\t{probability:.4f}\t{prediction.path}"
    every = zip(classifier.classes, prediction.probabilities, strict=True)
    content = {
        "image": str(prediction.path),
        "class": label,
        "probability": round(probability, 6),
        "probabilities": {name: round(float(value), 6) for name, value in every},
    }
    return json.dumps(content, ensure_ascii=False)
