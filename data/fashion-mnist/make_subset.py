#!/usr/bin/env python3
"""Cuts the small Fashion-MNIST that this folder holds out of the whole one.

    apt-get install dataset-fashion-mnist
    python3 make_subset.py

Standard library only. The choice does not depend on any library's random numbers: of each class those images are
taken whose SHA-256 of "seed/split/index" is smallest, and they keep their order. The gzip headers carry no time and no
name, so the same zlib makes the same bytes.
"""

import argparse
import gzip
import hashlib
import io
import struct
from pathlib import Path

PER_CLASS = {"train": 200, "t10k": 100}
CLASSES = 10


def read_idx(path):
    """The dimensions and the bytes of an IDX file of unsigned bytes."""
    data = gzip.decompress(path.read_bytes())
    zeros, kind, rank = struct.unpack(">HBB", data[:4])
    if (zeros, kind) != (0, 8):
        raise SystemExit(f"{path}: not an IDX file of unsigned bytes")
    start = 4 + 4 * rank
    return struct.unpack(f">{rank}I", data[4:start]), data[start:]


def write_idx(path, shape, data):
    """An IDX file of unsigned bytes, in a gzip stream without time and name."""
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=buffer, mtime=0) as file:
        file.write(struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape) + data)
    path.write_bytes(buffer.getvalue())
    print(f"{path}: {' x '.join(map(str, shape))}, {len(buffer.getvalue())} bytes")


def choose(labels, split, seed):
    """The positions to keep, in ascending order."""
    rank = {i: hashlib.sha256(f"{seed}/{split}/{i}".encode()).digest() for i in range(len(labels))}
    kept = []
    for label in range(CLASSES):
        members = [i for i in rank if labels[i] == label]
        kept += sorted(members, key=rank.get)[: PER_CLASS[split]]
    return sorted(kept)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, default=Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    for split in PER_CLASS:
        images, labels = f"{split}-images-idx3-ubyte.gz", f"{split}-labels-idx1-ubyte.gz"
        (count, height, width), pixels = read_idx(args.source / images)
        (labelled,), classes = read_idx(args.source / labels)
        if count != labelled:
            raise SystemExit(f"{args.source}: {count} images but {labelled} labels in {split}")
        kept = choose(classes, split, args.seed)
        size = height * width
        write_idx(args.out / images, (len(kept), height, width), b"".join(pixels[i * size : (i + 1) * size] for i in kept))
        write_idx(args.out / labels, (len(kept),), bytes(classes[i] for i in kept))


if __name__ == "__main__":
    main()
