"""The report's words: bands by their rule, messages by id, pictures small."""

from __future__ import annotations

import base64
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from pairx_hooks import Artifact
from pairx_plugin.errors import StoreError
from pairx_plugin.report.bands import Band, band_of
from pairx_plugin.report.message_format import format_message, names_in
from pairx_plugin.report.messages import LANGUAGE_TAGS, Messages
from pairx_plugin.report.pictures import PictureEmbedder, encoded_picture
from pairx_plugin.report.queries import Note
from pairx_plugin.report.reading import Figures
from pairx_plugin.report.words import Words, short


@pytest.mark.parametrize(
    ("n_inliers", "n_chance", "n_tested", "band"),
    [
        (None, None, 5, Band.NOT_ASSESSED),
        (6, None, 20, Band.NOT_ASSESSED),
        (0, 0, 0, Band.NOT_ASSESSED),
        (6, 6, 20, Band.NONE),
        (5, 6, 20, Band.NONE),
        (4, 0, 20, Band.NONE),
        (7, 6, 20, Band.WEAK),
        (8, 6, 20, Band.WEAK),
        (16, 6, 20, Band.WEAK),  # two animals that stand alike reach so many more often than one animal twice
        (17, 6, 20, Band.SOME),
        (18, 6, 20, Band.SOME),
        (19, 6, 20, Band.STRONG),
        (20, 10, 20, Band.STRONG),
        (19, 10, 20, Band.SOME),  # not twice as many as by chance
        (18, 13, 20, Band.WEAK),  # nor one and a half times
        (8, 4, 8, Band.STRONG),
        (7, 4, 8, Band.SOME),
        (6, 4, 8, Band.WEAK),
        (8, 0, 16, Band.WEAK),
    ],
)
def test_band_follows_the_stated_rule(n_inliers: int | None, n_chance: int | None, n_tested: int, band: Band) -> None:
    assert band_of(n_inliers, n_chance, n_tested) is band


@pytest.mark.parametrize("code, band", [("RELEVANCE_ZERO", Band.NOT_ASSESSED), ("POSE_CONSISTENT", Band.STRONG)])
def test_links_without_relevance_are_no_evidence(code, band):
    figures = Figures(
        n_inliers=20, n_chance=5, n_tested=20, irm_rob=1.0, irm_ref=1.0, match_coverage=None,
        reasons=(Note(code=code, message="", values={"side": 0}),),
    )
    assert Words(Messages()).band(figures) is band


def figures_of(n_inliers: int, **more: object) -> Figures:
    known = dict(n_chance=6, n_tested=20, irm_rob=1.0, irm_ref=1.0, match_coverage=None, reasons=())
    return Figures(n_inliers=n_inliers, **{**known, **more})


@pytest.mark.parametrize(
    ("figures", "words"),
    [
        (figures_of(17), "Some evidence that the links fit one pose, which can also happen with two different animals "
         "that stand alike (uncalibrated)"),
        (figures_of(6), "No evidence that the links fit one pose (uncalibrated)"),
        (figures_of(17, likelihood_ratio=20.0), "Strong evidence by what reviewers confirmed (calibrated)"),
        (figures_of(17, n_chance=None), "Not assessed"),
        (None, "Not assessed"),
    ],
    ids=["uncalibrated", "none", "calibrated", "without chance", "without figures"],
)
def test_verdict_says_what_a_band_is_about_and_whether_it_was_measured(figures: Figures | None, words: str) -> None:
    assert Words(Messages()).verdict(figures) == words


def test_bands_have_levels_for_the_meter() -> None:
    assert [band.level for band in Band] == [3, 2, 1, 0, None]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((0.0, 0.0), "upper left"),
        ((0.34, 0.1), "upper centre"),
        ((1.0, 1.0), "lower right"),
        ((0.5, 0.5), "centre"),
        ((-0.1, 0.5), "middle left"),
        (None, "unknown"),
    ],
)
def test_places_are_named_by_thirds(place: tuple[float, float] | None, words: str) -> None:
    assert Words(Messages()).place(place) == words


def test_unknown_score_scale_is_the_hosts_own() -> None:
    words = Words(Messages())
    assert words.scale("half_cosine") == "(1 + cosine) / 2, 0 to 1"
    assert words.scale("furlongs") == "the host’s own scale"


def test_plural_forms_are_chosen_by_number() -> None:
    say = Messages()
    assert say("LINKS", n=1) == "Table of the link"
    assert say("LINKS", n=0) == "Table of 0 links"


def test_message_of_a_record_without_its_values_falls_back() -> None:
    say = Messages()
    assert say.known("REASON_POSE_CONSISTENT", {"n": 3}, "as it came") == "as it came"
    assert say.known("REASON_NOBODY_KNOWS", {}, "as it came") == "as it came"


def test_language_that_lacks_a_message_says_it_in_english() -> None:
    say = Messages("de", own=({}, {"ONLY_HERE": "{n, plural, one {one} other {#}}"}))
    assert say("QUERY") == "Anfrage"
    assert (say("ONLY_HERE", n=1), say("ONLY_HERE", n=2)) == ("one", "2")


@pytest.mark.parametrize("tag", LANGUAGE_TAGS)
def test_every_language_has_every_message_with_the_same_values(tag: str) -> None:
    english, own = Messages("en").table, Messages(tag).table
    assert list(own) == list(english)
    for key, message in own.items():
        assert message.strip() == message and "<" not in message and "'" not in message, key
        assert names_in(message) == names_in(english[key]), key
        values = {name: 2 for name in names_in(message)}
        if "date}" not in message:
            assert format_message(message, values, tag), key


@pytest.mark.parametrize("tag", LANGUAGE_TAGS[1:])
def test_languages_are_translated(tag: str) -> None:
    english, own = Messages("en").table, Messages(tag).table
    sentences = [key for key, message in english.items() if len(re.sub(r"{[^}]*}", "", message)) > 15]
    same = [key for key in sentences if own[key] == english[key]]
    assert same == []


def test_numbers_are_written_as_the_language_does() -> None:
    written = {tag: Messages(tag)("SHARE", value=0.1234) for tag in LANGUAGE_TAGS}
    no_break = "\u00a0"
    assert written == {
        "en": "12.3%",
        "de": f"12,3{no_break}%",
        "es": f"12,3{no_break}%",
        "fr": f"12,3{no_break}%",
        "it": "12,3%",
    }
    assert Messages("fr")("SEARCHED_VALUE", n=0) == "0 photo"
    assert Messages("de")("SEARCHED_VALUE", n=0) == "0 Fotos"


@pytest.mark.parametrize(
    ("message", "error"),
    [("{", ValueError), ("}", ValueError), ("{n", ValueError), ("{n, plural, one {x}}", ValueError), ("{n}", KeyError)],
)
def test_broken_message_or_missing_value_is_an_error(message: str, error: type[Exception]) -> None:
    with pytest.raises(error):
        format_message(message, {})


def test_every_message_that_the_templates_name_exists() -> None:
    folder = Path(__import__("pairx_plugin.report", fromlist=["page"]).__file__ or "").parent
    sources = [*folder.glob("templates/*"), *folder.glob("*.py")]
    named = {
        key for path in sources for key in re.findall(r"\bsay\(\"([A-Z0-9_]+)\"", path.read_text(encoding="utf-8"))
    }
    assert len(named) > 40
    assert named <= set(Messages("en").table)


def test_digests_are_shortened_and_short_texts_stay() -> None:
    assert short("sha256:" + "a" * 64) == "sha256:" + "a" * 12 + "…"
    assert short("tiny") == "tiny"


def _artifact(size: tuple[int, int], image_format: str = "PNG") -> Artifact:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(noise).save(stream, image_format)
    return Artifact(version="matches", media_type="image/png", width=size[0], height=size[1], data=stream.getvalue())


def test_wide_picture_is_shrunk_and_kept_in_proportion() -> None:
    found = PictureEmbedder(max_width=100).embed(_artifact((400, 200)))
    assert (found.width, found.height) == (100, 50)
    head, _, data = found.uri.partition(",")
    assert head == "data:image/webp;base64"
    with Image.open(io.BytesIO(base64.b64decode(data))) as image:
        assert (image.format, image.size) == ("WEBP", (100, 50))


def test_picture_that_is_small_already_keeps_its_bytes() -> None:
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "WEBP", quality=1)
    artifact = Artifact(version="clean", media_type="text/html", width=8, height=8, data=stream.getvalue())
    found = PictureEmbedder(quality=90).embed(artifact)
    assert found.uri == "data:image/webp;base64," + base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    "artifact",
    [
        Artifact(version="v", media_type="image/svg+xml", width=1, height=1, data=b"<svg onload='alert(1)'/>"),
        Artifact(version="v", media_type="image/webp", width=1, height=1, data=b"RIFF"),
        Artifact(version="v", media_type="image/webp", width=1, height=1),
        Artifact(version="v", media_type="image/webp", width=1, height=1, path="no/such.webp"),
    ],
    ids=["svg", "cut off", "empty", "no file"],
)
def test_unusable_picture_is_a_store_error(artifact: Artifact, tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        PictureEmbedder(folder=tmp_path).embed(artifact)


def test_picture_comes_from_its_path_below_the_folder(tmp_path: Path) -> None:
    artifact = _artifact((20, 10))
    (tmp_path / "a.png").write_bytes(artifact.data)
    by_path = Artifact(version="matches", media_type="image/png", width=20, height=10, path="a.png")
    assert PictureEmbedder(folder=tmp_path).embed(by_path) == PictureEmbedder().embed(artifact)


def test_encoded_picture_fits_the_side_and_says_its_size() -> None:
    artifact = encoded_picture(np.zeros((300, 150, 3), np.uint8), "chip", max_side=100)
    assert (artifact.version, artifact.width, artifact.height) == ("chip", 50, 100)


def test_report_room_needs_neither_torch_nor_opencv() -> None:
    code = "import sys, pairx_plugin.report; print(sorted({'torch', 'cv2', 'jinja2'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True
    )
    assert done.stdout.strip() == "[]"


def test_notes_about_chips_come_in_the_readers_language_and_usual_ones_not_at_all() -> None:
    notes = [
        Note(code="CHIP_SHRUNK", message="The box of 4000 x 3000 pixels is shrunk to 1024 x 768."),
        Note(code="BBOX_OVERHANGS", message="12.5% of the chip are black.", values={"share": 0.125}),
        Note(code="BBOX_OVERHANGS", message="Part of the chip is black."),  # by a host that gives no figures
        Note(code="CHIP_ENLARGED", message="It is enlarged.", values={"width": 24, "height": 16}),
        Note(code="SAME_PIXELS", message="Two files hold the same pixels."),
    ]
    assert Words(Messages("de")).notes(notes) == [
        "12,5\u00a0% dessen, was das Netz sah, liegen jenseits des Fotorandes und sind leer.",
        "Part of the chip is black.",
        "Das Tier nimmt nur 24 × 16 Pixel des Fotos ein und wurde vergrößert; "
        "seine Merkmale sind vielleicht unscharf.",
        "Two files hold the same pixels.",
    ]


@pytest.mark.parametrize("value", [{}, {"code": 3, "message": ["x"], "values": "y"}, {"code": None, "values": None}])
def test_note_of_any_data_is_a_note(value: dict[str, object]) -> None:
    assert Note.from_json(value) == Note(code="", message="", values={})
