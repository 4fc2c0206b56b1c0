"""A reader of the review page in the host's own web application."""

from __future__ import annotations

import json
import re
import time

API = "/pairx/review/v1"


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


def reviews(hosted):
    """Return the host's table of reviews as (pair, count, decision, confidence, tags, reviewer)."""
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
    """Return what the host's annotation match of a pair says: decision, confidence, tags, reviewer."""
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
