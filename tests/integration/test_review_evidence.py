"""The review server's explanations: what an answer holds, and what it is asked for with."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi")
from review_programs import Reviewer, check_failure  # noqa: E402


def test_explanation_brings_record_words_and_masks(make_server):
    reviewer = Reviewer(make_server())
    answer = reviewer.ask()
    assert answer.status_code in (201, 202) and answer.headers["location"].endswith(answer.json()["id"])
    found = reviewer.explained()
    record = found["record"]
    assert (found["status"], record["schema"]) == ("ready", "pairx.explanation/1")
    assert len(record["matches"]) == 20 and record["plausibility"]["calibrated"] is False
    assert found["words"]["band"] == record["plausibility"]["band"]
    assert found["words"]["links"][0]["place_0"].count("%") == 2
    assert [image["filename"] for image in record["images"]] == ["IMG_0412.jpg", "IMG_0013.jpg"]
    kinds = [(item["kind"], item["side"], item["rank"]) for item in record["maps"]]
    assert kinds.count(("pixel", 0, 1)) == 1 and len([kind for kind in kinds if kind[0] == "pixel"]) == 10
    picture = reviewer.get(record["maps"][kinds.index(("pixel", 0, 1))]["url"])
    assert picture.headers["content-type"] == "image/png" and "immutable" in picture.headers["cache-control"]
    with Image.open(io.BytesIO(picture.content)) as image:
        grey = np.asarray(image)
    assert grey.dtype == np.uint8 and grey.ndim == 2 and grey.max() == 255 and grey.min() < 5
    row, column = np.unravel_index(grey.argmax(), grey.shape)
    x, y = record["matches"][0]["kpts0"]
    assert abs(column / grey.shape[1] - x) < 0.06 and abs(row / grey.shape[0] - y) < 0.06


def test_same_inputs_share_one_explanation_and_others_do_not(make_server):
    server = make_server()
    reviewer = Reviewer(server)
    first, again = reviewer.explained(1), reviewer.explained(1)
    other = reviewer.explained(1, layer_key="blocks.2")
    assert first["id"] == again["id"] != other["id"]
    assert other["record"]["layer_key"] == "blocks.2"
    assert len(server.source.asked) == 2


def test_finished_explanation_has_an_etag(make_server):
    reviewer = Reviewer(make_server())
    found = reviewer.explained()
    address = f"/review/v1/explanations/{found['id']}"
    etag = reviewer.get(address).headers["etag"]
    assert reviewer.get(address, headers={"If-None-Match": etag}).status_code == 304


def test_unusable_explainer_is_unsupported_and_unknown_ones_are_refused(make_server):
    reviewer = Reviewer(make_server())
    found = reviewer.ask(explainer="other").json()
    assert (found["status"], found["over"]) == ("unsupported", True)
    check_failure(reviewer.ask(explainer="nobody"), 422, "EXPLAINER_UNKNOWN")
    check_failure(reviewer.ask(layer_key="../../etc"), 422, "LAYER_UNKNOWN")
    check_failure(reviewer.ask(rank=99), 404, "NOT_ASSOCIATED")
    check_failure(reviewer.ask(k_colors=5000), 422, "BAD_REQUEST")


def test_variant_of_an_explainer_brings_its_options(make_server):
    server = make_server()
    reviewer = Reviewer(server)
    found = reviewer.explained(1, explainer="rivals", variant="triplet")
    assert (found["explainer"], found["variant"]) == ("rivals", "triplet")
    assert dict(server.source.asked[-1][2].options) == {"attention_mode": "triplet"}
    assert found["id"] != reviewer.explained(1, explainer="rivals")["id"]
    body = check_failure(reviewer.ask(1, explainer="pairx", variant="triplet"), 422, "EXPLAINER_UNKNOWN")
    assert body["errors"][0]["field"] == "variant"
    choices = reviewer.get("/review/v1/explainers").json()["explainers"]
    assert [(item["explainer_id"], item["variant"]) for item in choices][1:3] == [("rivals", ""), ("rivals", "triplet")]


def test_partner_of_a_cell_is_told_with_two_maps(make_server):
    reviewer = Reviewer(make_server({1: "partners"}))
    found = reviewer.explained(1)
    assert found["has_partners"]
    address = f"/review/v1/explanations/{found['id']}/partners"
    told = reviewer.get(f"{address}/0/3/4").json()
    assert told["place"] == pytest.approx([5.5 / 14, 3.5 / 14]) and told["value"] == pytest.approx(0.0101)
    towards, against = (
        np.asarray(Image.open(io.BytesIO(reviewer.get(told["maps"][sign]).content))) for sign in ("for", "against")
    )
    assert towards.shape == (14, 14) and np.unravel_index(towards.argmax(), towards.shape) == (3, 5)
    assert against[4, 4] == 255 and (against > 0).sum() == 1
    assert reviewer.get(f"{address}/1/3/5").json()["place"] == pytest.approx([4.5 / 14, 3.5 / 14])
    check_failure(reviewer.get(f"{address}/0/14/0"), 422, "SETTING_INVALID")
    check_failure(reviewer.get(f"{address}/2/0/0"), 404, "NOT_ASSOCIATED")
    check_failure(reviewer.get(f"{address}/0/0/0/both.png"), 404, "NOT_ASSOCIATED")
    plain = reviewer.explained(2)
    assert not plain["has_partners"]
    check_failure(reviewer.get(f"/review/v1/explanations/{plain['id']}/partners/0/0/0"), 404, "NOT_ASSOCIATED")


def test_maps_with_signs_come_in_two_parts(make_server):
    reviewer = Reviewer(make_server({1: "signed"}))
    maps = [item for item in reviewer.explained(1)["record"]["maps"] if item["kind"] == "pixel"]
    assert [(item["side"], item["rank"], item["sign"]) for item in maps[:4]] == [
        (0, 1, "for"), (0, 1, "against"), (0, 2, "for"), (0, 2, "against")
    ]
    first, second = (np.asarray(Image.open(io.BytesIO(reviewer.get(item["url"]).content))) for item in maps[:2])
    assert first.max() > 100 and second.max() > 100
    assert not ((first > 0) & (second > 0)).any()


def test_links_outside_of_the_animal_are_in_record_and_words(make_server):
    found = Reviewer(make_server({1: "outside"})).explained(1)
    matches = found["record"]["matches"]
    outside = [match["kpts1"][0] > 0.5 for match in matches]
    assert [match["inside1"] for match in matches] == [not out for out in outside]
    assert {match["inside0"] for match in matches} == {None}
    reason = [item for item in found["record"]["plausibility"]["reasons"] if item["code"] == "OUTSIDE_ANIMAL"]
    assert reason[0]["values"]["n"] == sum(outside) and reason[0]["values"]["of"] == 20
    assert f"Of 20 links, {sum(outside)} end outside the animal." in found["words"]["sentences"]
    assert [link["outside"] for link in found["words"]["links"]] == [[False, out] for out in outside]
