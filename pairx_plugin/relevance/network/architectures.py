"""Which backbones have relevance rules.

Classes are recognised by name, so that no library of models is imported here.
"""

from __future__ import annotations

from torch import nn

from ...errors import UnsupportedArchitecture

__all__ = ["SUPPORTED", "Kind", "find_backbone", "is_kind"]

Kind = tuple[str, str]

SUPPORTED: dict[str, Kind] = {
    "timm EfficientNet and EfficientNetV2": ("timm.models.efficientnet", "EfficientNet"),
    "torchvision EfficientNet and EfficientNetV2": ("torchvision.models.efficientnet", "EfficientNet"),
    "timm ResNet": ("timm.models.resnet", "ResNet"),
    "torchvision ResNet": ("torchvision.models.resnet", "ResNet"),
    "timm ConvNeXt": ("timm.models.convnext", "ConvNeXt"),
    "torchvision ConvNeXt": ("torchvision.models.convnext", "ConvNeXt"),
    "timm Vision Transformer and DINOv2": ("timm.models.vision_transformer", "VisionTransformer"),
    "timm Vision Transformer with relative positions": (
        "timm.models.vision_transformer_relpos", "VisionTransformerRelPos"
    ),
    "timm EVA, EVA-02 and DINOv3": ("timm.models.eva", "Eva"),
    "timm BEiT": ("timm.models.beit", "Beit"),
    "timm Swin Transformer": ("timm.models.swin_transformer", "SwinTransformer"),
    "timm Swin Transformer V2": ("timm.models.swin_transformer_v2", "SwinTransformerV2"),
    "timm Swin Transformer V2-CR": ("timm.models.swin_transformer_v2_cr", "SwinTransformerV2Cr"),
    "torchvision Vision Transformer": ("torchvision.models.vision_transformer", "VisionTransformer"),
    "ViT of transformers": ("transformers.models.vit", "ViTModel"),
    "DeiT of transformers": ("transformers.models.deit", "DeiTModel"),
    "DINOv2 of transformers": ("transformers.models.dinov2", "Dinov2Model"),
    "DINOv2 with registers of transformers": ("transformers.models.dinov2_with_registers", "Dinov2WithRegistersModel"),
    "DINOv3 of transformers": ("transformers.models.dinov3_vit", "DINOv3ViTModel"),
    "CLIP of transformers": ("transformers.models.clip", "CLIPVisionModel"),
    "torchvision Swin Transformer and V2": ("torchvision.models.swin_transformer", "SwinTransformer"),
}


def is_kind(module: nn.Module, kind: Kind) -> bool:
    """Return whether `module` is of the class `kind`, (module prefix, class name), or derived from it."""
    prefix, name = kind
    return any(base.__name__ == name and base.__module__.startswith(prefix) for base in type(module).__mro__)


def find_backbone(network: nn.Module) -> tuple[str, str]:
    """Return (key, architecture in words) of the first supported backbone inside `network`.

    Raises:
        UnsupportedArchitecture: there is none; the message lists what is supported.
    """
    for key, module in network.named_modules():
        for title, kind in SUPPORTED.items():
            if is_kind(module, kind):
                return key, title
    names = ((key, type(module)) for key, module in network.named_modules())
    foreign = next((found for found in names if found[1].__module__.startswith("transformers.models.")), None)
    children = ", ".join(f"{name}: {type(child).__name__}" for name, child in network.named_children())
    raise UnsupportedArchitecture(
        f"no relevance rules are known for {type(network).__name__} ({children or 'without children'}); supported, "
        f"bare or inside of another module: {'; '.join(SUPPORTED)}. {_from_timm(*foreign) if foreign else ''}"
        f"Use such a backbone, or another explainer (list them with `pairx-plugin hooks`)"
    )


def _from_timm(key: str, kind: type) -> str:
    return (
        f"'{key}' is {kind.__name__} of the library transformers, of which ViT, DeiT, DINOv2, DINOv3 and CLIP are "
        f"known; timm has most of its architectures, and its BEiT, EVA, SigLIP, Swin and Swin V2 are known. "
    )
