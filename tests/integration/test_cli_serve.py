"""``pairx-plugin serve`` as a person starts it."""

from __future__ import annotations

import re
import signal
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from typer.testing import CliRunner

pytest.importorskip("fastapi")
from pairx_plugin.cli.app import app  # noqa: E402
from pairx_plugin.hosts.local.database import ReviewDatabase  # noqa: E402


@pytest.fixture
def reviews(tmp_path) -> Path:
    """An output folder with one run in which nothing was ranked yet."""
    with ReviewDatabase(f"sqlite:///{tmp_path / 'reviews.sqlite3'}") as database:
        database.begin_run(
            config={"model": "sample", "output": str(tmp_path)},
            model_id="sample",
            model_fingerprint="x",
            explain=False,
            n_annotations=0,
        )
    return tmp_path


def test_server_answers_on_loopback_and_ends_with_ctrl_c(reviews, start):
    process, address = start("serve", str(reviews))
    assert address.startswith("http://127.0.0.1:") and "token" not in address
    with urllib.request.urlopen(f"{address}health", timeout=20) as answer:
        assert answer.status == 200
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=20) in (0, 130)


def test_wider_address_asks_for_a_token_that_it_prints(reviews, start):
    _, address = start("serve", str(reviews), "--host", "0.0.0.0")
    token = address.partition("?token=")[2]
    assert len(token) >= 24
    local = re.sub(r"//.*:", "//127.0.0.1:", address).partition("?")[0]
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{local}review/v1/tasks", timeout=20)
    request = urllib.request.Request(f"{local}review/v1/tasks", headers={"Authorization": f"Bearer {token}"})
    with urllib.request.urlopen(request, timeout=20) as answer:
        assert answer.status == 200


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "neither a folder nor a database"),
        (["{reviews}", "--token", "short"], "16 characters"),
        (["{reviews}", "--language", "pt"], "no language 'pt'"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(reviews, arguments, words):
    result = CliRunner().invoke(app, ["serve", *(item.format(reviews=reviews) for item in arguments)])
    assert result.exit_code == 2
    assert words in result.output and "Traceback" not in result.output


def test_port_in_use_says_what_to_do(reviews):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        result = CliRunner().invoke(app, ["serve", str(reviews), "--port", port])
    assert result.exit_code == 1
    assert f"port {port}" in result.output and "--port" in result.output


def test_database_without_a_run_is_told(tmp_path):
    ReviewDatabase(f"sqlite:///{tmp_path / 'empty.sqlite3'}").close()
    result = CliRunner().invoke(app, ["serve", str(tmp_path)])
    assert result.exit_code == 2 and "no run" in result.output
