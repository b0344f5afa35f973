"""What is wrong with the files of a dataset. Every frame is decoded as training decodes it; nothing is modified."""

from __future__ import annotations

import os
import re
import stat
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Literal, get_args

from PIL import ExifTags, Image, UnidentifiedImageError

from gi_edge.config import Value
from gi_edge.data.classnames import alike_names
from gi_edge.data.image_ends import lacks_end
from gi_edge.data.index import Frame, Index
from gi_edge.data.pool import worker_count
from gi_edge.data.preprocess import FORMATS, UnreadableImageError, image_warnings, read_image
from gi_edge.errors import ConfigError
from gi_edge.files import sha256_file
from gi_edge.progress import Progress

Severity = Literal["error", "warning", "note"]
_Lost = Literal["unreadable", "truncated", "empty", "not-an-image", "huge", "not-a-file", "no-permission"]
_Changed = Literal["identical-files", "cmyk", "sixteen-bit", "alpha", "animated", "tiny"]
_Noted = Literal["exif-rotated", "greyscale", "palette", "wrong-suffix"]
Kind = Literal["unknown-class", "alike-classes", _Lost, "two-labels", _Changed, _Noted]
"""In the order of a report: errors, warnings, notes; but truncated is a warning where all pixels could be read. cmyk is
any colour space but RGB and grey, sixteen-bit any depth above 8 bits a channel, animated any file of several pages."""
KINDS: tuple[Kind, ...] = get_args(Kind)

MIN_SIDE_PX = 64
"""A frame with a shorter side is tiny: twice the stride of ConvNeXt's last stage; published frames have 336 or more."""
LINES_PER_KIND = 20
"""Findings of one kind that lines_from_check shows."""

_DEEP_CODING = re.compile(r"\b(?:I|L|LA|RGB|RGBA|RGBX|RGBa|CMYK);16[BLN]?\b")
_IMAGE_START = re.compile(rb"\xff\xd8\xff|\x89PNG|GIF8|RIFF....WEBP|II\*\0|MM\0\*|BM.{4}\0{4}", re.DOTALL)
_OTHER_STARTS = {
    rb"\x1f\x8b": "a gzip archive",
    rb"PK\x03\x04": "a zip archive",
    rb"%PDF": "a PDF document",
    rb"\s*<(?i:!doctype html|html)": "an HTML page, perhaps of a failed download",
    rb"version https://git-lfs": "a Git LFS pointer; fetch it: git lfs pull",
    rb"\0\x05\x16\x07": "metadata of macOS; delete it",
    rb".{128}DICM": "a DICOM file; export it as PNG",
    rb".{4}ftyp": "a HEIC, AVIF or MP4 container",
    rb"[\t\n\r -~]+\Z": "plain text",
}


class Finding(Value):
    """One thing found in one file."""

    kind: Kind
    severity: Severity
    """error: training leaves the frame out, or must not trust it. warning: read, but changed. note: read as it is."""
    frame: str
    """Id of the frame, what would be one, or a class; characters that do not print are escaped."""
    detail: str
    """One line: what was found and what becomes of the frame."""


class DataCheck(Value):
    """What the files of a dataset are, and what is wrong with them."""

    dataset: str
    frames: int
    readable: int
    """Frames that decode as training decodes them."""
    size_bytes: int
    classes: dict[str, int]
    """Frames per class, in the order of the index."""
    groups: dict[str, int]
    """Frames per known group, by name."""
    image_sizes: dict[str, int]
    """Readable frames per "width×height" in pixels, upright, most common first."""
    unlabelled: int = 0
    """Rows of the label file without a label, where the spec lets them be; no frame is made of them."""
    findings: tuple[Finding, ...]
    """Ordered as KINDS, then by frame id."""


@dataclass(frozen=True)
class _Seen:
    """What one file showed; size_px (width, height) is None where it cannot be read."""

    size_bytes: int
    size_px: tuple[int, int] | None
    findings: tuple[Finding, ...]
    digest: str | None = None
    """sha256, where another file is of the same length."""


def check_dataset(index: Index, progress: Progress, workers: int | None = None) -> DataCheck:
    """Decode every frame of an index in threads (workers, or one per core) and report what is odd or broken.

    A file that cannot be decoded is a finding, never an error. Raises: ConfigError if workers is below 1.
    """
    if workers is not None and workers < 1:
        raise ConfigError(f"cannot check with {workers} workers", fix="give 1 or more, or none for one per core")
    Image.init()
    seen: list[_Seen] = []
    pool = ThreadPoolExecutor(workers or worker_count())
    try:
        with image_warnings(), progress.task(f"checking {index.name}", len(index.frames)) as task:
            sizes = list(pool.map(_size_or_fault, index.frames))
            copies = Counter(sizes)
            for one in pool.map(_look_at, index.frames, sizes, [copies[size] > 1 for size in sizes]):
                seen.append(one)
                task.advance()
    finally:
        pool.shutdown(cancel_futures=True)  # an interrupt must not wait for the frames still queued
    findings = [finding for one in seen for finding in one.findings]
    return _check_from_findings(
        index, seen, [*findings, *_copy_findings(index, seen), *_passed_over(index), *_alike_classes(index)]
    )


def is_usable(check: DataCheck) -> bool:
    """Return whether there are frames and none has an error."""
    return check.frames > 0 and all(finding.severity != "error" for finding in check.findings)


def lines_from_check(check: DataCheck) -> list[str]:
    """Return a sentence that sums up, then a line per finding by kind, at most LINES_PER_KIND of each."""
    lines = [_summary(check)]
    for kind in KINDS:
        found = [finding for finding in check.findings if finding.kind == kind]
        lines += [f"{one.severity}: {kind}: {one.frame}: {one.detail}" for one in found[:LINES_PER_KIND]]
        if len(found) > LINES_PER_KIND:
            lines.append(f"{kind}: and {len(found) - LINES_PER_KIND} more (--json lists all)")
    return lines


def _summary(check: DataCheck) -> str:
    found = Counter(finding.severity for finding in check.findings)
    counted = ", ".join(f"{found[name]} {name}(s)" for name in get_args(Severity) if found[name])
    parts = [f"{check.frames} frame(s) in {len(check.classes)} classes"]
    parts += [f"{len(check.groups)} group(s)"] if check.groups else []
    parts += [f"{check.unlabelled} row(s) without a label left out"] if check.unlabelled else []
    parts += [f"{check.size_bytes / 1e6:.1f} MB"]
    parts += [f"{'mostly ' if len(check.image_sizes) > 1 else ''}{size} px" for size in [*check.image_sizes][:1]]
    return f"{check.dataset}: {', '.join(parts)}; {check.readable} readable; found: {counted or 'nothing odd'}."


def _check_from_findings(index: Index, seen: Sequence[_Seen], findings: list[Finding]) -> DataCheck:
    labels = Counter(frame.label for frame in index.frames)
    groups = Counter(_printable(frame.group) for frame in index.frames if frame.group is not None)
    sizes = sorted(Counter(one.size_px for one in seen if one.size_px).items(), key=lambda item: (-item[1], item[0]))
    return DataCheck(
        dataset=_printable(index.name),
        frames=len(index.frames),
        readable=sum(count for _, count in sizes),
        size_bytes=sum(one.size_bytes for one in seen),
        classes={_printable(label): labels[position] for position, label in enumerate(index.classes)},
        groups=dict(sorted(groups.items())),
        unlabelled=index.unlabelled,
        image_sizes={f"{width}×{height}": count for (width, height), count in sizes},
        findings=tuple(sorted(findings, key=lambda one: (KINDS.index(one.kind), one.frame, one.detail))),
    )


def _finding(frame: Frame, kind: Kind, detail: str, severity: Severity | None = None) -> Finding:
    usual: Severity = "warning" if kind in get_args(_Changed) else "note" if kind in get_args(_Noted) else "error"
    return Finding(kind=kind, severity=severity or usual, frame=_printable(frame.id), detail=_printable(detail))


def _printable(text: str) -> str:
    """Escape what would break a line, a terminal or UTF-8: file names may hold any byte."""
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def _copy_findings(index: Index, seen: Sequence[_Seen]) -> Iterator[Finding]:
    alike = defaultdict(list)
    for frame, one in zip(index.frames, seen, strict=True):
        if one.digest is not None:
            alike[one.digest].append(frame)
    for copies in alike.values():
        first: dict[int, Frame] = {}
        for frame in copies:
            if (original := first.setdefault(frame.label, frame)) is not frame:
                yield _finding(frame, "identical-files", f"the same bytes as {original.id}; keep one")
        for frame in copies if len(first) > 1 else ():
            others = [f"'{index.classes[label]}' ({one.id})" for label, one in first.items() if label != frame.label]
            detail = f"'{index.classes[frame.label]}' here, the same bytes under {', '.join(others)}"
            yield _finding(frame, "two-labels", detail)


def _alike_classes(index: Index) -> Iterator[Finding]:
    for label, other in alike_names(index.classes):
        detail = f"a class beside '{_printable(other)}', which is the same name in another spelling; make them one"
        yield Finding(kind="alike-classes", severity="error", frame=_printable(label), detail=detail)


def _passed_over(index: Index) -> Iterator[Finding]:
    """Yield what lies among the frames, is named like an image and is no file: no index lists it."""
    folders = {frame.path.parent: frame for frame in index.frames}
    known = {frame.path for frame in index.frames} | folders.keys()
    suffixes = {path.suffix.lower() for path in known}
    for folder, sibling in folders.items():
        for path in sorted(folder.iterdir()) if os.access(folder, os.R_OK | os.X_OK) else ():
            if path.suffix.lower() in suffixes - {""} and path not in known and not path.name.startswith("."):
                found = _size_or_fault(replace(sibling, id=f"{sibling.id.rpartition('/')[0]}/{path.name}", path=path))
                if isinstance(found, Finding):
                    yield found


def _size_or_fault(frame: Frame) -> int | Finding:
    """Return the size of a regular file in bytes, or what is there in its stead."""
    try:
        status = frame.path.stat()
    except PermissionError:
        return _finding(frame, "no-permission", "its folder may not be entered by this user")
    except (OSError, ValueError) as error:
        what = "a symlink" if isinstance(error, FileNotFoundError) and frame.path.is_symlink() else "a path"
        return _finding(frame, "not-a-file", f"{what} that leads to no file: {getattr(error, 'strerror', error)}")
    if stat.S_ISREG(status.st_mode):
        return status.st_size
    return _finding(frame, "not-a-file", "a folder" if stat.S_ISDIR(status.st_mode) else "a pipe, socket or device")


def _look_at(frame: Frame, size: int | Finding, is_shared: bool) -> _Seen:
    """Decode a file; hash it too where its size is shared with others."""
    if isinstance(size, Finding):
        return _Seen(0, None, (size,))
    if size == 0:
        return _Seen(0, None, (_finding(frame, "empty", "the file has no bytes"),))
    try:
        size_px = read_image(frame.path).size
        digest = sha256_file(frame.path) if is_shared else None
    except Exception as error:  # noqa: BLE001 - decoders raise anything on hostile bytes; the user needs the file's name
        return _Seen(size, None, (_decode_fault(frame, error),))
    return _Seen(size, size_px, tuple(_oddities(frame, size_px)), digest)


def _decode_fault(frame: Frame, error: Exception) -> Finding:
    cause = error.__cause__ or error
    reason = str(error) if isinstance(error, UnreadableImageError) else f"{type(error).__name__}: {error}"
    if isinstance(cause, PermissionError):
        return _finding(frame, "no-permission", "the file may not be read by this user")
    if isinstance(cause, (Image.DecompressionBombWarning, Image.DecompressionBombError)):
        return _finding(frame, "huge", str(cause).partition(", could")[0])
    try:
        with frame.path.open("rb") as file:
            head = file.read(1024)
        is_cut = lacks_end(frame.path)
    except (OSError, ValueError) as fault:
        return _finding(frame, "unreadable", str(fault))
    if isinstance(cause, UnidentifiedImageError) and not _IMAGE_START.match(head):
        nouns = (noun for start, noun in _OTHER_STARTS.items() if re.match(start, head, re.DOTALL))
        return _finding(frame, "not-an-image", f"{reason}; it starts like {next(nouns, 'nothing known')}")
    if is_cut or isinstance(cause, EOFError) or "truncated" in reason.lower():
        return _finding(frame, "truncated", f"the file was cut short: {reason}")
    return _finding(frame, "unreadable", reason)


def _oddities(frame: Frame, size_px: tuple[int, int]) -> Iterator[Finding]:
    """Yield what is odd about a file that read_image reads."""
    if min(size_px) < MIN_SIDE_PX:
        yield _finding(frame, "tiny", f"{size_px[0]}×{size_px[1]} px; a side has less than {MIN_SIDE_PX}")
    try:
        if lacks_end(frame.path):
            yield _finding(frame, "truncated", "the end marker is missing; all rows were decoded", "warning")
        with Image.open(frame.path, formats=FORMATS) as image:
            yield from _colour_findings(frame, image)
            form, suffix = "JPEG" if image.format == "MPO" else image.format, frame.path.suffix.lower()
            if Image.registered_extensions().get(suffix) != form:
                yield _finding(frame, "wrong-suffix", f"named '{suffix}', in truth {form}")
            if (orientation := image.getexif().get(ExifTags.Base.Orientation)) in range(2, 9):
                yield _finding(frame, "exif-rotated", f"EXIF orientation {orientation}; read upright")
            if (pages := getattr(image, "n_frames", 1)) > 1:
                yield _finding(frame, "animated", f"{pages} pages; only the first is read")
    except Exception as error:  # noqa: BLE001 - the first page was read; what follows it may be broken in any way
        yield _finding(frame, "truncated", f"read, but damaged behind the first page: {error}", "warning")


def _colour_findings(frame: Frame, image: Image.Image) -> Iterator[Finding]:
    mode, coding = image.mode, str(getattr(image, "tile", ""))  # the coding is known until the pixels are loaded
    if mode in ("CMYK", "LAB", "YCbCr", "HSV"):
        yield _finding(frame, "cmyk", f"{mode}; turned into RGB without its own colour profile")
    elif mode in ("I", "F"):
        yield _finding(frame, "sixteen-bit", f"32 bits a channel ({mode}); values are clipped to 0..255")
    elif mode.startswith("I;16") or _DEEP_CODING.search(coding):
        yield _finding(frame, "sixteen-bit", "16 bits a channel; brought down to 8")
    elif mode in ("1", "L", "LA"):
        yield _finding(frame, "greyscale", f"one channel of colour ({mode}); read as three equal ones")
    elif mode in ("P", "PA"):
        yield _finding(frame, "palette", "at most 256 colours from a palette")
    if image.has_transparency_data:
        opaque = image.convert("RGBA").getchannel("A").getextrema() == (255, 255)
        detail = "an alpha channel, opaque all over" if opaque else "transparent parts; they are read as opaque"
        yield _finding(frame, "alpha", detail, "note" if opaque else "warning")
