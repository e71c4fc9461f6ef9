"""Prints the comparison in models/README.md: every architecture at its own input size, with PyTorch's random weights.

    python tests/golden/backbones/compare.py [NAME...]

One architecture at a time: Python writes weights, images, logits and gradients to a file, an ignored test of regraft
reads it and prints a row, and the file is removed. Needs torch, torchvision, efficientnet_lite_pytorch, safetensors.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file

from networks import build, logits, parameters, state

ROOT = pathlib.Path(__file__).parents[3]


def randomise(model):
    """What starts as a constant would hide mistakes: biases, norms, scales of branches."""
    for name, p in parameters(model).items():
        if p.numel() > 1 and p.min() == p.max():
            start = 0.5 if name.endswith("layer_scale") else p.flatten()[0].item()
            p.copy_(start + (0.2 if start else 0.05) * torch.randn_like(p))


def write(name, size, file):
    torch.manual_seed(0)
    batch = 2 if size < 400 else 1  # for the memory
    model = build(name, 1000, size).train()
    with torch.no_grad():
        randomise(model)
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.usual, module.momentum = module.momentum, 1.0
        model(torch.randn(batch, 3, size, size))  # statistics that fit the weights
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.momentum = module.usual
        tensors = {key: tensor.clone() for key, tensor in state(model).items()}
        images = torch.randn(batch, 3, size, size)
        evaluated = model.eval()(images)
    trained = logits(model.train(), images)
    cotangent = torch.randn_like(trained)
    (trained * cotangent).sum().backward()
    tensors |= {"compare.images": images, "compare.eval": evaluated, "compare.train": trained.detach(),
                "compare.cotangent": cotangent}
    tensors |= {f"compare.gradient.{key}": p.grad for key, p in parameters(model).items()}
    save_file({key: tensor.contiguous() for key, tensor in tensors.items()}, file)


def main():
    registry = json.loads((ROOT / "models/registry.json").read_text())
    sizes = {entry["architecture"]: entry["preprocessing"]["crop"] for entry in reversed(registry)}
    test = ["cargo", "test", "--quiet", "--release", "--lib", "models::goldens", "--", "--ignored", "--nocapture"]
    for name in sys.argv[1:] or reversed(sizes):
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / f"{name}.safetensors"
            write(name, sizes[name], file)
            run = subprocess.run(test, cwd=ROOT, env=os.environ | {"REGRAFT_COMPARE": str(file)}, text=True,
                                 capture_output=True)
        rows = [line for line in run.stdout.splitlines() if line.startswith("|")]
        print("\n".join(rows) or run.stdout + run.stderr, flush=True)


main()
