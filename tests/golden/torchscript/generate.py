"""Writes TorchScript files as users bring them, and what Python computes with them: data.safetensors.

    python generate.py

Needs torch, torchvision, safetensors.
"""

import pathlib
import zipfile
from typing import Tuple

import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

HERE = pathlib.Path(__file__).parent
SIZE, CLASSES = 16, 5


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x):
        return torch.relu(self.norm(self.conv(x)) + x)


class Tiny(nn.Module):
    """A classifier with a stem, two residual blocks, and dropout before its head."""

    def __init__(self, bias=True):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(6)
        self.layer1 = nn.Sequential(Block(6), Block(6))
        self.layer2 = nn.Sequential(Block(6), Block(6))
        self.drop = nn.Dropout(0.25, inplace=True)
        self.fc = nn.Linear(6, CLASSES, bias=bias)

    def features(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        return self.layer2(self.layer1(x)).mean([2, 3])

    def forward(self, x):
        return self.fc(self.drop(self.features(x)))


class Wrapped(nn.Module):
    """Something around `Tiny`, which `finish` turns into what users have trouble with."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner


class Pair(Wrapped):
    def forward(self, x):
        y = self.inner(x)
        return y, y


class Named(Wrapped):
    def forward(self, x):
        return {"logits": self.inner(x)}


class Probabilities(Wrapped):
    def forward(self, x):
        return torch.softmax(self.inner(x), 1)


class Normalising(Wrapped):
    def forward(self, x):
        return self.inner((x - 0.5) / 0.25)


class TwoInputs(Wrapped):
    def forward(self, x, mask):
        return self.inner(x * mask)


class Convolutional(nn.Module):
    def __init__(self):
        super().__init__()
        self.last = nn.Conv2d(3, CLASSES, 1)

    def forward(self, x):
        return self.last(x).mean([2, 3])


class Foreign(Wrapped):
    def forward(self, x):
        kept = torchvision.ops.nms(x[:, 0, 0, :4], x[:, 0, 0, 4], 0.5)
        return self.inner(x[kept])


class OneAtATime(Wrapped):
    def forward(self, x):
        return self.inner.fc(self.inner.features(x).reshape(1, 6))


class Batches(nn.Module):
    """A linear layer over every position, which is no head."""

    def __init__(self):
        super().__init__()
        self.lin = nn.Linear(3, CLASSES)

    def forward(self, x):
        return self.lin(x.permute(0, 2, 3, 1)).mean([1, 2])


class Flattened(nn.Module):
    """Flattens a map as older code does, by the size of the batch; its answer branches on a setting."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.norm = nn.BatchNorm2d(6, track_running_stats=False)
        self.fc = nn.Linear(24, CLASSES)
        self.soft = False

    def forward(self, x):
        x = nn.functional.adaptive_max_pool2d(torch.relu(self.norm(self.conv(x))), 2)
        x = self.fc(x.view(x.size(0), -1))
        if self.soft:
            x = torch.softmax(x, 1)
        return x


class Restoring(nn.Module):
    """Runs code of its own when it is loaded, by whoever loads it."""

    def __init__(self):
        super().__init__()
        self.scale = 1.0

    @torch.jit.export
    def __getstate__(self):
        return self.scale, self.training

    @torch.jit.export
    def __setstate__(self, state: Tuple[float, bool]):
        print("this ran")
        self.scale, self.training = state

    def forward(self, x):
        return self.scale * x


def main():
    torch.manual_seed(0)
    model = Tiny()
    with torch.no_grad():
        for name, buffer in model.named_buffers():
            if name.endswith("running_mean"):
                buffer.normal_(0, 0.2)
            elif name.endswith("running_var"):
                buffer.uniform_(0.5, 1.5)
    x = torch.randn(4, 3, SIZE, SIZE)
    cotangent = torch.randn(4, 6)
    data = {"x": x, "cotangent": cotangent}
    state = {key: value.clone() for key, value in model.state_dict().items()}

    def write(name, module):
        path = HERE / f"{name}.pt"
        module.save(str(path))
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist() if not name.endswith(".debug_pkl")}
        with zipfile.ZipFile(path, "w") as archive:  # without the places in the source that debug_pkl remembers
            for entry, content in entries.items():
                archive.writestr(zipfile.ZipInfo(entry), content)

    write("scripted", torch.jit.script(model.eval()))
    write("scripted_train", torch.jit.script(model.train()))
    write("traced_eval", torch.jit.trace(model.eval(), x))
    traced = torch.jit.trace(model.train(), x, check_trace=False)
    model.load_state_dict(state)  # tracing has moved the statistics
    write("traced_train", traced)

    with torch.no_grad():
        data["eval_features"], data["eval_logits"] = model.eval().features(x), model(x)
    features = model.train().features(x)
    (features * cotangent).sum().backward()
    data["train_features"] = features.detach()
    for name, parameter in model.named_parameters():
        if parameter.grad is not None:
            data[f"gradient.{name}"] = parameter.grad.clone()
    for name, buffer in model.named_buffers():
        if "running" in name:
            data[f"moved.{name}"] = buffer.clone()
    model.load_state_dict(state)
    model.eval()

    for name, kind in [("pair", Pair), ("named", Named), ("probabilities", Probabilities), ("normalising", Normalising),
                       ("two_inputs", TwoInputs), ("foreign", Foreign)]:
        write(name, torch.jit.script(kind(model).eval()))
    write("convolutional", torch.jit.script(Convolutional().eval()))
    write("batches", torch.jit.script(Batches().eval()))
    write("one_at_a_time", torch.jit.trace(OneAtATime(model).eval(), x[:1]))
    write("without_bias", torch.jit.script(Tiny(bias=False).eval()))
    flattened = Flattened().eval()
    with torch.no_grad():
        data["flattened_logits"] = flattened(x)
    write("flattened", torch.jit.script(flattened))
    write("half", torch.jit.script(Tiny().half().eval()))
    write("frozen", torch.jit.freeze(torch.jit.script(Tiny().eval())))
    computed = Tiny()
    computed.fc = nn.utils.weight_norm(computed.fc)
    write("computed", torch.jit.trace(computed.eval(), x))
    write("restoring", torch.jit.script(nn.Sequential(Tiny(), Restoring()).eval()))
    save_file({key: value.contiguous() for key, value in data.items()}, HERE / "data.safetensors",
              metadata={"torch": torch.__version__})


main()
