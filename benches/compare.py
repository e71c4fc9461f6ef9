#!/usr/bin/env python3
"""Runs regraft and the equivalent Python script alternately on the same work and prints their ratios.

    make bench                     # on images it makes itself
    make bench DATA=my/images      # a folder of classes

The table it prints is made to be pasted into benches/RESULTS.md. Memory is measured from outside and alike for both:
the proportional set size of the whole process tree, looked at every fifth of a second, its peak.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent


# ---- the two programs ----


def regraft_command(args, job, out):
    """The regraft command for a job: `train`, `first` or `input`."""
    command = [str(args.regraft), "finetune", "--data", str(args.data), "--model", args.model, "--out", str(out)]
    command += ["--batch-size", str(args.batch_size), "--precision", args.precision, "--device", args.device]
    command += ["--optimizer", "sgd", "--lr", "0.01", "--seed", "0", "--log-every", "1", "--val-fraction", "0.05", "--quiet"]
    command += ["--freeze", "all"] if args.freeze_backbone else ["--from-scratch"]
    if job == "input":
        words = [str(args.data), args.model, str(args.batch_size), str(args.workers), str(args.steps)]
        return ["cargo", "bench", "--quiet", "--bench", "input_pipeline", "--", *words]
    return command + ["--epochs", "1000", "--max-steps", str(1 if job == "first" else args.warmup + args.steps)]


def regraft_numbers(args, output, out, job, began):
    """What a regraft run printed or left in its folder; `began` is when its process did."""
    if job == "input":
        return json.loads(output.strip().splitlines()[-1])
    events = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    if job == "first":
        return {"seconds_to_first_step": steps[0]["time"] - began}
    # Batches are alike, so the rate over the steps that count is the harmonic mean of their rates.
    return {"images_per_second": statistics.harmonic_mean([step["images_per_second"] for step in steps[args.warmup:]])}


def python_command(args, job):
    """The Python command for the same job."""
    command = [sys.executable, str(HERE / "finetune/finetune.py"), "--data", str(args.data), "--model", args.model]
    command += ["--batch-size", str(args.batch_size), "--precision", args.precision, "--device", args.device]
    command += ["--workers", str(args.workers), "--warmup", "1" if job == "first" else str(args.warmup)]
    command += ["--steps", "0" if job == "first" else str(args.steps)]
    command += ["--freeze-backbone"] if args.freeze_backbone else []
    return command + (["--input-only"] if job == "input" else [])


def python_numbers(output, job):
    """What the Python script printed."""
    result = json.loads(output.strip().splitlines()[-1])
    wanted = {"train": "images_per_second", "first": "seconds_to_first_step", "input": "input_images_per_second"}[job]
    return {wanted: result[wanted]}


# ---- one measured process ----


def tree(root):
    """The process `root` and all below it."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    found, left = [], [root]
    while left:
        found.append(left.pop())
        left += children.get(found[-1], [])
    return found


def proportional_memory(pid):
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


def measure(command):
    """Standard output, time of the start and peak memory of a command; ends the program if it fails."""
    began = time.time()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    peak, done = 0, threading.Event()

    def watch():
        nonlocal peak
        while not done.wait(0.2):
            peak = max(peak, sum(proportional_memory(pid) for pid in tree(process.pid)))

    watcher = threading.Thread(target=watch)
    watcher.start()
    output, errors = process.communicate()
    done.set()
    watcher.join()
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\nended with {process.returncode}:\n{errors}")
    return output, began, peak


def run(program, job, args):
    """The numbers of one run of one program."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "run"
        command = regraft_command(args, job, out) if program == "regraft" else python_command(args, job)
        output, began, peak = measure(command)
        numbers = regraft_numbers(args, output, out, job, began) if program == "regraft" else python_numbers(output, job)
    return numbers | ({"peak_memory_bytes": peak} if job == "train" else {})


# ---- the table ----

ROWS = [
    ("training, images/s", "images_per_second", 1.0, True),
    ("input pipeline alone, images/s", "input_images_per_second", 1.0, True),
    ("start of the process to the end of the first step, s", "seconds_to_first_step", 1.0, False),
    ("peak memory, MiB", "peak_memory_bytes", 1 / 2**20, False),
]


def spread(values):
    return f"{statistics.median(values):.2f} ({min(values):.2f}–{max(values):.2f})" if values else "–"


def table(runs):
    """Medians with their range; the ratio is of runs that were neighbours in time, above 1 where regraft is better."""
    lines = ["| | regraft | Python | regraft is better by |", "|---|---|---|---|"]
    for title, key, unit, more_is_better in ROWS:
        both = {name: [numbers[key] * unit for numbers in runs[name] if key in numbers] for name in runs}
        pairs = [(ours / theirs) for ours, theirs in zip(both["regraft"], both["python"])]
        ratios = pairs if more_is_better else [1 / pair for pair in pairs]
        times = f"{spread(ratios)} ×" if ratios else "–"
        lines.append(f"| {title} | {spread(both['regraft'])} | {spread(both['python'])} | {times} |")
    return "\n".join(lines)


def heading(args):
    cpu = next((line for line in Path("/proc/cpuinfo").read_text().splitlines() if line.startswith("model name")), ":?")
    frozen = ", frozen backbone" if args.freeze_backbone else ""
    return (
        f"{args.model}{frozen}, batch {args.batch_size}, {args.precision}, {args.device}, {args.warmup} + {args.steps} steps, "
        f"{args.repeat} runs of each, alternating; median (least–most).\n{cpu.split(':', 1)[1].strip()}, "
        f"{len(os.sched_getaffinity(0))} cores, Python {platform.python_version()} with {args.workers} workers, "
        f"load before {os.getloadavg()[0]:.1f}.\n"
    )


def make_images(folder, classes=4, per_class=80):
    """Smooth random JPEG of the size of ImageNet's, for whoever has no images at hand."""
    import numpy as np
    from PIL import Image

    random = np.random.default_rng(0)
    for label in range(classes):
        (folder / f"class{label}").mkdir(parents=True)
        for number in range(per_class):
            coarse = random.integers(0, 256, (12 + label, 16, 3), dtype=np.uint8)
            image = np.asarray(Image.fromarray(coarse).resize((500, 375), Image.Resampling.BICUBIC), dtype=np.int16)
            noisy = np.clip(image + random.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
            Image.fromarray(noisy).save(folder / f"class{label}/{number:03}.jpg", quality=90)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--regraft", type=Path, default=HERE.parent / "target/release/regraft")
    parser.add_argument("--data", type=Path, help="a folder of classes; without it, images are made")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--freeze-backbone", action="store_true")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--only", choices=["regraft", "python"], help="run one of them alone")
    args = parser.parse_args()
    programs = [args.only] if args.only else ["regraft", "python"]
    with tempfile.TemporaryDirectory() as folder:
        if args.data is None:
            args.data = Path(folder) / "images"
            make_images(args.data)
        title = heading(args)
        runs = {"regraft": [], "python": []}
        for turn in range(args.repeat):
            # whoever goes second finds the machine warm, so they take turns at that too
            numbers = {program: {} for program in programs}
            for job in ["train", "first", "input"]:
                for program in programs if turn % 2 == 0 else reversed(programs):
                    numbers[program] |= run(program, job, args)
                    print(f"run {turn + 1} of {args.repeat}: {program}, {job}: {numbers[program]}", file=sys.stderr)
            for program in programs:
                runs[program].append(numbers[program])
    print(f"{title}\n{table(runs)}")


if __name__ == "__main__":
    main()
