"""Parts of the review server: words, layers, addresses, settings, and what keeps evidence small."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("fastapi")

from pairx_hooks import Status  # noqa: E402
from pairx_plugin.errors import SettingsError  # noqa: E402
from pairx_plugin.review.choices import choose_layers  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.report.message_format import format_message, names_in  # noqa: E402
from pairx_plugin.review import ReviewOptions, allowed_hosts, is_loopback  # noqa: E402
from pairx_plugin.review.job_queue import JobQueue  # noqa: E402
from pairx_plugin.review.jobs import Job, JobKey  # noqa: E402
from pairx_plugin.review.options import LANGUAGES  # noqa: E402
from pairx_plugin.review.source import EvidenceRequest  # noqa: E402
from pairx_plugin.review.wording import Wording, preferred_language  # noqa: E402

FOLDER = Path(importlib.util.find_spec("pairx_plugin.review").origin).parent


def own_messages(tag: str) -> dict[str, str]:
    return json.loads((FOLDER / "messages" / f"{tag}.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("tag", LANGUAGES)
def test_every_language_has_every_message_with_the_same_values(tag):
    english, own = own_messages("en"), own_messages(tag)
    assert list(own) == list(english)
    for key, message in own.items():
        assert message == message.strip() and "<" not in message and "'" not in message, key
        assert names_in(message) == names_in(english[key]), key
        assert format_message(message, dict.fromkeys(names_in(message), 2), tag), key


@pytest.mark.parametrize("tag", [tag for tag in LANGUAGES if tag != "en"])
def test_sentences_are_translated(tag):
    english, own = own_messages("en"), own_messages(tag)
    same = [key for key, message in english.items() if len(message) > 24 and own[key] == message]
    assert [key for key in same if key != "PERCENT"] == []


def test_every_message_that_page_and_script_name_exists():
    table = Wording()["en"]
    sources = [*FOLDER.glob("templates/*"), *FOLDER.glob("static/*.js"), *FOLDER.glob("*.py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sources)
    named = set(re.findall(r"\b(?:say|known)\(\"([A-Za-z0-9_]+)\"[,)]", text))
    chosen = {key for pair in re.findall(r"\bsay\([^()\"]*\? \"([A-Z_]+)\" : \"([A-Z_]+)\"", text) for key in pair}
    assert len(named) > 100 and len(chosen) > 8
    assert [key for key in sorted(named | chosen) if key not in table] == []
    keys = re.search(r"export const DEFAULTS = \{(.*?)\};", (FOLDER / "static" / "keyboard.js").read_text(), re.DOTALL)
    for action in re.findall(r"(\w+):", keys.group(1)):
        assert f"DO_{action}" in table


@pytest.mark.parametrize(
    ("wanted", "accepted", "found"),
    [
        ("it", "de", "it"),
        ("xx", "de-AT, fr;q=0.5", "de"),
        ("", "pt, fr;q=0.1", "fr"),
        ("", "de;q=0", "es"),
        ("", "", "es"),
        ("", "de;q=x, ,;;,fr", "fr"),
        ("../../etc", "*", "es"),
    ],
)
def test_language_follows_choice_then_browser_then_server(wanted, accepted, found):
    assert preferred_language(wanted, accepted, "es") == found


@pytest.mark.parametrize(
    ("host", "local"), [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("box", False)]
)
def test_loopback_is_told_from_the_rest(host, local):
    assert is_loopback(host) is local
    assert allowed_hosts(host, ["lab.example"]) == (
        ("localhost", "127.0.0.1", "[::1]", "lab.example") if local else ("lab.example",)
    )


@pytest.mark.parametrize(
    "options",
    [{"language": "pt"}, {"default_view": "colours"}, {"token": "short"}, {"queue_size": 0}, {"k_lines": 0}],
)
def test_options_out_of_range_are_refused(options):
    with pytest.raises(SettingsError):
        ReviewOptions(**options)


def test_layers_are_fine_medium_and_broad(miewid_network):
    model = EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.2")
    fine, medium, broad = choose_layers(model)
    assert [item.level for item in (fine, medium, broad)] == ["fine", "medium", "broad"]
    assert medium.key == "backbone.blocks.2"
    assert fine.grid[0] > medium.grid[0] > broad.grid[0]
    finest = choose_layers(EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.0"))
    assert finest[0].key == "" and finest[2].key


def test_page_is_imported_without_torch():
    code = "import pairx_plugin.review, pairx_plugin.hosts.local.review_source, sys; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "False"


def _job(rank: int, size: int = 0) -> Job:
    key = JobKey(task_id="t", query_id="q", rank=rank, request=EvidenceRequest())
    job = Job(key=key, query=SimpleNamespace(), candidate=SimpleNamespace())
    if size:
        job.status, job.parts = Status.READY, SimpleNamespace(n_bytes=size)
    return job


def test_memory_of_finished_evidence_is_bounded_and_the_longest_unused_goes_first():
    queue = JobQueue(SimpleNamespace(), lambda job: None, size=4, time_limit=1.0, memory=250)
    jobs = [queue.ask(_job(rank, size=100), "r") for rank in (1, 2)]
    queue.ask(_job(1, size=100), "r")  # used again
    queue.ask(_job(3, size=100), "r")
    assert [queue.get(job.job_id) is not None for job in jobs] == [True, False]
    queue.close()


def test_job_ids_differ_by_everything_that_makes_another_result():
    base = JobKey(task_id="t", query_id="q", rank=1, request=EvidenceRequest())
    others = [
        JobKey(task_id="u", query_id="q", rank=1, request=EvidenceRequest()),
        JobKey(task_id="t", query_id="q", rank=2, request=EvidenceRequest()),
        JobKey(task_id="t", query_id="q", rank=1, request=EvidenceRequest(k_colors=3)),
        JobKey(task_id="t", query_id="q", rank=1, request=EvidenceRequest(layer_key="x")),
        JobKey(task_id="t", query_id="q", rank=1, request=EvidenceRequest(), made_anew=True),
    ]
    ids = {key.job_id for key in [base, *others]}
    assert len(ids) == 6 and all(len(item) == 32 for item in ids)
