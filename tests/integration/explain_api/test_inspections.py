"""Wildbook's match inspection: made once, and kept while there is room."""

from __future__ import annotations

import io

import pytest
from PIL import Image
from explain_bodies import body, check_failure

pytest.importorskip("fastapi")


def test_inspection_is_made_once_and_kept(client):
    address = "/api/v3/match-inspection/mr-1/annot-2"
    check_failure(client.post(address), 404, "NOT_ASSOCIATED")
    made = client.post(address, json=body())
    assert made.status_code == 201
    asset = made.json()["asset"]
    assert (asset["width"], asset["height"], asset["labels"]) == (128, 64, ["matchInspectionPairx"])
    assert made.json()["success"] is True and made.json()["explanation"]["schema"] == "pairx.explanation/1"
    kept = client.get(asset["url"])
    assert kept.headers["content-type"] == "image/png"
    with Image.open(io.BytesIO(kept.content)) as image:
        assert image.size == (128, 64)
    assert client.post(address).status_code == 200
    assert client.post(address, json=body()).json() == made.json()
    assert client.get(address).json() == made.json()
    again = client.post(address, json=body(bb2=[[0, 0, 90, 90]]))  # another box: the picture is no longer of this pair
    assert again.status_code == 201 and client.get(asset["url"]).content != kept.content


def test_inspection_is_of_one_pair_and_its_ids_are_only_names(client):
    address = "/api/v3/match-inspection/..%5Cx/%3Cb%3E"
    two = body(image2_uris=["first.png", "second.png"], bb2=[])
    check_failure(client.post(address, json=two), 422, "BAD_REQUEST", "image2_uris")
    check_failure(client.post(address, json=body(bb2=[[900, 900, 9, 9]])), 422, "BBOX_EMPTY")
    check_failure(client.get("/api/v3/match-inspection/a/b/picture.png"), 404, "NOT_ASSOCIATED")


def test_inspections_are_let_go_when_there_are_too_many():
    from pairx_plugin.hosts.ml_service.inspections import Inspections, Kept

    store = Inspections(most_bytes=2500)
    for number in range(4):
        store.put(("a", str(number)), Kept(made_of="", picture=b"x" * 1000, width=1, height=1, record={}))
    assert [store.get(("a", str(number))) is not None for number in range(4)] == [False, False, True, True]
