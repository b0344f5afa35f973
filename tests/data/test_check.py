"""Checking files: every kind of broken or odd file gives its own findings, and none a traceback."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gi_edge.config import json_from_value
from gi_edge.data.check import DataCheck, check_dataset, is_usable, lines_from_check
from gi_edge.data.index import Frame, Index, index_from_folder
from gi_edge.data.preprocess import UnreadableImageError, read_image
from gi_edge.data.spec import read_spec
from gi_edge.errors import ConfigError
from gi_edge.progress import Silent, Task

NOISE = np.random.default_rng(7).integers(0, 256, (80, 96, 3), dtype=np.uint8)
PICTURE = Image.fromarray(NOISE)
FLOAT = Image.fromarray(NOISE[..., 0].astype(np.float32))
SIXTEEN = Image.fromarray(NOISE[..., 0].astype(np.uint16) * 257)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def oriented(value: int, form: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(PICTURE, form, exif=exif)


JPEG = encoded(PICTURE, "JPEG", quality=90)
PROGRESSIVE = encoded(PICTURE, "JPEG", progressive=True)
PNG = encoded(PICTURE, "PNG")
WEBP = encoded(PICTURE, "WEBP")
BMP = encoded(PICTURE, "BMP")
TIFF = encoded(PICTURE, "TIFF")
LZW = encoded(PICTURE, "TIFF", compression="tiff_lzw")
GIF = encoded(PICTURE, "GIF")
STRIP = TIFF.index(struct.pack("<HHI", 273, 4, 1)) + 8
TEXT_ORIENTATION = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x02\0\x04\0\0\0six\0" + bytes(4)
SCAN = JPEG.index(b"\xff\xda")
RANDOM = np.random.default_rng(3).bytes(5000)
PAGES = {"save_all": True, "append_images": [PICTURE.rotate(90), PICTURE.rotate(180)]}
CMYK = encoded(PICTURE.convert("CMYK"), "JPEG")
CLEAR = PICTURE.convert("RGBA")
CLEAR.putalpha(Image.linear_gradient("L").resize(PICTURE.size))
THUMBNAIL = JPEG[:2] + b"\xff\xe1" + struct.pack(">H", len(JPEG) + 8) + b"Exif\0\0" + JPEG + JPEG[2:]


def segment(marker: int, content: bytes) -> bytes:
    """Return a JPEG with an extra segment behind its start."""
    return JPEG[:2] + bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content + JPEG[2:]


def chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png_of(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    signature = b"\x89PNG\r\n\x1a\n"
    return signature + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def changed(content: bytes, at: int, new: bytes) -> bytes:
    return content[:at] + new + content[at + len(new) :]


def with_dimensions(width: int, height: int) -> bytes:
    at = JPEG.index(b"\xff\xc0") + 5
    return changed(JPEG, at, struct.pack(">HH", height, width))


def huffman_broken() -> bytes:
    at = JPEG.index(b"\xff\xc4")
    return changed(JPEG, at + 5, b"\xff" * 16)


Case = tuple[str, bytes, set[str]]
CASES: dict[str, Case] = {
    # Whole files
    "JPEG": ("x.jpg", JPEG, set()),
    "capital suffix": ("x.JPEG", JPEG, set()),
    "progressive JPEG": ("x.jpg", PROGRESSIVE, set()),
    "PNG": ("x.png", PNG, set()),
    "BMP": ("x.bmp", BMP, set()),
    "TIFF": ("x.tif", TIFF, set()),
    "compressed TIFF": ("x.tiff", LZW, set()),
    "WebP": ("x.webp", WEBP, set()),
    "JPEG and trailing zeros": ("x.jpg", JPEG + bytes(5000), set()),
    "JPEG and trailing garbage": ("x.jpg", JPEG + RANDOM, set()),
    "JPEG twice": ("x.jpg", JPEG + JPEG, set()),
    "PNG and trailing garbage": ("x.png", PNG + RANDOM, set()),
    "EXIF orientation 1": ("x.jpg", oriented(1), set()),
    "EXIF orientation 0": ("x.jpg", oriented(0), set()),
    "EXIF orientation 9": ("x.jpg", oriented(9), set()),
    "corrupt ICC profile": ("x.jpg", encoded(PICTURE, "JPEG", icc_profile=b"no profile" * 20), set()),
    "corrupt ICC of a PNG": ("x.png", encoded(PICTURE, "PNG", icc_profile=b"no profile" * 20), set()),
    "huge EXIF": ("x.jpg", segment(0xE1, b"Exif\0\0" + b"II*\0\x08\0\0\0" + bytes(65000)), set()),
    "EXIF with a thumbnail": ("x.jpg", THUMBNAIL, set()),
    "long comment": ("x.jpg", segment(0xFE, b"c" * 60000), set()),
    "dotfile": (".x.jpg", JPEG, set()),
    # Cut short
    **{f"JPEG cut at {n}": ("x.jpg", JPEG[:n], {"truncated"}) for n in (3, 20, 100, SCAN, SCAN + 30, len(JPEG) // 2)},
    "JPEG without its last kilobyte": ("x.jpg", JPEG[:-1000], {"truncated"}),
    "JPEG without its end marker": ("x.jpg", JPEG[:-2], {"truncated"}),
    "JPEG cut behind its thumbnail": ("x.jpg", THUMBNAIL[: -len(JPEG) // 2], {"truncated"}),
    "JPEG filled with zeros": ("x.jpg", JPEG[: len(JPEG) // 2] + bytes(len(JPEG) // 2), {"truncated"}),
    "progressive JPEG cut": ("x.jpg", PROGRESSIVE[: len(PROGRESSIVE) // 2], {"truncated"}),
    "PNG cut at its signature": ("x.png", PNG[:8], {"truncated"}),
    "PNG cut in its header": ("x.png", PNG[:20], {"truncated"}),
    "PNG cut in its data": ("x.png", PNG[: len(PNG) // 2], {"truncated"}),
    "PNG without IEND": ("x.png", PNG[:-12], {"truncated"}),
    "WebP cut": ("x.webp", WEBP[: len(WEBP) // 2], {"truncated"}),
    "WebP cut in its header": ("x.webp", WEBP[:14], {"truncated"}),
    "BMP cut": ("x.bmp", BMP[: len(BMP) // 2], {"truncated"}),
    "TIFF cut": ("x.tif", TIFF[: len(TIFF) // 2], {"truncated"}),
    "compressed TIFF cut": ("x.tif", LZW[: len(LZW) // 2], {"truncated"}),
    "GIF cut": ("x.gif", GIF[: len(GIF) // 2], {"truncated"}),
    # Not images
    "no bytes": ("x.jpg", b"", {"empty"}),
    "one byte": ("x.jpg", b"\xff", {"not-an-image"}),
    "zeros": ("x.jpg", bytes(5000), {"not-an-image"}),
    "text": ("x.jpg", b"see folder 7\n", {"not-an-image"}),
    "HTML page": ("x.jpg", b"\n<!DOCTYPE html><html>404</html>", {"not-an-image"}),
    "JSON": ("x.jpg", b'{"error": "quota"}', {"not-an-image"}),
    "gzip": ("x.jpg", gzip.compress(JPEG, mtime=0), {"not-an-image"}),
    "zip": ("x.jpg", b"PK\x03\x04" + RANDOM, {"not-an-image"}),
    "PDF": ("x.jpg", b"%PDF-1.7\n" + RANDOM, {"not-an-image"}),
    "DICOM": ("x.jpg", bytes(128) + b"DICM" + RANDOM, {"not-an-image"}),
    "MP4": ("x.jpg", b"\0\0\0\x20ftypisom" + RANDOM, {"not-an-image"}),
    "Git LFS pointer": ("x.jpg", b"version https://git-lfs.github.com/spec/v1\n", {"not-an-image"}),
    "macOS metadata": ("._x.jpg", b"\0\x05\x16\x07\0\x02\0\0Mac OS X" + bytes(100), {"not-an-image"}),
    "random bytes": ("x.jpg", RANDOM, {"not-an-image"}),
    "garbage before a JPEG": ("x.jpg", b"garbage" + JPEG, {"not-an-image"}),
    "a line end before a PNG": ("x.png", b"\r\n" + PNG, {"not-an-image"}),
    "PNG through a text transfer": ("x.png", PNG.replace(b"\r\n", b"\n"), {"unreadable"}),
    # Broken inside
    "JPEG with a wrong Huffman table": ("x.jpg", huffman_broken(), {"unreadable"}),
    "JPEG of no size": ("x.jpg", with_dimensions(0, 0), {"unreadable"}),
    "JPEG without quantisation tables": ("x.jpg", JPEG.replace(b"\xff\xdb", b"\xff\xee"), {"unreadable"}),
    "PNG with a bad checksum of its header": ("x.png", changed(PNG, 29, b"\0\0\0\0"), {"unreadable"}),
    "PNG with a bad checksum of good data": ("x.png", changed(PNG, len(PNG) - 16, b"\0\0\0\0"), set()),
    "PNG with one byte changed": ("x.png", changed(PNG, 9000, bytes([PNG[9000] ^ 1])), {"unreadable"}),
    "PNG with bad data": ("x.png", png_of(96, 80, 8, 2, b"")[:-20] + RANDOM + PNG[-12:], {"unreadable"}),
    "PNG with too few rows, the others black": ("x.png", png_of(96, 80, 8, 2, bytes(289 * 10)), set()),
    "PNG of an impossible depth": ("x.png", png_of(96, 80, 7, 2, bytes(289 * 80)), {"unreadable"}),
    "BMP with a bad header": ("x.bmp", changed(BMP, 14, b"\x07\0\0\0"), {"unreadable"}),
    "BMP with a bad depth": ("x.bmp", changed(BMP, 28, b"\x63\0"), {"unreadable"}),
    "TIFF with a directory beyond its end": ("x.tif", changed(TIFF, 4, b"\xf0\xff\xff\x7f"), {"truncated"}),
    "TIFF with a bad directory": ("x.tif", changed(TIFF, 4, b"\x20\0\0\0"), {"unreadable"}),
    "TIFF with a strip beyond its end": ("x.tif", changed(TIFF, STRIP, struct.pack("<I", 10**6)), {"truncated"}),
    "LZW with bad data": ("x.tif", changed(LZW, 8, RANDOM[:400]), {"unreadable"}),
    "JPEG with bad data": ("x.jpg", changed(JPEG, len(JPEG) // 2, RANDOM[:300]), {"unreadable"}),
    "TIFF with an absent directory": ("x.tif", b"II*\0\x08\0\0\0\0\0" + bytes(100), {"unreadable"}),
    "WebP with bad data": ("x.webp", changed(WEBP, 20, RANDOM[:400]), {"unreadable"}),
    "corrupt EXIF": ("x.jpg", segment(0xE1, b"Exif\0\0" + RANDOM), set()),
    "corrupt EXIF directory": ("x.jpg", segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0" + RANDOM), set()),
    "EXIF orientation that is text": ("x.jpg", segment(0xE1, TEXT_ORIENTATION), set()),
    "empty EXIF": ("x.jpg", segment(0xE1, b"Exif\0\0"), set()),
    "bomb": ("x.jpg", with_dimensions(30000, 30000), {"huge"}),
    "small bomb": ("x.jpg", with_dimensions(10000, 10000), {"huge"}),
    "bomb in a PNG": ("x.png", png_of(65000, 65000, 8, 2, b""), {"huge"}),
    # Read, and odd
    "16-bit grey PNG": ("x.png", encoded(SIXTEEN, "PNG"), {"sixteen-bit"}),
    "16-bit colour PNG": ("x.png", png_of(96, 80, 16, 2, bytes(80 * 577)), {"sixteen-bit"}),
    "16-bit colour and alpha PNG": ("x.png", png_of(96, 80, 16, 6, bytes(80 * 769)), {"sixteen-bit", "alpha"}),
    "16-bit TIFF": ("x.tif", encoded(SIXTEEN, "TIFF"), {"sixteen-bit"}),
    "float TIFF": ("x.tif", encoded(FLOAT, "TIFF"), {"sixteen-bit"}),
    "32-bit TIFF": ("x.tif", encoded(FLOAT.convert("I"), "TIFF"), {"sixteen-bit"}),
    "CMYK JPEG": ("x.jpg", CMYK, {"cmyk"}),
    "CMYK TIFF": ("x.tif", encoded(PICTURE.convert("CMYK"), "TIFF"), {"cmyk"}),
    "CMYK JPEG, not inverted": ("x.jpg", CMYK.replace(b"Adobe", b"adobe"), {"cmyk"}),
    "TIFF in Lab": ("x.tif", encoded(Image.new("LAB", (96, 80)), "TIFF"), {"cmyk"}),
    **{f"EXIF orientation {n}": ("x.jpg", oriented(n), {"exif-rotated"}) for n in range(2, 9)},
    "EXIF orientation of a PNG": ("x.png", oriented(6, "PNG"), {"exif-rotated"}),
    "EXIF orientation of a WebP": ("x.webp", oriented(3, "WEBP"), {"exif-rotated"}),
    "opaque alpha": ("x.png", encoded(PICTURE.convert("RGBA"), "PNG"), {"alpha"}),
    "alpha": ("x.png", encoded(CLEAR, "PNG"), {"alpha"}),
    "alpha in a WebP": ("x.webp", encoded(CLEAR, "WEBP"), {"alpha"}),
    "grey and alpha": ("x.png", encoded(CLEAR.convert("LA"), "PNG"), {"alpha", "greyscale"}),
    "grey JPEG": ("x.jpg", encoded(PICTURE.convert("L"), "JPEG"), {"greyscale"}),
    "black and white": ("x.png", encoded(PICTURE.convert("1"), "PNG"), {"greyscale"}),
    "palette": ("x.png", encoded(PICTURE.convert("P"), "PNG"), {"palette"}),
    "palette with transparency": ("x.png", encoded(PICTURE.convert("P"), "PNG", transparency=0), {"palette", "alpha"}),
    "palette with transparencies": (
        "x.png", encoded(PICTURE.convert("P"), "PNG", transparency=bytes(range(256))), {"palette", "alpha"},
    ),
    "one pixel": ("x.png", encoded(PICTURE.crop((0, 0, 1, 1)), "PNG"), {"tiny"}),
    "ribbon": ("x.png", encoded(Image.new("RGB", (5, 2000)), "PNG"), {"tiny"}),
    "just too small": ("x.png", encoded(Image.new("RGB", (200, 63)), "PNG"), {"tiny"}),
    "just large enough": ("x.png", encoded(Image.new("RGB", (64, 64)), "PNG"), set()),
    "animated GIF": ("x.gif", encoded(PICTURE, "GIF", **PAGES), {"animated", "palette"}),
    "animated GIF as JPEG": ("x.jpg", encoded(PICTURE, "GIF", **PAGES), {"animated", "palette", "wrong-suffix"}),
    "animated WebP": ("x.webp", encoded(PICTURE, "WEBP", **PAGES), {"animated"}),
    "animated PNG": ("x.png", encoded(PICTURE, "PNG", **PAGES), {"animated"}),
    "TIFF of three pages": ("x.tif", encoded(PICTURE, "TIFF", **PAGES), {"animated"}),
    "stereo JPEG": ("x.jpg", encoded(PICTURE, "MPO", save_all=True, append_images=[PICTURE]), {"animated"}),
    "PNG as JPEG": ("x.jpg", PNG, {"wrong-suffix"}),
    "JPEG as PNG": ("x.png", JPEG, {"wrong-suffix"}),
    "WebP as JPEG": ("x.jpg", WEBP, {"wrong-suffix"}),
    "BMP as JPEG": ("x.jpg", BMP, {"wrong-suffix"}),
    "JPEG without suffix": ("x", JPEG, {"wrong-suffix"}),
    # Odd names
    "unicode": ("内視鏡 é́ 🩺.jpg", JPEG, set()),
    "very long": ("n" * 251 + ".jpg", JPEG, set()),
    "line end": ("a\nb.jpg", b"", {"empty"}),
    "terminal escape": ("a\x1b[2Jb.jpg", b"", {"empty"}),
    "not UTF-8": ("a\udcff.jpg", b"", {"empty"}),
}  # fmt: skip


def checked(*paths: Path, groups: tuple[str | None, ...] = (), workers: int | None = 1) -> DataCheck:
    """Check files as an index would list them; the class is the folder, a or b."""
    groups = groups or (None,) * len(paths)
    frames = tuple(
        Frame(f"{path.parent.name}/{path.name}", path, int(path.parent.name == "b"), group)
        for path, group in zip(paths, groups, strict=True)
    )
    return check_dataset(Index("d", read_spec("folders"), Path(), ("a", "b"), frames), Silent(), workers)


def write(root: Path, **folders: dict[str, bytes]) -> list[Path]:
    for folder, files in folders.items():
        (root / folder).mkdir()
        for name, content in files.items():
            (root / folder / name).write_bytes(content)
    return sorted(path for folder in folders for path in (root / folder).iterdir())


def found(check: DataCheck) -> set[tuple[str, str]]:
    return {(finding.kind, finding.frame) for finding in check.findings}


SEVERITIES = {
    "error": {"unreadable", "truncated", "empty", "not-an-image", "huge", "not-a-file", "no-permission", "two-labels"},
    "warning": {"truncated", "identical-files", "cmyk", "sixteen-bit", "alpha", "animated", "tiny"},
    "note": {"exif-rotated", "greyscale", "palette", "wrong-suffix", "alpha"},
}


@pytest.mark.parametrize(("name", "content", "kinds"), CASES.values(), ids=CASES)
def test_every_odd_file_gives_its_own_findings(tmp_path, name, content, kinds):
    path = tmp_path / name
    path.write_bytes(content)
    check = checked(path)
    assert {finding.kind for finding in check.findings} == kinds, check.findings
    assert all(finding.kind in SEVERITIES[finding.severity] for finding in check.findings)
    assert path.read_bytes() == content
    try:
        size = read_image(path).size
        assert (check.readable, check.image_sizes) == (1, {f"{size[0]}×{size[1]}": 1})
        assert is_usable(check)
    except UnreadableImageError:
        assert (check.readable, check.image_sizes) == (0, {})
        assert not is_usable(check)
    text = json_from_value(check)
    text.encode()
    assert DataCheck.model_validate_json(text) == check
    lines = lines_from_check(check)
    assert len(lines) == 1 + len(check.findings)
    assert all(line.isprintable() for line in lines)


@pytest.mark.parametrize(
    ("case", "detail"),
    [
        ("HTML page", "an HTML page"),
        ("gzip", "a gzip archive"),
        ("DICOM", "export it as PNG"),
        ("Git LFS pointer", "git lfs pull"),
        ("macOS metadata", "delete it"),
        ("text", "plain text"),
        ("random bytes", "nothing known"),
        ("PNG as JPEG", "named '.jpg', in truth PNG"),
        ("EXIF orientation 6", "orientation 6; read upright"),
        ("TIFF of three pages", "3 pages; only the first"),
        ("float TIFF", "32 bits a channel (F); values are clipped"),
        ("16-bit colour PNG", "16 bits a channel; brought down to 8"),
        ("opaque alpha", "opaque all over"),
        ("alpha", "read as opaque"),
        ("just too small", "200×63 px"),
        ("bomb", "900000000 pixels"),
        ("PNG without IEND", "all rows were decoded"),
    ],
)
def test_the_detail_says_what_was_found(tmp_path, case, detail):
    name, content, _ = CASES[case]
    (tmp_path / name).write_bytes(content)
    assert detail in checked(tmp_path / name).findings[0].detail


def make_folder(path: Path) -> None:
    path.mkdir()


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(path))


def make_broken_link(path: Path) -> None:
    path.symlink_to("nowhere.jpg")


def make_link_loop(path: Path) -> None:
    path.symlink_to(path.name)


def make_link_to_folder(path: Path) -> None:
    path.symlink_to(path.parent)


PLACES = [
    (make_folder, "a folder"),
    (make_link_to_folder, "a folder"),
    (make_pipe, "a pipe, socket or device"),
    (make_socket, "a pipe, socket or device"),
    (make_broken_link, "a symlink that leads to no file: No such file or directory"),
    (make_link_loop, "a path that leads to no file: Too many levels of symbolic links"),
]


@pytest.mark.parametrize(("make", "detail"), PLACES)
@pytest.mark.parametrize("listed", ["x.jpg", "1.jpg"])
def test_what_is_no_file_is_found_whether_the_index_lists_it_or_not(tmp_path, monkeypatch, make, detail, listed):
    write(tmp_path, a={"1.jpg": JPEG})
    monkeypatch.chdir(tmp_path)  # the name of a socket has to be short
    make(tmp_path / "a" / "x.jpg")
    (finding,) = checked(tmp_path / "a" / listed).findings
    assert (finding.kind, finding.severity, finding.frame) == ("not-a-file", "error", "a/x.jpg")
    assert finding.detail == detail


def test_what_the_index_passes_over_for_good_reason_is_not_told(tmp_path):
    paths = write(tmp_path, a={"1.jpg": JPEG, "2.jpg": b"", "notes.txt": b"", ".3.jpg": b""})
    (tmp_path / "a" / "folder").mkdir()
    (tmp_path / "a" / ".4.jpg").mkdir()
    assert [path.name for path in paths] == [".3.jpg", "1.jpg", "2.jpg", "notes.txt"]
    assert checked(paths[1]).findings == ()


def test_an_absent_file_and_an_impossible_path_are_findings(tmp_path):
    paths = (tmp_path / "absent.jpg", tmp_path / ("n" * 300 + ".jpg"), tmp_path / "a\0.jpg", tmp_path / "f" / "x.jpg")
    (tmp_path / "f").write_bytes(b"")
    assert [finding.kind for finding in checked(*paths).findings] == ["not-a-file"] * 4


def test_a_link_to_a_whole_file_is_fine(tmp_path):
    (tmp_path / "x.jpg").write_bytes(JPEG)
    (tmp_path / "y.jpg").symlink_to("x.jpg")
    assert checked(tmp_path / "y.jpg").findings == ()


@pytest.mark.parametrize("place", ["stat", "open"])
def test_files_that_may_not_be_read_are_told(tmp_path, monkeypatch, place):
    (tmp_path / "x.jpg").write_bytes(JPEG)
    if os.geteuid() == 0:  # root may read anything: the refusal is played

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(*((Path, "stat") if place == "stat" else (Image, "open")), refuse)
    elif place == "stat":
        tmp_path.chmod(0o600)
    else:
        (tmp_path / "x.jpg").chmod(0)
    try:
        assert [finding.kind for finding in checked(tmp_path / "x.jpg").findings] == ["no-permission"]
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.parametrize(
    "error", [RuntimeError("codec\nfault"), MemoryError(), KeyError("tag"), RecursionError("deep")]
)
def test_whatever_a_decoder_raises_is_a_finding(tmp_path, monkeypatch, error):
    def fail(path: Path) -> None:
        raise error

    (tmp_path / "x.jpg").write_bytes(JPEG)
    monkeypatch.setattr("gi_edge.data.check.read_image", fail)
    (finding,) = checked(tmp_path / "x.jpg").findings
    assert finding.kind == "unreadable"
    assert finding.detail.startswith(type(error).__name__)
    assert finding.detail.isprintable()


def test_copies_of_a_file_under_one_label_are_told_apart_from_those_under_two(tmp_path):
    other = changed(JPEG, JPEG.index(b"JFIF") + 6, b"\x02")  # the same length and pixels, other bytes
    paths = write(tmp_path, a={"1.jpg": JPEG, "2.jpg": JPEG, "3.jpg": PROGRESSIVE}, b={"1.jpg": JPEG, "2.jpg": other})
    check = checked(*paths)
    assert found(check) == {
        ("identical-files", "a/2.jpg"),
        ("two-labels", "a/1.jpg"),
        ("two-labels", "a/2.jpg"),
        ("two-labels", "b/1.jpg"),
    }
    details = {finding.frame: finding.detail for finding in check.findings if finding.kind == "two-labels"}
    assert details["b/1.jpg"] == "'b' here, the same bytes under 'a' (a/1.jpg)"
    assert not is_usable(check)


def test_broken_files_are_not_called_copies(tmp_path):
    paths = write(tmp_path, a={"1.jpg": b"text", "2.jpg": b"text"}, b={"1.jpg": b"", "2.jpg": b""})
    assert {kind for kind, _ in found(checked(*paths))} == {"not-an-image", "empty"}


def test_counts_and_sizes(tmp_path):
    large = encoded(Image.new("RGB", (200, 100)), "JPEG")
    paths = write(
        tmp_path, a={"1.jpg": JPEG, "2.jpg": oriented(6)}, b={"1.jpg": PROGRESSIVE, "2.jpg": large, "3.jpg": b""}
    )
    check = checked(*paths, groups=("v2", "v1", "v2", None, "v1"))
    assert (check.dataset, check.frames, check.readable) == ("d", 5, 4)
    assert check.size_bytes == sum(path.stat().st_size for path in paths)
    assert check.classes == {"a": 2, "b": 3}
    assert list(check.groups.items()) == [("v1", 2), ("v2", 2)]
    assert list(check.image_sizes.items()) == [("96×80", 2), ("80×96", 1), ("200×100", 1)]
    assert lines_from_check(check) == [
        f"d: 5 frame(s) in 2 classes, 2 group(s), {check.size_bytes / 1e6:.1f} MB, mostly 96×80 px; "
        "4 readable; found: 1 error(s), 1 note(s).",
        "error: empty: b/3.jpg: the file has no bytes",
        "note: exif-rotated: a/2.jpg: EXIF orientation 6; read upright",
    ]


def test_a_clean_dataset_is_one_line(tmp_path):
    check = checked(*write(tmp_path, a={"1.jpg": JPEG}, b={"1.jpg": PROGRESSIVE}))
    assert is_usable(check)
    assert lines_from_check(check) == ["d: 2 frame(s) in 2 classes, 0.0 MB, 96×80 px; 2 readable; found: nothing odd."]


def test_no_frames_are_not_usable():
    check = checked()
    assert not is_usable(check)
    assert lines_from_check(check) == ["d: 0 frame(s) in 2 classes, 0.0 MB; 0 readable; found: nothing odd."]


def test_names_that_could_break_a_terminal_are_escaped(tmp_path):
    names = [CASES[case][0] for case in ("line end", "terminal escape", "not UTF-8")]
    check = checked(*write(tmp_path, a=dict.fromkeys(names, b"")))
    assert sorted(finding.frame for finding in check.findings) == [r"a/a\nb.jpg", r"a/a\udcff.jpg", r"a/a\x1b[2Jb.jpg"]


def test_twenty_lines_of_a_kind_are_shown_and_the_rest_counted(tmp_path):
    paths = write(tmp_path, a={f"{n:02d}.jpg": b"" for n in range(25)} | {"x.jpg": b"text"}, b={"1.jpg": JPEG})
    check = checked(*paths)
    lines = lines_from_check(check)
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[20] == "error: empty: a/19.jpg: the file has no bytes"
    assert lines[21] == "empty: and 5 more (--json lists all)"
    assert lines[22].startswith("error: not-an-image: a/x.jpg: ")
    assert len(json.loads(json_from_value(check))["findings"]) == 26


def test_many_threads_find_what_one_finds_and_leave_the_warning_filters_alone(tmp_path):
    files = {f"{n:03d}{Path(name).suffix}": content for n, (name, content, _) in enumerate(CASES.values())}
    paths = write(tmp_path, a=files, b=files)
    before = warnings.filters[:]
    one, many = checked(*paths, workers=1), checked(*paths, workers=16)
    assert json_from_value(one) == json_from_value(many)
    assert warnings.filters == before
    assert len(many.findings) > len(paths)


def test_the_bar_moves_once_per_frame(tmp_path):
    class Bar(Silent):
        steps = 0

        @contextmanager
        def task(self, title: str, total: int) -> Iterator[Task]:
            assert (title, total) == ("checking d", 2)
            yield self

        def advance(self, steps: int = 1, note: str = "") -> None:
            self.steps += steps

    write(tmp_path, a={"1.jpg": JPEG}, b={"1.jpg": b""})
    bar = Bar()
    check_dataset(index_from_folder("d", tmp_path, read_spec("folders")), bar)
    assert bar.steps == 2


@pytest.mark.parametrize("workers", [0, -1])
def test_workers_are_one_or_more(workers):
    with pytest.raises(ConfigError, match=f"with {workers} workers"):
        checked(workers=workers)
