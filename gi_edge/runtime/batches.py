"""Many frames through a session, a batch at a time: one way for export, bench and evaluation."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from gi_edge.runtime.session import Session

_BATCH_SIZE = 8


def logits_from_session(session: Session, pixels: NDArray[np.uint8], largest: int = _BATCH_SIZE) -> NDArray[np.float32]:
    """Run uint8 pixels [n, size, size, 3] RGB, n at least 1, in batches; returns float32 logits [n, classes].

    largest: batch that the session takes; an engine may be built for fewer frames than are run together else.
    """
    step = min(_BATCH_SIZE, largest)
    return np.concatenate([session.run(np.asarray(pixels[at : at + step])) for at in range(0, len(pixels), step)])
