"""Writes data.safetensors: what PyTorch makes of lateral connections of progressive networks, with their gradients.

Per case: `theirs` and `own`, what the stages of the two columns made; the connection's tensors; `sum`, own with the connection
added; the gradients of sum(sum * cotangent). Computed in f64 and written as f32. Run: python generate.py
"""

import pathlib

import torch
from safetensors.torch import save_file

torch.manual_seed(0)
tensors = {}


def pooled(theirs, own):
    if theirs.dim() == own.dim() == 4:
        return torch.nn.functional.adaptive_avg_pool2d(theirs, own.shape[2:])
    if theirs.dim() == 4:
        return theirs.mean((2, 3))
    return theirs[:, :, None, None] if own.dim() == 4 else theirs


def case(name, theirs, own):
    theirs, own = torch.randn(theirs).double(), torch.randn(own).double()
    channel = 2 if own.dim() == 3 else 1
    inputs, outputs = theirs.shape[channel], own.shape[channel]
    layer = torch.nn.Conv2d if own.dim() == 4 else torch.nn.Linear
    kernel = (1,) if own.dim() == 4 else ()
    alpha = torch.tensor(0.7, dtype=torch.float64, requires_grad=True)
    down = layer(inputs, outputs // 2, *kernel).double()
    up = layer(outputs // 2, outputs, *kernel, bias=False).double()
    total = own + up(torch.relu(down(alpha * pooled(theirs, own))))
    cotangent = torch.randn(total.shape).double()
    (total * cotangent).sum().backward()
    learned = {"alpha": alpha, "down.weight": down.weight, "down.bias": down.bias, "up.weight": up.weight}
    inputs = {"theirs": theirs, "own": own, "sum": total, "cotangent": cotangent, **learned}
    inputs.update({f"gradient/{key}": value.grad for key, value in learned.items()})
    tensors.update({f"{name}/{key}": value.detach().float().contiguous() for key, value in inputs.items()})


case("maps", (2, 6, 5, 5), (2, 8, 5, 5))
case("smaller", (2, 6, 7, 5), (2, 8, 3, 4))
case("vectors", (3, 6), (3, 10))
case("map_to_vector", (2, 6, 4, 4), (2, 8))
case("vector_to_map", (2, 6), (2, 8, 3, 3))
case("tokens", (2, 7, 6), (2, 7, 8))
save_file(tensors, pathlib.Path(__file__).with_name("data.safetensors"), {"torch": torch.__version__})
