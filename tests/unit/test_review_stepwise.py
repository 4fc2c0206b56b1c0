"""Evidence in steps: a request reaches the explainer, its session sees the ranking, partners come along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("fastapi")

from pairx_hooks import Annotation, Candidate, RankedQuery, Status  # noqa: E402
from pairx_plugin.chips import Chip  # noqa: E402
from pairx_plugin.errors import ChipUnreadable  # noqa: E402
from pairx_plugin.evidence import PairEvidence  # noqa: E402
from pairx_plugin.explainers.maps_only import map_layer  # noqa: E402
from pairx_plugin.explainers.point_to_point import PointToPoint  # noqa: E402
from pairx_plugin.explainers.similarity_attention import SimilarityAttention  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.review import EvidenceRequest, Partners, explain_in_steps, rivals_first  # noqa: E402
from pairx_plugin.review.stepwise import with_request  # noqa: E402
from pairx_plugin.settings import Settings  # noqa: E402


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), model_id="small")


@pytest.fixture
def chips(make_texture):
    """A query of animal a, and candidates of a, a, b and c."""
    names = ("a", "a", "a", "b", "c")
    return [Chip.from_array(make_texture(seed, 64), name=name) for seed, name in enumerate(names)]


def steps(model, query, candidate, explainer, **more):
    settings = more.pop("settings", Settings())
    return list(explain_in_steps(model, query, candidate, explainer, settings, lambda: False, **more))


TRIPLET = EvidenceRequest(explainer="similarity_attention", variant="triplet", options={"attention_mode": "triplet"})


def test_triplet_is_contrasted_with_the_rival_of_the_ranking(model, chips):
    query, *candidates = chips
    (found,) = steps(model, query, candidates[0], SimilarityAttention(), request=TRIPLET, ranking=lambda: candidates)
    assert found.status is Status.READY
    codes = {doubt.code: doubt.values for doubt in found.evidence.doubts}
    assert codes["CONTRASTED"]["rank"] == 3  # the first of another individual
    assert found.evidence.other_chips == (candidates[2].sha256,)
    (other,) = steps(model, query, candidates[2], SimilarityAttention(), request=TRIPLET, ranking=lambda: candidates)
    assert {doubt.code: doubt.values for doubt in other.evidence.doubts}["CONTRASTED"]["rank"] == 1


def test_without_its_ranking_a_triplet_has_no_rival(model, chips):
    (found,) = steps(model, chips[0], chips[1], SimilarityAttention(), request=TRIPLET)
    assert "NO_RIVAL" in {doubt.code for doubt in found.evidence.doubts}


def test_ranking_is_not_asked_of_explainers_that_look_at_no_rivals(model, chips):
    def fail():
        raise AssertionError("nobody needs the ranking")

    steps(model, chips[0], chips[1], PointToPoint(), ranking=fail)


def test_partners_of_point_to_point_are_its_own_map(model, chips):
    partners, found = steps(model, chips[0], chips[1], PointToPoint())
    assert isinstance(partners, Partners) and found.status is Status.READY
    session = PointToPoint().prepare(model, chips[0], Settings())
    rows, cols = partners.grids[0]
    own = session.partner_map(chips[1], (0.9, 0.1))
    np.testing.assert_allclose(partners.row(0, 0, int(0.9 * cols)), own, atol=1e-7)
    back = session.partner_map(chips[1], (0.2, 0.7), side=1)
    np.testing.assert_allclose(partners.row(1, int(0.7 * rows), int(0.2 * cols)), back, atol=1e-7)
    assert partners.table.sum() == pytest.approx(float(session.contributions(chips[1]).table.sum()), abs=1e-5)


def test_cell_that_adds_nothing_has_no_partner():
    table = np.array([[-1.0, -2.0], [3.0, 0.5]], np.float32)
    partners = Partners(table=table, grids=((1, 2), (2, 1)))
    assert partners.peak(0, 0, 0) is None and partners.peak(0, 0, 1) == (0, 0)
    assert partners.peak(1, 1, 0) == (0, 1) and partners.n_bytes == 16


class Slow:
    """Lines at once, colours never: it goes on until it is told to stop."""

    explainer_id, version = "slow", "1"

    def prepare(self, model, query, settings):
        self.settings = settings
        return self

    def explain(self, candidates):
        raise AssertionError("its evidence grows")

    def steps(self, candidates, stop):
        half = np.ones((2, 2), np.float32)
        grown = PairEvidence(similarity=0.5, layers=(map_layer("x", (half, half), (8, 8)),), missing=("pixels",))
        for index, _ in enumerate(candidates):
            yield index, grown
        while not stop.reached():
            pass
        for index, _ in enumerate(candidates):
            yield index, replace(grown, shortfall=stop.why())


def test_time_budget_of_a_request_ends_the_explainer_with_what_is_there(model, chips):
    *_, last = steps(model, chips[0], chips[1], Slow(), request=EvidenceRequest(time_budget=0.2))
    assert last.status is Status.PARTIAL and last.failure.code == "TIME_BUDGET" and last.failure.retryable
    record = last.to_json()
    assert (record["status"], record["missing"]) == ("partial", ["pixels"])
    assert record["errors"][0]["code"] == "TIME_BUDGET"


@pytest.mark.parametrize(
    ("own", "asked", "holds"), [(0.0, 0.0, 0.0), (5.0, 0.0, 5.0), (0.0, 3.0, 3.0), (5.0, 3.0, 3.0), (2.0, 3.0, 2.0)]
)
def test_shorter_of_two_budgets_holds(own, asked, holds):
    settings = Settings(time_budget=own, options={"a": 1})
    told = with_request(settings, EvidenceRequest(time_budget=asked, options={"b": 2}))
    assert told.time_budget == holds and dict(told.options) == {"a": 1, "b": 2}


def ranking_of(*names: str | None) -> RankedQuery:
    candidates = tuple(
        Candidate(annotation=Annotation(annotation_id=f"c{rank}", image="x", name=name), rank=rank, score=1.0)
        for rank, name in enumerate(names, 1)
    )
    query = Annotation(annotation_id="a", image="x")
    return RankedQuery(query_id="q", query=query, candidates=candidates, model_id="m")


def test_no_more_chips_are_cut_than_rivals_need(chips):
    ranked, cut = ranking_of("a", None, "b", "a", "b", "c", "d", "e"), []

    def chip_of(annotation):
        cut.append(annotation.annotation_id)
        if annotation.annotation_id == "c2":
            raise ChipUnreadable("gone")
        return chips[0]

    found = rivals_first(ranked, ranked.candidates[0], chip_of)
    assert cut == ["c1", "c2", "c3", "c4", "c5", "c6"] and len(found) == 5
