"""Writes the checkpoint files of this folder, and `expected.safetensors` with what they hold.

Run it with torch 2.11.0, NumPy and no arguments; safetensors is written here by hand, so that no other package is needed.
A tensor `NAME` of the file `FILE` is called `FILE/NAME` in `expected.safetensors`.
"""

import collections
import json
import os
import pickle
import struct
from pathlib import Path
from typing import List, Optional

import numpy as np
import torch
from torch import nn

HERE = Path(__file__).parent
EXPECTED = {}
DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64",
    torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
    torch.complex64: "C64",
}  # fmt: skip


def save(name, obj, tensors=None, **options):
    """Saves `obj` as `name`; `tensors` is what a reader should find in it."""
    torch.save(obj, HERE / name, **options)
    for key, tensor in (tensors or {}).items():
        EXPECTED[f"{name}/{key}"] = tensor.detach().clone()  # it may be trained on below


def save_safetensors(path, tensors, metadata):
    header, chunks, start = {"__metadata__": metadata}, [], 0
    for name, tensor in sorted(tensors.items()):
        data = tensor.contiguous().flatten().view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
        offsets = [start, start + len(data)]
        header[name] = {"dtype": DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": offsets}
        chunks.append(data)
        start += len(data)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


class Malicious:
    def __reduce__(self):
        return os.system, ("touch /tmp/regraft-was-here",)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.fc = nn.Linear(4, 2)


torch.manual_seed(0)
net = Net()
state = net.state_dict()
legacy = {"_use_new_zipfile_serialization": False}

save("zip.pth", state, state)
save("legacy.pth", state, state, **legacy)
# the default is 2; 0 has no persistent ids that are not text, so torch.save cannot write it
for protocol in [1, 4, 5]:
    save(f"zip_protocol{protocol}.pth", state, state, pickle_protocol=protocol)
    save(f"legacy_protocol{protocol}.pth", state, state, pickle_protocol=protocol, **legacy)

dtypes = {str(dtype)[6:]: (torch.arange(6).reshape(2, 3) % 5).to(dtype) for dtype in DTYPES if not dtype.is_complex}
dtypes["scalar"] = torch.tensor(3.5)
dtypes["empty"] = torch.zeros(0, 3)
save("dtypes.pth", dtypes, dtypes)
save("dtypes_legacy.pth", dtypes, dtypes, **legacy)

base = torch.arange(24.0)
parameter = nn.Parameter(torch.arange(4.0))
views = {
    "whole": base, "again": base, "tail": base[20:], "every_third": base[1::3], "matrix": base.view(4, 6),
    "transposed": base.view(4, 6).t(), "block": base.view(4, 6)[1:3, 2:5], "expanded": base[5:6].expand(3, 2),
    "channels_last": torch.arange(24.0).view(1, 2, 3, 4).contiguous(memory_format=torch.channels_last),
    "parameter": parameter, "tied": parameter, "frozen": nn.Parameter(torch.ones(2), requires_grad=False),
}  # fmt: skip
save("views.pth", views, views)
save("views_legacy.pth", views, views, **legacy)

attributed = torch.ones(3)
attributed.note = "kept by a training script"
parameter_with_state = nn.Parameter(torch.ones(2))
parameter_with_state.note = 1
attributes = {"tensor": attributed, "parameter": parameter_with_state}
save("attributes.pth", attributes, attributes)

optimizer = torch.optim.AdamW(net.parameters())
net.fc(torch.ones(1, 4)).sum().backward()
optimizer.step()
state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
training = {
    "epoch": 3, "best": 0.5, "name": "run", "flags": {1, 2}, "big": 1 << 70, "bytes": b"\x00\xff", "none": None,
    "device": torch.device("cpu"), "dtype": torch.float16, "size": torch.Size([1, 2]), "rng": torch.get_rng_state(),
    "optimizer": optimizer.state_dict(), "history": [1.5, (True, -1)], "counts": collections.Counter("aab"),
}  # fmt: skip
for nest in ["state_dict", "model_state_dict", "model", "net"]:
    save(f"nested_{nest}.pth", {**training, nest: state, "model_ema": state}, state)
save("nested_legacy.pth", {**training, "state_dict": state}, state, **legacy)
save("nested_twice.pth", {"model": {"state_dict": state}, "epoch": 1}, state)
save("mixed.pth", {**state, "epoch": 1, "args": {"lr": 0.1}}, state)

for name, prefix in [("module", "module."), ("compiled", "_orig_mod."), ("both", "module._orig_mod.model.")]:
    save(f"prefix_{name}.pth", {prefix + key: tensor for key, tensor in state.items()}, state)



# TorchScript, which is read without being run: the names are those of torch.jit.load(…).state_dict()
class Part(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(4, 4, bias=False)
        self.attribute = torch.ones(4)
        self.maybe: Optional[torch.Tensor] = torch.ones(3)
        self.listed: List[torch.Tensor] = [torch.ones(1)]
        self.register_buffer("passing", torch.ones(5), persistent=False)
        self.register_buffer("none", None)
        self.register_parameter("no_parameter", None)

    def forward(self, x):
        maybe = self.maybe
        if maybe is not None:
            x = x + maybe.sum()
        return self.fc(x) + self.attribute + self.passing.sum() + self.listed[0]


class Script(nn.Module):
    def __init__(self):
        super().__init__()
        self.part = Part()
        self.again = self.part
        self.blocks = nn.ModuleList([nn.ReLU(), nn.Linear(4, 3)])
        self.named = nn.ModuleDict({"x": nn.BatchNorm1d(3)})
        self.tied = self.part.fc.weight
        self.fp16 = nn.Parameter(torch.arange(2).half())
        self.register_buffer("bf16", torch.arange(2).bfloat16())
        self.register_buffer("turned", torch.arange(6.0).view(2, 3).t())
        self.register_buffer("flags", torch.tensor([True, False]))

    def forward(self, x):
        x = self.again(self.part(x))
        for block in self.blocks:
            x = block(x)
        x = self.named["x"](x)
        return torch.ops.regraft_golden.twice(x) + self.tied.sum()


library = torch.library.Library("regraft_golden", "DEF")
library.define("twice(Tensor x) -> Tensor")
library.impl("twice", lambda x: 2 * x, "CompositeExplicitAutograd")
facts = {}


def save_script(name, module, **options):
    """Saves `module` and notes what `torch.jit.load` says of it, and its classes before saving changes their names."""
    torch.jit.save(module, str(HERE / name), **options)
    loaded = torch.jit.load(str(HERE / name))
    EXPECTED.update({f"{name}/{key}": tensor.detach().clone() for key, tensor in loaded.state_dict().items()})
    facts[name] = {
        "parameters": [key for key, _ in loaded.named_parameters(remove_duplicate=False)],
        "buffers": [key for key, _ in loaded.named_buffers(remove_duplicate=False)],
        "modules": [
            [path, part._c._type().qualified_name(), part.training]
            for path, part in module.named_modules(remove_duplicate=False)
        ],
    }


torch.manual_seed(1)
script = Script()
script.named["x"].eval()
save_script("scripted.pt", torch.jit.script(script), _extra_files={"classes.txt": "cat\ndog", "raw.bin": b"\x00\xff"})
save_script("traced.pt", torch.jit.trace(nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2)).eval(), torch.ones(1, 3, 2, 2)))
(HERE / "scripts.json").write_text(json.dumps(facts, indent=1) + "\n")

arrays = {"f8": np.arange(6.0).reshape(2, 3), "f4": np.arange(3, dtype="<f4"), "f2": np.arange(3, dtype="<f2")}
arrays |= {name: np.arange(4).astype(f"<{name}") for name in ["i8", "i4", "i2", "i1", "u1"]}
arrays |= {"bool": np.array([True, False]), "c8": np.arange(2).astype("<c8")}
arrays |= {"columns": np.asfortranarray(np.arange(24.0).reshape(2, 3, 4)), "scalar": np.float32(1.5), "empty": np.zeros((0, 3))}
for name, write in [("stored.npz", np.savez), ("deflated.npz", np.savez_compressed)]:
    write(HERE / name, **arrays, layer_1_text=np.array(["a"]))
    EXPECTED.update({f"{name}/{key}": torch.tensor(np.ascontiguousarray(a).reshape(a.shape)) for key, a in arrays.items()})

# what must be refused
np.savez(HERE / "objects.npz", fine=np.ones(1), odd=np.array([{"a": 1}, None], dtype=object))
np.savez(HERE / "big_endian.npz", w=np.ones(2, dtype=">f4"))
np.save(HERE / "single.npy", np.ones(2))
exported = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),))
torch.export.save(exported, HERE / "exported.pt2")
save("whole_module.pth", net)
save("whole_module_legacy.pth", net, **legacy)
save("malicious.pth", Malicious())
save("malicious_nested.pth", {"state_dict": state, "extra": Malicious()})
save("malicious_legacy.pth", Malicious(), **legacy)
save("bare_tensor.pth", torch.ones(2))
save("no_tensors.pth", {"epoch": 1, "lr": 0.1})
torch.jit.save(torch.jit.script(nn.ReLU()), str(HERE / "torchscript.pt"))
(HERE / "plain_pickle.pkl").write_bytes(pickle.dumps({"weight": [1.0, 2.0]}, protocol=4))
whole = (HERE / "zip.pth").read_bytes()
(HERE / "truncated.pth").write_bytes(whole[: len(whole) * 2 // 3])
whole = (HERE / "legacy.pth").read_bytes()
(HERE / "truncated_legacy.pth").write_bytes(whole[: len(whole) - 20])
true = whole.index(b"\x88", whole.index(b"little_endian"))
(HERE / "big_endian_legacy.pth").write_bytes(whole[:true] + b"\x89" + whole[true + 1 :])

save_safetensors(HERE / "expected.safetensors", EXPECTED, {"torch": torch.__version__})
