"""What has to be said of an architecture before relevance rules fit it.

Rules know convolutions, dense layers, poolings and activations; three constructions need a word more: batch norms that
follow a linear step (merged into it), sums of a residual branch and its shortcut, and squeeze-and-excitation gates
(which scale a signal and receive no relevance). :func:`canonize` finds them on the traced network and reports what it
found. Classes are recognised by name, so that neither timm nor torchvision is imported here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import nn

from ..errors import UnsupportedArchitecture

__all__ = ["Canonization", "MergedBatchNorm", "canonize", "find_backbone", "is_gate", "is_kind"]

Kind = tuple[str, str]

SUPPORTED: dict[str, Kind] = {
    "timm EfficientNet and EfficientNetV2": ("timm.models.efficientnet", "EfficientNet"),
    "torchvision EfficientNet and EfficientNetV2": ("torchvision.models.efficientnet", "EfficientNet"),
    "timm ResNet": ("timm.models.resnet", "ResNet"),
    "torchvision ResNet": ("torchvision.models.resnet", "ResNet"),
}

# The public code's canonizers, by architecture: whether batch norms that directly follow a linear layer are merged, and
# in which blocks the residual sum shares its relevance. Everywhere else a sum copies it.
_NORM_SUMS: dict[Kind, tuple[Kind, ...]] = {
    ("timm.models.efficientnet", "EfficientNet"): (),
    ("torchvision.models.efficientnet", "EfficientNet"): (("torchvision.models.efficientnet", "MBConv"),),
    # The public canonizer of timm's BasicBlock fails with an AttributeError; this is what it was meant to do.
    ("timm.models.resnet", "ResNet"): (("timm.models.resnet", "BasicBlock"),),
    ("torchvision.models.resnet", "ResNet"): (
        ("torchvision.models.resnet", "BasicBlock"),
        ("torchvision.models.resnet", "Bottleneck"),
    ),
}

_GATES: tuple[Kind, ...] = (("timm.", "SqueezeExcite"), ("torchvision.ops.misc", "SqueezeExcitation"))


@dataclass(frozen=True, kw_only=True)
class MergedBatchNorm:
    """A batch norm that was merged into the linear layer before it.

    Attributes:
        linear_key, norm_key: names of both modules.
        weight, bias: the merged parameters of the linear layer.
        eps: what zennit 0.5.1 leaves in the batch norm's place: a norm of no shift and scale one, but with this eps.
    """

    linear_key: str
    norm_key: str
    weight: torch.Tensor = field(repr=False)
    bias: torch.Tensor = field(repr=False)
    eps: float


@dataclass(frozen=True, kw_only=True)
class Canonization:
    """What was found on one network, and how it is treated.

    Attributes:
        architecture: the backbone's class, in words.
        backbone_key: its name in the network, empty where it is the network itself.
        gates: names of the gates that receive no relevance.
        norm_sum_owners: names of the blocks whose residual sum shares its relevance.
        merged: batch norms merged into the layer before them, by the linear layer's name.
    """

    architecture: str
    backbone_key: str
    gates: tuple[str, ...]
    norm_sum_owners: frozenset[str]
    merged: dict[str, MergedBatchNorm]

    def to_json(self) -> dict[str, object]:
        """Return counts for a record."""
        return {
            "architecture": self.architecture,
            "gates": len(self.gates),
            "shared_sums": len(self.norm_sum_owners),
            "merged_batch_norms": len(self.merged),
        }


def is_kind(module: nn.Module, kind: Kind) -> bool:
    """Return whether `module` is of the class `kind`, (module prefix, class name), or derived from it."""
    prefix, name = kind
    return any(base.__name__ == name and base.__module__.startswith(prefix) for base in type(module).__mro__)


def is_gate(module: nn.Module) -> bool:
    """Return whether `module` is a squeeze-and-excitation gate of the kind that the public code treats."""
    return any(is_kind(module, kind) for kind in _GATES)


def find_backbone(network: nn.Module) -> tuple[str, str]:
    """Return (key, architecture in words) of the first supported backbone inside `network`.

    Raises:
        UnsupportedArchitecture: there is none; the message lists what is supported.
    """
    for key, module in network.named_modules():
        for title, kind in SUPPORTED.items():
            if is_kind(module, kind):
                return key, title
    children = ", ".join(f"{name}: {type(child).__name__}" for name, child in network.named_children())
    raise UnsupportedArchitecture(
        f"no relevance rules are known for {type(network).__name__} ({children or 'without children'}); supported, "
        f"bare or inside of another module: {'; '.join(SUPPORTED)}. Use such a backbone, or another explainer "
        f"(list them with `pairx-plugin hooks`)"
    )


def canonize(network: nn.Module, mode: str = "reference") -> Canonization:
    """Find what needs a word on `network`.

    Args:
        network: the twin; it is read, never changed.
        mode: ``reference`` treats batch norms and sums exactly as the public PAIR-X does.

    Raises:
        UnsupportedArchitecture: no supported backbone is in the network, or the mode has no rules for it.
    """
    key, title = find_backbone(network)
    if mode != "reference":
        raise UnsupportedArchitecture(
            f"mode '{mode}' is not available for {title} in this version; set mode to 'reference'"
        )
    kinds = _NORM_SUMS[SUPPORTED[title]]
    modules = dict(network.named_modules())
    return Canonization(
        architecture=title,
        backbone_key=key,
        gates=tuple(name for name, module in modules.items() if _gated(title) and is_gate(module)),
        norm_sum_owners=frozenset(
            name for name, module in modules.items() if any(is_kind(module, kind) for kind in kinds)
        ),
        merged=_merge_sequential(network),
    )


def _gated(title: str) -> bool:
    return "EfficientNet" in title


def _merge_sequential(network: nn.Module) -> dict[str, MergedBatchNorm]:
    """Merge each plain batch norm into a linear layer that is the leaf right before it.

    Leaves are compared in the order in which modules were assigned, as zennit's SequentialMergeBatchNorm does; timm's
    BatchNormAct2d has children, so it is no leaf and stays (zennit 0.5.1; explainers that want it merged canonise
    differently).
    """
    merged: dict[str, MergedBatchNorm] = {}
    before_key: str = ""
    before: nn.Module | None = None
    for key, module in network.named_modules(remove_duplicate=False):
        if any(True for _ in module.children()):
            continue
        if isinstance(before, (nn.Conv2d, nn.Linear)) and isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            merged[before_key] = merge_batch_norm(before_key, before, key, module)
        before_key, before = key, module
    return merged


def merge_batch_norm(
    linear_key: str, linear: nn.Conv2d | nn.Linear, norm_key: str, norm: nn.BatchNorm1d | nn.BatchNorm2d
) -> MergedBatchNorm:
    """Return the parameters of `linear` followed by `norm` as those of one linear layer.

    The order of operations is zennit 0.5.1's: epsilon rules near a zero of their layer amplify the last bit.
    """
    mean, variance = norm.running_mean, norm.running_var
    if mean is None or variance is None:
        raise UnsupportedArchitecture(f"batch norm '{norm_key}' keeps no running statistics, so it is no fixed map")
    with torch.no_grad():
        deviation = (variance + norm.eps) ** 0.5
        scale = (1.0 if norm.weight is None else norm.weight) / deviation
        shift = torch.zeros_like(mean) if norm.bias is None else norm.bias
        weight = linear.weight * scale.reshape(-1, *(1 for _ in linear.weight.shape[1:]))
        bias = ((torch.zeros_like(mean) if linear.bias is None else linear.bias) - mean) * scale + shift
    return MergedBatchNorm(linear_key=linear_key, norm_key=norm_key, weight=weight, bias=bias, eps=norm.eps)
