"""Makes data.safetensors: what torchvision's transforms, on Pillow images, do to small pictures.

Needs torch, torchvision, Pillow and safetensors; run: python tests/golden/transforms/generate.py
"""

import json
import pathlib

import numpy
import PIL
import torch
import torchvision
from PIL import Image
from safetensors.torch import save_file
from torchvision.transforms import InterpolationMode, functional
from torchvision.transforms.autoaugment import RandAugment, _apply_op

INTERPOLATIONS = {"bilinear": InterpolationMode.BILINEAR, "bicubic": InterpolationMode.BICUBIC}


def picture(width, height, seed):
    """Slopes, waves, an edge and noise, as in photographs."""
    rng = numpy.random.default_rng(seed)
    y, x = numpy.mgrid[0:height, 0:width]
    channels = []
    for _ in range(3):
        fx, fy, phase = rng.uniform(0.02, 0.6, 3)
        wave = 120 + 90 * numpy.sin(fx * x + fy * y + 6 * phase) + rng.uniform(-1, 1) * x
        wave[x + 2 * y > width] += rng.uniform(-90, 90)
        channels.append(wave + rng.normal(0, 8, wave.shape))
    return Image.fromarray(numpy.stack(channels, -1).clip(0, 255).astype("uint8"))


def tensor(image):
    return torch.from_numpy(numpy.array(image))


tensors = {}

# Evaluation: "evaluation/NUMBER/INTERPOLATION/RESIZE/CROP" beside "evaluation/NUMBER".
for number, (width, height) in enumerate([(97, 61), (60, 90), (31, 83)]):
    image = picture(width, height, number)
    tensors[f"evaluation/{number}"] = tensor(image)
    for name, interpolation in INTERPOLATIONS.items():
        for resize, crop in [(40, 32), (66, 40), (33, 33)]:
            out = functional.resize(image, resize, interpolation, antialias=True)
            tensors[f"evaluation/{number}/{name}/{resize}/{crop}"] = tensor(functional.center_crop(out, crop))

# Crops for training: "region/INTERPOLATION/LEFT/TOP/WIDTH/HEIGHT", of "evaluation/0".
image = picture(97, 61, 0)
for left, top, width, height in [(0, 0, 97, 61), (11, 7, 50, 40), (60, 30, 17, 21), (5, 3, 24, 24)]:
    for name, interpolation in INTERPOLATIONS.items():
        out = functional.resized_crop(image, top, left, height, width, [24, 24], interpolation, antialias=True)
        tensors[f"region/{name}/{left}/{top}/{width}/{height}"] = tensor(out)

# RandAugment: "operation/NUMBER/MAGNITUDE/SIGN", of "operation".
image = picture(22, 18, 9)
tensors["operation"] = tensor(image)
space = RandAugment()._augmentation_space(31, (18, 22))
for number, (name, (magnitudes, signed)) in enumerate(space.items()):
    for magnitude in [9, 30] if magnitudes.ndim > 0 else [0]:
        for sign in [1, -1] if signed else [1]:
            value = sign * float(magnitudes[magnitude]) if magnitudes.ndim > 0 else 0.0
            out = _apply_op(image, name, value, InterpolationMode.NEAREST, None)
            tensors[f"operation/{number}/{magnitude}/{sign}"] = tensor(out)

# The hue: "hue/THOUSANDTHS", of "operation".
for turn in [-500, -100, 37, 250, 500]:
    tensors[f"hue/{turn}"] = tensor(functional.adjust_hue(image, turn / 1000))

versions = {"torch": torch.__version__, "torchvision": torchvision.__version__, "Pillow": PIL.__version__}
target = pathlib.Path(__file__).with_name("data.safetensors")
save_file(tensors, target, metadata=versions)
print(json.dumps(versions), len(tensors), "tensors,", target.stat().st_size, "bytes")
