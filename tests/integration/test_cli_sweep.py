"""``pairx-plugin sweep`` and ``choose-layer``: the contact sheet, and the file that `layers = auto` reads."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")

from PIL import Image  # noqa: E402
from sqlalchemy.orm import Session  # noqa: E402

from pairx_plugin.hosts.local.calibrated import layer_choice_path, with_calibration  # noqa: E402
from pairx_plugin.hosts.local.connection import connect  # noqa: E402
from pairx_plugin.hosts.local.database import ReviewDatabase  # noqa: E402
from pairx_plugin.hosts.local.schema import AnnotationRow, MatchQuery, MatchReview, MatchRun, utc_now  # noqa: E402
from pairx_plugin.layer_choice import LayerFindings  # noqa: E402
from pairx_plugin.models.embedding import EmbeddingModel  # noqa: E402
from pairx_plugin.settings import Settings  # noqa: E402

STAGES = ["layer1", "layer2", "layer3", "layer4"]
SMALL = ("--model", "timm:resnet18", "--input-size", "64")


@pytest.fixture(scope="module")
def swept(call, photographs, tmp_path_factory):
    """A sweep of one pair over the stages of a small network."""
    folder = tmp_path_factory.mktemp("sweep")
    done = call("sweep", photographs / "query.png", photographs / "first.png", *SMALL, "-o", folder, "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout), (folder / "sweep.html").read_text("utf-8")


def test_every_stage_has_its_figures(swept):
    told, _ = swept
    assert [layer["layer_key"] for layer in told["layers"]] == STAGES
    assert [layer["grid"] for layer in told["layers"]] == [[16, 16], [8, 8], [4, 4], [2, 2]]
    assert all(layer["n_matches"] > 0 and layer["seconds"] > 0 for layer in told["layers"])
    assert told["begin_with"] == "layer1" and set(told["shared_seconds"]) == {"forward", "relevance"}


def test_sheet_holds_all_it_shows_and_asks_for_nothing(swept):
    told, page = swept
    assert page.count('src="data:image/webp;base64,') == len(STAGES) and "<script" not in page
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", page)
    for layer in told["layers"]:
        assert f"<code>{layer['layer_key']}</code>" in page and f"<dd>{layer['n_matches']}</dd>" in page
    assert 'alt="Query left, candidate right, with the' in page and page.count("<section") == len(STAGES)
    assert "&lt;" not in page.split("</style>")[1] and "suggested" in page


def test_layers_and_colours_may_be_asked_for(call, photographs, tmp_path):
    pair = photographs / "query.png", photographs / "first.png"
    done = call("sweep", *pair, *SMALL, "--layer", "layer2.0", "--layer", "layer2", "--k-colors", 1, "-o", tmp_path)
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "sweep.html").read_text("utf-8")
    assert page.count("<img") == 4 and "relevance as colours" in page and "<code>layer2.0</code>" in page
    assert "contact sheet:" in done.stdout and "layer2.0" in done.stdout and "Cosine" in done.stdout


def test_explainer_without_matches_shows_its_maps(call, photographs, tmp_path):
    pair = photographs / "query.png", photographs / "first.png"
    done = call("sweep", *pair, *SMALL, "--explainer", "similarity_attention", "--layer", "layer4", "-o", tmp_path)
    assert done.exit_code == 0, done.stderr
    page = (tmp_path / "sweep.html").read_text("utf-8")
    assert page.count("<img") == 1 and "relevance as colours" in page and "not assessed" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--layer", "layer9"), "layer 'layer9' not found"),
        (("--explainer", "nobody"), "explainer 'nobody' is not registered"),
        (("--bbox-query", "1,2"), "--bbox-query must be x,y,w,h"),
        (("--mode", "right"), "has no choice 'right'"),
    ],
)
def test_wrong_input_is_told_in_a_line(call, photographs, tmp_path, arguments, words):
    done = call("sweep", photographs / "query.png", photographs / "first.png", *SMALL, *arguments, "-o", tmp_path)
    assert done.exit_code == 2 and words in done.stderr and len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "sweep.html").exists()


@pytest.fixture()
def model(monkeypatch, miewid_network):
    """The small network, which every name stands for."""
    made = EmbeddingModel(miewid_network, input_size=(64, 64), model_id="small")
    monkeypatch.setattr("pairx_plugin.models.provided.load_model", lambda *_, **__: made)
    return made


def reviewed(folder, make_texture, n, *, same=True, config=None):
    """Write a database with `n` decided pairs of shifted twins; return its URL."""
    url = f"sqlite:///{(folder / 'reviews.sqlite3').as_posix()}"
    with ReviewDatabase(url), Session(connect(url)) as session, session.begin():
        run = MatchRun(
            run_id="run", config={"model": "small", **(config or {})}, model_id="m", model_fingerprint="f",
            explain=True, n_annotations=0, problems=[],
        )
        session.add(run)
        for number in range(n):
            for side in (0, 1):
                path = folder / f"{number}-{side}.png"
                Image.fromarray(np.roll(make_texture(number), 4 * side, axis=1)).save(path)
                row = AnnotationRow(annotation_id=f"{number}-{side}", image=str(path), name=f"i{number}", extra={})
                session.add(row)
            query = MatchQuery(
                query_id=f"q{number}", run_id="run", annotation_id=f"{number}-0", position=number, status="ranked",
                warnings=[], score_scale="cosine", n_searched=1,
            )
            review = MatchReview(
                candidate_id=f"{number}-1", rank=1, score=0.5, warnings=[], pictures=[], decided=utc_now(),
                evidence_decision="match" if same else "nomatch",
            )
            query.reviews.append(review)
            session.add(query)
    return url


def test_choice_lies_beside_the_database_and_settings_find_it(call, model, make_texture, tmp_path):
    url = reviewed(tmp_path, make_texture, 6)
    assert with_calibration(Settings(layers="auto"), url).layer_choice == ""
    keys = ("--layer", "backbone.blocks.0", "--layer", "backbone.blocks.1")
    (tmp_path / "5-1.png").unlink()  # a photograph that is gone spoils no choice
    done = call("choose-layer", tmp_path / "reviews.sqlite3", *keys, "--json")
    assert done.exit_code == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["file"] == str(layer_choice_path(url)) and told["n_confirmed"] == 5 and told["n_rejected"] == 0
    found = LayerFindings.from_file(told["file"])
    assert {layer.layer_key for layer in found.layers} >= {"backbone.blocks.0", "backbone.blocks.1"}
    assert found.model_sha256 == model.fingerprint()
    assert with_calibration(Settings(layers="auto"), url).layer_choice == told["file"]
    assert with_calibration(Settings(), url).layer_choice == ""
    assert with_calibration(Settings(layers="auto", layer_choice="none"), url).layer_choice == "none"


def test_people_read_the_choice_and_why(call, model, make_texture, tmp_path):
    reviewed(tmp_path, make_texture, 5)
    done = call("choose-layer", tmp_path / "reviews.sqlite3", "--layer", "backbone.blocks.0", "-o", tmp_path / "a.json")
    assert done.exit_code == 0, done.stderr
    assert "5 confirmed pairs of 5 individuals" in " ".join(done.stdout.split()) and (tmp_path / "a.json").is_file()


def test_nothing_to_choose_by_is_refused(call, model, make_texture, tmp_path):
    reviewed(tmp_path, make_texture, 5, same=False)
    done = call("choose-layer", tmp_path / "reviews.sqlite3", "--layer", "backbone.blocks.0")
    assert done.exit_code == 2 and "pairs of 0 individuals are too few" in done.stderr


def test_runs_by_another_explainer_have_no_figures(call, model, make_texture, tmp_path):
    reviewed(tmp_path, make_texture, 5, config={"pairx": {"pairx_explainer": "grad_cam"}})
    done = call("choose-layer", tmp_path / "reviews.sqlite3")
    assert done.exit_code == 2 and "explains by 'grad_cam'" in done.stderr
