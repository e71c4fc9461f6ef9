"""Writes data.json.gz: names and shapes of the tensors of the same networks in several libraries.

    python generate.py                  the goldens of src/models/names/goldens.rs
    python generate.py weights FOLDER   random weights and logits in each library's own network, one network per family
    python generate.py measure FOLDER   the same weights, renamed by the ignored test there, in torchvision's network

Needs torch, torchvision, timm, transformers, efficientnet_pytorch, efficientnet_lite_pytorch, safetensors. Hugging
Face's names are those in the files that it writes, and those in memory, where they differ.
"""

import gzip
import importlib.metadata
import json
import pathlib
import re
import sys
import tempfile
import types
import warnings

import efficientnet_lite_pytorch
import efficientnet_pytorch
import timm
import torch
import torchvision
import transformers
from safetensors import safe_open
from safetensors.torch import load_file, save_file

warnings.filterwarnings("ignore")
transformers.logging.set_verbosity_error()
DEPTHS = {18: ([2, 2, 2, 2], "basic"), 34: ([3, 4, 6, 3], "basic"), 50: ([3, 4, 6, 3], "bottleneck"),
          101: ([3, 4, 23, 3], "bottleneck"), 152: ([3, 8, 36, 3], "bottleneck")}
SCALES = [(1.0, 1.0, 1280), (1.0, 1.1, 1280), (1.1, 1.2, 1408), (1.2, 1.4, 1536), (1.4, 1.8, 1792), (1.6, 2.2, 2048),
          (1.8, 2.6, 2304), (2.0, 3.1, 2560)]
CONVNEXTS = {"tiny": ([3, 3, 9, 3], 96), "small": ([3, 3, 27, 3], 96), "base": ([3, 3, 27, 3], 128),
             "large": ([3, 3, 27, 3], 192)}
TIMM = {"mobilenet_v2": "mobilenetv2_100", "mobilenet_v3_large": "mobilenetv3_large_100",
        "mobilenet_v3_small": "mobilenetv3_small_100", "vit_b_16": "vit_base_patch16_224"}
TIMM |= {f"efficientnet_lite{n}": f"tf_efficientnet_lite{n}" for n in range(5)}  # the padding of the original
# libraries that use torchvision's own names; asserted, and then of no more interest
SAME = ["resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "resnext50_32x4d", "resnext101_32x8d",
        "resnext101_64x4d", "wide_resnet50_2", "wide_resnet101_2", "densenet121", "densenet161", "densenet169",
        "densenet201", "inception_v3"]
CASES = [(f"vgg{depth}{bn}", "timm") for depth in (11, 13, 16, 19) for bn in ("", "_bn")]
CASES += [(f"resnet{depth}", "transformers") for depth in DEPTHS]
CASES += [(f"densenet{depth}", "legacy torchvision") for depth in (121, 161, 169, 201)]
CASES += [("mobilenet_v2", "timm"), ("mobilenet_v2", "transformers"), ("mobilenet_v3_large", "timm"),
          ("mobilenet_v3_small", "timm")]
CASES += [(f"efficientnet_b{n}", library) for n in range(8) for library in ("timm", "efficientnet_pytorch", "transformers")]
CASES += [(f"efficientnet_lite{n}", "timm") for n in range(5)]
CASES += [(f"convnext_{size}", library) for size in CONVNEXTS
          for library in ("timm", "facebookresearch/ConvNeXt", "transformers")]
CASES += [("vit_b_16", library) for library in ("timm", "legacy torchvision", "transformers")]
MEASURED = ["vgg11_bn", "resnet18", "resnet50", "densenet121", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small",
            "efficientnet_b0", "efficientnet_lite0", "convnext_tiny", "vit_b_16"]


def ours(network):
    if "lite" in network:
        return efficientnet_lite_pytorch.EfficientNet.from_name(network.replace("_lite", "-lite"))
    options = {"init_weights": False} if network == "inception_v3" else {}
    return torchvision.models.get_model(network, **options)


def hugging_face(network):
    family, _, size = network.rpartition("_")
    number = re.sub(r"\D", "", network)
    if network.startswith("resnet"):
        depths, kind = DEPTHS[int(number)]
        widths = [64, 128, 256, 512] if kind == "basic" else [256, 512, 1024, 2048]
        config = transformers.ResNetConfig(depths=depths, layer_type=kind, hidden_sizes=widths)
        build = transformers.ResNetForImageClassification
    elif family == "convnext":
        depths, width = CONVNEXTS[size]
        config = transformers.ConvNextConfig(depths=depths, hidden_sizes=[width * 2**i for i in range(4)])
        build = transformers.ConvNextForImageClassification
    elif family == "efficientnet":
        width, depth, last = SCALES[int(number)]
        config = transformers.EfficientNetConfig(width_coefficient=width, depth_coefficient=depth, hidden_dim=last)
        build = transformers.EfficientNetForImageClassification
    elif network == "mobilenet_v2":
        config, build = transformers.MobileNetV2Config(), transformers.MobileNetV2ForImageClassification
    else:
        config, build = transformers.ViTConfig(), transformers.ViTForImageClassification
    config.num_labels = 1000
    return build(config)


def theirs(network, library):
    if library == "timm":
        return timm.create_model(TIMM.get(network, network))
    if library == "transformers":
        return hugging_face(network)
    if library == "efficientnet_pytorch":
        return efficientnet_pytorch.EfficientNet.from_name(network.replace("_", "-"))
    return timm.create_model(network) if "/" in library else ours(network)


def in_files(network, library, model):
    """The state dict as it is in files; names that no package writes any more are checked by what still reads them."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    if library == "transformers":
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            with safe_open(f"{folder}/model.safetensors", "pt") as file:
                return {name: file.get_tensor(name) for name in file.keys()}
    if "/" in library:
        pairs = [(r"stem\.", "downsample_layers.0."), (r"stages\.(\d+)\.downsample\.", r"downsample_layers.\1."),
                 (r"(stages\.\d+\.)blocks\.", r"\1"), ("conv_dw", "dwconv"), (r"mlp\.fc", "pwconv"), (r"head\.norm", "norm"),
                 (r"head\.fc", "head")]
        state = renamed(state, pairs)
        read = timm.models.convnext.checkpoint_filter_fn(dict(state), model)
        model.load_state_dict(read, assign=True)
    if library == "legacy torchvision" and network.startswith("densenet"):
        # the published files are from before batch norm counted
        state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
        state = renamed(state, [(r"(denselayer\d+\.(?:norm|conv))(\d)", r"\1.\2")])
        weights = types.SimpleNamespace(get_state_dict=lambda **_: dict(state))
        torchvision.models.densenet._load_state_dict(model, weights, False)
    elif library == "legacy torchvision":
        state = renamed(state, [(r"mlp\.0", "mlp.linear_1"), (r"mlp\.3", "mlp.linear_2")])
        model.load_state_dict(dict(state), assign=True)
    return state


def renamed(state, pairs):
    def new(name):
        for pattern, by in pairs:
            name = re.sub(pattern, by, name)
        return name
    return {new(name): tensor for name, tensor in state.items()}


def shapes(state):
    return {name: list(tensor.shape) for name, tensor in state.items()}


def goldens():
    packages = ["torch", "torchvision", "timm", "transformers", "efficientnet_pytorch", "efficientnet_lite_pytorch"]
    data = {"versions": {package: importlib.metadata.version(package) for package in packages}, "networks": {}, "cases": []}
    with torch.device("meta"):
        for network in SAME:
            both = shapes(ours(network).state_dict()), shapes(timm.create_model(network).state_dict())
            assert {k: v for k, v in both[0].items() if not k.startswith("AuxLogits.")} == both[1], network
    for network, library in CASES:
        with torch.device("meta"):
            data["networks"].setdefault(network, shapes(ours(network).state_dict()))
        torch.set_default_dtype(torch.bfloat16)  # half the memory
        with torch.device("cpu" if library == "transformers" else "meta"), torch.no_grad():
            model = theirs(network, library)
            found = [shapes(in_files(network, library, model))]
            in_memory = shapes(model.state_dict())
        torch.set_default_dtype(torch.float32)
        if library == "transformers" and in_memory != found[0]:
            found.append(in_memory)
        data["cases"] += [{"network": network, "dialect": library, "shapes": one} for one in found]
        print(network, library, [len(one) for one in found], flush=True)
    text = json.dumps(data, separators=(",", ":")).encode()
    pathlib.Path(__file__).with_name("data.json.gz").write_bytes(gzip.compress(text, mtime=0))


def settle(model, batch_norms):
    """Statistics that fit random weights."""
    for module in batch_norms:
        module.momentum = 0.3
    model.train()
    for _ in range(8):
        logits(model, torch.randn(4, 3, 224, 224))
    model.eval()


def logits(model, x):
    answer = model(x)
    return answer.logits if hasattr(answer, "logits") else answer


def like_torchvision(model, other):
    """Gives `model` the epsilon and the padding of `other`, as far as modules have them."""
    norms = (torch.nn.BatchNorm2d, torch.nn.LayerNorm)
    eps = [{module.eps for module in m.modules() if isinstance(module, norms)} for m in (model, other)]
    padded = []
    for module in model.modules():
        if isinstance(module, norms):
            (module.eps,) = eps[1]
        if type(module).__name__ == "Conv2dStaticSamePadding":
            half = (module.kernel_size[0] - 1) // 2
            padded.append(module.static_padding)
            module.static_padding = torch.nn.ZeroPad2d([half] * 4)
        for convolution, pad in (("depthwise_conv", "depthwise_conv_pad"), ("convolution", "padding")):
            if hasattr(module, convolution) and isinstance(getattr(module, pad, None), torch.nn.ZeroPad2d):
                padded.append(pad)
                conv = getattr(module, convolution)
                setattr(module, pad, torch.nn.Identity())
                conv.padding = ((conv.kernel_size[0] - 1) // 2,) * 2
                conv._reversed_padding_repeated_twice = [conv.padding[0]] * 4
        if hasattr(module, "convolution") and hasattr(getattr(module, "config", None), "tf_padding"):
            padded.append("tf_padding")
            module.convolution.padding = ((module.convolution.kernel_size[0] - 1) // 2,) * 2
    if "tf_padding" in padded:
        model.config.tf_padding = False
    return eps, bool(padded)


@torch.no_grad()
def weights(folder):
    folder.mkdir(parents=True, exist_ok=True)
    for number, (network, library) in enumerate(case for case in CASES if case[0] in MEASURED):
        case = f"{network}@{library.replace('/', '+')}"
        if (folder / f"{case}.answers.safetensors").exists():
            continue  # made before
        torch.manual_seed(number)
        model = theirs(network, library)
        for name, parameter in model.named_parameters():
            if "gamma" in name or "layer_scale" in name or "token" in name or "pos_embed" in name or "position" in name:
                parameter.normal_(std=0.5)
        settle(model, [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)])
        state = {name: tensor.contiguous() for name, tensor in in_files(network, library, model).items()}
        x = torch.randn(4, 3, 224, 224)
        answers = {"images": x, "as it is": logits(model, x)}
        eps, padded = like_torchvision(model, ours(network))
        answers["like torchvision"] = logits(model.eval(), x)
        save_file(state, folder / f"{case}.theirs.safetensors")
        save_file(answers, folder / f"{case}.answers.safetensors", {"eps": str(eps), "padded": str(padded)})
        print(case, eps, padded, flush=True)


@torch.no_grad()
def measure(folder):
    print("| network | names of | logits differ by | with torchvision's ε and padding | largest logit | ε, theirs and ours |")
    print("|---|---|---|---|---|---|")
    for network, library in (case for case in CASES if case[0] in MEASURED):
        case = folder / f"{network}@{library.replace('/', '+')}"
        answers = load_file(f"{case}.answers.safetensors")
        with safe_open(f"{case}.answers.safetensors", "pt") as file:
            about = file.metadata()
        model = ours(network)
        model.load_state_dict(load_file(f"{case}.ours.safetensors"))
        mine = logits(model.eval(), answers["images"])
        differ = [float((mine - answers[kind]).abs().max()) for kind in ("as it is", "like torchvision")]
        padding = " (and padding)" if about["padded"] == "True" else ""
        print(f"| `{network}` | {library} | {differ[0]:.1e} | {differ[1]:.1e} | {float(mine.abs().max()):.2f} "
              f"| {about['eps']}{padding} |")


commands = {"weights": weights, "measure": measure}
if sys.argv[1:2]:
    commands[sys.argv[1]](pathlib.Path(sys.argv[2]))
else:
    goldens()
