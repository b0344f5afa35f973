"""The annotated copies that gi-edge predict writes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gi_edge.cli.predict_lines import Place

if TYPE_CHECKING:
    from gi_edge.runtime.classifier import Prediction
    from gi_edge.runtime.video_writer import Add


@contextmanager
def copies_to(folder: Path) -> Iterator[Callable[[Place, Prediction], None]]:
    """Yield what writes the annotated copy of an image or adds to that of a video.

    The frames of one video come together; its copy is there when the next one begins, or the block ends without error.
    """
    with ExitStack() as open_file:
        yield _Copies(folder, open_file).write


class _Copies:
    def __init__(self, folder: Path, open_file: ExitStack) -> None:
        self._folder = folder
        self._open_file = open_file
        self._video: Path | None = None
        self._add: Add | None = None

    def write(self, place: Place, answer: Prediction) -> None:
        # here, since drawing needs modules that a prediction alone does without
        from gi_edge.data.preprocess import read_image
        from gi_edge.report.annotate import annotated_image, write_annotated

        target = self._folder / place.source.copy
        if place.picture is None:
            write_annotated(target, read_image(place.source.path), answer.label, answer.probability)
            return
        add = self._add_to(target, place.source.path)
        add(annotated_image(place.picture, answer.label, answer.probability), place.time_s)

    def _add_to(self, target: Path, video: Path) -> Add:
        from gi_edge.runtime.video import read_info
        from gi_edge.runtime.video_writer import video_writer

        if self._add is None or video != self._video:
            self._open_file.close()
            self._video = video
            self._add = self._open_file.enter_context(video_writer(target, read_info(video).rate))
        return self._add
