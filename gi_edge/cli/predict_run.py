"""The run of gi-edge predict: sources in, lines and annotated copies out, a few batches in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from gi_edge.cli.console import is_stdout_terminal, print_text
from gi_edge.cli.meter import meter
from gi_edge.cli.predict_copies import copies_to
from gi_edge.cli.predict_lines import Place, line_format
from gi_edge.cli.predict_sources import Source
from gi_edge.data.layout import IMAGE_SUFFIXES
from gi_edge.errors import DataError
from gi_edge.files import atomic_file
from gi_edge.progress import Progress
from gi_edge.runtime.classifier import Classifier, Unreadable
from gi_edge.runtime.sampling import SUFFIXES, Sampling

_SEAM = "the file's own times start anew here, as in joined recordings; the times given go on"


@dataclass(frozen=True)
class Job:
    """What was asked for."""

    classifier: Classifier
    sources: Sequence[Source]
    sampling: Sampling
    batch_size: int
    form: str
    output: Path | None
    annotate: Path | None


def run(job: Job, progress: Progress) -> None:
    """Write a line for every image and sampled frame, in order.

    Raises: DataError at the end if something could not be read.
    """
    header, line = line_format(job.form, job.classifier.classes)
    answers = job.classifier.predict_keyed(_asked(job, progress), job.batch_size)
    noun, total = _expected(job)
    skipped = answered = 0
    with ExitStack() as stack:
        write = stack.enter_context(_lines_to(job.output))
        copy = stack.enter_context(copies_to(job.annotate)) if job.annotate else None
        counter = stack.enter_context(meter(progress, noun, total)) if job.output or not is_stdout_terminal() else None
        if header:
            write(header)
        for place, answer in answers:
            if answer.probabilities is None:
                skipped += 1
                progress.say(f"skipped {place.text}: {answer.error}{_hint(place)}")
            else:
                answered += 1
                write(line(place, answer))
                if copy:
                    copy(place, answer)
            if counter:
                counter.advance()
    _tell_end(job, progress, noun, (answered, skipped))


def _tell_end(job: Job, progress: Progress, noun: str, counts: tuple[int, int]) -> None:
    """Say what was written; raise DataError if something was not."""
    answered, skipped = counts
    count = f"{answered:,} {noun if answered != 1 else noun[:-1]} answered"
    if job.output:
        progress.say(f"{count} in {job.output}")
    if job.annotate and answered:
        progress.say(f"annotated copies in {job.annotate}")
    if skipped:
        places = f" place{'s' * (skipped != 1)} ({count})"
        of_all = f" of {skipped + answered} images" if noun == "images" else places
        raise DataError(f"{skipped}{of_all} could not be read", fix="see the lines above")


def _hint(place: Place) -> str:
    """Say what names are known where a file has another."""
    suffix = place.source.path.suffix.lower()
    known = suffix in SUFFIXES or suffix in IMAGE_SUFFIXES or not place.source.path.exists()
    return "" if known else f" (by its name no video: {', '.join(sorted(SUFFIXES))})"


def _asked(job: Job, progress: Progress) -> Iterator[tuple[Place, Path | Image.Image | Unreadable]]:
    for source in job.sources:
        if source.is_video:
            yield from _asked_of_video(source, job, progress)
        else:
            yield Place(source), source.path


def _asked_of_video(source: Source, job: Job, progress: Progress) -> Iterator[tuple[Place, Image.Image | Unreadable]]:
    from gi_edge.runtime.video import VideoFault, VideoSeam, read_frames

    keep = job.annotate is not None
    try:
        for found in read_frames(source.path, job.sampling):
            if isinstance(found, VideoSeam):
                progress.say(f"{Place(source, time_s=found.time_s).text}: {_SEAM}")
            elif isinstance(found, VideoFault):
                yield Place(source, time_s=found.time_s), Unreadable(found.reason)
            else:
                yield Place(source, found.number, found.time_s, found.image if keep else None), found.image
    except DataError as error:
        yield Place(source), Unreadable(error.message)


def _expected(job: Job) -> tuple[str, int | None]:
    """Return what is counted, and how many there will be, as far as the heads of videos tell."""
    videos = [source.path for source in job.sources if source.is_video]
    if not videos:
        return "images", len(job.sources)
    from gi_edge.runtime.video import read_info

    total = len(job.sources) - len(videos)
    for path in videos:
        try:
            info = read_info(path)
        except DataError:  # the run tells of it when it comes to this file
            total += 1
            continue
        frames = None if info.frames is None else job.sampling.expected(info.frames, info.rate)
        if frames is None:
            return "frames", None
        total += frames
    return "frames", total


@contextmanager
def _lines_to(output: Path | None) -> Iterator[Callable[[str], object]]:
    if output is None:
        yield print_text
        return
    # names that are no UTF-8 keep their bytes
    with atomic_file(output) as partial, partial.open("w", encoding="utf-8", errors="surrogateescape") as file:
        yield lambda text: file.write(f"{text}\n")
