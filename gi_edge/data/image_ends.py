"""Whether an image file reaches its end: cut ones often decode, with grey rows."""

from __future__ import annotations

import os
from pathlib import Path


def lacks_end(path: Path) -> bool:
    """Return whether a JPEG or PNG has no end marker, or a WebP or TIFF ends before what its header states."""
    with path.open("rb") as file:
        head, size = file.read(8), os.fstat(file.fileno()).st_size
        body = file.read() if head.startswith((b"\xff\xd8", b"\x89PNG")) else b""
    if head.startswith(b"\xff\xd8"):
        scan = body.rfind(b"\xff\xda")  # the last one: a thumbnail has its own scan and end before it
        return scan < 0 or body.find(b"\xff\xd9", scan) < 0
    if head.startswith(b"\x89PNG"):
        return b"IEND" not in body
    return head.startswith((b"RIFF", b"II*\0")) and int.from_bytes(head[4:], "little") >= size
