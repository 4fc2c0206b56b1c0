"""The sample host with a toy network on a few toy photographs, and a plugin that behaves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from pairx_hooks import Artifact, Explanation, ExplanationRequest, RankedQuery, Status, hookimpl
from pairx_plugin.chips import Chip
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig, RunSummary

__all__ = ["PICTURE", "Explainer", "ToyNetwork", "explanation", "host", "ranks", "reviews", "run", "write_photographs"]

PICTURE = b"\x89PNG\r\n\x1a\n and so on"


class ToyNetwork:
    """Embeds a chip as its 4 x 4 thumbnail."""

    model_id = "toy"

    def embed(self, pixels: Sequence[NDArray[np.uint8]], batch_size: int = 16) -> NDArray[np.float32]:
        small = [np.asarray(Image.fromarray(chip).resize((4, 4)), np.float32) for chip in pixels]
        return np.stack([chip.ravel() - 110 for chip in small])

    def fingerprint(self) -> str:
        return "sha256:toy"


class Explainer:
    """A plugin that behaves: one picture and one small record for each candidate that is asked for."""

    def __init__(self) -> None:
        self.requests: list[ExplanationRequest] = []
        self.chips: dict[str, Chip] = {}
        self.models: list[Any] = []

    @hookimpl
    def explain_ranked_query(
        self, ranked_query: RankedQuery, request: ExplanationRequest, review: Any
    ) -> Iterator[Explanation]:
        self.requests.append(request)
        self.models.append(review.embedding_model(ranked_query.model_id))
        for candidate in ranked_query.candidates[: request.top_k]:
            for annotation in (ranked_query.query, candidate.annotation):
                self.chips[annotation.annotation_id] = review.chip(annotation)
            yield explanation(ranked_query, candidate.rank)


def explanation(ranked_query: RankedQuery, rank: int, **changes: Any) -> Explanation:
    """Return what the behaving plugin gives for the candidate of a rank, with some fields changed."""
    values: dict[str, Any] = {
        "query_id": ranked_query.query_id,
        "candidate_id": ranked_query.candidates[rank - 1].annotation.annotation_id,
        "rank": rank,
        "status": Status.READY,
        "explainer": "toy",
        "record": {"schema": "toy/1", "rank": rank, "status": "ready"},
        "artifacts": (Artifact(version="matches", media_type="image/png", width=2, height=1, data=PICTURE),),
    }
    return Explanation(**{**values, **changes})


def write_photographs(folder: Path) -> None:
    """Write eight photographs of four animals, one file that is none, and their annotations."""
    rng = np.random.default_rng(3)
    rows = ["theta,viewpoint,name,file_name,species,file_path,x,y,w,h"]
    for animal in ("Ngaio", "Rata", "Kowhai", "____"):
        coat = rng.integers(0, 255, (4, 4, 3)).astype(np.uint8)
        for n in range(2):
            pixels = np.asarray(Image.fromarray(coat).resize((72, 48)), np.int64) + rng.integers(
                -40, 40, (48, 72, 3)
            )
            name = f"{animal.strip('_') or 'nobody'}{n}.png"
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name)
            rows.append(f"0.05,left,{animal},{name},toy,{name},4,4,64,40")
    (folder / "broken.png").write_bytes(b"nothing to see")
    rows.append("0,left,Rata,broken.png,toy,broken.png,0,0,20,20")
    (folder / "annotations.csv").write_text("\n".join(rows), encoding="utf-8")


def host(folder: Path, *plugins: object, **values: Any) -> LocalHost:
    """Return a host on the photographs of a folder; with plugins its flag is on."""
    flag = {"pairx_explain": True} if plugins else {}
    keys = {"annotations": "annotations.csv", "n_candidates": 4, **flag, **values}
    config = LocalHostConfig.from_mapping(keys, folder=folder)
    return LocalHost(config, model=ToyNetwork(), plugins=plugins, entry_points=False)


def run(folder: Path, *plugins: object, **values: Any) -> RunSummary:
    """Return what a run of such a host came to."""
    with host(folder, *plugins, **values) as local:
        return local.run()


def ranks(folder: Path, summary: RunSummary) -> list[tuple[Any, ...]]:
    """What the database holds about the ranking of a run, scores as their exact bits."""
    config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=folder)
    with LocalHost(config) as reader:
        return [
            (
                match.annotation_id,
                match.status,
                match.n_searched,
                [
                    (
                        r.rank,
                        r.candidate_id,
                        r.score.hex(),
                        r.name_score.hex() if r.name_score is not None else None,
                    )
                    for r in match.reviews
                ],
            )
            for match in reader.database.matches(summary.run_id)
        ]


def reviews(folder: Path, summary: RunSummary) -> list[Any]:
    """Return the review records of a run."""
    config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=folder)
    with LocalHost(config) as reader:
        return [review for match in reader.database.matches(summary.run_id) for review in match.reviews]
