"""Is what was loaded the model that its manifest describes, and are the frames those that it was tested on?"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gi_edge.artifacts.adapter import Adapter
from gi_edge.artifacts.remake import train_again
from gi_edge.errors import DataError, ModelError

_MOST_CHANGED = 0.01
"""Share of the frames that may be answered otherwise than when the adapter was tested, one frame at least: another
processor rounds otherwise, which changes near ties."""


def check_recorded(adapter: Adapter, ids: Sequence[str], truth: NDArray[np.int64], logits: NDArray[np.float32]) -> None:
    """Hold labels and answers on the test part against those that the adapter recorded at the end of its training.

    An order of the classes, a scaling or weights that are not those of the training change no file's agreement with
    the PyTorch model, only what its answers are worth. ids and truth [n], logits [n, classes] of the trained model.

    Raises: DataError if a frame's label is not that of the adapter's split; ModelError if the answers are not those
    that its manifest scored.
    """
    classes = adapter.manifest.classes
    label_of = {row.frame: row.label for row in adapter.split.rows}
    for frame, label in zip(ids, truth, strict=True):
        if classes[label] != label_of[frame]:
            raise DataError(
                f"'{frame}' is labelled '{classes[label]}' in the dataset and '{label_of[frame]}' in the split of "
                f"{adapter.path.name}",
                fix="give the folder the adapter was trained on: --data DIR, or train it again on these labels",
            )
    confusion = np.zeros((len(classes), len(classes)), dtype=np.int64)
    np.add.at(confusion, (truth, logits.argmax(axis=1)), 1)
    changed = int(np.abs(confusion - np.array(adapter.manifest.test.confusion)).sum()) // 2
    if changed > max(1, _MOST_CHANGED * len(truth)):
        raise ModelError(
            f"{adapter.path.name} answers at least {changed} of {len(truth)} test frames otherwise than its manifest "
            "records: class order, preprocessing, weights or frames are not those it was trained with",
            fix=f"restore the adapter's folder and the dataset, or {train_again(adapter.path)}",
        )
