#!/usr/bin/env python3
"""Does the jobs of `regraft bench` as one writes them in Python with PyTorch and torchvision.

This is regraft's opponent, so its settings are the good ones: worker processes that stay alive between epochs, the fused
optimizer, channels_last, bf16 where asked for, pinned memory on CUDA. Each job prints one line of JSON:

    train    images_per_second   trained images after --warmup steps, the waiting for images included
    adapt    images_per_second   the same for domain-adversarial steps, the images of both domains
    input    images_per_second   the images the DataLoader makes while nothing is trained
    decode   images_per_second   JPEG decoded by libjpeg-turbo alone, in as many processes as there are workers
    start    seconds             from the start of the process to the end of the first optimizer step
    epoch    seconds             from the start of the process to the end of an epoch and its validation
    head     seconds             the same for ten epochs of a new head on a frozen network
    file     save_seconds, load_seconds   a checkpoint of the network to a file and back
"""

import argparse
import json
import os
import sys
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path


def seconds_since_start():
    """Since this process began, the interpreter's start and the imports included (to 10 ms)."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22, counted behind the command's name
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def decode_one(path):
    from PIL import Image

    with Image.open(path) as image:
        image.convert("RGB").load()


def decode_rate(args):
    """Images per second that libjpeg-turbo decodes, called through Pillow."""
    from multiprocessing import Pool

    paths = [path for path in (args.data / "train").rglob("*") if path.suffix.lower() in (".jpg", ".jpeg")]
    with Pool(args.workers) as pool:
        pool.map(decode_one, paths, chunksize=8)
        start, rounds = time.perf_counter(), 0
        while time.perf_counter() - start < 4:
            pool.map(decode_one, paths, chunksize=8)
            rounds += 1
        return {"images_per_second": rounds * len(paths) / (time.perf_counter() - start)}


if "decode" in sys.argv:  # libtorch is not needed for it
    torch = None
else:
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchvision import datasets, models, transforms

CROP = 224


def build(name, classes):
    """The network with a new head, the head, and the mean, standard deviation and interpolation it wants."""
    bilinear, bicubic = transforms.InterpolationMode.BILINEAR, transforms.InterpolationMode.BICUBIC
    if name.startswith("efficientnet_lite"):
        from efficientnet_lite_pytorch import EfficientNet

        model = EfficientNet.from_name(name.replace("_", "-"), num_classes=classes)
        return model, model._fc, [0.5] * 3, [0.5] * 3, bicubic
    model = getattr(models, name)(num_classes=classes)
    head = model.fc if hasattr(model, "fc") else model.classifier
    return model, head, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], bicubic if "efficientnet" in name else bilinear


def loader_of(args, part, preprocessing, augment):
    mean, std, interpolation = preprocessing
    crop = [transforms.Resize(256, interpolation=interpolation), transforms.CenterCrop(CROP)]
    if augment:
        crop = [transforms.RandomResizedCrop(CROP, interpolation=interpolation), transforms.RandomHorizontalFlip()]
    transform = transforms.Compose([*crop, transforms.ToTensor(), transforms.Normalize(mean, std)])
    images = datasets.ImageFolder(args.data / part, transform)
    training = part == "train"
    if training and len(images) < args.batch_size:
        raise SystemExit(f"{args.data}: {len(images)} images are less than one batch of {args.batch_size}")
    return DataLoader(
        images,
        args.batch_size,
        shuffle=training,
        drop_last=training,
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


class Training:
    """A network, its optimizer, and one step."""

    def __init__(self, args, frozen):
        classes = sum(1 for entry in (args.data / "train").iterdir() if entry.is_dir())
        model, head, *self.preprocessing = build(args.model, classes)
        self.device = torch.device(args.device)
        self.layout = torch.channels_last if args.channels_last else torch.contiguous_format
        self.model = model.to(self.device, memory_format=self.layout)
        self.frozen, self.head = frozen, head
        if frozen:
            model.requires_grad_(False)
            head.requires_grad_(True)
        trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.01, momentum=0.9, weight_decay=1e-4, fused=args.fused)
        self.loss_of, self.bf16 = nn.CrossEntropyLoss(), args.precision == "bf16"
        self.run = torch.compile(self.model) if args.compile else self.model

    def train_mode(self):
        self.model.train(not self.frozen)
        self.head.train()

    def autocast(self):
        return torch.autocast(self.device.type, torch.bfloat16) if self.bf16 else nullcontext()

    def step(self, images, labels):
        images = images.to(self.device, memory_format=self.layout, non_blocking=True)
        labels = labels.to(self.device, non_blocking=True)
        with self.autocast():
            loss = self.loss_of(self.run(images), labels)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss

    def synchronize(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def validate(self, loader):
        self.model.eval()
        right = 0
        with torch.inference_mode(), self.autocast():
            for images, labels in loader:
                images = images.to(self.device, memory_format=self.layout, non_blocking=True)
                right += int((self.run(images).argmax(-1).cpu() == labels).sum())
        return right / len(loader.dataset)


class Adapting(Training):
    """The same network, and a domain classifier behind a gradient reversal on what its head gets."""

    def __init__(self, args):
        super().__init__(args, frozen=False)
        for name, module in list(self.model.named_modules()):
            for child, part in module.named_children():
                if part is self.head:
                    setattr(module, child, nn.Identity())
        inputs = self.head.in_features
        layers = [nn.Linear(inputs, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, 1)]
        self.domain_of = nn.Sequential(*layers).to(self.device)
        own = [*self.head.parameters(), *self.domain_of.parameters()]
        known = {id(parameter) for parameter in self.optimizer.param_groups[0]["params"]}
        self.optimizer.add_param_group({"params": [parameter for parameter in own if id(parameter) not in known]})

        class Reverse(torch.autograd.Function):
            @staticmethod
            def forward(ctx, x, factor):
                ctx.factor = factor
                return x.view_as(x)

            @staticmethod
            def backward(ctx, grad):
                return -ctx.factor * grad, None

        self.reverse = Reverse.apply

    def train_mode(self):
        super().train_mode()
        self.domain_of.train()

    def both(self, source, target):
        images = torch.cat([source[0], target[0]]).to(self.device, memory_format=self.layout, non_blocking=True)
        labels = source[1].to(self.device, non_blocking=True)
        count = len(labels)
        with self.autocast():
            features = self.run(images)
            label_loss = self.loss_of(self.head(features[:count]), labels)
            logits = self.domain_of(self.reverse(features, 0.5)).flatten()
            truth = torch.cat([torch.ones(count), torch.zeros(len(logits) - count)]).to(self.device)
            domain_loss = nn.functional.binary_cross_entropy_with_logits(logits.float(), truth)
            loss = label_loss + domain_loss
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        return loss


def measure_input(args):
    *_, mean, std, interpolation = build(args.model, 2)
    loader = loader_of(args, "train", (mean, std, interpolation), augment=True)
    for step, _ in enumerate(batches(loader, args.warmup + args.steps)):
        if step + 1 == args.warmup:
            start = time.perf_counter()
    return {"images_per_second": args.steps * args.batch_size / (time.perf_counter() - start)}


def measure_steps(args):
    training = Training(args, frozen=False)
    training.train_mode()
    loader = loader_of(args, "train", training.preprocessing, augment=True)
    for step, batch in enumerate(batches(loader, 1 if args.job == "start" else args.warmup + args.steps)):
        loss = training.step(*batch)
        if args.job == "start":
            loss.item()
            training.synchronize()
            return {"seconds": seconds_since_start()}
        if step + 1 == args.warmup:
            training.synchronize()
            start = time.perf_counter()
    loss.item()
    return {"images_per_second": args.steps * args.batch_size / (time.perf_counter() - start)}


def measure_adapt(args):
    training = Adapting(args)
    training.train_mode()
    count = args.warmup + args.steps
    domains = [batches(loader_of(args, "train", training.preprocessing, augment=True), count) for _ in range(2)]
    for step, (source, target) in enumerate(zip(*domains)):
        loss = training.both(source, target)
        if step + 1 == args.warmup:
            training.synchronize()
            start = time.perf_counter()
    loss.item()
    return {"images_per_second": 2 * args.steps * args.batch_size / (time.perf_counter() - start)}


def measure_epochs(args):
    head_only = args.job == "head"
    training = Training(args, frozen=head_only)
    loader = loader_of(args, "train", training.preprocessing, augment=not head_only)
    validation = loader_of(args, "val", training.preprocessing, augment=False)
    for _ in range(10 if head_only else 1):
        training.train_mode()
        for batch in loader:
            loss = training.step(*batch)
        training.validate(validation)
    loss.item()
    return {"seconds": seconds_since_start()}


def measure_file(args):
    model = build(args.model, 1000)[0]
    times = {"save_seconds": [], "load_seconds": []}
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.steps):
            file = Path(folder) / "model.pth"
            start = time.perf_counter()
            torch.save(model.state_dict(), file)
            times["save_seconds"].append(time.perf_counter() - start)
            start = time.perf_counter()
            torch.load(file, weights_only=True)
            times["load_seconds"].append(time.perf_counter() - start)
    return {name: sorted(values)[len(values) // 2] for name, values in times.items()}


JOBS = {
    "train": measure_steps,
    "adapt": measure_adapt,
    "input": measure_input,
    "decode": decode_rate,
    "start": measure_steps,
    "epoch": measure_epochs,
    "head": measure_epochs,
    "file": measure_file,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("job", choices=JOBS)
    parser.add_argument("--data", type=Path, required=True, help="a folder with train/CLASS and val/CLASS in it")
    parser.add_argument("--model", default="resnet18")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--warmup", type=int, default=2, help="steps before the clock starts, at least 1")
    parser.add_argument("--steps", type=int, default=6, help="steps on the clock")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--channels-last", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--fused", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    if torch is not None:
        torch.manual_seed(0)
    print(json.dumps(JOBS[args.job](args)))


if __name__ == "__main__":
    main()
