"""From an image file to the pixels that a model sees. The one implementation, used by every stage."""

from __future__ import annotations

import io
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import Field

from gi_edge.config import Value

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
FORMATS = ("JPEG", "PNG", "BMP", "TIFF", "WEBP", "GIF")
"""What Pillow may take a file for, whatever its name; its other decoders stay shut, some of which start programs."""
_RESAMPLE = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


class PreprocessSpec(Value):
    """How an image becomes uint8 pixels [size_px, size_px, 3] in RGB, and how a model scales these."""

    size_px: int = Field(gt=0, multiple_of=32)
    """Height and width of the model's input; ConvNeXt divides it by 32."""
    fit: Literal["pad", "stretch", "crop"] = "pad"
    """pad keeps the whole frame and its proportions, black beside it; crop loses the edges of wide frames."""
    interpolation: Literal["bilinear", "bicubic"] = "bicubic"
    """Resampling with antialiasing, as Pillow does it."""
    mean: tuple[float, float, float] = IMAGENET_MEAN
    """Subtracted from pixels / 255, per channel RGB, inside the exported graph."""
    std: tuple[float, float, float] = IMAGENET_STD
    """Divides after the mean, per channel RGB, inside the exported graph."""


class UnreadableImageError(Exception):
    """An image file cannot be decoded; the message says why, without the path."""


@contextmanager
def image_warnings() -> Iterator[None]:
    """Make Pillow's decompression bomb warning an error, and quiet what it says of corrupt metadata.

    Filters belong to the process: the first thread within puts them up, the last one out takes them down, so that they
    hold for all that read images, whatever the order in which they end.
    """
    _FILTERS.enter()
    try:
        yield
    finally:
        _FILTERS.leave()


class _SharedFilters:
    """The filters of image_warnings and how many hold them.

    The garbage collector may end a generator that holds them within a call of the same thread, so the lock lets that
    thread in again, and a caller counts before it looks.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._holders = 0
        self._before: warnings.catch_warnings[None] | None = None

    def enter(self) -> None:
        with self._lock:
            self._holders += 1
            if self._before is None:
                self._before = warnings.catch_warnings()
                self._before.__enter__()
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                warnings.filterwarnings("ignore", category=UserWarning, module="PIL")

    def leave(self) -> None:
        with self._lock:
            self._holders -= 1
            if not self._holders and self._before is not None:
                before, self._before = self._before, None
                before.__exit__(None, None, None)


_FILTERS = _SharedFilters()


def read_image(path: Path, content: bytes | None = None) -> Image.Image:
    """Decode a file whole into 8-bit RGB, upright by its EXIF orientation.

    content: the bytes of the file, where they are read already.

    Raises: UnreadableImageError if the file is absent, no plain one, empty, truncated, too large or not an image.
    """
    with _unreadable():
        status = path.stat() if content is None else None
        if status and not stat.S_ISREG(status.st_mode):  # to open a pipe could wait for ever
            raise UnreadableImageError("not a plain file")
        if (len(content) if content is not None else status.st_size if status else 0) == 0:
            raise UnreadableImageError("the file is empty")
        source = path if content is None else io.BytesIO(content)
        with image_warnings(), Image.open(source, formats=FORMATS) as image:
            return _rgb_from_image(image)


def upright_image(image: Image.Image) -> Image.Image:
    """Return an image that is open already as read_image gives that of a file: 8-bit RGB, upright.

    Raises: UnreadableImageError if its data cannot be decoded.
    """
    with _unreadable(), image_warnings():
        return _rgb_from_image(image)


@contextmanager
def _unreadable() -> Iterator[None]:
    """Turn what Pillow and the disk raise into UnreadableImageError."""
    try:
        yield
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UnreadableImageError("more pixels than a frame can have (decompression bomb?)") from error
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image that Pillow knows") from error
    except FileNotFoundError as error:
        raise UnreadableImageError("there is no such file") from error
    except (OSError, SyntaxError, ValueError, EOFError) as error:
        raise UnreadableImageError(str(error) or type(error).__name__) from error


def _rgb_from_image(image: Image.Image) -> Image.Image:
    upright = ImageOps.exif_transpose(image)
    if upright.mode.startswith("I;16"):  # convert("RGB") would clip 16-bit greys to white
        grey = np.asarray(upright).astype(np.float64) / 257.0
        upright = Image.fromarray(grey.round().astype(np.uint8))
    return upright.convert("RGB")


def pixels_from_image(image: Image.Image, spec: PreprocessSpec) -> NDArray[np.uint8]:
    """Resize an RGB image to uint8 [size_px, size_px, 3]."""
    size = (spec.size_px, spec.size_px)
    resample = _RESAMPLE[spec.interpolation]
    if spec.fit == "pad":
        image = ImageOps.pad(image, size, method=resample, color=(0, 0, 0))
    elif spec.fit == "crop":
        image = ImageOps.fit(image, size, method=resample)
    else:
        image = image.resize(size, resample)
    return np.asarray(image, dtype=np.uint8)


def images_from_pixels(pixels: NDArray[np.uint8], spec: PreprocessSpec) -> NDArray[np.float32]:
    """Scale uint8 pixels [n, size, size, 3] to (pixel / 255 - mean) / std, as float32 [n, 3, size, size].

    For model files that take scaled images; all others scale inside.
    """
    mean, std = (np.asarray(values, dtype=np.float32) for values in (spec.mean, spec.std))
    scaled = (pixels.astype(np.float32) / np.float32(255.0) - mean) / std
    return np.ascontiguousarray(scaled.transpose(0, 3, 1, 2))
