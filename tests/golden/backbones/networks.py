"""Python's networks by regraft's names, without anything random in training."""

import warnings

import torch
import torchvision

warnings.filterwarnings("ignore")


def build(name, classes, size):
    """The network, whose `state` and `logits` below are what regraft's is compared with."""
    if name.startswith("efficientnet_lite"):
        from efficientnet_lite_pytorch import EfficientNet

        return EfficientNet.from_name(name.replace("_lite", "-lite"), num_classes=classes, drop_connect_rate=0.0,
                                      dropout_rate=0.0, image_size=size)
    # the auxiliary classifier needs images of the full size
    options = {"init_weights": True, "aux_logits": size >= 299} if name.startswith("inception") else {}
    model = torchvision.models.get_model(name, num_classes=classes, **options)
    for module in model.modules():
        if isinstance(module, (torch.nn.Dropout, torchvision.ops.StochasticDepth)):
            module.p = 0.0
    return model


def state(model):
    """The tensors by name, without the auxiliary classifier that regraft leaves out."""
    return {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("AuxLogits.")}


def parameters(model):
    return {name: tensor for name, tensor in model.named_parameters() if not name.startswith("AuxLogits.")}


def logits(model, images):
    """In training Inception answers with two sets of logits, of which the first are the network's."""
    answer = model(images)
    return answer if isinstance(answer, torch.Tensor) else answer[0]
