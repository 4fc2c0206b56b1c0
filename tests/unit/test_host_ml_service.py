"""The parts of the service: what is cut out and drawn, what memory does, whose turn it is, which models there are."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from pairx_hooks import Failure, Status

pytest.importorskip("fastapi")
cv2 = pytest.importorskip("cv2")
from pairx_plugin.chips import Chip  # noqa: E402
from pairx_plugin.errors import ChipError, ModelNotFound, SettingsError  # noqa: E402
from pairx_plugin.evidence import LayerEvidence, Matches, PairEvidence  # noqa: E402
from pairx_plugin.explainers.pairx import PairX  # noqa: E402
from pairx_plugin.explanation import PairExplanation  # noqa: E402
from pairx_plugin.hosts.ml_service import ServedModels, ServiceConfig  # noqa: E402
from pairx_plugin.hosts.ml_service.asked import Place  # noqa: E402
from pairx_plugin.hosts.ml_service.cutting import BoxEmpty, Cut, cut_place  # noqa: E402
from pairx_plugin.hosts.ml_service.explaining import CutPair, explain_pairs, ml_service_picture  # noqa: E402
from pairx_plugin.hosts.ml_service.refusals import in_strict_words, refusal_of  # noqa: E402
from pairx_plugin.hosts.ml_service.turns import Cancelled, Turns  # noqa: E402
from pairx_plugin.models import EmbeddingModel  # noqa: E402
from pairx_plugin.photographs import Photograph  # noqa: E402
from pairx_plugin.review.failures import ApiFailure  # noqa: E402
from pairx_plugin.settings import Settings  # noqa: E402

WHOLE = (0.0, 0.0, 0.0, 0.0)


@pytest.fixture(scope="module")
def model(miewid_network):
    return EmbeddingModel(miewid_network, input_size=(64, 64), default_layer="backbone.blocks.1", model_id="net")


@pytest.fixture(scope="module")
def photograph(make_texture):
    """200 x 160 pixels with a magenta square at (60, 70) to (90, 100)."""
    pixels = make_texture(3, size=200)[:160].copy()
    pixels[70:100, 60:90] = (255, 0, 255)
    return Photograph(pixels=pixels)


def place(box=WHOLE, theta=0.0):
    return Place(uri="a.png", box=box, theta=theta, side=1, index=0)


def marked(pixels) -> np.ndarray:
    """(x, y) of the middle of the magenta square, as shares of the picture."""
    found = (pixels[..., 0] > 200) & (pixels[..., 1] < 60) & (pixels[..., 2] > 200)
    rows, cols = np.nonzero(found)
    return np.array([(cols.mean() + 0.5) / pixels.shape[1], (rows.mean() + 0.5) / pixels.shape[0]])


def test_network_gets_what_ml_services_network_gets(model, photograph):
    cut = cut_place(photograph, place((50, 60, 80, 70)), model)
    expected = cv2.resize(photograph.pixels[60:130, 50:130], (64, 64))
    assert np.array_equal(cut.chip.pixels, expected)
    tensor = model.tensor([cut.chip.pixels])
    assert tensor.shape == (1, 3, 64, 64)
    assert np.array_equal(model.input_pictures(tensor)[0], expected)


def test_reader_is_shown_the_cut_and_not_the_whole_photograph(model, photograph):
    cut = cut_place(photograph, place((50, 60, 80, 70)), model)
    for pixels in (cut.shown, cut.chip.pixels):
        assert pixels.shape == (64, 64, 3)
        assert np.allclose(marked(pixels), (25 / 80, 25 / 70), atol=0.02)
    whole = cut_place(photograph, place(), model)
    assert np.allclose(marked(whole.shown), (75 / 200, 85 / 160), atol=0.02)


@pytest.mark.parametrize("box", [WHOLE, (0, 0, 200, 160)])
def test_turn_without_a_box_turns_the_whole_photograph(model, photograph, box):
    cut = cut_place(photograph, place(box, 0.4), model)
    assert cut.chip.theta == pytest.approx(0.4) and cut.chip.bbox == (0.5, 0.5, 200.0, 160.0)
    x, y = 75 - 100, 85 - 80
    cos, sin = np.cos(0.4), np.sin(0.4)
    expected = np.array([(cos * x + sin * y) / 200 + 0.5, (-sin * x + cos * y) / 160 + 0.5])
    assert np.allclose(marked(cut.shown), expected, atol=0.03)
    assert (cut.shown[0, 0] == 255).all()  # what a turn uncovers is white, as ml-service fills it


@pytest.mark.parametrize("box", [(40, 50, 90, 64), (41.7, 50.2, 91.9, 63.4)], ids=["whole", "fractions"])
def test_turn_is_that_of_ml_service(model, photograph, box):
    """About the middle of the pixel at the box's centre, with sides rounded down; bilinear, filled white."""
    theta = 0.5
    cut = cut_place(photograph, place(box, theta), model)
    column, row = (int((2 * box[axis] + box[axis + 2]) // 2) for axis in (0, 1))
    matrix = cv2.getRotationMatrix2D((column, row), np.rad2deg(theta), 1)
    turned = cv2.warpAffine(photograph.pixels, matrix, (200, 160), flags=cv2.INTER_LINEAR, borderValue=(255,) * 3)
    patch = cv2.getRectSubPix(turned, (int(box[2]), int(box[3])), (column, row))
    expected = cv2.resize(patch, (64, 64)).astype(int)
    assert np.abs(cut.chip.pixels.astype(int) - expected).mean() < 2  # two ways to interpolate, one geometry
    other = cut_place(photograph, place(box, -theta), model).chip.pixels.astype(int)
    assert np.abs(other - expected).mean() > 25


def test_small_turn_is_none(model, photograph):
    straight, slight = (cut_place(photograph, place((50, 60, 80, 70), theta), model) for theta in (0.0, 0.09))
    assert np.array_equal(straight.chip.pixels, slight.chip.pixels) and slight.chip.theta == 0.0


def test_box_over_the_edge_is_cut_there_and_not_moved(model, photograph):
    cut = cut_place(photograph, place((-30, 20, 100, 500)), model)
    assert cut.chip.bbox == (0.0, 20.0, 70.0, 140.0)
    assert np.array_equal(cut.chip.pixels, cv2.resize(photograph.pixels[20:160, 0:70], (64, 64)))
    assert [warning.code for warning in cut.warnings if warning.code == "BBOX_CLAMPED"] == ["BBOX_CLAMPED"]


@pytest.mark.parametrize(
    "box", [(500, 500, 10, 10), (-50, 0, 40, 40), (10, 10, 0, 0), (10, 10, -5, 50), (1e300, 0, 1e300, 10)]
)
def test_box_that_holds_nothing_is_refused(model, photograph, box):
    with pytest.raises(BoxEmpty):
        cut_place(photograph, place(tuple(map(float, box))), model)


@pytest.mark.parametrize("box", [(1e308, 1e308, 1, 1), (0, -1e300, 50, 50), (0, 0, 1e308, 1e308)])
def test_turned_box_beyond_all_numbers_is_refused(model, photograph, box):
    with pytest.raises(BoxEmpty, match="far beside"):
        cut_place(photograph, place(tuple(map(float, box)), 0.5), model)


def test_turned_box_far_larger_than_the_photograph_is_refused(model, photograph):
    with pytest.raises(ChipError, match="far larger"):
        cut_place(photograph, place((-1e5, -1e5, 2e5, 2e5), 0.5), model)


def test_model_with_its_own_preprocessing_gets_the_chip_as_it_is(miewid_network, photograph):
    seen = []

    def preprocess(pixels):
        seen.append(pixels.shape)
        return torch.zeros(3, 64, 64)

    own = EmbeddingModel(miewid_network, input_size=(64, 64), preprocess=preprocess)
    cut = cut_place(photograph, place((50, 60, 80, 70)), own)
    own.tensor([cut.chip.pixels])
    assert seen[-1] == (70, 80, 3) and cut.shown.shape == (64, 64, 3)


@pytest.fixture(scope="module")
def pair(model, make_texture):
    cuts = [cut_place(Photograph(pixels=make_texture(seed)), place(), model) for seed in (1, 2)]
    return CutPair(query=cuts[0], candidate=cuts[1])


def settings(**more):
    return Settings(k_lines=4, k_colors=2, layers=("backbone.blocks.1",), **more)


def test_pictures_are_halves_of_one_and_keep_their_channels(model, pair):
    found = list(explain_pairs(model, [pair], PairX(), settings(), view="lines_and_colors"))
    both = found[0].picture
    assert both.shape == (128, 128, 3)
    for view, half in (("only_lines", both[:64]), ("only_colors", both[64:])):
        assert np.array_equal(next(explain_pairs(model, [pair], PairX(), settings(), view=view)).picture, half)
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 255
    colours = ml_service_picture(found[0].explanation, (red, red), "only_colors")
    plain = np.median(colours.reshape(-1, 3), axis=0)
    assert plain[0] > plain[1] + 30 and plain[0] > plain[2] + 30


def test_pairs_of_one_query_equal_pairs_explained_alone(model, pair, make_texture):
    other = CutPair(query=pair.query, candidate=cut_place(Photograph(pixels=make_texture(5)), place(), model))
    together = list(explain_pairs(model, [pair, other], PairX(), settings(), view="only_colors"))
    alone = [next(explain_pairs(model, [item], PairX(), settings(), view="only_colors")) for item in (pair, other)]
    for one, two in zip(together, alone):
        assert one.explanation.explanation_id == two.explanation.explanation_id
        assert np.abs(one.picture.astype(int) - two.picture.astype(int)).max() <= 1


class Short:
    """PAIR-X on a machine whose memory is enough for so many colours."""

    explainer_id, version = "pairx", "1"

    def __init__(self, enough: int) -> None:
        self.enough, self.asked = enough, []

    def prepare(self, model, query, settings):
        self.asked.append(settings.k_colors)
        if settings.k_colors > self.enough:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return PairX().prepare(model, query, settings)


def test_out_of_memory_is_answered_with_fewer_colours_and_says_so(model, pair):
    short = Short(enough=2)
    (found,) = explain_pairs(model, [pair], short, replace(settings(), k_colors=8), view="only_colors")
    assert short.asked == [8, 8, 4, 2]
    assert found.explanation.status is Status.READY and len(found.explanation.layers[0].pixels_0) == 2
    assert found.picture is not None and found.warnings[0]["code"] == "FEWER_COLOURS"


def test_out_of_memory_to_the_end_is_a_failure_that_may_be_tried_again(model, pair):
    (found,) = explain_pairs(model, [pair], Short(enough=-1), settings(), view="only_colors")
    assert found.picture is None and found.explanation.failure.code == "OUT_OF_MEMORY"
    refusal = refusal_of(found.explanation.failure)
    assert refusal.status == 503


def test_one_candidate_that_fails_does_not_end_the_others(model, pair):
    class Picky(Short):
        def prepare(self, model, query, settings):
            session = PairX().prepare(model, query, settings)

            class Session:
                def explain(self, candidates):
                    if any(chip.sha256 == bad for chip in candidates):
                        raise ValueError("not this one")
                    return session.explain(candidates)

            return Session()

    white = cut_place(Photograph(pixels=np.full((64, 64, 3), 255, np.uint8)), place(), model)
    bad = white.chip.sha256
    pairs = [pair, CutPair(query=pair.query, candidate=white), pair]
    found = list(explain_pairs(model, pairs, Picky(9), settings(), view="only_colors"))
    assert [item.explanation.status for item in found] == [Status.READY, Status.FAILED, Status.READY]
    assert [item.picture is None for item in found] == [False, True, False]


def test_explainer_without_matches_is_drawn_with_its_map(make_texture):
    none = np.zeros((0, 2), np.int32)
    ramp = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    layer = LayerEvidence(
        layer_key="x",
        relevance_0=ramp,
        relevance_1=ramp[::-1].copy(),
        matches=Matches(cells_0=none, cells_1=none, distance=np.zeros(0, np.float32), relevance=np.zeros(0)),
        pixels_0=np.zeros((0, 64, 64), np.float32),
        pixels_1=np.zeros((0, 64, 64), np.float32),
    )
    chip = Chip.from_array(make_texture(1))
    evidence = PairEvidence(similarity=0.5, layers=(layer,))
    explanation = PairExplanation(
        status=Status.READY, explainer="other", query=chip, candidate=chip, evidence=evidence
    )
    picture = ml_service_picture(explanation, (chip.pixels, chip.pixels), "only_colors")
    assert picture.shape == (64, 128, 3)
    assert picture[60, 30, 0] > picture[3, 30, 0] + 40  # JET: the high end is red, at the bottom of the left side


def run(turns, work, gone=None):
    async def never():
        return False

    return asyncio.run(turns.run(work, gone or never))


def test_turns_are_bounded_and_say_when_to_come_again():
    turns = Turns(waiting=1, at_once=1, time_limit=10)
    gate, results = threading.Event(), []

    def work(ticket):
        with ticket.turn():
            gate.wait(5)
        return 1

    threads = [threading.Thread(target=lambda: results.append(run(turns, work))) for _ in range(2)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 5
    while turns.inside < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    with pytest.raises(ApiFailure) as caught:
        run(turns, work)
    assert caught.value.status == 429 and caught.value.more["retry_after"] >= 1
    gate.set()
    for thread in threads:
        thread.join()
    assert results == [1, 1] and turns.inside == 0
    assert run(turns, lambda ticket: 2) == 2
    assert turns.usual_seconds is not None


def test_turns_come_in_order_and_one_at_a_time():
    turns, order, running = Turns(waiting=4, at_once=1, time_limit=10), [], []

    def work(number):
        def do(ticket):
            with ticket.turn():
                running.append(number)
                assert running == [number]
                time.sleep(0.02)
                running.remove(number)
                order.append(number)

        return do

    async def all_of_them():
        async def never():
            return False

        tasks = []
        for number in range(4):
            tasks.append(asyncio.create_task(turns.run(work(number), never)))
            await asyncio.sleep(0.01)
        await asyncio.gather(*tasks)

    asyncio.run(all_of_them())
    assert order == [0, 1, 2, 3]


def test_too_long_is_told_and_the_room_is_given_back_when_the_work_ends():
    turns, ended = Turns(waiting=0, at_once=1, time_limit=0.1), threading.Event()

    def work(ticket):
        while not ticket.cancelled():
            time.sleep(0.01)
        ended.set()

    with pytest.raises(ApiFailure) as caught:
        run(turns, work)
    assert caught.value.status == 504 and ended.wait(5)
    deadline = time.monotonic() + 5
    while turns.inside and time.monotonic() < deadline:
        time.sleep(0.01)
    assert turns.inside == 0


def test_caller_who_leaves_cancels():
    turns, ended = Turns(waiting=1, at_once=1, time_limit=10), threading.Event()

    def work(ticket):
        while not ticket.cancelled():
            time.sleep(0.01)
        ended.set()

    async def left():
        return True

    with pytest.raises(Cancelled):
        run(turns, work, left)
    assert ended.wait(5)


def test_closed_turns_let_nobody_in():
    turns = Turns(waiting=1, at_once=1, time_limit=10)
    turns.close()
    with pytest.raises(ApiFailure) as caught:
        run(turns, lambda ticket: 1)
    assert caught.value.status == 503
    turns.open()
    assert run(turns, lambda ticket: 1) == 1


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


def test_busy_stays_busy_in_strict_words():
    assert in_strict_words(ApiFailure(429, "BUSY", "later")).status == 429


def test_cut_keeps_where_it_lies_in_the_photograph(model, photograph):
    cut = cut_place(photograph, place((50, 60, 80, 70)), model)
    assert isinstance(cut, Cut)
    assert cut.chip.image_points([(0.0, 0.0), (1.0, 1.0)]).tolist() == [[50.0, 60.0], [130.0, 130.0]]
