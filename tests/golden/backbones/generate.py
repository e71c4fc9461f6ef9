"""Writes data.json: what Python's networks answer for weights and images that a formula makes.

    python generate.py                 the goldens of src/models/goldens.rs
    python generate.py compare FOLDER  for every architecture at its own size, with weights too large to commit: state
                                       dict, images and logits as safetensors, for the ignored test there

Needs torch, torchvision, efficientnet_lite_pytorch, safetensors.
"""

import json
import math
import pathlib
import sys
import warnings

import numpy as np
import torch
import torchvision
from efficientnet_lite_pytorch import EfficientNet

warnings.filterwarnings("ignore")
CLASSES, IMAGES, COTANGENT, PROBE = 10, 1000, 2000, 5000
CASES = [("resnet18", 64, 4), ("resnet50", 64, 4), ("resnet18", 224, 2),
         ("efficientnet_lite0", 96, 4), ("efficientnet_lite0", 65, 4), ("efficientnet_lite0", 224, 2)]
GROUPS = [1, 2, 2, 3, 3, 4, 1]  # blocks per stage of lite0


def noise(seed, count):
    """`count` numbers in -1..1 from integer arithmetic alone: the same in every language."""
    x = (np.arange(count, dtype=np.uint64) * 2654435761 + (seed + 1) * 40503 * 65537) & 0xFFFFFFFF
    for _ in range(2):
        x = ((x ^ (x >> 16)) * 0x45D9F3B) & 0xFFFFFFFF
    return (x ^ (x >> 16)).astype(np.float64) / 2**31 - 1


def value(name, number, tensor):
    u = noise(number, tensor.numel())
    if name.endswith("num_batches_tracked"):
        u = np.full(1, 3.0)
    elif name.endswith("running_mean") or name.endswith("bias"):
        u = 0.2 * u
    elif name.endswith("running_var"):
        u = 1 + 0.5 * u
    elif tensor.dim() == 1:
        u = 0.6 + 0.2 * u
    else:
        u = u * math.sqrt(6 * tensor.shape[0] / tensor.numel())
    return torch.from_numpy(u).reshape(tensor.shape).to(tensor.dtype)


def build(name, classes, **options):
    if name.startswith("resnet"):
        return getattr(torchvision.models, name)(num_classes=classes)
    return EfficientNet.from_name(name.replace("_lite", "-lite"), num_classes=classes, drop_connect_rate=0.0,
                                  dropout_rate=0.0, **options)


def stage(name):
    """The stage of a tensor, or None for the head's."""
    first, *rest = name.split(".")
    if first in ("conv1", "bn1", "_conv_stem", "_bn0"):
        return "stem"
    if first in ("_conv_head", "_bn1"):
        return "last"
    if first == "_blocks":
        ends = np.cumsum(GROUPS)
        return f"stage{1 + int(np.searchsorted(ends, int(rest[0]), side='right'))}"
    return None if first in ("fc", "_fc") else first


def summary(tensors, numbers):
    """Per stage: the norm of its tensors and their product with noise."""
    sums = {}
    for name, tensor in tensors.items():
        if stage(name):
            t = tensor.detach().double().flatten().numpy()
            s = sums.setdefault(stage(name), [0.0, 0.0])
            s[0] += float((t * t).sum())
            s[1] += float((t * noise(PROBE + numbers[name], t.size)).sum())
    return {name: [math.sqrt(square), product] for name, (square, product) in sums.items()}


def golden(name, size, batch):
    options = {} if name.startswith("resnet") else {"image_size": size}
    model = build(name, CLASSES, **options)
    state = model.state_dict()
    numbers = {key: number for number, key in enumerate(sorted(state))}
    before = {key: value(key, numbers[key], tensor) for key, tensor in state.items()}
    model.load_state_dict(before)
    before = {key: tensor.clone() for key, tensor in before.items()}
    x = torch.from_numpy(1.5 * noise(IMAGES, batch * 3 * size * size)).float().reshape(batch, 3, size, size)
    with torch.no_grad():
        evaluated = model.eval()(x)
    trained = model.train()(x)
    weights = torch.from_numpy(noise(COTANGENT, trained.numel())).float().reshape(trained.shape)
    (trained * weights).sum().backward()
    after = model.state_dict()
    moved = {key: after[key] - before[key] for key in after if "running_" in key}
    return {
        "name": name, "size": size, "batch": batch,
        "eval_logits": evaluated.flatten().tolist(), "train_logits": trained.flatten().tolist(),
        "gradients": summary({key: p.grad for key, p in model.named_parameters()}, numbers),
        "statistics_moved": summary(moved, numbers),
    }


def compare(folder):
    from safetensors.torch import save_file

    sizes = {f"efficientnet_lite{i}": size for i, size in enumerate([224, 240, 260, 280, 300])}
    sizes |= {f"resnet{depth}": 224 for depth in (18, 34, 50, 101, 152)}
    folder.mkdir(parents=True, exist_ok=True)
    for number, (name, size) in enumerate(sizes.items()):
        torch.manual_seed(number)
        model = build(name, 1000).train()
        with torch.no_grad():
            for _ in range(8):  # statistics that fit the weights
                for module in model.modules():
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.momentum = 0.3
                model(torch.randn(4, 3, size, size))
            x = torch.randn(4, 3, size, size)
            tensors = {key: tensor.clone() for key, tensor in model.state_dict().items()}
            tensors |= {"compare.images": x, "compare.eval": model.eval()(x), "compare.train": model.train()(x)}
        save_file(tensors, folder / f"{name}.safetensors")
        print(name, sum(p.numel() for p in model.parameters()), "parameters")


if sys.argv[1:2] == ["compare"]:
    compare(pathlib.Path(sys.argv[2]))
else:
    data = {"torch": torch.__version__, "torchvision": torchvision.__version__, "cases": [golden(*case) for case in CASES]}
    text = json.dumps(data).replace('{"name"', '\n{"name"')
    pathlib.Path(__file__).with_name("data.json").write_text(text + "\n")
