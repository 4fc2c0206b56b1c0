"""Who may decide on the review page, and under which name."""

from __future__ import annotations

import json
import urllib.parse

from review_reader import API, reviews


def test_write_without_the_pages_word_is_refused(hosted, client, reader):
    path = f"{API}/tasks/{reader.task}/pairs/{reader.query}/1/decision"
    body = json.dumps({"evidence_decision": "match"})
    how = {"data": body, "content_type": "application/json"}
    for headers in ({"If-Match": '"0"'}, {"If-Match": '"0"', "X-CSRF-Token": "guessed"}):
        assert client.put(path, headers=headers, **how).status_code == 403
    other = {"If-Match": '"0"', "X-CSRF-Token": reader.data["csrf"], "Sec-Fetch-Site": "cross-site"}
    assert client.put(path, headers=other, **how).status_code == 403
    assert reviews(hosted) == []


def test_name_that_a_reviewer_told_the_host_counts(hosted, client, reader):
    client.post("/submit/login/", data={"name": "Ana", "organization": "NGO"})
    shown = client.get(reader.address).data.decode()
    assert '"reviewer":"ana@ngo"' in shown
    assert reader.decide("match", reviewer="somebody else").status_code == 200
    assert reviews(hosted)[0][5] == "user:web:ana@ngo"
    client.get("/logout/")
    assert '"reviewer":""' in client.get(reader.address).data.decode()


def test_sign_in_of_the_host_is_asked_for_where_that_is_wished(hosted, client, reader, monkeypatch):
    monkeypatch.setenv("PAIRX_REVIEW_SIGN_IN", "1")
    sent = client.get(reader.address)
    assert sent.status_code == 302 and "/login/?refer=" in sent.headers["Location"]
    refused = reader.decide("match")
    assert refused.status_code == 401 and refused.json["errors"][0]["code"] == "AUTH_REQUIRED"
    back = urllib.parse.parse_qs(urllib.parse.urlparse(sent.headers["Location"]).query)["refer"][0]
    answered = client.post("/submit/login/", data={"name": "Ana", "organization": "NGO", "refer": back})
    assert answered.headers["Location"].endswith(reader.address)
    assert client.get(reader.address).status_code == 200 and reader.decide("match").status_code == 200
    client.get("/logout/")


def test_token_is_asked_for_where_one_is_set(hosted, client, reader, monkeypatch):
    monkeypatch.setenv("PAIRX_REVIEW_TOKEN", "a-token-of-enough-length")
    hosted.installation.review.close()
    sent = client.get(reader.address)
    assert sent.status_code == 303 and "/pairx/review/sign-in" in sent.headers["Location"]
    assert reader.decide("match").status_code == 401
    wrong = client.post("/pairx/review/sign-in", data={"token": "wrong", "next": reader.address})
    assert wrong.status_code == 401
    right = client.post("/pairx/review/sign-in", data={"token": "a-token-of-enough-length", "next": reader.address})
    assert right.status_code == 303 and right.headers["Location"].endswith(reader.address)
    assert client.get(reader.address).status_code == 200
