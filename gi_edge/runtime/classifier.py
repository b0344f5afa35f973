"""From images to labelled probabilities, with nothing but a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from gi_edge.artifacts.bundle import Bundle, read_bundle
from gi_edge.data.pool import worker_count
from gi_edge.data.preprocess import UnreadableImageError, pixels_from_image, read_image, upright_image
from gi_edge.errors import DataError
from gi_edge.metrics.calibration import softmax
from gi_edge.metrics.parity import Precision
from gi_edge.runtime.backends import open_model
from gi_edge.runtime.pipeline import Lanes, Row, answers_in_order
from gi_edge.runtime.session import Backend, Session

ImageSource = Path | str | NDArray[np.uint8] | Image.Image
"""A file; pixels, uint8 [height, width, 3] RGB; or a Pillow image of any mode, upright by its EXIF orientation."""
K = TypeVar("K")
_BATCH_SIZE = 8


@dataclass(frozen=True)
class Unreadable:
    """Stands where an image should be, and says why there is none."""

    reason: str


@dataclass(frozen=True)
class Prediction:
    """The answer for one image; error says why there is none."""

    source: Path | str | int
    """The file as it was given; the position among the images, from 0, where pixels or a Pillow image were given."""
    probabilities: NDArray[np.float32] | None
    """[classes], softmax of the logits at the bundle's temperature, in the order of the classifier's classes."""
    error: str = ""
    label: str = ""
    """The most probable class; empty where there is an error."""
    probability: float = 0.0
    """Of label; 0 where there is an error."""


class Classifier:
    """A bundle, ready to answer. Every file of the bundle was hashed before the model was loaded.

    May be shared: predict can be called from several threads, and each call answers as if it were alone.
    """

    def __init__(self, bundle: Bundle, session: Session, inferences: int = 1) -> None:
        """inferences: batches that the session is given at once."""
        self.classes = bundle.manifest.classes
        self.preprocess = bundle.manifest.preprocess
        self.temperature = bundle.manifest.temperature
        self.session = session
        self.inferences = inferences

    @classmethod
    def from_bundle(cls, path: Path | str, precision: Precision = "fp32", backend: Backend | None = None) -> Classifier:
        """Load a bundle folder. backend: what computes; Backend() unless given.

        On a CPU, Backend() answers one image soonest: all cores compute it. For many images Backend(threads=1) and a
        batch size of 1 answer the most per second: each core computes an image of its own.

        Raises: ArtifactError if the bundle is not whole; RuntimeUnavailableError if the backend cannot serve.
        """
        bundle = read_bundle(Path(path))
        backend = backend or Backend()
        session = open_model(bundle, precision, backend).session
        return cls(bundle, session, _inferences_for(session, backend.threads))

    def predict(self, images: Iterable[ImageSource], batch_size: int | None = None) -> Iterator[Prediction]:
        """Yield one prediction per image, in order, batch by batch; kinds of images may be mixed.

        batch_size: images computed together; unless given 8, or what the engine takes if that is fewer.

        Images are decoded in threads while earlier ones are computed, so that a few batches are read ahead of the
        answers. The pixels are those that training and evaluation see. Files and Pillow images that cannot be decoded
        are answered with an error, never guessed.

        Raises: DataError for one image outside a list, and for what holds none; later, when the images of earlier
        batches are answered, for what is no image: another type, shape or dtype.
        """
        if isinstance(images, str | Path | Image.Image) or (isinstance(images, np.ndarray) and images.ndim == 3):
            raise DataError(f"one image was given, a {type(images).__name__}", fix="give a list: predict([image])")
        if not isinstance(images, Iterable):
            raise DataError(f"no images were given, but {images!r:.80}", fix="give a list: predict([image])")
        return (answer for _, answer in self.predict_keyed(((None, image) for image in images), batch_size))

    def predict_keyed(
        self, keyed: Iterable[tuple[K, ImageSource | Unreadable]], batch_size: int | None = None
    ) -> Iterator[tuple[K, Prediction]]:
        """As predict, for pairs of anything and an image; that thing comes back beside the prediction."""
        if batch_size is None:
            batch_size = self.usual_batch(_BATCH_SIZE)
        if batch_size < 1:
            raise DataError(f"the batch size is {batch_size}", fix="give 1 or more")
        lanes = Lanes(batch_size, decoders=worker_count(), inferences=self.inferences)
        asked = (((key, _source_of(row, image)), (row, image)) for row, (key, image) in enumerate(keyed))
        answers = answers_in_order(asked, self._pixels_or_reason, self._probabilities, lanes)
        return ((key, self._prediction(source, row)) for (key, source), row in answers)

    def usual_batch(self, wanted: int) -> int:
        """Return how many images to compute together: those wanted, or as many as the engine takes."""
        return min(wanted, self.session.largest_batch or wanted)

    def _pixels_or_reason(self, asked: tuple[int, ImageSource | Unreadable]) -> NDArray[np.uint8] | str:
        row, image = asked
        if isinstance(image, Unreadable):
            return image.reason
        try:
            return pixels_from_image(_image_from_source(row, image), self.preprocess)
        except UnreadableImageError as error:
            return str(error)

    def _probabilities(self, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
        return softmax(self.session.run(pixels), self.temperature)

    def _prediction(self, source: Path | str | int, row: Row) -> Prediction:
        if isinstance(row, str):
            return Prediction(source, None, row)
        best = int(row.argmax())
        return Prediction(source, row, label=self.classes[best], probability=float(row[best]))


def _inferences_for(session: Session, threads: int | None) -> int:
    """Return how many batches to compute at once: as many as fill a CPU, or two, so that a GPU need not wait."""
    if session.provider != "CPUExecutionProvider":
        return 2
    return 1 if threads is None else max(1, worker_count() // threads)


def _source_of(row: int, image: ImageSource | Unreadable) -> Path | str | int:
    return image if isinstance(image, str | Path) else row


def _image_from_source(row: int, image: object) -> Image.Image:
    """Return an upright 8-bit RGB image. Raises: UnreadableImageError; DataError if it is none of ImageSource."""
    if isinstance(image, str | Path):
        return read_image(Path(image))
    if isinstance(image, Image.Image):
        return upright_image(image)
    if not isinstance(image, np.ndarray):
        fault, fix = f"a {type(image).__name__}", "give a file, an array or a Pillow image"
        raise DataError(f"image {row} is {fault}", fix=fix)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        fix = "give uint8 [height, width, 3] RGB; Image.fromarray takes grey and RGBA arrays too"
        raise DataError(f"image {row} is an array of {image.dtype} {list(image.shape)}", fix=fix)
    return Image.fromarray(image)
