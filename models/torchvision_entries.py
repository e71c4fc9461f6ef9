"""Prints registry entries of all torchvision weights whose network regraft builds: python models/torchvision_entries.py

Everything but the licence and the papers comes from torchvision's own descriptions of its weights. Needs torchvision.
"""

import json
import re

from torchvision import models

PAPERS = {
    "efficientnet": "1905.11946", "mobilenet_v2": "1801.04381", "mobilenet_v3": "1905.02244", "resnet": "1512.03385",
    "resnext": "1611.05431", "wide_resnet": "1605.07146", "convnext": "2201.03545", "densenet": "1608.06993",
    "inception": "1512.00567", "vgg": "1409.1556", "alexnet": "1404.5997", "squeezenet": "1602.07360",
    "vit": "2010.11929", "swag": "2201.08371",
}
NAMES = [
    *(f"efficientnet_b{i}" for i in range(8)), "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large",
    *(f"resnet{depth}" for depth in (18, 34, 50, 101, 152)), "resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d",
    "wide_resnet50_2", "wide_resnet101_2", *(f"convnext_{size}" for size in ("tiny", "small", "base", "large")),
    *(f"densenet{depth}" for depth in (121, 169, 161, 201)), "inception_v3",
    *(f"vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")), "alexnet", "squeezenet1_0",
    "squeezenet1_1", "vit_b_16",
]


def suffix(weights):
    """Of the name: nothing for the first version."""
    return "" if weights.name == "IMAGENET1K_V1" else "_" + weights.name.lower().removeprefix("imagenet1k_")


def licence(weights):
    """Weights that torchvision took over with their own licence say so."""
    return "CC-BY-NC-4.0" if "SWAG" in weights.name else "BSD-3-Clause"


def paper(name, weights):
    return PAPERS["swag"] if "SWAG" in weights.name else next(PAPERS[key] for key in PAPERS if name.startswith(key))


def entry(name, weights):
    transforms, inception = weights.transforms(), name.startswith("inception")
    return {
        "name": name + suffix(weights),
        "architecture": name,
        "origin": {"kind": "url", "url": weights.url},
        "sha256": re.search(r"-([0-9a-f]{8})\.pth$", weights.url)[1],
        "licence": licence(weights),
        "paper": "https://arxiv.org/abs/" + paper(name, weights),
        "parameters": parameters(name, weights),
        "preprocessing": {
            "resize": transforms.resize_size[0],
            "crop": transforms.crop_size[0],
            "interpolation": transforms.interpolation.value,
            # inception's `transform_input` turns torchvision's usual mean and deviation into these
            "mean": [0.5] * 3 if inception else transforms.mean,
            "std": [0.5] * 3 if inception else transforms.std,
        },
        "published_top1": weights.meta["_metrics"]["ImageNet-1K"]["acc@1"],
        "published_at": "https://docs.pytorch.org/vision/stable/models.html",
        "classes": len(weights.meta["categories"]),
    }


def parameters(name, weights):
    """Without Inception's auxiliary classifier, which regraft leaves out."""
    if not name.startswith("inception"):
        return weights.meta["num_params"]
    model = models.inception_v3(init_weights=False)
    return sum(p.numel() for key, p in model.named_parameters() if not key.startswith("AuxLogits."))


def text(entries):
    lists = re.compile(r"\[\s+([-\d.]+),\s+([-\d.]+),\s+([-\d.]+)\s+\]")
    return lists.sub(r"[\1, \2, \3]", json.dumps(entries, indent=2))


def weights_of(name):
    """With a head, and of a network whose image size is fixed those for that size."""
    usual = models.get_model_weights(name).IMAGENET1K_V1.transforms().crop_size
    fits = lambda w: not name.startswith("vit") or w.transforms().crop_size == usual
    return [w for w in models.get_model_weights(name) if w.meta["categories"] and fits(w)]


if __name__ == "__main__":
    print(text([entry(name, weights) for name in NAMES for weights in weights_of(name)]))
