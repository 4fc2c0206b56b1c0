"""What the sample host keeps when the disk is full, pictures are none, or the database refuses or goes away."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from pairx_hooks import Artifact, Failure, RankedQuery, Status, hookimpl
from pairx_plugin.errors import HostUnavailable
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig
from toy_host import Explainer, explanation, host, ranks, reviews, run, write_photographs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The toy photographs with their annotations."""
    write_photographs(tmp_path)
    return tmp_path


def test_scores_are_in_the_database_before_the_first_explanation(folder: Path) -> None:
    seen: list[list[tuple[Any, ...]]] = []

    class Looks:
        @hookimpl
        def explain_ranked_query(self, ranked_query: RankedQuery) -> None:
            config = LocalHostConfig.from_mapping({"annotations": "annotations.csv"}, folder=folder)
            with LocalHost(config) as reader:
                matches = list(reader.database.matches())
            seen.append(
                [(m.annotation_id, r.rank, r.score, r.explanation_status) for m in matches for r in m.reviews]
            )

    run(folder, Looks(), pairx_top_k=1)
    assert len(seen) == 8 and len(seen[0]) == 32
    assert [status for *_, status in seen[0]] == ["queued", None, None, None] * 8
    assert [row[:3] for row in seen[-1]] == [row[:3] for row in seen[0]]


def test_a_full_disk_costs_the_picture_and_the_record_says_so(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, replace = run(folder), os.replace

    def full(source: str, target: Path) -> None:
        if "001-" in str(target) and Path(target).suffix == ".png":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        replace(source, target)

    monkeypatch.setattr(os, "replace", full)
    summary = run(folder, Explainer(), queries=["Ngaio0.png"], pairx_top_k=2)
    first, second = reviews(folder, summary)[:2]
    assert (first.explanation_status, second.explanation_status) == ("partial", "ready")
    assert (
        first.explanation_failure["code"] == "PICTURE_NOT_WRITTEN" and first.explanation_failure["retryable"]
    )
    assert "No space left on device; make room on the disk" in first.explanation_failure["message"]
    assert first.pictures == [] and first.explanation["rank"] == 1 and first.explanation["assets"] == []
    assert first.explanation["status"] == "partial"
    assert first.explanation["errors"] == [first.explanation_failure]
    assert len(second.pictures) == 1
    assert (first.score, first.rank) == (plain.queries[0].candidates[0].score, 1)
    assert [path for path in folder.rglob("*.part")] == []


def test_an_output_folder_that_cannot_be_made_costs_the_pictures_only(folder: Path) -> None:
    (folder / "taken").write_text("a file stands where the folder should be")
    summary = run(
        folder,
        Explainer(),
        output="taken",
        database="sqlite:///output.sqlite3",
        pairx_top_k=1,
        embedding_cache=False,
    )
    assert summary.statuses == {"partial": 8, "skipped": 24} and summary.rank_1 == 1.0
    first = reviews(folder, summary)[0]
    assert first.explanation["schema"] == "toy/1" and first.record_path is None and first.pictures == []
    assert "check the rights of the output folder" in first.explanation_failure["message"]


def test_pictures_that_are_none_are_not_kept(folder: Path) -> None:
    artifacts = [
        Artifact(version="matches", media_type="image/png", width=1, height=1, data=b""),
        Artifact(version="matches", media_type="application/x-sh", width=1, height=1, data=b"#!/bin/sh"),
        Artifact(version="../../../evil", media_type="image/png", width=1, height=1, data=b"a"),
        Artifact(version="matches", media_type="image/webp", width=1, height=1, data=b"b"),
        Artifact(version="matches", media_type="image/webp", width=1, height=1, data=b"c"),
    ]

    class Odd:
        @hookimpl
        def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
            return [explanation(ranked_query, 1, artifacts=artifacts)]

    summary = run(folder, Odd(), queries=["Ngaio0.png"], pairx_top_k=1)
    first = reviews(folder, summary)[0]
    kept = [folder / "output" / picture["path"] for picture in first.pictures]
    assert [path.read_bytes() for path in kept] == [b"a", b"b", b"c"]
    assert [path.name for path in kept] == ["---------evil.png", "matches.webp", "matches-2.webp"]
    assert len({path.parent for path in kept}) == 1 and (folder / "output/pictures") in kept[0].parents
    assert (
        first.explanation_status == "partial" and "application/x-sh" in first.explanation_failure["message"]
    )


def test_what_the_database_refuses_costs_one_candidate(folder: Path) -> None:
    class Surrogate:
        @hookimpl
        def explain_ranked_query(self, ranked_query: RankedQuery) -> Any:
            return [
                explanation(ranked_query, rank, explainer="\ud800" if rank == 2 else "toy")
                for rank in (1, 2, 3)
            ]

    summary = run(folder, Surrogate(), queries=["Ngaio0.png"], pairx_top_k=3)
    found = reviews(folder, summary)
    assert [review.explanation_status for review in found] == ["ready", "failed", "ready", "skipped"]
    assert found[1].explanation_failure["code"] == "REVIEW_NOT_WRITTEN"
    assert summary.statuses == {"ready": 2, "failed": 1, "skipped": 1}


def test_a_database_that_goes_away_leaves_the_ranking_and_a_summary(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(folder)
    with host(folder, Explainer(), pairx_top_k=1) as local:

        def gone(*_: Any, **__: Any) -> None:
            raise HostUnavailable("the database has gone away")

        monkeypatch.setattr(local.database, "save_explanations", gone)
        monkeypatch.setattr(local.database, "finish_run", gone)
        summary = local.run()
    assert ranks(folder, summary) == ranks(folder, plain)
    assert summary.statuses == {"failed": 8, "skipped": 24}
    failure = summary.queries[0].candidates[0].failure
    assert failure is not None and failure["code"] == "REVIEW_NOT_WRITTEN" and failure["retryable"]
    assert summary.problems[-1].code == "HOST_UNAVAILABLE"


def test_two_runs_keep_their_own_pictures(folder: Path) -> None:
    first = run(folder, Explainer(), queries=["Ngaio0.png"], pairx_top_k=1)
    second = run(folder, Explainer(), queries=["Ngaio0.png"], pairx_top_k=1)
    paths = {s.queries[0].candidates[0].record_path for s in (first, second)}
    assert len(paths) == 2 and all(path and (folder / "output" / path).exists() for path in paths)


def test_an_explanation_can_be_attached_later(folder: Path) -> None:
    summary = run(folder)
    with host(folder) as local:
        match = local.database.get_match(summary.queries[0].query_id)
        ranked = local.rank(local.annotations[0])
        later = RankedQuery(query_id=match.query_id, query=ranked.query, candidates=ranked.candidates)
        local.attach(later, [explanation(later, 1)])
        review = local.database.get_match(match.query_id).reviews[0]
    assert review.explanation_status == "ready" and len(review.pictures) == 1
    failure = Failure(code="X", message="y")
    with host(folder) as local:
        local.attach(
            later, [explanation(later, 1, status=Status.FAILED, failure=failure, artifacts=(), record={})]
        )
        review = local.database.get_match(match.query_id).reviews[0]
    assert (review.explanation_status, review.pictures) == ("failed", [])
