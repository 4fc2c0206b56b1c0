"""How well embeddings find an individual again: rank-1 and mean average precision, leave one out."""

from __future__ import annotations

from typing import Dict, Sequence

import numpy as np


def retrieval_figures(
    embeddings: np.ndarray, names: Sequence[str], species: Sequence[str]
) -> Dict[str, object]:
    """Rank every photograph against all others of the set by cosine similarity.

    Args:
        embeddings: [N, D], any scale.
        names: individual of each photograph; those with a single photograph are not asked for, but stay in
            the gallery.
        species: species of each photograph. The gallery is never limited to one species.

    Returns:
        `rank_1`, `map`, `n_photographs`, `n_individuals`, and the same per species under `per_species`.
    """
    unit = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), 1e-12)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, -np.inf)
    labels = np.asarray(names)
    hits, precisions, asked = [], [], []
    for i in range(len(labels)):
        order = np.argsort(-similarity[i], kind="stable")[:-1]
        relevant = labels[order] == labels[i]
        if not relevant.any():
            continue
        ranks = np.nonzero(relevant)[0]
        hits.append(float(relevant[0]))
        precisions.append(float(np.mean(np.arange(1, len(ranks) + 1) / (ranks + 1))))
        asked.append(species[i])

    def summary(chosen: np.ndarray) -> Dict[str, float]:
        return {
            "rank_1": round(float(np.mean(np.asarray(hits)[chosen])), 4),
            "map": round(float(np.mean(np.asarray(precisions)[chosen])), 4),
            "n_queries": int(chosen.sum()),
        }

    if not hits:
        raise ValueError("no individual has two photographs; rank-1 needs at least one that has")
    kinds = np.asarray(asked)
    result: Dict[str, object] = dict(summary(np.ones(len(kinds), bool)))
    result.update(
        n_photographs=len(labels),
        n_individuals=len(set(names)),
        per_species={kind: summary(kinds == kind) for kind in sorted(set(asked))},
    )
    return result
