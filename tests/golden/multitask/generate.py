"""Writes data.safetensors: steps of multitask training, written out in PyTorch.

Two tasks on small_cnn, with a first convolution and a head each; one batch, three steps of plain gradient descent with each
rule for the weights of the losses. Weights and images are fractions of sines, so that they need not be kept. Names are
RULE/WHAT. Run: python generate.py
"""

import pathlib

import torch
from safetensors.torch import save_file
from torch.nn.functional import conv2d, cross_entropy, linear, max_pool2d, relu

RATE, GRADNORM_RATE, EXPONENT = 0.001, 0.1, 1.5
CLASSES = {"left": 3, "right": 2}
IMAGES = {"left": 4, "right": 6}
SHAPES = {
    "conv1": (16, 3, 5, 5),
    "conv2": (32, 16, 3, 3),
    "conv3": (48, 32, 3, 3),
    "conv4": (64, 48, 3, 3),
    "conv5": (64, 64, 3, 3),
    "fc6": (128, 576),
}
KEPT = ["conv1", "fc7"]


def noise(shape, speed, scale):
    """The fractions of large sines: they look random, and need not be kept."""
    count = torch.Size(shape).numel()
    values = (torch.arange(1, count + 1, dtype=torch.float64) * speed).sin() * 10000
    return ((values - values.floor()) * 2 * scale - scale).reshape(shape).float()


def parameters():
    """Every tensor by its name in our network; the speed of its sine is 1 and a tenth of its number in the order of names."""
    shapes = {}
    for layer, shape in SHAPES.items():
        owners = [f"tasks.{task}." for task in CLASSES] if layer == "conv1" else [""]
        for owner in owners:
            shapes |= {f"{owner}{layer}.weight": shape, f"{owner}{layer}.bias": shape[:1]}
    for task, classes in CLASSES.items():
        shapes |= {f"tasks.{task}.fc7.weight": (classes, 128), f"tasks.{task}.fc7.bias": (classes,)}
    values = {}
    for number, name in enumerate(sorted(shapes)):
        shape = shapes[name]
        fan_in = torch.Size(shape[1:]).numel()
        scale = (6.0 / fan_in) ** 0.5 if len(shape) > 1 else 0.1
        values[name] = noise(shape, 1.0 + 0.1 * number, scale).requires_grad_()
    return values


def logits(p, task, x):
    layer = lambda x, name: relu(conv2d(x, p[f"{name}.weight"], p[f"{name}.bias"], padding="same"))
    x = max_pool2d(layer(x, f"tasks.{task}.conv1"), 2)
    x = max_pool2d(layer(layer(x, "conv2"), "conv3"), 2)
    x = max_pool2d(layer(layer(x, "conv4"), "conv5"), 2)
    x = relu(linear(x.flatten(1), p["fc6.weight"], p["fc6.bias"]))
    return linear(x, p[f"tasks.{task}.fc7.weight"], p[f"tasks.{task}.fc7.bias"])


def gradnorm(losses, weights, first, shared):
    """Chen et al. 2018, algorithm 1, by autograd; the step is relative to the mean norm."""
    norms = torch.stack([torch.autograd.grad(loss, shared, retain_graph=True)[0].norm() for loss in losses]).double()
    w = weights.clone().requires_grad_()
    shares = torch.stack(losses).detach().double() / first
    target = ((w * norms).mean() * (shares / shares.mean()) ** EXPONENT).detach()
    (slope,) = torch.autograd.grad((w * norms - target).abs().sum(), w)
    stepped = (weights - GRADNORM_RATE * slope / norms.mean()).clamp_min(0)
    return stepped / stepped.sum() * len(losses)


tensors = {}
images = {task: noise((count, 3, 28, 28), 0.7 + len(task), 1.5) for task, count in IMAGES.items()}
labels = {task: torch.arange(count) % CLASSES[task] for task, count in IMAGES.items()}
for rule in ["fixed", "uncertainty", "gradnorm"]:
    p = parameters()
    log_variances = torch.zeros(2, requires_grad=True)
    weights, first = torch.ones(2, dtype=torch.float64), None
    steps = []
    for step in range(3):
        losses = [cross_entropy(logits(p, task, images[task]), labels[task]) for task in CLASSES]
        if rule == "fixed":
            total = 0.5 * losses[0] + 2.0 * losses[1]
        elif rule == "uncertainty":
            total = sum((-s).exp() * loss + s / 2 for s, loss in zip(log_variances, losses))
        else:
            total = sum(w.item() * loss for w, loss in zip(weights, losses))
            first = torch.stack(losses).detach().double() if first is None else first
            weights = gradnorm(losses, weights, first, p["fc6.weight"])
        total.backward()
        steps.append(torch.stack([total, *losses]).detach())
        if step == 0:
            for name, tensor in p.items():
                whole = any(layer in name for layer in KEPT)
                tensors[f"{rule}/gradient/{name}"] = tensor.grad.clone() if whole else tensor.grad.flatten()[:64].clone()
        with torch.no_grad():
            for tensor in [*p.values(), log_variances]:
                if tensor.grad is not None:
                    tensor -= RATE * tensor.grad
                    tensor.grad = None
    tensors[f"{rule}/losses"] = torch.stack(steps)
    tensors[f"{rule}/state"] = {"fixed": torch.zeros(2), "uncertainty": log_variances.detach(), "gradnorm": weights}[rule]

metadata = {"torch": torch.__version__}
save_file(tensors, pathlib.Path(__file__).with_name("data.safetensors"), metadata)
for rule in ["fixed", "uncertainty", "gradnorm"]:
    print(rule, tensors[f"{rule}/losses"].tolist(), tensors[f"{rule}/state"].tolist())
