"""``pairx-plugin calibrate``: from decisions in a review database to records that say so."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")
pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")

from sqlalchemy.orm import Session  # noqa: E402

from pairx_plugin import explain_ranking  # noqa: E402
from pairx_plugin.hosts.local.calibrated import calibration_path, with_calibration  # noqa: E402
from pairx_plugin.hosts.local.connection import connect  # noqa: E402
from pairx_plugin.hosts.local.database import ReviewDatabase  # noqa: E402
from pairx_plugin.hosts.local.judged_pairs import read_judgements  # noqa: E402
from pairx_plugin.hosts.local.schema import AnnotationRow, MatchQuery, MatchReview, MatchRun, utc_now  # noqa: E402
from pairx_plugin.settings import Settings  # noqa: E402

LAYER = "backbone.blocks.1"


@pytest.fixture(scope="module")
def record(miewid_network, make_texture):
    """A real record of the small network."""
    (found,) = explain_ranking(
        miewid_network, make_texture(0), [make_texture(0)], layer=LAYER, k_colors=0, input_size=(64, 64)
    )
    return found.to_json()


def fill(url, record, n, seed=0):
    """Write `n` decided pairs, half of them confirmed, whose figures tell which."""
    rng = np.random.default_rng(seed)
    with ReviewDatabase(url), Session(connect(url)) as session, session.begin():
        run = MatchRun(
            run_id="run", config={}, model_id="m", model_fingerprint="f", explain=True, n_annotations=0, problems=[]
        )
        session.add(run)
        for number in range(n):
            same = number % 2 == 0
            names = [f"i{number % 30}", f"i{number % 30}" if same else f"i{(number + 7) % 30}"]
            for side, name in enumerate(names):
                session.add(AnnotationRow(annotation_id=f"{number}-{side}", image="x.jpg", name=name, extra={}))
            fraction = float(np.clip((0.7 if same else 0.4) + rng.normal(0, 0.15), 0, 1))
            figures = {
                **record["plausibility"], "irm_rob": 0.5, "match_coverage": 0.2, "inlier_fraction": fraction,
                "n_inliers": round(20 * fraction), "n_chance": 6, "n_tested": 20,
            }
            review = MatchReview(
                candidate_id=f"{number}-1", rank=1, score=0.5, warnings=[], pictures=[], explanation_status="ready",
                explanation={**record, "plausibility": figures}, decided=utc_now(),
                evidence_decision="match" if same else "nomatch",
            )
            query = MatchQuery(
                query_id=f"q{number}", run_id="run", annotation_id=f"{number}-0", position=number, status="ranked",
                warnings=[], score_scale="cosine", n_searched=1,
            )
            query.reviews.append(review)
            session.add(query)


@pytest.fixture()
def url(tmp_path, record):
    made = f"sqlite:///{(tmp_path / 'reviews.sqlite3').as_posix()}"
    fill(made, record, 160)
    return made


def test_calibration_lies_beside_the_database_and_records_say_so(call, url, tmp_path, miewid_network, make_texture):
    assert with_calibration(Settings(), url).calibration == ""
    done = call("calibrate", tmp_path / "reviews.sqlite3", "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["separates"] and told["n_same"] == told["n_different"] == 80 and told["auc"] > 0.8
    assert told["file"] == str(calibration_path(url)) and (tmp_path / "reviews.calibration.json").is_file()
    page = (tmp_path / "reviews.calibration.html").read_text(encoding="utf-8")
    assert "<svg" in page and "<script" not in page and LAYER in page
    settings = with_calibration(Settings(), url)
    assert settings.calibration == told["file"]
    assert with_calibration(Settings(calibration="none"), url).calibration == "none"

    def status(layer):
        (found,) = explain_ranking(
            miewid_network, make_texture(1), [np.roll(make_texture(1), 5, axis=1)], layer=layer, k_colors=0,
            input_size=(64, 64), calibration=settings.calibration,
        )
        record = found.to_json()
        return record["plausibility"]["calibration"], [doubt["code"] for doubt in record["warnings"]]

    said, doubts = status(LAYER)
    assert said["status"] == "calibrated" and 0 < said["probability"] < 1 and "CALIBRATION_STALE" not in doubts
    said, doubts = status("backbone.blocks.0")
    assert said["reason"] == "LAYER_DIFFERS" and "CALIBRATION_STALE" in doubts


def test_people_read_what_it_is_worth(call, url, tmp_path):
    done = call("calibrate", tmp_path / "reviews.sqlite3", "--method", "isotonic", "-o", tmp_path / "mine.json")
    assert done.exit_code == 0 and "held-out individuals: AUC" in done.stdout
    assert json.loads((tmp_path / "mine.json").read_text(encoding="utf-8"))["knots"]


def test_few_decisions_are_refused_clearly(call, tmp_path, record):
    made = f"sqlite:///{(tmp_path / 'few.sqlite3').as_posix()}"
    fill(made, record, 40)
    done = call("calibrate", tmp_path / "few.sqlite3")
    assert done.exit_code == 2 and "40 usable decisions, 100 needed" in done.stderr
    assert not (tmp_path / "few.calibration.json").exists()
    fill(f"sqlite:///{(tmp_path / 'none.sqlite3').as_posix()}", record, 0)
    assert "nobody has confirmed" in call("calibrate", tmp_path / "none.sqlite3").stderr


def test_pair_counts_once_with_its_latest_decision(tmp_path, record):
    made = f"sqlite:///{(tmp_path / 'twice.sqlite3').as_posix()}"
    fill(made, record, 2)
    with Session(connect(made)) as session, session.begin():
        query = MatchQuery(  # the first pair again, the other way round, rejected later and without a record
            query_id="again", run_id="run", annotation_id="0-1", position=9, status="ranked", warnings=[],
            score_scale="cosine", n_searched=1,
        )
        query.reviews.append(
            MatchReview(candidate_id="0-0", rank=1, score=0.5, warnings=[], pictures=[], decided=utc_now(),
                        evidence_decision="nomatch")
        )
        session.add(query)
    with ReviewDatabase(made) as database:
        found = read_judgements(database)
    assert sorted((item.same, item.record is None) for item in found) == [(False, False), (False, True)]
