"""The contract's README does what it says: its code runs, its table is current."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path

import pytest

import pairx_hooks
from pairx_hooks import Annotation, ExplanationRequest, HookCallError, OwnFailure, Status, build_manager
from pairx_hooks.documentation import hook_table

README = Path(pairx_hooks.__file__).with_name("README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
TOML = re.findall(r"^```toml\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
THIRD_PARTY = Path(__file__).parents[1] / "third_party"
MODULES = {block.split("\n")[0][2:-3]: block for block in BLOCKS if re.match(r"# \w+\.py\n", block)}
SCRIPTS = [block for block in BLOCKS if block not in MODULES.values()]
HOST, MODEL, EXPLAINER, ARCHIVE = range(4)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A reader's folder: the README's modules as files, an archive with one chip, nothing installed."""
    np = pytest.importorskip("numpy", reason="the README's chips are NumPy arrays")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr("pairx_hooks.registry.find_entry_points", lambda failures: [])
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code, "utf-8")
    (tmp_path / "archive").mkdir()
    np.save(tmp_path / "archive" / "a17.npy", np.full((8, 6, 3), 7, np.uint8))
    yield tmp_path
    for name in MODULES:
        sys.modules.pop(name, None)


def test_every_block_is_tried():
    assert sorted(MODULES) == ["acme_archive", "acme_network", "acme_occlusion", "acme_service", "my_host"]
    assert len(SCRIPTS) == 4 and len(TOML) == 2
    assert ["build_manager(host)" in SCRIPTS[HOST], "acme_archive" in SCRIPTS[ARCHIVE]] == [True, True]


@pytest.mark.parametrize(
    ("folder_name", "module"),
    [("model_plugin", "acme_network"), ("explainer_plugin", "acme_occlusion")],
    ids=["model", "explainer"],
)
def test_blocks_are_the_files_of_the_plugins_that_are_installed_in_tests(folder_name, module):
    folder = THIRD_PARTY / folder_name
    assert {path.name for path in folder.iterdir()} == {"pyproject.toml", f"{module}.py"}
    assert MODULES[module] == (folder / f"{module}.py").read_text("utf-8")
    assert (folder / "pyproject.toml").read_text("utf-8") in TOML


def test_model_plugin_says_what_it_lacks_and_passes_on_strangers(folder, monkeypatch, capsys):
    monkeypatch.delenv("ACME_WEIGHTS", raising=False)
    pytest.importorskip("torchvision", reason="the README's network is one of torchvision's")
    names: dict = {}
    with pytest.raises(HookCallError, match="set ACME_WEIGHTS to the file") as caught:
        exec(SCRIPTS[MODEL], names)
    assert caught.value.code == "NO_WEIGHTS"
    assert names["manager"].embedding_model("another") is None


def test_model_plugin_gives_the_network_with_its_weights(folder, monkeypatch, capsys):
    torch = pytest.importorskip("torch")
    torchvision = pytest.importorskip("torchvision", reason="the README's network is one of torchvision's")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = torchvision.models.resnet18()
    network.fc = torch.nn.Identity()
    torch.save(network.state_dict(), folder / "acme-resnet.pt")
    monkeypatch.setenv("ACME_WEIGHTS", str(folder / "acme-resnet.pt"))
    names: dict = {}
    exec(SCRIPTS[MODEL], names)
    given = names["manager"].embedding_model("acme-resnet")
    assert (given.network.conv1.weight == network.conv1.weight).all() and given.default_layer == "layer2"
    assert names["manager"].embedding_model("acme-resnet") is given and not given.network.training
    assert capsys.readouterr().out.splitlines()[1] == "None ()"


def test_host_gets_a_record_for_each_candidate(folder, capsys):
    names = {"network": object(), "chips": {}}
    exec(SCRIPTS[HOST], names)
    records = names["host"].review_records
    assert {key: record["candidate_id"] for key, record in records.items()} == {
        ("query-17", 1): "a3",
        ("query-17", 2): "a8",
    }
    assert {record["failure"]["code"] for record in records.values()} == {"NO_PLUGIN"}
    printed = capsys.readouterr().out.splitlines()
    assert [line.split(" no plugin")[0] for line in printed] == ["1 failed", "2 failed"]
    assert all("pip install pairx-plugin" in line for line in printed)


def test_hosts_model_and_chips_reach_the_plugin_that_explains(folder, capsys):
    np = pytest.importorskip("numpy")
    host = importlib.import_module("my_host").MyHost(
        models={"m": "the network"}, chips={"a3": np.zeros((4, 5, 3), np.uint8)}
    )
    manager = build_manager(importlib.import_module("acme_service"), host)
    names = {"network": object(), "chips": {}}
    exec(SCRIPTS[HOST], names)
    query = names["ranked_query"]
    found = manager.explain(query, ExplanationRequest(explainer="acme-service"))
    assert [(item.status, item.failure and item.failure.code) for item in found] == [
        (Status.READY, None),
        (Status.FAILED, "NO_CHIP"),
    ]
    assert found[0].record == {"schema": "acme.explanation/1", "chip_size": [5, 4]}
    other = manager.explain(query, ExplanationRequest(explainer="pairx"))
    assert {item.failure.code for item in other} == {"EXPLAINER_UNKNOWN"}
    assert manager.embedding_model("m") == "the network" and manager.failures == ()


def test_archive_supplies_its_own_chips_and_passes_on_others(folder):
    names: dict = {}
    exec(SCRIPTS[ARCHIVE], names)
    assert names["chip"].shape == (8, 6, 3) and int(names["chip"].sum()) == 8 * 6 * 3 * 7
    assert names["manager"].chip(Annotation(annotation_id="a18")) is None
    (folder / "archive" / "a19.npy").write_bytes(b"no array")
    with pytest.raises(HookCallError, match="no chip of annotation 'a19'") as caught:
        names["manager"].chip(Annotation(annotation_id="a19"))
    assert isinstance(caught.value.__cause__, OwnFailure)


class Quarters:
    """A model that sees the contrast of each quarter of a chip."""

    input_size = (8, 8)

    def embed(self, pixels):
        import numpy as np

        rows = [chip.reshape(2, 4, 2, 4, 3).std(axis=(1, 3, 4)).ravel() for chip in pixels]
        return np.asarray(rows, np.float32) + 10


class Settings:
    options = {"grid": 2}


class Chip:
    def __init__(self, pixels):
        self.pixels = pixels


def test_explainer_finds_the_part_that_both_chips_share(folder, capsys):
    np = pytest.importorskip("numpy")
    pytest.importorskip(
        "pairx_plugin.evidence", reason="the README's explainer gives pairx_plugin's evidence"
    )
    names: dict = {}
    exec(SCRIPTS[EXPLAINER], names)
    assert capsys.readouterr().out == "Occlusion\n"
    explainer = names["manager"].explainers()["acme-occlusion"].create()
    query, twin = np.zeros((2, 8, 8, 3), np.uint8)
    query[:4, 4::2], twin[:4, 5::2] = 200, 180  # stripes at the top right of both
    before = query.copy()
    [evidence] = explainer.prepare(Quarters(), Chip(query), Settings()).explain([Chip(twin)])
    assert evidence.similarity == pytest.approx(1, abs=1e-3)
    layer = evidence.layer("input")
    assert layer.relevance_0.shape == layer.relevance_1.shape == (2, 2)
    assert layer.relevance_0.argmax() == layer.relevance_1.argmax() == 1  # row 0, col 1
    assert len(layer.matches) == 0 and (query == before).all()


def test_entry_points_are_named_as_the_manager_looks_for_them():
    assert f"[project.entry-points.{pairx_hooks.ENTRY_POINT_GROUP}]" in README


def test_table_is_current():
    assert f"\n{hook_table()}\n\n<!-- [[[end]]] -->" in README


def test_cog_finds_nothing_to_change():
    cogapp = pytest.importorskip("cogapp", reason="needs cogapp")
    path = Path(pairx_hooks.__file__).with_name("README.md")
    assert cogapp.Cog().main(["cog", "--check", str(path)]) == 0


def test_links_within_lead_somewhere():
    headings = {line[3:].lower().replace(" ", "-") for line in README.splitlines() if line.startswith("## ")}
    links = re.findall(r"\]\(#([^)]+)\)", README)
    assert len(links) == 5 and set(links) <= headings
