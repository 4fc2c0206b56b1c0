"""The review page in the host's own web application, with decisions in the host's own tables."""

from __future__ import annotations

import io
import json
import re
import time
import urllib.parse

import numpy as np
import pytest
from PIL import Image

from pairx_plugin.hosts.wildbook.pictures import reference_of
from pairx_plugin.hosts.wildbook.shelf import Shelf

API = "/pairx/review/v1"


@pytest.fixture()
def hosted(attached_host):
    """The host as it is, with what other tests have kept."""
    return attached_host


@pytest.fixture()
def explained(hosted):
    """A query whose best candidate is explained; asked again only where a test has cleared what was kept."""
    request = hosted.request(pairx_explain=True, pairx_top_k=1)
    where = {"extern_reference": reference_of(request), "query_annot_uuid": hosted.query_uuid}
    if Shelf(hosted.ibs.cachedir, where["extern_reference"]).read_query(hosted.query_uuid) is None:
        hosted.graph(pairx_explain=True, pairx_top_k=1)
    return where


class Reader:
    """What a browser does: it keeps cookies, reads the page's data, and sends its word along."""

    def __init__(self, client, explained):
        self.client = client
        found = client.get("/pairx/review/", query_string=explained)
        assert found.status_code == 302
        self.address = "/" + found.headers["Location"].split("/", 3)[3]
        response = client.get(self.address)
        assert response.status_code == 200, response.data[:2000]
        self.page = response.data.decode()
        data = re.search(r'<script type="application/json" id="data">(.*?)</script>', self.page, re.S).group(1)
        self.data = json.loads(data)
        self.task, self.query = self.data["task"]["task_id"], self.data["query"]["query_id"]

    def send(self, method, path, body, **headers):
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        headers = {"X-CSRF-Token": self.data["csrf"], **named}
        how = {"method": method, "headers": headers, "content_type": "application/json"}
        return self.client.open(API + path, data=json.dumps(body), **how)

    def decide(self, decision, version=0, rank=1, **more):
        path = f"/tasks/{self.task}/pairs/{self.query}/{rank}/decision"
        return self.send("PUT", path, {"evidence_decision": decision, **more}, If_Match=f'"{version}"')

    def undo(self, version, rank=1):
        path = f"/tasks/{self.task}/pairs/{self.query}/{rank}/decision/undo"
        return self.send("POST", path, {}, If_Match=f'"{version}"')

    def evidence(self, rank, seconds=120, **more):
        job = self.send("POST", "/explanations", {"task": self.task, "query": self.query, "rank": rank, **more}).json
        deadline = time.monotonic() + seconds
        while not job["over"]:
            assert time.monotonic() < deadline, job
            time.sleep(0.1)
            job = self.client.get(f"{API}/explanations/{job['id']}").json
        return job


@pytest.fixture()
def reader(hosted, client, explained):
    """A reader of the page, and a host without reviews."""
    ibs = hosted.ibs
    ibs.delete_review(ibs._get_all_review_rowids())
    ibs.delete_annotmatch(ibs._get_all_annotmatch_rowids())
    hosted.installation.review.close()
    yield Reader(client, explained)
    hosted.installation.review.close()


def test_hosts_address_leads_to_the_page_of_the_query(hosted, reader):
    assert reader.address.startswith("/pairx/review/tasks/") and reader.query == hosted.query_uuid
    candidates = reader.data["query"]["candidates"]
    assert [item["annotation_id"] for item in candidates] == hosted.best(hosted.before.entry)
    assert candidates[0]["evidence"]["status"] == "ready" and candidates[1]["evidence"]["status"] is None
    assert reader.data["events"] is False and reader.data["query"]["model_id"] == "miew_id.sample"
    assert candidates[0]["link"] == f"/view/annotations/?aid={hosted.aid(candidates[0]['annotation_id'])}"
    for name in re.findall(r'(?:src|href)="(/pairx/review/static/[^"]+)"', reader.page):
        assert reader.client.get(name).status_code == 200


def test_all_tasks_are_listed_and_one_alone_is_shown(host, client, reader):
    found = client.get("/pairx/review/")
    assert found.status_code == 303 and reader.task in found.headers["Location"]
    host.graph(pairx_explain=True, pairx_top_k=2)  # another configuration is another task
    listed = client.get("/pairx/review/").data.decode()
    assert listed.count("/pairx/review/tasks/") >= 2 and reader.task in listed


def test_queries_that_were_asked_at_once_are_one_task(host, client):
    host.graph(qaids=host.aids[:2], pairx_explain=True, pairx_top_k=0)
    (task,) = client.get(f"{API}/tasks").json["tasks"]
    uuids = [str(item) for item in host.ibs.get_annot_uuids(host.aids[:2])]
    assert [item["query_id"] for item in task["queries"]] == uuids
    shown = client.get(f"/pairx/review/tasks/{task['task_id']}?query={uuids[1]}").data.decode()
    assert f'"query_id":"{uuids[1]}"' in shown
    # one of them, asked again alone, is a task of its own, and the other is left behind
    host.graph(pairx_explain=True, pairx_top_k=0)
    tasks = client.get(f"{API}/tasks").json["tasks"]
    assert [[item["query_id"] for item in task["queries"]] for task in tasks] == [[uuids[0]], [uuids[1]]]


def test_chips_are_what_the_network_reads_in_the_proportions_of_the_box(hosted, reader):
    best = reader.data["query"]["candidates"][0]
    for place, aid in ((reader.data["query"]["query"], hosted.qaid), (best, hosted.aid(best["annotation_id"]))):
        response = reader.client.get(place["chip_url"])
        assert response.status_code == 200 and response.mimetype == "image/webp"
        with Image.open(io.BytesIO(response.data)) as picture:
            _, _, width, height = hosted.ibs.get_annot_bboxes(aid)
            assert picture.width / picture.height == pytest.approx(width / height, rel=0.02)
            shown = np.array(picture.convert("RGB").resize((224, 224), Image.Resampling.BOX)).astype(int)
        config = hosted.plugin.read_config_and_load_model("striped_horse")[1]
        tensor = next(iter(hosted.plugin._load_data(hosted.ibs, [aid], config, batch_size=1)[0]))[0][0].numpy()
        mean, std = (np.array(v).reshape(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        saw = np.rint((tensor * std + mean) * 255).transpose(1, 2, 0)[..., ::-1]
        assert np.abs(shown - saw).mean() < 6 < np.abs(shown - saw[..., ::-1]).mean()
        again = reader.client.get(place["chip_url"], headers={"If-None-Match": response.headers["ETag"]})
        assert again.status_code == 304


def test_kept_evidence_is_there_at_once_and_grows_its_colours(hosted, reader):
    loads = hosted.loads
    first = reader.send("POST", "/explanations", {"task": reader.task, "query": reader.query, "rank": 1}).json
    assert first["record"]["num_matches"] > 20 and first["words"]["band_words"]
    done = reader.evidence(1)
    assert done["status"] == "ready" and done["failure"] is None
    urls = [item["url"] for item in done["record"]["maps"] if item.get("url")]
    assert len(urls) >= 10 and reader.client.get(urls[-1]).mimetype == "image/png"
    score = reader.data["query"]["candidates"][0]["score"]
    assert done["record"]["similarity"] == pytest.approx(2 * score - 1, abs=1e-4)
    assert hosted.loads - loads == 0  # the network that ranked is the one that explains


def test_candidate_that_was_not_asked_for_is_explained_on_the_page(hosted, reader):
    done = reader.evidence(3)
    assert done["status"] == "ready"
    assert done["record"]["images"][1]["annotation_id"] == hosted.best(hosted.before.entry)[2]
    levels = {item["level"]: item["key"] for item in reader.client.get(f"{API}/explainers").json["layers"]}
    fine = reader.evidence(3, layer_key=levels["fine"])
    assert fine["record"]["layer_key"] == levels["fine"] != done["record"]["layer_key"]


def reviews(hosted):
    ibs = hosted.ibs
    rowids = sorted(ibs._get_all_review_rowids())
    columns = zip(
        ibs.get_review_aid_tuple(rowids),
        ibs.get_review_count(rowids),
        map(ibs.const.EVIDENCE_DECISION.INT_TO_CODE.get, ibs.get_review_decision(rowids)),
        ibs.get_review_user_confidence(rowids),
        ibs.get_review_tags(rowids),
        ibs.get_review_identity(rowids),
    )
    return [tuple(row) for row in columns]


def match_of(hosted, aids):
    (rowid,) = hosted.ibs.get_annotmatch_rowid_from_undirected_superkey([min(aids)], [max(aids)])
    if rowid is None:
        return None
    ibs = hosted.ibs
    return (
        ibs.get_annotmatch_evidence_decision([rowid])[0],
        ibs.get_annotmatch_confidence([rowid])[0],
        ibs.get_annotmatch_tag_text([rowid])[0],
        ibs.get_annotmatch_reviewer([rowid])[0],
    )


def test_decisions_are_appended_to_the_hosts_reviews_in_its_words(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    edge = tuple(sorted((hosted.qaid, best)))
    names = list(hosted.ibs.get_annot_names(hosted.aids))
    first = reader.decide("nomatch", confidence="pretty_sure", tags=["scenerymatch"], comment="stripes", reviewer="Ana")
    assert first.status_code == 200 and first.json["decision"]["version"] == 1
    assert match_of(hosted, edge) == (0, 3, "scenerymatch", "user:web:Ana")
    second = reader.decide("match", version=1, reviewer="Ana", timestamp_c2=1795158600.5)
    assert second.status_code == 200 and second.json["decision"]["supersedes"] == first.json["decision"]["id"]
    assert reviews(hosted) == [
        (edge, 1, "nomatch", 3, ["scenerymatch"], "user:web:Ana"),
        (edge, 2, "match", None, None, "user:web:Ana"),
    ]
    assert match_of(hosted, edge) == (1, None, "", "user:web:Ana")
    assert list(hosted.ibs.get_annot_names(hosted.aids)) == names  # nothing is merged
    history = reader.client.get(f"{API}/tasks/{reader.task}/decisions.json").json["history"]
    assert [(item["evidence_decision"], item["comment"], item["rank"]) for item in history] == [
        ("nomatch", "stripes", 1),
        ("match", "", 1),
    ]
    assert history[1]["timestamp_c2"] == 1795158600.5
    assert reader.client.get(f"{API}/tasks/{reader.task}").json["queries"][0]["n_decided"] == 1


@pytest.mark.parametrize(
    "decision, number", [("match", 1), ("nomatch", 0), ("notcomp", 2), ("unknown", 3), ("unreviewed", None)]
)
def test_every_word_of_the_page_is_one_of_the_hosts(hosted, reader, decision, number):
    assert reader.decide(decision).status_code == 200
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    assert match_of(hosted, (hosted.qaid, best))[0] == number
    assert reviews(hosted)[0][2] == decision
    (current,) = reader.client.get(f"{API}/tasks/{reader.task}/decisions.json").json["current"]
    assert current["evidence_decision"] == decision


def test_undo_is_a_row_too_and_says_what_stood_before(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    reader.decide("nomatch")
    reader.decide("match", version=1)
    assert reader.undo(2).json["decision"]["evidence_decision"] == "nomatch"
    assert match_of(hosted, (hosted.qaid, best))[0] == 0
    assert reader.undo(3).json["decision"]["evidence_decision"] == "unreviewed"
    assert match_of(hosted, (hosted.qaid, best))[0] is None
    assert reader.undo(4).status_code == 422
    assert [row[1:3] for row in reviews(hosted)] == [(1, "nomatch"), (2, "match"), (3, "nomatch"), (4, "unreviewed")]


def test_review_that_the_host_wrote_itself_is_seen_and_not_overwritten(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    more = {"identity_list": ["algo:lca"], "user_confidence_list": [4], "tags_list": [["x"]]}
    hosted.ibs.add_review([best], [hosted.qaid], [1], **more)
    refused = reader.decide("nomatch")
    assert refused.status_code == 412 and refused.json["current"]["user_id"] == "algo:lca"
    assert len(reviews(hosted)) == 1
    shown = reader.client.get(f"{API}/tasks/{reader.task}/queries/{reader.query}").json["candidates"][0]["decision"]
    assert (shown["evidence_decision"], shown["confidence"], shown["version"]) == ("match", "absolutely_sure", 1)
    assert reader.decide("nomatch", version=1).status_code == 200
    assert [row[2] for row in reviews(hosted)] == ["match", "nomatch"]


def test_row_that_another_process_wrote_in_between_is_a_conflict(hosted, reader, monkeypatch):
    from pairx_plugin.hosts.wildbook import review_decisions

    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    append = review_decisions.append_row

    def late(ibs, decision, aids):
        hosted.ibs.add_review([best], [hosted.qaid], [0], identity_list=["user:web:quick"])
        return append(ibs, decision, aids)

    monkeypatch.setattr(review_decisions, "append_row", late)
    refused = reader.decide("match")
    assert refused.status_code == 412 and refused.json["current"]["user_id"] == "user:web:quick"
    assert [row[2] for row in reviews(hosted)] == ["nomatch"]


def test_match_that_cannot_be_written_leaves_the_review(hosted, reader, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(hosted.ibs, "set_annotmatch_evidence_decision", broken)
    assert reader.decide("match").status_code == 200 and len(reviews(hosted)) == 1


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


def test_streams_of_news_are_answered_with_none(reader):
    answered = reader.client.get(f"{API}/tasks/{reader.task}/events")
    assert answered.status_code == 204 and answered.data == b""


def test_changed_box_is_said_and_explained_anew_on_request(hosted, reader):
    best = hosted.aid(hosted.best(hosted.before.entry)[0])
    before = hosted.ibs.get_annot_bboxes(best)
    x, y, width, height = before
    try:
        hosted.ibs.set_annot_bboxes([best], [(x + 20, y + 10, width - 40, height - 20)])
        stale = reader.evidence(1)
        assert stale["status"] == "stale" and stale["stale"] == "CHIP_CHANGED" and stale["record"] is None
        anew = reader.evidence(1, anew=True)
        assert anew["status"] == "ready" and anew["made_anew"] is True
        not_explained_before = reader.evidence(2)
        assert not_explained_before["status"] == "ready"
    finally:
        hosted.ibs.set_annot_bboxes([best], [before])


def test_failed_query_can_still_be_reviewed(host, client, monkeypatch):
    from pairx_plugin.explainers.pairx import PairXSession

    def broken(*args, **kwargs):
        raise RuntimeError("broken on purpose")

    monkeypatch.setattr(PairXSession, "steps", broken)
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    where = {"extern_reference": entry["dannot_extern_reference"], "query_annot_uuid": host.query_uuid}
    reader = Reader(client, where)
    assert len(reader.data["query"]["candidates"]) == len(host.aids) - 1
    assert reader.evidence(1)["status"] == "failed"
    version = reader.data["query"]["candidates"][0]["decision"]["version"]
    assert reader.decide("match", version=version).status_code == 200


def test_page_without_its_dependencies_is_the_plain_one(hosted, client, explained, monkeypatch):
    monkeypatch.setattr(type(hosted.installation.review), "is_possible", staticmethod(lambda: False))
    response = client.get("/pairx/review/", query_string=explained)
    assert response.status_code == 200 and b"<script" not in response.data and b"Not a probability" in response.data


def test_report_of_the_task_is_one_file_with_decisions(reader):
    reader.decide("match", reviewer="Ana")
    page = reader.client.get(f"/pairx/review/tasks/{reader.task}/report.html").data.decode()
    assert page.count("data:image/") > 4 and "Ana" in page and "<script" not in page
