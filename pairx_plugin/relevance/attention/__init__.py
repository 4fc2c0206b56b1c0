"""Attention of timm, torchvision and torch in steps that relevance rules fit: :func:`.kinds.take_apart` on a twin."""
