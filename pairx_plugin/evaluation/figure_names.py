"""What the figures are called, which way is better, and what they say."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["FIGURES", "HEADLINES", "Figure"]


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of the comparison.

    Attributes:
        key: as results name it; ``auc_X`` parts matched pairs by the figure X.
        better: 1 where more is better, -1 where less is, 0 where it is neither.
        chance: what a method that knows nothing gets, None where that is not known.
    """

    key: str
    section: str
    title: str
    meaning: str
    better: int
    chance: float | None = None


def _figure(key: str, section: str, title: str, better: int, meaning: str, chance: float | None = None) -> Figure:
    return Figure(key=key, section=section, title=title, better=better, meaning=meaning, chance=chance)


_AUC = "Area under the curve: how often a pair of one individual has more of it than an equally similar pair of two."
_RHO = "Rank correlation of the maps before and after."
_JACCARD = "Overlap of the twenty leading matches before and after, one cell of tolerance."
_SANE = "As the evaluator of SANE has it: each curve scaled to its own extremes, which makes flat ones look steep."
_CHANGES = (
    ("noise", "noise"), ("jpeg", "JPEG"), ("shift", "a shift of 2 px"), ("seed", "another seed"),
    ("swap", "swapping the sides"), ("flip", "mirroring both"),
)
_P, _F, _S, _C = "plausibility", "faithfulness", "sanity", "conservation"
_K, _T, _A, _Q = "correspondence", "stability", "attributes", "quantus"

FIGURES: tuple[Figure, ...] = (
    _figure("auc_inlier_excess", _P, "AUC, links on one pose above chance", 1, _AUC, 0.5),
    _figure("auc_inlier_fraction", _P, "AUC, share of links on one pose", 1, _AUC, 0.5),
    _figure("auc_irm_rob", _P, "AUC, robust residual", 1, _AUC, 0.5),
    _figure("auc_irm_local", _P, "AUC, local residual", 1, _AUC + " Neighbours, not one pose, predict each link.", 0.5),
    _figure("auc_inliers_local", _P, "AUC, links that neighbours predict", 1, _AUC, 0.5),
    _figure("auc_mc_cov", _P, "AUC, match coverage", 1, _AUC, 0.5),
    _figure("auc_irm_ref", _P, "AUC, residual as WildMe has it", 1, _AUC, 0.5),
    _figure("auc_mc_ref", _P, "AUC, match coverage as WildMe has it", 1, _AUC, 0.5),
    _figure("insertion_less_deletion", _F, "Insertion less deletion", 1,
            "Areas under the similarity as the named pixels come, less as they go; blurred pixels stand in.", 0.0),
    _figure("insertion", _F, "Insertion", 1, "Area under the similarity as the named pixels come."),
    _figure("deletion", _F, "Deletion", -1, "Area under the similarity as the named pixels go."),
    _figure("insertion_less_deletion_mean", _F, "Insertion less deletion, mean", 1, "With the mean colour.", 0.0),
    _figure("insertion_less_deletion_road", _F, "Insertion less deletion, ROAD", 1, "With imputed pixels.", 0.0),
    _figure("insertion_less_deletion_white", _F, "Insertion less deletion, white", 1, _SANE, 0.0),
    _figure("insertion_less_deletion_grey", _F, "Insertion less deletion, grey", 1, _SANE, 0.0),
    _figure("pair_necessity", _F, "Pair necessity", 1,
            "Cosine lost by blurring both ends of the ten leading matches, less that of ten random ones.", 0.0),
    _figure("randomised_rho", _S, "Correlation after randomisation", -1,
            "Magnitude of the rank correlation with the map of a network whose weights were all drawn anew; "
            "below 0.2 passes."),
    _figure("randomised_jaccard", _S, "Matches after randomisation", -1, "Overlap of the leading matches with those."),
    _figure("pair_sensitivity", _S, "Pair sensitivity", 1,
            "One less the rank correlation of the query's map with that beside another individual.", 0.0),
    _figure("seed_noise", _S, "Seed noise", -1, "The same for the same pair and another seed.", 0.0),
    _figure("sensitivity_above_noise", _S, "Pair sensitivity above seed noise", 1, "The difference, pair by pair.",
            0.0),
    _figure("identity_share", _S, "A picture found in itself", 1,
            "Share of leading matches of a picture with itself that end where they begin."),
    _figure("conservation_error", _C, "Conservation error", -1, "Distance of the summed relevance from the cosine."),
    _figure("conservation_worst", _C, "Conservation error, worst layer", -1,
            "The largest of the explained layer and all stages above it."),
    _figure("inflation", _C, "Inflation", -1, "Summed magnitudes at the layer over those at the last feature map."),
    _figure("similarity_pck_10", _K, "Right keypoints, turned and scaled", 1, "Within 10 % of the longer side."),
    _figure("homography_pck_10", _K, "Right keypoints, homography", 1, "Within 10 % of the longer side."),
    _figure("spline_pck_10", _K, "Right keypoints, bent", 1, "Within 10 % of the longer side, thin-plate spline."),
    _figure("spline_pck_05", _K, "Right keypoints, bent, 5 %", 1, "Within 5 % of the longer side."),
    _figure("true_pck_10", _K, "Right keypoints, real pairs", 1,
            "Within 10 % of the longer side, between two photographs; an end that cannot be seen is wrong."),
    _figure("true_pck_05", _K, "Right keypoints, real pairs, 5 %", 1, "Within 5 % of the longer side."),
    _figure("true_ceiling_05", _K, "Ceiling of the grid, 5 %", 0, "What perfect matches between cells would get."),
    _figure("true_error", _K, "Mean error, real pairs", -1, "In steps of the feature grid."),
    _figure("true_visible", _K, "Matches on the visible animal", 1, "Share that begin where both photographs show it."),
    _figure("similarity_equivariance", _K, "Map follows the picture", 1, "Rank correlation, turned and scaled.", 0.0),
    _figure("spline_equivariance", _K, "Map follows the bent picture", 1, "Rank correlation, thin-plate spline.", 0.0),
    _figure("mass_inside", _K, "Relevance on the animal", 1, "Share of the map inside of the mask."),
    _figure("mass_lift", _K, "Relevance on the animal, lift", 1, "That share over the mask's share of the chip.", 1.0),
    _figure("occluder_mass", _K, "Relevance on an occluder", -1, "A fifth of the picture is covered.", 0.2),
    _figure("occluder_ends", _K, "Matches on an occluder", -1, "Share of the leading matches.", 0.2),
    _figure("background_mass", _K, "Relevance on a swapped background", -1, "Share of the map."),
    _figure("background_pck_10", _K, "Right keypoints, swapped background", 1, "Within 10 % of the longer side."),
    *(
        _figure(f"{name}_rho", _T, f"Map after {words}", 1, _RHO, 0.0)
        for name, words in _CHANGES
    ),
    *(
        _figure(f"{name}_jaccard", _T, f"Matches after {words}", 1, _JACCARD)
        for name, words in _CHANGES
    ),
    *(
        _figure(f"{name}_attribute", _T, f"First attribute after {words}", 1, "Share of pairs in which it is the same.")
        for name, words in _CHANGES
    ),
    _figure("attribute_ap", _A, "Attributes, average precision of those named", 1,
            "Order of what was named, against what both show; what was not named is not counted. `measure-attributes` "
            "has the mean average precision over all attributes."),
    _figure("attribute_top1", _A, "Attributes, first one right", 1, "Share of pairs that both show it."),
    _figure("attribute_ece", _A, "Attributes, calibration error", -1, "Gap between confidence and accuracy."),
    _figure("removal_effect", _A, "Attributes, removal", 1,
            "Cosine lost by blurring the first attribute's fifth of the query, less that of another one.", 0.0),
    _figure("attribute_mark_lift", _A, "Attributes on their mark", 1,
            "Share of the map on the mark it names, over the mark's share of the chip.", 1.0),
    _figure("quantus_pixel_flipping", _Q, "Pixel flipping", -1,
            "Mean cosine as the named pixels take the mean colour."),
    _figure("quantus_road", _Q, "ROAD", -1,
            "Share of pictures, the named pixels imputed, that stay nearer to the candidate than to another animal."),
    _figure("quantus_randomised_rho", _Q, "Correlation after its randomisation", -1,
            "Magnitude of the rank correlation with the map of the network with all weights reset."),
    _figure("quantus_completeness", _Q, "Completeness", 1,
            "Share of maps that add up to the cosine less that of a black picture."),
    _figure("quantus_mass_accuracy", _Q, "Relevance mass accuracy", 1, "Share of the query's map inside of the mask."),
    _figure("quantus_rank_accuracy", _Q, "Relevance rank accuracy", 1,
            "Share of the leading pixels, as many as the mask has, inside of it."),
    _figure("seconds", "cost", "Seconds per pair", -1, "Wall time on this machine, nothing shared between candidates."),
    _figure("forward_equivalents", "cost", "Forward passes", -1, "The same in forward passes of one picture."),
)

HEADLINES = (
    "auc_inlier_excess",
    "insertion_less_deletion",
    "pair_necessity",
    "true_pck_10",
    "spline_pck_10",
    "spline_equivariance",
    "mass_lift",
    "occluder_mass",
    "sensitivity_above_noise",
    "randomised_rho",
    "noise_rho",
    "attribute_top1",
)
"""Figures that the first page shows, where they were measured."""
