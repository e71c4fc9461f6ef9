#!/usr/bin/env python3
"""Fine-tunes a network on a folder of images, as one writes it in Python with PyTorch and torchvision.

This is regraft's opponent, so its settings are the good ones: worker processes that stay alive between epochs, the
fused optimizer, channels_last and bf16 where asked for. It prints one line of JSON:

    images_per_second        trained images, after --warmup steps, the waiting for images included
    input_images_per_second  the images the DataLoader makes while nothing is trained (with --input-only)
    seconds_to_first_step    from the start of the process to the end of the first optimizer step
    max_rss_bytes            peak resident memory of this process; max_rss_worker_bytes: of its largest worker
"""

import argparse
import json
import os
import resource
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms
from torchvision.models import resnet18, resnet50

CROP = 224


def seconds_since_start():
    """Since this process began, the interpreter's start and the imports included (to 10 ms)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, counted behind the command's name
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def build(name, classes):
    """The network with a new head, the head, and the mean, standard deviation and interpolation it wants."""
    bilinear, bicubic = transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.BICUBIC
    if name == "efficientnet_lite0":
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name("efficientnet-lite0", num_classes=classes)
        return model, model._fc, [0.5] * 3, [0.5] * 3, bicubic
    model = {"resnet18": resnet18, "resnet50": resnet50}[name](num_classes=classes)
    return model, model.fc, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], bilinear


def loader_of(args, mean, std, interpolation):
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(CROP, interpolation=interpolation),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(mean, std),
        ]
    )
    images = datasets.ImageFolder(args.data, transform)
    if len(images) < args.batch_size:
        raise SystemExit(f"{args.data}: {len(images)} images are less than one batch of {args.batch_size}")
    return DataLoader(
        images,
        args.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=args.workers,
        persistent_workers=args.workers > 0,
        pin_memory=args.device.startswith("cuda"),
    )


def batches(loader, count):
    """As many batches as asked for, over as many epochs as that takes."""
    while count > 0:
        for batch in loader:
            yield batch
            count -= 1
            if count == 0:
                return


def measure_input(loader, args):
    """Images per second that the loader makes, after the workers have started."""
    for step, (images, _) in enumerate(batches(loader, args.warmup + args.steps)):
        if step + 1 == args.warmup:
            start = time.perf_counter()
    return {"input_images_per_second": args.steps * args.batch_size / (time.perf_counter() - start)}


def measure_training(model, head, loader, args):
    """Images per second and the time to the first step of real training."""
    device, layout = torch.device(args.device), torch.channels_last if args.channels_last else torch.contiguous_format
    model = model.to(device, memory_format=layout)
    if args.freeze_backbone:
        model.requires_grad_(False).eval()
        head.requires_grad_(True).train()
    else:
        model.train()
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=args.lr, momentum=0.9, weight_decay=1e-4, fused=args.fused)
    loss_of = nn.CrossEntropyLoss()
    bf16 = args.precision == "bf16"
    synchronize = torch.cuda.synchronize if device.type == "cuda" else lambda: None

    result = {}
    for step, (images, labels) in enumerate(batches(loader, args.warmup + args.steps)):
        images = images.to(device, memory_format=layout, non_blocking=True)
        labels = labels.to(device, non_blocking=True)
        with torch.autocast(device.type, torch.bfloat16) if bf16 else nullcontext():
            loss = loss_of(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step == 0:
            result["first_loss"] = loss.item()
            synchronize()
            result["seconds_to_first_step"] = seconds_since_start()
        if step + 1 == args.warmup:
            synchronize()
            start = time.perf_counter()
    result["last_loss"] = loss.item()
    if args.steps:
        result["images_per_second"] = args.steps * args.batch_size / (time.perf_counter() - start)
    return result


def parse(arguments):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="a folder of classes, or one with train/ in it")
    parser.add_argument("--model", choices=["efficientnet_lite0", "resnet18", "resnet50"], default="efficientnet_lite0")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--warmup", type=int, default=3, help="steps before the clock starts, at least 1")
    parser.add_argument("--steps", type=int, default=12, help="steps on the clock; 0 stops after the warm-up")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--lr", type=float, default=0.01)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--freeze-backbone", action="store_true")
    parser.add_argument("--input-only", action="store_true")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)
    if (args.data / "train").is_dir():
        args.data /= "train"
    if args.warmup < 1 or args.steps < (1 if args.input_only else 0):
        parser.error("--warmup must be at least 1, and --steps at least 1 with --input-only")
    return args


def main():
    args = parse(sys.argv[1:])
    torch.manual_seed(args.seed)
    classes = sum(1 for entry in args.data.iterdir() if entry.is_dir())
    model, head, *preprocessing = build(args.model, classes)
    loader = loader_of(args, *preprocessing)
    result = measure_input(loader, args) if args.input_only else measure_training(model, head, loader, args)
    del loader  # ends the workers, whose memory is counted only then
    own, workers = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    result |= {"max_rss_bytes": own * 1024, "max_rss_worker_bytes": workers * 1024, "seconds": seconds_since_start()}
    print(json.dumps(result | {"threads": torch.get_num_threads(), "torch": torch.__version__}))


if __name__ == "__main__":
    main()
