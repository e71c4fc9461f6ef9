"""Prints the TorchScript columns of models/README.md: every architecture in, scripted and traced, and out again.

    python tests/golden/torchscript/compare.py [NAME...]

One architecture at a time, with random weights at its own input size: Python scripts and traces its network; an ignored
test of regraft cuts both modules, runs backbone and head in evaluation and in training, and exports its own network with
the same weights; Python runs what was exported. Needs torch, torchvision, efficientnet_lite_pytorch, safetensors.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file

ROOT = pathlib.Path(__file__).parents[3]
sys.path.append(str(ROOT / "tests/golden/backbones"))
from networks import build, logits, parameters, state  # noqa: E402


def randomise(model, size):
    """Every tensor away from its start, and statistics that fit the weights."""
    for name, p in parameters(model).items():
        if p.numel() > 1 and p.min() == p.max():
            start = 0.5 if name.endswith("layer_scale") else p.flatten()[0].item()
            p.copy_(start + (0.2 if start else 0.05) * torch.randn_like(p))
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    model.train()(torch.randn(2, 3, size, size))
    for norm, momentum in zip(norms, usual):
        norm.momentum = momentum


def write(name, size, folder):
    """The modules, and what they answer; statistics are put back after every run in training mode."""
    torch.manual_seed(0)
    model = build(name, 1000, size)
    if name.startswith("inception"):
        model.aux_logits, model.AuxLogits = False, None
    randomise(model, size)
    tensors = {key: tensor.clone() for key, tensor in state(model).items()}
    images = torch.randn(2, 3, size, size)
    answers = {"compare.images": images, "compare.eval": model.eval()(images)}
    for kind in "scripted", "traced":
        try:
            module = torch.jit.script(model) if kind == "scripted" else torch.jit.trace(model, images, check_trace=False)
            module.save(str(folder / f"{kind}.pt"))
        except Exception as error:
            print(f"{name} cannot be {kind} in Python: {str(error).splitlines()[0]}", file=sys.stderr)
    answers["compare.train"] = logits(model.train(), images)
    save_file({key: tensor.contiguous() for key, tensor in (tensors | answers).items()}, folder / "weights.safetensors")
    return images, answers["compare.eval"]


def exported(folder, images, expected):
    module = torch.jit.load(folder / "exported.pt")
    extra = {"regraft.json": ""}
    torch.jit.load(folder / "exported.pt", _extra_files=extra)
    assert len(json.loads(extra["regraft.json"])["classes"]) == 1000
    error = (module(images) - expected).abs().max().item()
    return "0" if error == 0 else f"{error:.1e}"


@torch.no_grad()
def main():
    registry = json.loads((ROOT / "models/registry.json").read_text())
    sizes = {entry["architecture"]: entry["preprocessing"]["crop"] for entry in reversed(registry)}
    test = os.environ.get("REGRAFT_TEST", "cargo test --quiet --release --lib --").split()
    test += ["models::torchscript::tests::compare", "--ignored", "--nocapture"]
    for name in sys.argv[1:] or reversed(sizes):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            images, expected = write(name, sizes[name], folder)
            environment = os.environ | {"REGRAFT_COMPARE": str(folder), "REGRAFT_NAME": name}
            run = subprocess.run(test, cwd=ROOT, env=environment, text=True, capture_output=True)
            rows = [line for line in run.stdout.splitlines() if line.startswith("|")]
            if rows:
                print(rows[0], exported(folder, images, expected), "|", flush=True)
            else:
                print(name, run.stdout, run.stderr, flush=True)


main()
