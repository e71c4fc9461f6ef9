"""Reads checkpoints with regraft and with what reads them in Python, in turn, and prints a table of the ratios.

    .venv/bin/python benches/checkpoints.py [--runs 7] [--folder /dev/shm/checkpoints] [--lite0 FILE] [FORMAT …]

Every run is a process of its own. The clock runs around the call that reads, after all imports and after a first tensor;
memory is by how much that call raised the peak of the process (VmHWM). Both sides then sum every tensor in float64: the sums
must agree, and the time up to there shows what reading lazily only puts off. The files are in the page cache: each is read
once before. Needs numpy, safetensors and torchvision beside torch; the last only to make the files.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
READ = '''
import json, sys, time
import numpy, safetensors.torch, torch
from pathlib import Path

def torch_load(path): return torch.load(path, weights_only=True)
def safetensors_load(path): return safetensors.torch.load_file(path)
def numpy_load(path):
    with numpy.load(path) as archive: return {name: torch.from_numpy(archive[name]) for name in archive.files}
def jit_load(path): return torch.jit.load(path).state_dict()
def shards(path):
    files = set(json.loads(Path(path).read_text())["weight_map"].values())
    return {k: v for name in sorted(files) for k, v in torch_load(Path(path).with_name(name)).items()}

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))

torch.zeros(1)
before, start = peak(), time.perf_counter()
state = READER(PATH)
seconds, grown = time.perf_counter() - start, peak() - before
total = sum(tensor.double().sum().item() for tensor in state.values())
touched = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "peak_kib": grown, "tensors": len(state), "sum": total, "touched": touched}))
'''


def make(folder, lite0):
    """The files, by a name for the table: path and reader."""
    import numpy as np
    import safetensors.torch
    import torch
    import torchvision

    folder.mkdir(parents=True, exist_ok=True)
    files = {}
    if lite0:
        files["legacy .pth, EfficientNet-Lite0"] = (lite0, "torch_load")
    models = {"ResNet-50": torchvision.models.resnet50, "ViT-B/16": torchvision.models.vit_b_16}
    for title, build in models.items():
        torch.manual_seed(0)
        model, stem = build(weights=None).eval(), title.lower().replace("/", "_")
        state = model.state_dict()

        def file(ending, write, reader, label, state=state, title=title, stem=stem):
            path = folder / f"{stem}{ending}"
            if not path.exists():
                write(path)
            files[f"{label}, {title}"] = (path, reader)

        file(".pth", lambda path: torch.save(state, path), "torch_load", "zip .pth")
        legacy = dict(_use_new_zipfile_serialization=False)
        file("-legacy.pth", lambda path: torch.save(state, path, **legacy), "torch_load", "legacy .pth")
        file(".safetensors", lambda path: safetensors.torch.save_file(state, path), "safetensors_load", "safetensors")
        arrays = {name: tensor.numpy() for name, tensor in state.items()}
        file(".npz", lambda path: np.savez(path, **arrays), "numpy_load", "stored .npz")
        if title == "ResNet-50":
            file("-packed.npz", lambda path: np.savez_compressed(path, **arrays), "numpy_load", "deflated .npz")
        file(".pt", lambda path: torch.jit.save(torch.jit.script(model), str(path)), "jit_load", "TorchScript")

        def write_shards(path):
            names, shards = list(state), 3
            parts = {f"{stem}-{n}.bin": names[n * len(names) // shards : (n + 1) * len(names) // shards] for n in range(shards)}
            for part, mine in parts.items():
                torch.save({name: state[name] for name in mine}, folder / part)
            path.write_text(json.dumps({"weight_map": {name: part for part, mine in parts.items() for name in mine}}))

        file(".bin.index.json", write_shards, "shards", "3 shards of zip .pth")
    return files


def run(command):
    done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parent)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where the files are made and stay (default: made and removed)")
    parser.add_argument("--lite0", type=Path, help="the legacy .pth of EfficientNet-Lite0")
    parser.add_argument("--binary", type=Path, required=True, help="what `cargo bench --bench checkpoints --no-run` printed")
    parser.add_argument("formats", nargs="*", help="only rows that contain one of these words")
    options = parser.parse_args()
    folder = options.folder or Path(tempfile.mkdtemp())
    files = make(folder, options.lite0)
    print("| file | MB | time, regraft | time, Python | ratio | peak, regraft | peak, Python | ratio | read and summed, ratio |")
    print("|---|---|---|---|---|---|---|---|---|")
    for label, (path, reader) in files.items():
        if options.formats and not any(word in label for word in options.formats):
            continue
        commands = [[options.binary, path], [sys.executable, "-c", READ.replace("READER", reader).replace("PATH", repr(str(path)))]]
        results = [[], []]
        for round in range(options.runs + 1):
            for side, command in enumerate(commands):
                result = run(list(map(str, command)))
                if round:  # the first brings the file into the page cache
                    results[side].append(result)
        ours, theirs = results
        if ours[0]["tensors"] != theirs[0]["tensors"] or abs(ours[0]["sum"] - theirs[0]["sum"]) > 1e-6 * abs(theirs[0]["sum"]):
            sys.exit(f"{label}: the two sides read different numbers: {ours[0]} and {theirs[0]}")
        middle = {key: [statistics.median(run[key] for run in side) for side in results] for key in ours[0]}
        (t, u), (m, n), (s, v) = middle["seconds"], middle["peak_kib"], middle["touched"]
        parts = [path] if "index" not in path.name else path.parent.glob(path.name.split(".")[0] + "-*.bin")
        size = sum(os.path.getsize(part) for part in parts) / 1e6
        print(
            f"| {label} | {size:.0f} | {t * 1e3:.1f} ms | {u * 1e3:.1f} ms | {t / u:.2f} | {m / 1024:.1f} MiB "
            f"| {n / 1024:.1f} MiB | {m / max(n, 1):.2f} | {s / v:.2f} |",
            flush=True,
        )
    if not options.folder:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
