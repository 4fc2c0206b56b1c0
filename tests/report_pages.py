"""Reports of made-up queries, written and read again: what the tests of the report's page share."""

from __future__ import annotations

import io
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from pairx_hooks import Annotation, Artifact, Candidate, Explanation, Failure, RankedQuery, Status
from pairx_plugin.report import QueryPhotograph, ReportQuery, write_report

__all__ = ["Page", "explained", "failed", "full_query", "picture", "ranked", "record", "written"]

VOID = {"meta", "link", "img", "input", "br", "hr"}


class Page(HTMLParser):
    """Reads a page into a list of (tag, attributes, path), and checks that tags nest."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.text = text
        self.elements: list[tuple[str, dict[str, str | None], tuple[str, ...]]] = []
        self.words: list[tuple[str, str]] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"{tag} has an attribute twice"
        self.elements.append((tag, dict(attrs), tuple(self._open)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs), tuple(self._open)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-3:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.words.append((self._open[-1], " ".join(data.split())))

    def all(self, tag: str, **attributes: str) -> list[dict[str, str | None]]:
        return [found for name, found, _ in self.elements if name == tag and attributes.items() <= found.items()]

    def of_class(self, name: str) -> list[dict[str, str | None]]:
        return [found for _, found, _ in self.elements if name in (found.get("class") or "").split()]

    @property
    def prose(self) -> str:
        return " ".join(words for tag, words in self.words if tag != "style")


def picture(version: str = "matches", colour: str = "teal", size: tuple[int, int] = (60, 30)) -> Artifact:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return Artifact(version=version, media_type="image/png", width=size[0], height=size[1], data=stream.getvalue())


def record(**changes: Any) -> dict[str, Any]:
    link = {"kpts0": [0.1, 0.2], "kpts1": [0.9, 0.5], "relevance_share": 0.25, "distance": 1.5}
    return {
        "schema": "pairx.explanation/1",
        "id": "sha256:" + "ab" * 32,
        "created": "2026-05-02T07:10:00Z",
        "algorithm": "pairx",
        "model_id": "miewid",
        "model_sha256": "sha256:" + "cd" * 32,
        "similarity": 0.5,
        "params": {"k_lines": 20, "mode": "reference", "layer_key": "blocks.3"},
        "layer_key": "blocks.3",
        "num_matches": 40,
        "matches": [
            {**link, "rank": 1, "inlier": True},
            {**link, "rank": 2, "inlier": False, "kpts0": [0.5, 0.5], "relevance_share": 0.125},
            {**link, "rank": 3, "inlier": None, "kpts1": [0.5, 0.99], "distance": None},
        ],
        "plausibility": {
            "n_inliers": 12,
            "n_chance": 6,
            "n_tested": 20,
            "irm_rob": 0.5,
            "match_coverage": 0.25,
            "reasons": [{"code": "POSE_CONSISTENT", "values": {"n": 12, "of": 20, "by_chance": 6}}],
        },
        "warnings": [{"code": "FEW_MATCHES", "message": "few", "values": {"layer": "blocks.3", "matches": 3}}],
        "images": [
            {"role": "query", "warnings": [{"code": "BBOX_OVERHANGS", "message": "Part.", "values": {"share": 0.125}}]},
            {"role": "candidate", "warnings": []},
        ],
        "provenance": {"service": "pairx-plugin", "version": "0.1.0", "torch": "2.0", "seconds": {"forward": 1.5}},
        **changes,
    }


def explained(rank: int, **changes: Any) -> Explanation:
    views = tuple(picture(version) for version in ("matches", "heatmask", "clean"))
    given = {
        "query_id": "q",
        "candidate_id": f"c{rank}",
        "rank": rank,
        "status": Status.READY,
        "explainer": "pairx",
        "record": record(),
        "artifacts": views,
    }
    return Explanation(**{**given, **changes})


def failed(rank: int, code: str = "IMAGE_NOT_FOUND", status: Status = Status.FAILED, **more: Any) -> Explanation:
    failure = Failure(code=code, message="no photograph at 'x.jpg'", **more)
    return explained(rank, status=status, failure=failure, record={}, artifacts=())


def ranked(n: int = 6, **changes: Any) -> RankedQuery:
    candidates = [
        Candidate(
            annotation=Annotation(annotation_id=f"c{rank}", image=f"photos/c{rank}.jpg", name=f"animal {rank % 3}"),
            rank=rank,
            score=0.99 - rank / 100,
        )
        for rank in range(1, n + 1)
    ]
    given = {
        "query_id": "q",
        "query": Annotation(annotation_id="q", image="photos/query.jpg", name="animal 1"),
        "candidates": tuple(candidates),
        "model_id": "miewid",
        "score_scale": "half_cosine",
        "n_searched": 99,
    }
    return RankedQuery(**{**given, **changes})


def full_query(**changes: Any) -> ReportQuery:
    partial = explained(
        3, status=Status.PARTIAL, artifacts=(), failure=Failure(code="PICTURES_FAILED", message="no room")
    )
    given = {
        "ranked_query": ranked(),
        "explanations": [explained(1), failed(2, retryable=True), partial, explained(5, status=Status.SKIPPED)],
        "photograph": QueryPhotograph(picture=picture("photograph"), outline=((0.1, 0.1), (0.9, 0.1), (0.9, 0.8))),
        "chips": {"c2": picture("chip", "red"), "c4": picture("chip", "blue")},
    }
    return ReportQuery(**{**given, **changes})


def written(tmp_path: Path, *queries: ReportQuery, **options: Any) -> Page:
    path = tmp_path / "report.html"
    write_report(path, queries, **options)
    return Page(path.read_text(encoding="utf-8"))
