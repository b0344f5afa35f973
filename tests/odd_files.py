"""Image files that are whole, odd or broken, and what a check must find in each."""

from __future__ import annotations

import gzip
import io
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

from gi_edge.data.check import DataCheck, check_dataset
from gi_edge.data.index import Frame, Index
from gi_edge.data.spec import read_spec
from gi_edge.progress import Silent

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
