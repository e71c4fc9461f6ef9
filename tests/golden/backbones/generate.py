"""Writes data.json: what Python's networks answer for weights and images that a formula makes.

In float64, where the order in which a processor adds does not show: in float32 it moves gradients of small batches by 0.3 %.

Needs torch, torchvision, efficientnet_lite_pytorch.
"""

import json
import math
import pathlib

import numpy as np
import torch
import torchvision

from networks import build, logits, parameters, state

CLASSES, IMAGES, COTANGENT, PROBE = 10, 1000, 2000, 5000
PERIOD = 1_000_003  # after so many numbers the formula repeats itself
CASES = [("resnet18", 64, 4), ("resnet50", 64, 4), ("resnet18", 224, 2),
         ("efficientnet_lite0", 96, 4), ("efficientnet_lite0", 65, 4), ("efficientnet_lite0", 224, 2),
         ("resnext50_32x4d", 64, 4), ("wide_resnet50_2", 64, 2), ("efficientnet_b0", 64, 4), ("mobilenet_v2", 64, 4),
         ("mobilenet_v3_small", 64, 4), ("convnext_tiny", 64, 2), ("densenet121", 64, 4), ("inception_v3", 96, 4),
         ("vgg11_bn", 33, 4), ("alexnet", 80, 4), ("squeezenet1_1", 64, 4), ("vit_b_16", 224, 2)]


def noise(seed, count):
    """At most a period of numbers in -1..1 from integer arithmetic alone: the same in every language."""
    x = (np.arange(min(count, PERIOD), dtype=np.uint64) * 2654435761 + (seed + 1) * 40503 * 65537) & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (x ^ (x >> 16)).astype(np.float64) / 2**31 - 1


def filled(numbers, shape, dtype=torch.float64):
    """The numbers over and over again."""
    numbers = torch.from_numpy(numbers).to(dtype).numpy()
    return torch.from_numpy(np.resize(numbers, shape))


def value(name, number, tensor):
    u, last = noise(number, tensor.numel()), name.rsplit(".")[-1]
    if last == "num_batches_tracked":
        u = np.full(1, 3.0)
    elif last in ("running_mean", "bias"):
        u = 0.2 * u
    elif last == "running_var":
        u = 1 + 0.5 * u
    elif last == "layer_scale":
        u = 0.5 + 0.2 * u
    elif last in ("class_token", "pos_embedding"):
        u = 0.2 * u
    elif tensor.dim() == 1:
        u = 0.6 + 0.2 * u
    else:
        u = u * math.sqrt(6 * tensor.shape[0] / tensor.numel())
    return filled(u, tensor.shape, tensor.dtype)


def part(name):
    """The layer or block of a tensor: its path without its own name, two steps of it."""
    return ".".join(name.split(".")[:-1][:2]) or name


def summary(tensors, numbers):
    """Per layer or block: the norm of its tensors, and the product of their first numbers with noise."""
    sums = {}
    for name, tensor in tensors.items():
        t = tensor.detach().flatten()
        s = sums.setdefault(part(name), [0.0, 0.0])
        s[0] += torch.linalg.vector_norm(t, dtype=torch.float64).item() ** 2
        probe = torch.from_numpy(noise(PROBE + numbers[name], t.numel()))
        s[1] += t[:len(probe)].double().dot(probe).item()
    return {name: [math.sqrt(square), product] for name, (square, product) in sums.items()}


def golden(name, size, batch):
    torch.manual_seed(0)
    model = build(name, CLASSES, size).double()
    before = state(model)
    numbers = {key: number for number, key in enumerate(sorted(before))}
    before = {key: value(key, numbers[key], tensor) for key, tensor in before.items()}
    model.load_state_dict(before, strict=False)
    x = filled(1.5 * noise(IMAGES, batch * 3 * size * size), (batch, 3, size, size))
    with torch.no_grad():
        evaluated = model.eval()(x)
    trained = logits(model.train(), x)
    (trained * filled(noise(COTANGENT, trained.numel()), trained.shape)).sum().backward()
    after = state(model)
    moved = {key: after[key] - before[key] for key in after if "running_" in key}
    print(f"{name} at {size}: logits up to {evaluated.abs().max():.3g} and {trained.abs().max():.3g}")
    return {
        "name": name, "size": size, "batch": batch,
        "eval_logits": evaluated.flatten().tolist(), "train_logits": trained.flatten().tolist(),
        "gradients": summary({key: p.grad for key, p in parameters(model).items()}, numbers),
        "statistics_moved": summary(moved, numbers),
    }


if __name__ == "__main__":
    data = {"torch": torch.__version__, "torchvision": torchvision.__version__, "cases": [golden(*case) for case in CASES]}
    text = json.dumps(data).replace('{"name"', '\n{"name"')
    pathlib.Path(__file__).with_name("data.json").write_text(text + "\n")
