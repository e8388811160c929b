"""The small handwritten digits that ship inside scikit-learn: no download, no file.

Alpaydin and Kaynak 1998, Optical Recognition of Handwritten Digits (UCI): the 1,797 images of its test set.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imagrad.data.sources import DATASETS, Source
from imagrad.errors import SelectionError

_TRAIN = 1437  # four in five; the set has no split of its own, so the last fifth is ours to test on
_GREY_LEVELS = 16


@DATASETS.register("digits")
def load_small_digits(split: str, data_dir: str | None) -> Source:
    """Handwritten digits, 8 x 8: 1,437 train and 360 test (embedded, no download)."""
    from sklearn.datasets import load_digits  # takes two seconds to import: only who asks for it pays

    parts = {"train": slice(None, _TRAIN), "test": slice(_TRAIN, None)}
    if split not in parts:
        raise SelectionError(f"digits has the splits train and test; got {split!r}. Write digits:train or digits:test.")
    pixels, digits = load_digits(return_X_y=True)
    images = (np.asarray(pixels)[parts[split]] / _GREY_LEVELS).astype(np.float32).reshape(-1, 8, 8)
    labels = np.asarray(digits)[parts[split]].astype(np.intp)

    def read(indices: NDArray[np.intp]) -> NDArray[np.float32]:
        return images[indices, None]  # (k, 1, 8, 8)

    return Source(len(images), read, labels, tuple("0123456789"))
