"""Checks that torch.load reads a file of `write_pth` as a plain state dict: `check_pth.py WRITTEN.pth SAME.safetensors`.

The second file holds the same tensors, written by `write_safetensors`. Needs torch 2.11.0 and safetensors.
"""

import sys

import torch
from safetensors.torch import load_file

written = torch.load(sys.argv[1], weights_only=True)
mapped = torch.load(sys.argv[1], weights_only=True, mmap=True)
expected = load_file(sys.argv[2])
assert type(written).__name__ == "OrderedDict" and list(written) == sorted(expected), list(written)
for name, tensor in expected.items():
    for found in [written[name], mapped[name]]:
        assert found.dtype == tensor.dtype and found.shape == tensor.shape and torch.equal(found, tensor), name
        assert found.is_contiguous() and not found.requires_grad, name
print(f"{len(written)} tensors are the same in both files")
