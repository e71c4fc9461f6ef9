"""Writes data.safetensors: what torch.optim makes of four small tensors in 1, 50 and 100 steps of fixed gradients.

Names are RULE/STEPS/PARAMETER. Run: python generate.py
"""

import pathlib

import torch
from safetensors.torch import save_file

SHAPES = {"head.weight": (3, 4), "head.bias": (3,), "body.weight": (4, 5), "body.bias": (4,)}
LR = 0.02
DECAY = 0.05
RULES = {
    "sgd": lambda groups: torch.optim.SGD(groups, lr=LR, momentum=0.9, nesterov=True),
    "adamw": lambda groups: torch.optim.AdamW(groups, lr=LR, betas=(0.9, 0.99), eps=1e-6),
}


def start(shape):
    count = torch.Size(shape).numel()
    return torch.tensor([(5 * i % 11 - 5) / 10 for i in range(count)]).reshape(shape)


def gradient(shape, step):
    count = torch.Size(shape).numel()
    return torch.tensor([((7 * step + 13 * i) % 17 - 8) / 16 for i in range(count)]).reshape(shape)


tensors = {}
for rule, optimizer_of in RULES.items():
    parameters = {name: torch.nn.Parameter(start(shape)) for name, shape in SHAPES.items()}
    optimizer = optimizer_of(
        [
            {
                "params": [parameter],
                "lr": LR * (0.1 if name.startswith("body") else 1),
                "weight_decay": DECAY if parameter.dim() > 1 else 0,
            }
            for name, parameter in parameters.items()
        ]
    )
    for step in range(100):
        for parameter in parameters.values():
            parameter.grad = gradient(parameter.shape, step)
        optimizer.step()
        if step + 1 in (1, 50, 100):
            tensors |= {f"{rule}/{step + 1}/{name}": p.detach().clone() for name, p in parameters.items()}

save_file(tensors, pathlib.Path(__file__).with_name("data.safetensors"), metadata={"torch": torch.__version__})
