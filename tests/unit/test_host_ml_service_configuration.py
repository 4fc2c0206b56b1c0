"""How the service is set up: models, settings, what failures are called."""

from __future__ import annotations

import threading
import time

import pytest

from pairx_hooks import Failure

pytest.importorskip("fastapi")
from pairx_plugin.errors import ModelNotFound, SettingsError  # noqa: E402
from pairx_plugin.hosts.ml_service import ServedModels, ServiceConfig  # noqa: E402
from pairx_plugin.hosts.ml_service.refusals import in_strict_words, refusal_of  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.review.failures import ApiFailure  # noqa: E402


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="net")


def test_models_are_loaded_once_by_many_threads(model):
    loaded = []

    def load():
        loaded.append(1)
        time.sleep(0.05)
        return model

    models = ServedModels({"MiewID-msv4.1": load})
    assert models.state("MiewID-msv4.1") == "unloaded"
    threads = [threading.Thread(target=models.load, args=["MiewID-msv4.1"]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loaded == [1] and models.state("MiewID-msv4.1") == "ready"
    assert models.name_of("miewid-MSV4.1") == "MiewID-msv4.1"
    with pytest.raises(ModelNotFound, match="nearest"):
        models.name_of("miewid-msv4")


def test_model_that_cannot_be_loaded_is_tried_again(model, caplog):
    tries = []

    def load():
        tries.append(1)
        if len(tries) == 1:
            raise ModelNotFound("the file is not there")
        return model

    models = ServedModels({"a": load})
    models.load_all()
    assert models.state("a") == "failed" and "the file is not there" in caplog.text
    assert models.load("a") is model and models.state("a") == "ready"


def test_unknown_source_is_told_at_the_start():
    sources = ServiceConfig.from_mapping({"models": {"a": "./none.safetensors"}}).models
    with pytest.raises(ModelNotFound, match="no file"):
        ServedModels.from_sources(sources)


def test_configuration_is_read(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "net.bin").write_bytes(b"x")
    path = tmp_path / "service.toml"
    path.write_text(
        'pairx_mode = "reference"\npairx_k_lines = 7\npairx_layers = "auto"\npairx_layer_choice = "any.layers.json"\n'
        '[models]\nsample = "sample"\n[models."miewid-msv4.1"]\nsource = "net.bin"\ndevice = "cpu"\n'
        'layer_choice = "own.layers.json"\n'
        '[photographs]\nroots = ["photos"]\nurl_hosts = ["a.org"]\nmax_bytes = 5\n[service]\nwaiting = 3\n'
    )
    config = ServiceConfig.from_file(path)
    assert config.models["miewid-msv4.1"].where == str(tmp_path / "net.bin")
    assert config.models["miewid-msv4.1"].options == {"device": "cpu"}
    assert config.models["miewid-msv4.1"].layer_choice == str(tmp_path / "own.layers.json")
    assert config.settings.layers == ("auto",) and config.models["sample"].layer_choice == ""
    assert config.settings.layer_choice == str(tmp_path / "any.layers.json") and config.settings.calibration == ""
    assert config.photographs.folders == ((tmp_path / "photos").resolve(),)
    assert (config.photographs.max_bytes, config.waiting, config.settings.k_lines) == (5, 3, 7)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"model": {}}, "nearest: 'models'"),
        ({"models": {}}, "no model"),
        ({"models": {"a": {"device": "cpu"}}}, "source"),
        ({"models": {"a": {"source": "sample", "layer_choice": 3}}}, "layer_choice"),
        ({"models": 3}, "table"),
        ({"photographs": {"root": []}}, "nearest: 'roots'"),
        ({"photographs": {"roots": "x"}}, "list of texts"),
        ({"photographs": {"max_bytes": "many"}}, "does not fit"),
        ({"service": {"waiting": -1}}, "waiting"),
        ({"service": {"at_once": 0}}, "at_once"),
        ({"service": {"time_limit": 0}}, "time_limit"),
        ({"pairx_k_line": 3}, "k_lines"),
    ],
)
def test_configuration_that_does_not_fit_is_refused(values, words):
    with pytest.raises(SettingsError, match=words):
        ServiceConfig.from_mapping(values)


@pytest.mark.parametrize(("code", "status"), [("LAYER_UNKNOWN", 422), ("IMAGE_FORBIDDEN", 403), ("INTERNAL", 500)])
def test_failures_have_statuses_and_strict_ones_are_400(code, status):
    refusal = refusal_of(Failure(code=code, message="why"))
    assert refusal.status == status
    assert in_strict_words(refusal).status == (400 if status < 500 else 500)
    assert ("log" in str(refusal)) is (status == 500)


@pytest.mark.parametrize(
    ("code", "status", "strict"),
    [
        ("IMAGE_FETCH_FAILED", 502, 400),
        ("IMAGE_TOO_LARGE", 413, 400),
        ("OUT_OF_MEMORY", 503, 503),
        ("TIME_BUDGET", 504, 504),
    ],
)
def test_photograph_that_cannot_be_had_is_400_where_strict_and_what_fails_here_is_not(code, status, strict):
    refusal = refusal_of(Failure(code=code, message="why"), "image1_uris[0]")
    assert refusal.status == status and in_strict_words(refusal).status == strict
    assert in_strict_words(refusal).field == "image1_uris[0]"


def test_layers_are_listed_where_nobody_else_has_the_network(model):
    shared, alone = ServedModels({"a": lambda: model}), ServedModels({"a": lambda: model}, alone=True)
    assert alone.stages("a") == [] and alone.n_cells("a", "backbone.blocks.1") == 0
    for models in (shared, alone):
        models.load("a")
    assert shared.stages("a") == [] and shared.n_cells("a", "backbone.blocks.1") == 0
    assert {"backbone.blocks.0", "backbone.blocks.1"} <= {item.key for item in alone.stages("a")}
    assert alone.n_cells("a", "backbone.blocks.1") == 256 and alone.n_cells("a", "backbone.conv_stem") == 1024
    assert alone.n_cells("a", "none") == 0


def test_busy_stays_busy_in_strict_words():
    assert in_strict_words(ApiFailure(429, "BUSY", "later")).status == 429
