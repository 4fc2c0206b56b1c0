"""The sample host end to end: sample photographs, a real network, PAIR-X found as an installed plugin."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import pairx_sample_data

pytest.importorskip("sqlalchemy", reason="needs SQLAlchemy: pip install 'pairx-plugin[sample]'")
pytest.importorskip("timm", reason="needs timm: pip install 'pairx-plugin[sample]'")

SCRIPT = """
import hashlib, json, sys
import timm, torch

torch.set_num_threads(1)
torch.manual_seed(0)
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig
from pairx_plugin.models import EmbeddingModel

def digest(network):
    return hashlib.sha256(b"".join(v.numpy().tobytes() for v in network.state_dict().values())).hexdigest()

network = timm.create_model("resnet10t", pretrained=False, num_classes=0).eval()
model = EmbeddingModel(network, input_size=(96, 96), model_id="toy")
before = digest(network)
with LocalHost(LocalHostConfig.from_file(sys.argv[1]), model=model) as host:
    summary = host.run()
hooks = sum(len(m._forward_hooks) + len(m._backward_hooks) for m in network.modules())
print(json.dumps({
    "summary": summary.to_json(),
    "modules": sorted(name for name in sys.modules if name.startswith(("pairx", "zennit"))),
    "unchanged": digest(network) == before and not network.training and hooks == 0,
    "gradients": sum(p.grad is not None for p in network.parameters()),
}))
"""
FORBIDDEN = (
    "pairx_plugin.plugin",
    "pairx_plugin.pipeline",
    "pairx_plugin.relevance",
    "pairx_plugin.explainers",
    "pairx_plugin.explanation",
    "pairx_plugin.rendering",
    "pairx_plugin.hosts.local.explaining",
    "zennit",
)


def environment(folder: Path) -> dict[str, str]:
    """This process's import path, and the plugin's metadata as an installation would leave it."""
    info = folder / "site" / "pairx_plugin-0.0.1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pairx-plugin\nVersion: 0.0.1\n")
    (info / "entry_points.txt").write_text("[match_review]\npairx = pairx_plugin.plugin\n")
    path = os.pathsep.join([str(folder / "site"), *(entry for entry in sys.path if entry)])
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def write_configuration(folder: Path, **values: Any) -> Path:
    keys = {
        "annotations": "annotations.csv",
        "images": str(pairx_sample_data.root()),
        "queries": ["striped_horse_001_1.jpg", "ridge_whale_001_1.jpg"],
        "n_candidates": 3,
        **values,
    }
    path = folder / "host.toml"
    path.write_text("".join(f"{key} = {json.dumps(value)}\n" for key, value in keys.items()))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve photographs of six individuals out of the sample, in a CSV file of their own."""
    wanted = [f"{species}_{n:03}" for species in ("striped_horse", "ridge_whale") for n in (1, 2, 3)]
    with open(pairx_sample_data.path_of("annotations"), newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["name"] in wanted and row["file_name"][-5] in "12"]
    assert len(rows) == 12
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "annotations.csv").write_text(text.getvalue(), encoding="utf-8")
    return tmp_path


def run(folder: Path, script: str = SCRIPT, **values: Any) -> dict[str, Any]:
    configuration = write_configuration(folder, **values)
    done = subprocess.run(
        [sys.executable, "-c", script, str(configuration)],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def ranking(summary: dict[str, Any]) -> list[Any]:
    keys = ("rank", "annotation_id", "score", "name_score", "correct", "warnings")
    return [
        (
            query["annotation_id"],
            query["correct_rank"],
            [[item[key] for key in keys] for item in query["candidates"]],
        )
        for query in summary["queries"]
    ]


def test_one_flag_puts_explanations_on_the_review_records_and_changes_nothing_else(folder: Path) -> None:
    off = run(folder, output="off", embedding_cache=False, pairx_top_k=2)
    loaded = [name for name in off["modules"] if name.startswith(FORBIDDEN)]
    assert loaded == [] and "pairx_plugin.hosts.local.host" in off["modules"]
    assert off["summary"]["statuses"] == {} and not (folder / "off" / "pictures").exists()

    on = run(folder, output="on", embedding_cache=False, pairx_explain=True, pairx_top_k=2, pairx_k_colors=2)
    summary = on["summary"]
    assert "pairx_plugin.plugin" in on["modules"] and "pairx_plugin.explainers.pairx" in on["modules"]
    assert summary["explanation_failure"] is None and summary["statuses"] == {"ready": 4, "skipped": 2}
    assert ranking(summary) == ranking(off["summary"])  # floats survive JSON bit by bit
    assert on["unchanged"] and on["gradients"] == 0

    for query in summary["queries"]:
        for candidate in query["candidates"][:2]:
            check_evidence(folder / "on", candidate, summary["model_fingerprint"])


def check_evidence(output: Path, candidate: dict[str, Any], fingerprint: str) -> None:
    path = output / candidate["record_path"]
    record = json.loads(path.read_text())
    assert record["schema"] == "pairx.explanation/1" and record["status"] == candidate["status"] == "ready"
    assert record["score"] == candidate["score"] and record["model_sha256"] == fingerprint
    assert record["similarity"] == pytest.approx(2 * candidate["score"] - 1, abs=1e-5)
    assert record["params"]["k_colors"] == 2 and record["num_matches"] >= len(record["matches"]) > 0
    assert [asset["version"] for asset in record["assets"]] == ["matches", "heatmask", "clean"]
    for asset in record["assets"]:
        with Image.open(path.parent / asset["url"]) as picture:
            assert picture.format == "WEBP" and picture.size == (asset["width"], asset["height"])
            assert max(high - low for low, high in picture.convert("RGB").getextrema()) > 100
    assert record["images"][1]["uri"] == candidate["image"]


def test_the_review_database_holds_what_was_shown(folder: Path) -> None:
    from pairx_plugin.hosts.local.database import ReviewDatabase

    summary = run(folder, output="on", pairx_explain=True, pairx_top_k=1, pairx_k_colors=1)["summary"]
    with ReviewDatabase(f"sqlite:///{folder}/on.sqlite3") as database:
        (stored,) = database.runs()
        matches = list(database.matches(summary["run_id"]))
    assert stored.finished is not None and stored.model_fingerprint == summary["model_fingerprint"]
    assert stored.config["pairx"]["pairx_top_k"] == 1 and stored.explain
    assert [match.annotation_id for match in matches] == [
        query["annotation_id"] for query in summary["queries"]
    ]
    for match, query in zip(matches, summary["queries"]):
        for review, candidate in zip(match.reviews, query["candidates"]):
            assert (review.rank, review.score) == (candidate["rank"], candidate["score"])
            assert (review.explanation_status, review.pictures) == (
                candidate["status"],
                candidate["pictures"],
            )
        record = json.loads((folder / "on" / match.reviews[0].record_path).read_text())
        assert match.reviews[0].explanation == record
        assert record["images"][0]["chip"]["sha256"] == match.chip_sha256
        assert record["images"][1]["chip"]["sha256"] == match.reviews[0].chip_sha256


def test_the_host_itself_needs_no_torch(folder: Path) -> None:
    script = """
import json, sys
import numpy as np
from pairx_plugin.hosts.local import LocalHost, LocalHostConfig

class Mean:
    model_id = "mean"
    def embed(self, pixels, batch_size=16):
        return np.stack([chip.mean(axis=(0, 1)) - 90 for chip in pixels]).astype(np.float32)
    def fingerprint(self):
        return "sha256:mean"

with LocalHost(LocalHostConfig.from_file(sys.argv[1]), model=Mean()) as host:
    summary = host.run()
print(json.dumps({"n": summary.n_annotations, "modules": sorted(sys.modules)}))
"""
    found = run(folder, script)
    assert found["n"] == 12
    assert [name for name in found["modules"] if name.split(".")[0] in ("torch", "zennit", "cv2")] == []
    assert [name for name in found["modules"] if name.startswith(FORBIDDEN)] == []


def test_an_unknown_layer_or_explainer_is_said_on_the_records_and_the_ranking_stands(folder: Path) -> None:
    plain = ranking(run(folder, output="off")["summary"])
    for key, value, words in (
        ("pairx_layers", ["blocks.9"], "blocks.9"),
        ("pairx_explainer", "parx", "parx"),
    ):
        summary = run(folder, output=key, pairx_explain=True, pairx_top_k=1, **{key: value})["summary"]
        assert ranking(summary) == plain
        assert summary["statuses"]["skipped"] == 4 and "ready" not in summary["statuses"]
        failure = summary["queries"][0]["candidates"][0]["failure"]
        assert words in failure["message"] and failure["code"]


@pytest.mark.skipif(
    not pairx_sample_data.path_of("checkpoint").exists(),
    reason="needs the trained checkpoint of the sample data",
)
def test_the_shipped_network_finds_animals_that_it_has_never_seen(tmp_path: Path) -> None:
    from pairx_plugin.hosts.local import LocalHost, LocalHostConfig

    values = {
        "annotations": str(pairx_sample_data.path_of("annotations")),
        "model": "sample",
        "queries": "one_per_name",
        "n_candidates": 3,
    }
    with LocalHost(LocalHostConfig.from_mapping(values, folder=tmp_path)) as host:
        summary = host.run()
    assert summary.problems == () and summary.n_judged == len(summary.queries) == 16
    assert summary.rank_1 is not None and summary.rank_1 >= 0.8
