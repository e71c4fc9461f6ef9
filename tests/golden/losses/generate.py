"""Writes data.safetensors: inputs of the losses in src/loss, their values, and the gradients that autograd finds.

Inputs are f32, values and gradients are computed from them in f64. Names are LOSS/CASE/WHAT. Run: python generate.py
"""

import pathlib

import numpy
import torch
from safetensors.torch import save_file

torch.manual_seed(0)
tensors = {}


def leaf(values):
    return values.double().requires_grad_()


def normal(*shape, scale=1.0):
    return scale * torch.randn(*shape)


def keep(name, inputs, value, gradients):
    """Stores the inputs, the value, and its gradient to each of the named leaves."""
    value.backward()
    tensors.update({f"{name}/{what}": tensor.clone() for what, tensor in inputs.items()})
    tensors[f"{name}/value"] = value.detach()
    tensors.update({f"{name}/gradient/{what}": tensor.grad for what, tensor in gradients.items()})


def distillation(name, count, classes, temperature, scale):
    """The divergence as the sum of p (ln p - ln q) over softmaxes written out."""
    new, old = normal(count, classes, scale=scale), normal(count, classes, scale=scale)
    z = leaf(new)
    soften = lambda logits: (logits / temperature).exp() / (logits / temperature).exp().sum(1, keepdim=True)
    p, q = soften(old.double()), soften(z)
    value = temperature**2 * (p * (p.log() - q.log())).sum() / count
    inputs = {"new": new, "old": old, "temperature": torch.tensor(temperature, dtype=torch.float64)}
    keep(f"distillation/{name}", inputs, value, {"new": z})


def starting_point(name, alpha, beta):
    """Two copied layers, one of them with a frozen bias, and a new head."""
    start = {"body.weight": normal(4, 5), "body.bias": normal(4), "stem.weight": normal(3, 2, 3, 3)}
    now = {layer: tensor + normal(*tensor.shape, scale=0.1) for layer, tensor in start.items()}
    now |= {"head.weight": normal(3, 4), "head.bias": normal(3)}
    frozen = {"body.bias"}
    leaves = {layer: leaf(tensor) for layer, tensor in now.items() if layer not in frozen}
    value = torch.zeros((), dtype=torch.float64)
    for layer, tensor in leaves.items():
        difference = (tensor - start[layer].double()) if layer in start else tensor
        value = value + (alpha if layer in start else beta) / 2 * difference.pow(2).sum()
    inputs = {f"start/{layer}": tensor for layer, tensor in start.items()}
    inputs |= {f"now/{layer}": tensor for layer, tensor in now.items()}
    inputs |= {"strengths": torch.tensor([alpha, beta], dtype=torch.float64)}
    keep(f"starting_point/{name}", inputs, value, leaves)


def features(name, shapes, weighted):
    """Stages one by one, channels one by one."""
    value, inputs, leaves = torch.zeros((), dtype=torch.float64), {}, {}
    for stage, shape in enumerate(shapes):
        new, old = normal(*shape), normal(*shape)
        count, channels = shape[:2]
        positions = numpy.prod(shape[2:], dtype=int)
        attention = torch.softmax(normal(channels), 0) if weighted else torch.full((channels,), 1 / channels)
        z = leaf(new)
        for channel in range(channels):
            distance = (z[:, channel] - old[:, channel].double()).pow(2).sum() / positions
            weight = attention[channel].double() if weighted else 1 / channels
            value = value + 0.5 * weight * distance / count
        inputs |= {f"{stage}/new": new, f"{stage}/old": old, f"{stage}/attention": attention}
        leaves[f"{stage}"] = z
    keep(f"features/{name}", inputs, value, leaves)


def uncertainty(name, tasks):
    """1/sigma^2 L + ln sigma, with sigma = exp(s/2)."""
    losses, log_variances = torch.rand(tasks) * 3, normal(tasks)
    of_losses, s = leaf(losses), leaf(log_variances)
    sigma = (s / 2).exp()
    value = (of_losses / sigma.pow(2) + sigma.log()).sum()
    inputs = {"losses": losses, "log_variances": log_variances}
    keep(f"uncertainty/{name}", inputs, value, {"losses": of_losses, "log_variances": s})


def grad_norm(name, tasks, alpha):
    """Norms of gradients of weighted losses of a linear layer that all tasks share, as autograd finds them."""
    layer = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    images = torch.randn(8, 4, dtype=torch.float64)
    losses = [(images @ layer.T * (task + 1) - torch.randn(8, 5, dtype=torch.float64)).pow(2).mean() for task in range(tasks)]
    first = torch.stack(losses).detach() * (1 + torch.rand(tasks, dtype=torch.float64))
    weights = leaf(torch.rand(tasks) + 0.5)
    norm_of = lambda loss, graph: torch.autograd.grad(loss, layer, create_graph=graph, retain_graph=True)[0].norm()
    weighted = torch.stack([norm_of(weight * loss, True) for weight, loss in zip(weights, losses)])
    rates = torch.stack(losses).detach() / first
    target = (weighted.mean() * (rates / rates.mean()) ** alpha).detach()
    value = (weighted - target).abs().sum()
    inputs = {
        "weights": weights.detach(),
        "norms": torch.stack([norm_of(loss, False) for loss in losses]),
        "losses": torch.stack(losses).detach(),
        "first_losses": first,
        "alpha": torch.tensor(alpha, dtype=torch.float64),
    }
    keep(f"grad_norm/{name}", inputs, value, {"weights": weights})


def ranking(name, count, classes, margin):
    """Image by image and class by class; in f64, with labels that come more than once."""
    scores, labels = normal(count, classes), torch.arange(count) % (classes - 1)
    z = leaf(scores)
    value = torch.zeros((), dtype=torch.float64)
    for image, label in enumerate(labels.tolist()):
        close = [margin + z[image, other] - z[image, label] for other in range(classes) if other != label]
        close = [loss for loss in close if loss > 0]
        if not close:
            continue
        if name == "hardest":
            value = value + max(close)
        elif name == "sum":
            value = value + sum(close)
        else:
            value = value + sum(1 / rank for rank in range(1, len(close) + 1)) / len(close) * sum(close)
    inputs = {"scores": scores, "labels": labels, "margin": torch.tensor(margin, dtype=torch.float64)}
    keep(f"ranking/{name}", inputs, value / count, {"scores": z})


def gradient_penalty(name, count, width, hidden):
    """Slopes of a critic of two layers, point by point."""
    x, first, last = normal(count, width), normal(hidden, width), normal(1, hidden)
    one, two = leaf(first), leaf(last)
    value = torch.zeros((), dtype=torch.float64)
    for row in x.double():
        point = row.clone().requires_grad_()
        judged = (two @ torch.tanh(one @ point)).squeeze()
        slope = torch.autograd.grad(judged, point, create_graph=True)[0]
        value = value + (slope.norm() - 1) ** 2 / count
    keep(f"gradient_penalty/{name}", {"x": x, "first": first, "last": last}, value, {"first": one, "last": two})


distillation("warm", 6, 5, 2.0, 2.0)
distillation("hot", 4, 9, 20.0, 6.0)
distillation("plain", 3, 2, 1.0, 4.0)
starting_point("both", 0.1, 0.01)
starting_point("strong", 5.0, 0.0)
features("maps", [(3, 4, 5, 6), (3, 8, 2, 2)], weighted=False)
features("weighted", [(3, 4, 5, 6), (3, 7)], weighted=True)
features("vectors", [(5, 6)], weighted=False)
uncertainty("three", 3)
uncertainty("one", 1)
grad_norm("two", 2, 1.5)
grad_norm("four", 4, 0.5)
grad_norm("even", 3, 0.0)
ranking("hardest", 9, 6, 0.7)
ranking("sum", 9, 6, 0.7)
ranking("weighted", 9, 6, 0.7)
gradient_penalty("critic", 6, 4, 5)
versions = {"torch": torch.__version__, "numpy": numpy.__version__}
save_file(tensors, pathlib.Path(__file__).with_name("data.safetensors"), metadata=versions)
