"""Which modules hold attention that is known here, and how each is taken apart on a twin.

Classes are recognised by their name and by where they are defined, exactly: what a derived class computes is anybody's
guess. Neither timm nor torchvision is imported.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import nn

from ...errors import UnsupportedArchitecture
from . import hugging_face, joint, tokens, windows

__all__ = ["attention_kind", "take_apart"]

TakeApart = Callable[[str, Any], Iterable[str]]

_TOKENS, _SWIN = "timm.models.vision_transformer", "timm.models.swin_transformer"

_FACE = "transformers.models"

_KINDS: dict[tuple[str, str], tuple[str, TakeApart]] = {
    (_TOKENS, "Attention"): ("tokens", tokens.take_packed),
    ("timm.layers.attention", "Attention"): ("tokens", tokens.take_packed),
    ("timm.layers.attention", "AttentionRope"): ("tokens", tokens.take_rotary),
    ("timm.models.eva", "EvaAttention"): ("tokens", tokens.take_rotary),
    ("timm.models.beit", "Attention"): ("tokens", tokens.take_biased),
    ("timm.models.vision_transformer_relpos", "RelPosAttention"): ("tokens", tokens.take_relative),
    ("timm.layers.attention_pool", "AttentionPoolLatent"): ("pooling", tokens.take_pooling),
    ("torch.nn.modules.activation", "MultiheadAttention"): ("tokens", joint.take_joint),
    (_SWIN, "SwinTransformerBlock"): ("windows", windows.take_block),
    ("timm.models.swin_transformer_v2", "SwinTransformerV2Block"): ("windows", windows.take_block_v2),
    ("timm.models.swin_transformer_v2_cr", "SwinTransformerV2CrBlock"): ("windows", windows.take_block_cr),
    ("torchvision.models.swin_transformer", "ShiftedWindowAttention"): ("windows", windows.take_shifted),
    ("torchvision.models.swin_transformer", "ShiftedWindowAttentionV2"): ("windows", windows.take_shifted),
    (f"{_FACE}.vit.modeling_vit", "ViTAttention"): ("tokens", hugging_face.take_vision),
    (f"{_FACE}.deit.modeling_deit", "DeiTAttention"): ("tokens", hugging_face.take_vision),
    (f"{_FACE}.dinov2.modeling_dinov2", "Dinov2Attention"): ("tokens", hugging_face.take_vision),
    (f"{_FACE}.dinov2_with_registers.modeling_dinov2_with_registers", "Dinov2WithRegistersAttention"): (
        "tokens", hugging_face.take_vision
    ),
    (f"{_FACE}.dinov3_vit.modeling_dinov3_vit", "DINOv3ViTAttention"): ("tokens", hugging_face.take_vision),
    (f"{_FACE}.clip.modeling_clip", "CLIPAttention"): ("tokens", hugging_face.take_vision),
}


def attention_kind(module: nn.Module) -> str | None:
    """Return ``tokens``, ``windows`` or ``pooling`` for a module with attention that is known here, else None."""
    found = _KINDS.get((type(module).__module__, type(module).__name__))
    return None if found is None else found[0]


def take_apart(twin: nn.Module) -> frozenset[str]:
    """Give every attention of a twin its steps.

    Returns:
        Names of modules on the twin whose outputs are no outputs of the host's: steps that were put in, and layers
        that the host reads the weights of or runs in another arrangement.

    Raises:
        UnsupportedArchitecture: an attention does something that no rule here knows.
    """
    names: set[str] = set()
    known: list[str] = []
    modules = dict(twin.named_modules())
    for key, module in modules.items():
        found = _KINDS.get((type(module).__module__, type(module).__name__))
        if found is not None:
            known.append(key)
            names.update(f"{key}.{inner}" if key else inner for inner in found[1](key, module))
    for key, module in modules.items():
        if hasattr(module, "fused_attn") and not any(key == own or key.startswith(f"{own}.") for own in known):
            raise UnsupportedArchitecture(
                f"the attention '{key}' ({type(module).__module__}.{type(module).__name__}) has no rule; those of "
                f"{', '.join(sorted({'.'.join(kind) for kind in _KINDS}))} have: build the network with one of these, "
                f"or use another explainer (list them with `pairx-plugin hooks`)"
            )
    return frozenset(names)
