"""SANE: what counts in a similarity, found by masking, and the named attribute that explains it best.

Source: Plummer et al. 2020, arXiv 1905.10797; what differs from its public code (VisionLearningGroup/SANE) is said
where it differs. `explainer` is the way in; `training` makes attribute heads and is not needed to use one.
"""

from __future__ import annotations

from .explainer import Sane

__all__ = ["Sane"]
