"""``pairx-plugin serve-api`` as a person starts it."""

from __future__ import annotations

import base64
import io
import json
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request

import pytest
from PIL import Image
from typer.testing import CliRunner

pytest.importorskip("fastapi")
from pairx_plugin.cli.app import app  # noqa: E402
from pairx_sample_data import load_annotations  # noqa: E402


def post(address, body, **headers):
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json", **headers}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def test_sample_photographs_are_explained_and_the_service_ends_with_ctrl_c(start):
    query, candidate = load_annotations()[:2]
    process, address = start("serve-api", "--root", str(query.file_path.parent), "--model", "miewid-msv4.1=sample")
    assert address.startswith("http://127.0.0.1:")
    body = {
        "image1_uris": [query.file_path.name],
        "bb1": [[query.x, query.y, query.w, query.h]],
        "image2_uris": [str(candidate.file_path)],
        "bb2": [[candidate.x, candidate.y, candidate.w, candidate.h]],
        "theta2": [candidate.theta],
    }
    found = post(address, body)
    with Image.open(io.BytesIO(base64.b64decode(found["images"][0], validate=True))) as image:
        assert image.size == (448, 224)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (0, 130)


def test_request_under_way_is_answered_when_the_service_is_told_to_end(start):
    rows = [row for row in load_annotations() if row.species == "striped_horse"][:8]
    process, address = start("serve-api", "--root", str(rows[0].file_path.parent))
    uris = [row.file_path.name for row in rows] * 2
    body = {"image1_uris": uris, "bb1": [], "image2_uris": uris[::-1], "bb2": [], "model_id": "sample", "k_colors": 60}
    told = []

    def ask():
        with pytest.raises(urllib.error.HTTPError) as caught:
            post(address, body)
        told.append((caught.value.code, json.load(caught.value)))

    asking = threading.Thread(target=ask)
    asking.start()
    health = address.replace("explain/", "health")
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with urllib.request.urlopen(health, timeout=60) as answer:
            if json.load(answer)["requests"]:
                break
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=20) in (0, 143, -signal.SIGTERM)
    asking.join(20)
    ((status, found),) = told
    assert (status, found["errors"][0]["code"], found["errors"][0]["retryable"]) == (503, "CLOSING", True)
    assert "Traceback" not in process.stderr.read()


def test_wider_address_asks_for_a_token_that_it_prints(start):
    process, address = start("serve-api", "--host", "0.0.0.0")
    token = re.search(r"Bearer (\S+)", process.stdout.readline()).group(1)
    assert len(token) >= 24
    local = re.sub(r"//.*:", "//127.0.0.1:", address)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        post(local, {})
    with pytest.raises(urllib.error.HTTPError, match="422"):
        post(local, {}, Authorization=f"Bearer {token}")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model", "a=./none.bin"], "no file or folder"),
        (["--model", "a="], "ID=WHERE"),
        (["--root", "nowhere"], "no folder 'nowhere'"),
        (["--url-host", "http://a"], "no name of a server"),
        (["--token", "short"], "16 characters"),
        (["--waiting", "-1"], "waiting"),
        (["none.toml"], "cannot read"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words):
    result = CliRunner().invoke(app, ["serve-api", *arguments])
    assert result.exit_code == 2, result.output
    assert words in result.output and "Traceback" not in result.output


def test_port_in_use_says_what_to_do():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        result = CliRunner().invoke(app, ["serve-api", "--port", str(taken.getsockname()[1])])
    assert result.exit_code == 1 and "--port" in result.output
