"""Wildbook's calibration: from its reviewers' decisions to re-ranking, on a host of getters and a small network."""

from __future__ import annotations

import subprocess
import sys
import uuid
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

pytest.importorskip("sklearn", reason="needs the extra 'evaluate'")

from pairx_plugin.calibration import Calibration, annotate  # noqa: E402
from pairx_plugin.cli import calibrate_wildbook  # noqa: E402
from pairx_plugin.cli.calibrate_wildbook import calibrate_host  # noqa: E402
from pairx_plugin.errors import CalibrationRefused, HostError  # noqa: E402
from pairx_plugin.hosts.wildbook import judged_pairs  # noqa: E402
from pairx_plugin.hosts.wildbook.decided_pairs import decided_pairs  # noqa: E402
from pairx_plugin.hosts.wildbook.explaining import figures_alone  # noqa: E402
from pairx_plugin.hosts.wildbook.judged_pairs import judge_pairs, model_of_pairs  # noqa: E402
from pairx_plugin.hosts.wildbook.opening import OpenedHost  # noqa: E402
from pairx_plugin.hosts.wildbook.own_files import calibration_file, with_own_files  # noqa: E402
from pairx_plugin.hosts.wildbook.reranking import plausibility_of  # noqa: E402
from pairx_plugin.hosts.wildbook.shared_models import SharedModels  # noqa: E402
from pairx_plugin.settings import Settings  # noqa: E402

SIZE, N_INDIVIDUALS = 64, 12
SETTINGS = Settings(layers=("backbone.blocks.1",), k_lines=20)
MEAN = np.array((0.485, 0.456, 0.406), np.float32) * 255
SPREAD = np.array((0.229, 0.224, 0.225), np.float32) * 255


class Controller:
    """The host's getters, for two photographs each of some individuals; the second one is shifted."""

    const = SimpleNamespace(
        EVIDENCE_DECISION=SimpleNamespace(
            POSITIVE=1, NEGATIVE=0, INT_TO_CODE={0: "nomatch", 1: "match", 2: "notcomp", 3: "unknown"}
        )
    )

    def __init__(self, folder, make_texture):
        self.cachedir = str(folder / "cache")
        self.folder = folder
        self.chips, self.names = {}, {}
        for number in range(N_INDIVIDUALS):
            whole = make_texture(number, SIZE + 8)
            for side, (x, y) in enumerate(((0, 0), (5, 3))):
                aid = 2 * number + side + 1
                self.chips[aid] = whole[y : y + SIZE, x : x + SIZE]
                self.names[aid] = f"animal {number}"
        aids = list(self.chips)
        self.species = {aid: "zebra" for aid in aids}
        firsts = aids[::2]
        self.matches = [(aid, aid + 1, 1) for aid in firsts[:7]]
        self.matches += [(aid, firsts[(place + 5) % N_INDIVIDUALS], 0) for place, aid in enumerate(firsts[:7])]
        self.matches.append((aids[1], aids[5], 3))

    def get_ibsdir(self):
        return str(self.folder)

    def get_valid_aids(self):
        return list(self.chips)

    def _get_all_annotmatch_rowids(self):
        return list(range(len(self.matches)))

    def __getattr__(self, name):
        if not name.startswith("get_"):
            raise AttributeError(name)

        def getter(aids):
            if isinstance(aids, list):
                return [self._value(name, aid) for aid in aids]
            return self._value(name, aids)

        return getter

    def _value(self, name, aid):
        values = {
            "get_annotmatch_aid1": lambda: self.matches[aid][0],
            "get_annotmatch_aid2": lambda: self.matches[aid][1],
            "get_annotmatch_evidence_decision": lambda: self.matches[aid][2],
            "get_annot_uuids": lambda: uuid.UUID(int=aid),
            "get_annot_visual_uuids": lambda: uuid.UUID(int=1000 + aid),
            "get_annot_names": lambda: self.names[aid],
            "get_annot_species_texts": lambda: self.species[aid],
            "get_annot_bboxes": lambda: (0, 0, SIZE, SIZE),
            "get_annot_thetas": lambda: 0.0,
            "get_annot_viewpoints": lambda: "left",
            "get_annot_gids": lambda: aid,
            "get_image_gnames": lambda: f"{aid}.jpg",
            "get_annot_image_paths": lambda: f"/photographs/{aid}.jpg",
            "get_image_sizes": lambda: (SIZE, SIZE),
        }
        return values[name]()


class Plugin:
    """The host's MiewID plugin: one network for zebras and horses, another one for whales."""

    def __init__(self, network, other):
        self.networks = {"zebra": network, "horse": network, "whale": other}
        self.broken = set()

    def read_config_and_load_model(self, species):
        config = SimpleNamespace(data=SimpleNamespace(image_size=[SIZE, SIZE]), test=SimpleNamespace(fliplr=False))
        if species == "ghost":
            raise KeyError(species)
        return self.networks[species], config, (f"/models/miew_id.{'b' if species == 'whale' else 'a'}.bin", "")

    def _load_data(self, ibs, aids, config, batch_size):
        (aid,) = aids
        if aid in self.broken:
            raise OSError("the photograph is gone")
        bgr = np.ascontiguousarray(ibs.chips[aid][..., ::-1]).astype(np.float32)
        return [(torch.from_numpy(((bgr - MEAN) / SPREAD).transpose(2, 0, 1))[None],)], None


@pytest.fixture(scope="module")
def network(settled):
    timm = pytest.importorskip("timm", reason="needs the extra 'models'")
    from pairx_plugin.models import MiewIdNetwork

    name = "test_efficientnet" if timm.is_model("test_efficientnet") else "tf_efficientnetv2_b0"
    return lambda seed: settled(MiewIdNetwork(name), seed)


@pytest.fixture(scope="module")
def networks(network):
    return network(0), network(1)


@pytest.fixture()
def host(tmp_path, make_texture, networks):
    return opened(tmp_path, make_texture, networks)


def opened(folder, make_texture, networks):
    return OpenedHost(ibs=Controller(folder, make_texture), plugin=Plugin(*networks), models=SharedModels())


@pytest.fixture(scope="module")
def made(tmp_path_factory, make_texture, networks):
    """A host that was calibrated, what came of it, and what was told meanwhile."""
    host, told = opened(tmp_path_factory.mktemp("host"), make_texture, networks), []
    return SimpleNamespace(host=host, told=told, of=calibrate_host(host, SETTINGS, least=14, tell=told.append))


def test_decisions_become_a_file_where_the_host_looks(made):
    fitted = made.of.calibration
    assert made.of.path == calibration_file(made.host.ibs, "miew_id.a")
    assert Calibration.from_file(made.of.path) == fitted
    assert (fitted.n_same, fitted.n_different, fitted.n_individuals, fitted.n_left_out) == (7, 7, 12, 0)
    assert fitted.separates and fitted.layer_key == SETTINGS.layers[0] and fitted.params["k_lines"] == 20
    assert made.of.by_species == {"zebra": 14} and made.of.failed == {}
    assert made.told[0] == "Pairs in the host's annotation matches: 7 confirmed, 7 rejected, 1 unsure."
    assert made.told[-1] == "14 of 14 pairs"


def test_settings_of_the_next_query_find_it_and_reranking_believes_it(made):
    settings = with_own_files(SETTINGS, made.host.ibs, "miew_id.a")
    assert settings.calibration == str(made.of.path)
    model, pairs = model_of_pairs(made.host.plugin, made.host.models, decided_pairs(made.host.ibs))
    for same in (True, False):
        (item,) = judge_pairs(
            made.host.plugin, made.host.ibs, model, [pair for pair in pairs if pair.same is same][:1], SETTINGS
        )
        share = plausibility_of(annotate(dict(item.record), settings.calibration))
        assert share > 0.6 if same else share < 0.4


def test_too_few_decisions_are_told_with_what_is_missing_before_any_is_explained(host, monkeypatch):
    monkeypatch.setattr(calibrate_wildbook, "judge_pairs", None)
    host.ibs.matches = [row for row in host.ibs.matches if row[2] != 0]
    told = []
    words = "7 decisions, 100 needed; 7 confirmed pairs, 30 needed; 0 rejected pairs, 30 needed; 7 individuals, 10"
    with pytest.raises(CalibrationRefused, match=words):
        calibrate_host(host, SETTINGS, tell=told.append)
    assert told == ["Pairs in the host's annotation matches: 7 confirmed, 1 unsure."]
    host.ibs.matches = []
    with pytest.raises(CalibrationRefused, match="/pairx/review/"):
        calibrate_host(host, SETTINGS, tell=told.append)
    assert told[1:] == ["Pairs in the host's annotation matches: none."]
    assert not calibration_file(host.ibs, "miew_id.a").exists()


def test_pairs_without_figures_are_counted_and_too_many_of_them_refused(host):
    host.plugin.broken = {aid for aid in host.ibs.chips if aid % 2 == 0}
    told = []
    with pytest.raises(CalibrationRefused, match="7 usable decisions, 14 needed.*7 decisions left out"):
        calibrate_host(host, SETTINGS, least=14, tell=told.append)
    assert "7 pairs have no figures: PLUGIN_FAILED." in told


def test_pairs_of_species_with_one_network_go_together_and_others_are_left_out(host):
    pairs = decided_pairs(host.ibs)
    for aid in host.ibs.chips:
        host.ibs.species[aid] = ("zebra", "zebra", "horse", "whale", "ghost")[aid % 5]
    model, found = model_of_pairs(host.plugin, host.models, decided_pairs(host.ibs))
    assert model.model_id == "miew_id.a" and {pair.species for pair in found} == {"zebra", "horse"}
    assert 0 < len(found) < len(pairs)
    model, found = model_of_pairs(host.plugin, host.models, decided_pairs(host.ibs), "whale")
    assert model.model_id == "miew_id.b" and {pair.species for pair in found} == {"whale"}
    with pytest.raises(HostError, match="'wolf' is decided; species with decided pairs: 'ghost', 'horse'"):
        model_of_pairs(host.plugin, host.models, decided_pairs(host.ibs), "wolf")


def test_pairs_are_explained_as_reranking_explains_them_and_nothing_is_kept(made, monkeypatch):
    asked = []

    class Noted(judged_pairs.QueryExplainer):
        def __init__(self, *args, settings, **kwargs):
            asked.append(settings)
            super().__init__(*args, settings=settings, **kwargs)

        def judge(self):
            return [{"status": "failed"}]

    monkeypatch.setattr(judged_pairs, "QueryExplainer", Noted)
    model, pairs = model_of_pairs(made.host.plugin, made.host.models, decided_pairs(made.host.ibs))
    list(judge_pairs(made.host.plugin, made.host.ibs, model, pairs[:1], SETTINGS))
    assert asked == [replace(figures_alone(SETTINGS, 1), calibration="none")]
    assert not Path(made.host.ibs.cachedir).exists()


def test_command_says_in_words_why_there_is_none(tmp_path, capsys, monkeypatch):
    assert calibrate_wildbook._main(["--dbdir", str(tmp_path)]) == 2
    assert "there is no database of Wildbook IA" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("PAIRX_K_LINES", "many")
    assert calibrate_wildbook._main(["--dbdir", str(tmp_path)]) == 2
    assert "whole number" in capsys.readouterr().err
    for wrong in (["--pairs", "3"], ["--least", "x"], ["--method", "guess"]):
        with pytest.raises(SystemExit):
            calibrate_wildbook._main(["--dbdir", str(tmp_path), *wrong])


def test_command_tells_figures_file_and_page(made, capsys, monkeypatch):
    monkeypatch.setattr(calibrate_wildbook, "open_host", lambda dbdir: made.host)
    monkeypatch.setattr(calibrate_wildbook, "calibrate_host", lambda *_, **options: asked.update(options) or made.of)
    asked = {}
    assert calibrate_wildbook._main(["--dbdir", "db", "--pairs", "500", "--layer", "a.b", "--species", "zebra"]) == 0
    told = capsys.readouterr().out.splitlines()
    assert told[0].startswith("7 confirmed and 7 rejected pairs of 12 individuals (14 zebra) at layer ")
    assert told[-2:] == [f"calibration: {made.of.path}", f"reliability: {made.of.path.with_suffix('.html')}"]
    assert made.of.path.with_suffix(".html").is_file()
    assert (asked["most"], asked["species"], asked["least"]) == (500, "zebra", 100)


def test_command_needs_nothing_of_the_command_line_that_a_host_cannot_have():
    """The host pins an older click, so typer is not there; and an older SQLAlchemy."""
    code = (
        "import sys; sys.modules.update(typer=None, rich=None, sqlalchemy=None); "
        "import pairx_plugin.cli.calibrate_wildbook; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
