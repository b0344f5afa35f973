"""From image files to labelled probabilities, with nothing but a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.bundle import Bundle, read_bundle
from gi_edge.data.preprocess import UnreadableImageError, pixels_from_image, read_image
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.onnxruntime import open_session
from gi_edge.runtime.session import Provider, Session


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; error says why there is none."""

    path: Path
    probabilities: NDArray[np.float32] | None
    """[classes], softmax of the logits at the bundle's temperature, in the order of the classifier's classes."""
    error: str = ""


class Classifier:
    """A bundle, ready to answer. Every file of the bundle was hashed before the model was loaded."""

    def __init__(self, bundle: Bundle, session: Session) -> None:
        self.classes = bundle.manifest.classes
        self.preprocess = bundle.manifest.preprocess
        self.temperature = bundle.manifest.temperature
        self.session = session

    @classmethod
    def from_bundle(
        cls, path: Path, precision: Precision = "fp32", provider: Literal["auto"] | Provider = "auto"
    ) -> Classifier:
        """Load a bundle folder.

        Raises: ArtifactError if the bundle is not whole; RuntimeUnavailableError if the provider cannot serve.
        """
        bundle = read_bundle(path)
        return cls(bundle, open_session(path / bundle.model(precision).path, provider))

    def predict(self, paths: Iterable[Path], batch_size: int = 8) -> Iterator[Prediction]:
        """Yield one prediction per path, in order. Unreadable images are answered with an error, never guessed."""
        batch: list[tuple[Path, NDArray[np.uint8] | str]] = []
        for path in paths:
            batch.append((path, self._pixels_or_error(path)))
            if len(batch) == batch_size:
                yield from self._answer(batch)
                batch = []
        yield from self._answer(batch)

    def _pixels_or_error(self, path: Path) -> NDArray[np.uint8] | str:
        try:
            return pixels_from_image(read_image(path), self.preprocess)
        except UnreadableImageError as error:
            return str(error)

    def _answer(self, batch: list[tuple[Path, NDArray[np.uint8] | str]]) -> Iterator[Prediction]:
        readable = [pixels for _, pixels in batch if not isinstance(pixels, str)]
        rows = iter(softmax(self.session.run(np.stack(readable)), self.temperature)) if readable else iter(())
        for path, pixels in batch:
            if isinstance(pixels, str):
                yield Prediction(path, None, pixels)
            else:
                yield Prediction(path, next(rows))
