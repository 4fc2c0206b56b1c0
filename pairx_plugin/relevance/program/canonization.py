"""What has to be said of an architecture before relevance rules fit it.

Rules know convolutions, dense layers, poolings and activations; three constructions need a word more: batch norms,
sums of a residual branch and its shortcut, and squeeze-and-excitation gates (which scale a signal and receive no
relevance). :func:`canonize` finds them on a network's modules, :func:`follow` on its steps; what was found is reported
in a :class:`Canonization`. Classes are recognised by name, so that neither timm nor torchvision is imported here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import fx, nn

from ...errors import UnsupportedArchitecture
from ..attention.kinds import attention_kind
from ..network.architectures import SUPPORTED, Kind, find_backbone, is_kind
from ..network.batch_norms import MergedBatchNorm, is_batch_norm, merged_by_assignment, merged_by_steps
from ..rules.conserving import is_norm, is_sum

__all__ = ["Canonization", "canonize", "check_touched", "follow", "is_gate"]

# The public code's canonizers, by architecture: in which blocks the residual sum shares its relevance. Everywhere else
# a sum copies it. What is not here the public code does not know.
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

# The gates that the public code treats, in EfficientNets alone, and those of which mode `corrected` knows besides.
_PUBLIC_GATES: tuple[Kind, ...] = (("timm.", "SqueezeExcite"), ("torchvision.ops.misc", "SqueezeExcitation"))
_GATES: tuple[Kind, ...] = (
    *_PUBLIC_GATES,
    ("timm.layers", "SEModule"),
    ("timm.layers", "EffectiveSEModule"),
    ("timm.layers", "EcaModule"),
    ("timm.layers", "CecaModule"),
    ("timm.layers", "GatherExcite"),
    ("timm.layers", "GlobalResponseNorm"),
)

_POINTWISE_BLOCKS: tuple[Kind, ...] = (
    ("timm.models.convnext", "ConvNeXtBlock"),
    ("torchvision.models.convnext", "CNBlock"),
)


@dataclass(frozen=True, kw_only=True)
class Canonization:
    """What was found on one network, and how it is treated.

    Attributes:
        architecture: the backbone's class, in words.
        backbone_key: its name in the network, empty where it is the network itself.
        mode: ``reference`` or ``corrected``.
        gates: names of the gates that receive no relevance.
        norm_sum_owners: names of the blocks whose residual sum shares its relevance, in mode ``reference``.
        merged: batch norms merged into the layer before them, by the linear layer's name.
        lone_norms: names of the batch norms that follow no linear step and have a rule of their own.
        layer_norms: names of the layer norms and their like, which pass relevance unchanged.
        shared_sums, copied_sums: names of the blocks whose sums share relevance, or copy it; one entry per sum.
        pointwise: names of the dense layers that run at every cell of a map and have a convolution's rule.
        attention: names of the modules whose attention is taken apart; relevance stays in proportion to values on a
            network that has some, see :mod:`..attention.steps`.
        wanted: what was looked for, in words.
    """

    architecture: str
    backbone_key: str
    mode: str = "reference"
    gates: tuple[str, ...] = ()
    norm_sum_owners: frozenset[str] = frozenset()
    merged: Mapping[str, MergedBatchNorm]
    lone_norms: tuple[str, ...] = ()
    layer_norms: tuple[str, ...] = ()
    shared_sums: tuple[str, ...] = ()
    copied_sums: tuple[str, ...] = ()
    pointwise: tuple[str, ...] = ()
    attention: tuple[str, ...] = ()
    wanted: tuple[str, ...] = ()

    @property
    def conserves(self) -> bool:
        """Whether every step has to pass on what it receives."""
        return self.mode == "corrected"

    def found(self) -> dict[str, tuple[str, ...]]:
        """Return the names of everything that is treated, by what it is."""
        return {
            "gates": self.gates,
            "merged_batch_norms": tuple(merge.norm_key for merge in self.merged.values()),
            "lone_batch_norms": self.lone_norms,
            "layer_norms": self.layer_norms,
            "dense_layers_at_cells": self.pointwise,
            "attention": self.attention,
            "shared_sums": self.shared_sums,
        }

    def to_json(self) -> dict[str, Any]:
        """Return counts for a record, and of each kind the first and last name in the order of the network."""
        found = {**self.found(), "copied_sums": self.copied_sums}
        return {
            "architecture": self.architecture,
            "backbone": self.backbone_key,
            "mode": self.mode,
            **{kind: len(names) for kind, names in found.items()},
            "names": {kind: [names[0], *names[1:][-1:]] for kind, names in found.items() if names},
        }


def is_gate(module: nn.Module, kinds: tuple[Kind, ...] = _GATES) -> bool:
    """Return whether `module` is a squeeze-and-excitation gate or its like."""
    return any(is_kind(module, kind) for kind in kinds)


def canonize(network: nn.Module, mode: str = "reference") -> Canonization:
    """Find what needs a word on the modules of `network`.

    Args:
        network: the twin; it is read, never changed.
        mode: ``reference`` treats batch norms, sums and gates exactly as the public PAIR-X does; ``corrected`` treats
            all of them, see :func:`follow`.

    Raises:
        UnsupportedArchitecture: no supported backbone is in the network, or the mode has no rules for it.
    """
    key, title = find_backbone(network)
    modules = dict(network.named_modules())
    if mode == "corrected":
        return Canonization(
            architecture=title,
            backbone_key=key,
            mode=mode,
            gates=tuple(name for name, module in modules.items() if is_gate(module)),
            merged={},
            pointwise=tuple(name for name, module in modules.items() if _is_pointwise(name, module, modules)),
            attention=tuple(name for name, module in modules.items() if attention_kind(module) is not None),
            wanted=("batch norms", "layer norms", "sums of two branches", "squeeze-and-excitation gates", "attention"),
        )
    if SUPPORTED[title] not in _NORM_SUMS:
        raise UnsupportedArchitecture(
            f"mode '{mode}' gives the public code's numbers, which knows no {title}; set mode to 'corrected'"
        )
    kinds = _NORM_SUMS[SUPPORTED[title]]
    gated = "EfficientNet" in title
    return Canonization(
        architecture=title,
        backbone_key=key,
        mode=mode,
        gates=tuple(name for name, module in modules.items() if gated and is_gate(module, _PUBLIC_GATES)),
        norm_sum_owners=frozenset(
            name for name, module in modules.items() if any(is_kind(module, kind) for kind in kinds)
        ),
        merged=merged_by_assignment(network),
        wanted=_wanted_of_reference(title),
    )


def _is_pointwise(name: str, module: nn.Module, modules: Mapping[str, nn.Module]) -> bool:
    """Return whether a dense layer runs at every cell of a map: ConvNeXt writes its 1 x 1 convolutions so."""
    if not isinstance(module, nn.Linear):
        return False
    parts = name.split(".")
    around = (modules[".".join(parts[:count])] for count in range(1, len(parts)))
    return any(is_kind(outer, kind) for outer in around for kind in _POINTWISE_BLOCKS)


def _wanted_of_reference(title: str) -> tuple[str, ...]:
    """Return what the public code's canonizer for an architecture never fails to find on an intact network."""
    if title == "timm EfficientNet and EfficientNetV2":
        return ()  # it finds the gates alone there, and variants without gates are common
    return ("batch norms right after a convolution or dense layer", "residual sums of the library's own blocks")


def follow(
    canonization: Canonization, network: nn.Module, graph: fx.Graph, owners: Mapping[fx.Node, str]
) -> Canonization:
    """Complete what :func:`canonize` found with what only the network's steps show.

    In mode ``corrected`` every batch norm is merged into the linear step whose output it alone reads, wherever its
    module lies, and every other one gets a rule of its own; in both modes the sums of two parts of the image's way are
    listed.

    Args:
        network: the twin.
        graph: its steps.
        owners: for each node, the name of the innermost module whose forward made it.
    """
    modules = dict(network.named_modules())
    carrying = _carrying(graph)
    sums = [
        node
        for node in graph.nodes
        if node in carrying and is_sum(node) and sum(source in carrying for source in node.all_input_nodes) > 1
    ]
    shares = [canonization.conserves or owners[node] in canonization.norm_sum_owners for node in sums]
    found = replace(
        canonization,
        shared_sums=tuple(owners[node] for node, shared in zip(sums, shares) if shared),
        copied_sums=tuple(owners[node] for node, shared in zip(sums, shares) if not shared),
    )
    if not canonization.conserves:
        return found
    merged, alone = merged_by_steps(modules, graph)
    called = dict.fromkeys(str(node.target) for node in graph.nodes if node.op == "call_module")
    norms = tuple(key for key in called if is_norm(modules[key]) and not is_batch_norm(modules[key]))
    return replace(found, merged=merged, lone_norms=alone, layer_norms=norms)


def _carrying(graph: fx.Graph) -> set[fx.Node]:
    """Return the nodes that depend on the image."""
    carrying: set[fx.Node] = set()
    for node in graph.nodes:
        if node.op == "placeholder" or any(source in carrying for source in node.all_input_nodes):
            carrying.add(node)
    return carrying


def check_touched(canonization: Canonization) -> None:
    """Raise where a network was left as it is although its architecture, or the mode, wants something treated.

    What "nothing" means depends on the mode. Mode ``reference`` wants what the public code treats: of ResNets and
    torchvision's EfficientNets the batch norms that it merges and the sums that it shares, so a ResNet with other norms
    in other blocks, which the public code would pass over without a word, is refused. Of timm's EfficientNets the
    public code treats the gates alone; a variant without gates has nothing that it would treat, and that is no error.
    Mode ``corrected`` wants batch norms, layer norms, sums and gates, any of them: a network without a single one is
    not the architecture that its name says.

    Args:
        canonization: complete, see :func:`follow`.

    Raises:
        UnsupportedArchitecture: nothing was found of what was looked for; the message says what that was.
    """
    if not canonization.wanted or any(canonization.found().values()):
        return
    where = f" in '{canonization.backbone_key}'" if canonization.backbone_key else ""
    other = "" if canonization.conserves else "set mode to 'corrected', which finds them by the network's steps, or "
    raise UnsupportedArchitecture(
        f"nothing was canonised on this {canonization.architecture}{where}: mode '{canonization.mode}' looked for "
        f"{'; '.join(canonization.wanted)}, and found none, so that relevance rules would not fit it; {other}set "
        f"allow_uncanonized to true to explain it as it is"
    )
