"""Writes MATLAB files of version 5 with what data sets keep in them. Made with SciPy 1.17.1 and NumPy 2.4.6.

run: python generate.py
"""

from pathlib import Path

import numpy as np
from scipy.io import savemat

here = Path(__file__).parent
names = np.empty((3, 1), dtype=object)
names[:, 0] = ["antelope", "grizzly+bear", "Bär"]
contents = {
    "att": np.array([[0.5, -1.25, 3e100], [2.0, np.nan, np.inf]]),
    "fts": np.arange(12, dtype=np.uint8).reshape(3, 4),
    "labels": np.array([[1], [2], [10]], dtype=np.uint16),
    "single": np.array([[1.5, -2.5]], dtype=np.float32),
    "large": np.array([[2**62 + 1, -(2**62)]], dtype=np.int64),
    "images": np.arange(2 * 3 * 3 * 2, dtype=np.uint8).reshape(2, 3, 3, 2),
    "title": "splits",
    "empty": np.zeros((0, 3)),
    "allclasses_names": names,
    "record": {"field": 1.0},
    "complex": np.array([[1 + 2j]]),
}
for name, compressed in [("plain", False), ("compressed", True)]:
    savemat(here / f"{name}.mat", contents, do_compression=compressed, oned_as="column")
