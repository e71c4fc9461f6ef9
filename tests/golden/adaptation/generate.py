"""What PyTorch makes of the losses of domain adaptation, and of ten DANN steps, written by hand from the papers' formulas.

Writes data.safetensors beside it. Made with torch 2.11.0.
"""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import save_file

out = {}


def numbers(count, speed, shift=0.0):
    return torch.sin(torch.arange(count, dtype=torch.float32) * speed + shift)


# --- terms, each with the gradient to what it is of

source = numbers(7 * 5, 1.3).reshape(7, 5)
target = numbers(9 * 5, 0.7, 1.0).reshape(9, 5) * 1.5 + 0.2
source_logits = numbers(7 * 3, 2.1).reshape(7, 3) * 2
target_logits = numbers(9 * 3, 0.9, 2.0).reshape(9, 3) * 3
out.update(source=source, target=target, source_logits=source_logits, target_logits=target_logits)


def record(name, loss, *inputs):
    grads = torch.autograd.grad(loss, inputs)
    out[f"{name}/loss"] = loss.detach().reshape(1)
    for number, grad in enumerate(grads):
        out[f"{name}/grad{number}"] = grad.contiguous()


def leaf(x):
    return x.clone().requires_grad_(True)


s, t = leaf(source), leaf(target)
difference = torch.cov(s.T) - torch.cov(t.T)
record("coral", (difference**2).sum() / (4 * 5**2), s, t)


def kernel(a, b):
    """The mean of five Gaussians over all pairs of rows."""
    x = torch.cat([a, b])
    distance = ((x[:, None] - x[None]) ** 2).sum(-1)
    n = len(x)
    mean = (distance.sum() / (n * (n - 1))).detach()
    return sum(torch.exp(-distance / (2 * factor * mean)) for factor in (0.25, 0.5, 1, 2, 4)) / 5


def mmd(k, n):
    m = len(k) - n
    ss, tt, st = k[:n, :n], k[n:, n:], k[:n, n:]
    within = lambda block, count: (block.sum() - block.trace()) / (count * (count - 1))
    return within(ss, n) + within(tt, m) - 2 * st.mean()


s, t = leaf(source), leaf(target)
record("mmd", mmd(kernel(s, t), 7), s, t)
s, t, zs, zt = leaf(source), leaf(target), leaf(source_logits), leaf(target_logits)
record("jmmd", mmd(kernel(s, t) * kernel(zs.softmax(-1), zt.softmax(-1)), 7), s, t, zs, zt)

zt = leaf(target_logits)
y = (zt / 2.5).softmax(-1)
h = -(y * y.log()).sum(-1).detach()
weight = 1 + torch.exp(-h)
weight = len(y) * weight / weight.sum()
confusion = torch.einsum("ij,i,ik->jk", y, weight, y)
confusion = confusion / confusion.sum(1, keepdim=True)
record("mcc", (confusion.sum() - confusion.diagonal().sum()) / 3, zt)

za, zb = leaf(target_logits), leaf(target_logits.flip(0) * 0.5)
record("mcd", (za.softmax(-1) - zb.softmax(-1)).abs().mean(), za, zb)

# scores without labels, in double precision
p = target_logits.double().softmax(-1)
entropy = lambda q: -(q * q.clamp_min(1e-300).log()).sum(-1)
similarity = F.cosine_similarity(p[:, None], p[None], dim=-1) / 0.05
similarity.fill_diagonal_(-math.inf)
out["info_max"] = (entropy(p.mean(0)) - entropy(p).mean()).reshape(1)
out["density"] = entropy(similarity.softmax(-1)).mean().reshape(1)


# --- ten steps of DANN and of CDAN+E


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx, grad):
        return -ctx.factor * grad, None


class Net(torch.nn.Module):
    def __init__(self, inputs):
        super().__init__()
        self.conv1, self.conv2 = torch.nn.Conv2d(3, 32, 5), torch.nn.Conv2d(32, 48, 5)
        self.fc1, self.fc2, self.fc3 = torch.nn.Linear(768, 100), torch.nn.Linear(100, 100), torch.nn.Linear(100, 4)
        self.adapt = torch.nn.ModuleDict({"discriminator": torch.nn.ModuleList([torch.nn.Linear(inputs, 10), torch.nn.Linear(10, 1)])})

    def features(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        return F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)

    def label(self, f):
        return self.fc3(F.relu(self.fc2(F.relu(self.fc1(f)))))

    def domain(self, f):
        first, last = self.adapt["discriminator"]
        return last(F.relu(first(f))).flatten()


def images(count, step, domain):
    """Pixels that are the same in every language."""
    index = torch.arange(count * 28 * 28 * 3, dtype=torch.int64)
    pixels = (index * 7919 + (index // 97) ** 2 + step * 104729 + domain * 31) % 256
    x = pixels.reshape(count, 28, 28, 3).permute(0, 3, 1, 2).float() / 255
    return (x - 0.5) / 0.25


def ten_steps(name, conditional):
    torch.manual_seed(0)
    net = Net(768 * 4 if conditional else 768)
    with torch.no_grad():
        for number, (_, parameter) in enumerate(sorted(net.named_parameters())):
            fan_in = parameter[0].numel() if parameter.dim() > 1 else parameter.numel()
            parameter.copy_((numbers(parameter.numel(), 0.37, number) / math.sqrt(fan_in)).reshape(parameter.shape))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)
    losses = []
    for step in range(10):
        p = step / 10
        for group in optimizer.param_groups:
            group["lr"] = 0.01 / (1 + 10 * p) ** 0.75
        factor = 2 / (1 + math.exp(-10 * p)) - 1
        x_s, x_t = images(6, step, 0), images(9, step, 1)
        labels = (torch.arange(6) + step) % 4
        f_s, f_t = net.features(x_s), net.features(x_t)
        z_s, z_t = net.label(f_s), net.label(f_t)
        parts = []
        for f, z, right in ((f_s, z_s, 1.0), (f_t, z_t, 0.0)):
            if conditional:
                g = z.softmax(-1).detach()
                weight = 1 + torch.exp((g * g.log()).sum(-1))
                logits = net.domain(Reverse.apply(torch.einsum("nk,nd->nkd", g, f).flatten(1), factor))
                each = F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, right), reduction="none")
                parts.append((weight * each).sum() / weight.sum())
            else:
                logits = net.domain(Reverse.apply(f, factor))
                parts.append(F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, right)))
        label_loss, domain_loss = F.cross_entropy(z_s, labels), sum(parts) / 2
        optimizer.zero_grad()
        (label_loss + domain_loss).backward()
        optimizer.step()
        losses.append([label_loss.item(), domain_loss.item()])
    out[f"{name}/losses"] = torch.tensor(losses)
    for parameter in ("conv1.weight", "conv2.bias", "fc3.weight", "adapt.discriminator.0.bias", "adapt.discriminator.1.weight"):
        out[f"{name}/{parameter}"] = net.get_parameter(parameter).detach().clone()


ten_steps("dann", False)
ten_steps("cdan", True)
save_file(out, Path(__file__).parent / "data.safetensors")
