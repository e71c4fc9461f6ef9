"""Writes the same variables as MATLAB 5 and as MATLAB 7.3 files: v5.mat with SciPy, v7.3.mat with h5py, laid out as MATLAB does.

Made with numpy 2.4.6, scipy 1.17.1 and h5py 3.16.0.
"""

from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat

here = Path(__file__).parent
names = np.empty((3, 1), dtype=object)
names[:, 0] = ["antelope", "grizzly+bear", "killer+whale"]
variables = {
    "doubles": np.arange(12.0).reshape(3, 4) / 7,
    "singles": np.arange(6, dtype=np.float32).reshape(2, 3) / 3,
    "places": np.arange(1, 40, dtype=np.uint16)[:, None],
    "negative": np.array([[-3, 2**40]], dtype=np.int64),
    "packed": np.tile(np.arange(500.0), (40, 1)),
    "text": "grizzly+bear é",
    "cells": names,
}
savemat(here / "v5.mat", variables, do_compression=True)

CLASSES = {"float64": "double", "float32": "single"}


def put(group, name, value):
    """MATLAB's first dimension runs fastest, so HDF5 has the transpose; a text is a row of 16-bit units."""
    if isinstance(value, str):
        units = np.frombuffer(value.encode("utf-16-le"), dtype=np.uint16)[:, None]
        data, kind = group.create_dataset(name, data=units), "char"
        data.attrs["MATLAB_int_decode"] = np.int32(2)
    elif value.dtype == object:
        cells = value.T
        data = group.create_dataset(name, cells.shape, dtype=h5py.ref_dtype)
        for at, cell in np.ndenumerate(cells):
            data[at] = put(group.file.require_group("#refs#"), f"{name}{at[0]}{at[1]}", cell).ref
        kind = "cell"
    else:
        # MATLAB packs what is large
        packed = {"compression": "gzip", "chunks": True} if value.size > 1000 else {}
        data = group.create_dataset(name, data=value.T, **packed)
        kind = CLASSES.get(value.dtype.name, value.dtype.name)
    data.attrs["MATLAB_class"] = np.bytes_(kind)
    return data


path = here / "v7.3.mat"
with h5py.File(path, "w", userblock_size=512) as file:
    for name, value in variables.items():
        put(file, name, value)
with path.open("r+b") as file:
    file.write(b"MATLAB 7.3 MAT-file, written for a test".ljust(116) + bytes(8) + b"\x00\x02IM")
