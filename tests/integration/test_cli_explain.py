"""`pairx-plugin explain`: what it prints and writes, for good photographs and for bad ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")


def test_explain_writes_pictures_records_and_report(explain: Callable[..., Any], tmp_path: Path) -> None:
    done = explain("query.png", "first.png", more=("--format", "png", "--json"))
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    pair = answer["explanations"][0]
    assert (answer["model_id"], pair["rank"], pair["status"]) == ("timm:resnet18", 1, "ready")
    assert -1.0 <= pair["similarity"] <= 1.0
    assert sorted(pair["pictures"]) == ["clean", "heatmask", "matches"]
    for path in pair["pictures"].values():
        with Image.open(path) as image:
            assert image.format == "PNG" and image.width > 64
    record = json.loads(Path(pair["record"]).read_text())
    assert record["schema"] == "pairx.explanation/1"
    assert record["score"] == pair["similarity"] and record["score_scale"] == "cosine"
    assert [asset["url"] for asset in record["assets"]] == ["matches.png", "heatmask.png", "clean.png"]
    assert len(record["matches"]) <= 8
    page = Path(answer["report"]).read_text()
    assert "first.png" in page and "The weights are random" in page


UNREADABLE = {
    "truncated.png": "IMAGE_UNREADABLE",
    "empty.jpg": "IMAGE_UNREADABLE",
    "gone.png": "IMAGE_NOT_FOUND",
    "text.jpg": "IMAGE_UNREADABLE",
    "broken.jpg": "IMAGE_UNREADABLE",
}


def records_of(done: Any) -> list[dict[str, Any]]:
    """The records that the printed answer names, in its order."""
    return [json.loads(Path(pair["record"]).read_text()) for pair in json.loads(done.stdout)["explanations"]]


def test_photographs_that_cannot_be_read_are_told_and_the_others_go_on(
    explain: Callable[..., Any], tmp_path: Path
) -> None:
    done = explain("query.png", "gone.png", "first.png", *list(UNREADABLE)[:2], "second.png", more=("--json",))
    assert done.exit_code == 3
    pairs = json.loads(done.stdout)["explanations"]
    assert [pair["status"] for pair in pairs] == ["failed", "ready", "failed", "failed", "ready"]
    assert [pair["rank"] for pair in pairs] == [1, 2, 3, 4, 5]
    codes = ["IMAGE_NOT_FOUND", None, "IMAGE_UNREADABLE", "IMAGE_UNREADABLE", None]
    assert [pair["failure"] and pair["failure"]["code"] for pair in pairs] == codes
    page = (tmp_path / "report.html").read_text()
    assert "gone.png" in page and "The photograph cannot be opened." in page


def test_every_candidate_has_a_record_that_keeps_its_rank(explain: Callable[..., Any], tmp_path: Path) -> None:
    names = [*UNREADABLE, "first.png"]
    done = explain("query.png", *names, more=("--json", "--no-report"))
    assert done.exit_code == 3
    records = records_of(done)
    assert [record["rank"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert [record["status"] for record in records] == ["failed"] * 5 + ["ready"]
    assert [record["images"][1]["filename"] for record in records] == names
    ready = records.pop()
    assert ready["errors"] == [] and len(ready["assets"]) == 3
    for record, (name, code) in zip(records, UNREADABLE.items()):
        assert [(error["code"], name in error["message"]) for error in record["errors"]] == [(code, True)]
        assert record["assets"] == [] and record["similarity"] is record["score"] is None
        same = ("schema", "algorithm", "model_id", "model_sha256", "score_scale", "ranked_by")
        assert {key: record[key] for key in same} == {key: ready[key] for key in same}
        assert record["params"].keys() == ready["params"].keys() and record["params"]["k_lines"] == 8
        assert record["provenance"]["torch"] == ready["provenance"]["torch"]
    assert len({record["id"] for record in records}) == 5
    folders = sorted(path.parent.name for path in tmp_path.glob("*/explanation.json"))
    assert folders == ["01-truncated", "02-empty", "03-gone", "04-text", "05-broken", "06-first"]


@pytest.mark.parametrize(("name", "code"), UNREADABLE.items(), ids=UNREADABLE.get)
def test_single_photograph_that_cannot_be_read_is_bad_input_with_a_record(
    explain: Callable[..., Any], name: str, code: str
) -> None:
    done = explain("query.png", name, more=("--json",))
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error [{code}]: nothing was explained: ") and len(done.stderr.splitlines()) == 1
    (record,) = records_of(done)
    assert (record["status"], record["rank"], record["errors"][0]["code"]) == ("failed", 1, code)


def test_disk_that_fails_while_a_photograph_is_read_costs_that_candidate_alone(
    explain: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from pairx_plugin.cli import pair_host

    read = pair_host.read_photograph

    def failing(source: str) -> Any:
        if source.endswith("first.png"):
            raise OSError(5, "Input/output error")
        return read(source)

    monkeypatch.setattr(pair_host, "read_photograph", failing)
    done = explain("query.png", "first.png", "second.png", more=("--json", "--no-report"))
    assert done.exit_code == 3
    lost, ready = records_of(done)
    assert (lost["status"], ready["status"]) == ("failed", "ready")
    assert "Input/output error" in lost["errors"][0]["message"]


def test_network_that_cannot_be_explained_leaves_a_record_too(explain: Callable[..., Any]) -> None:
    timm = pytest.importorskip("timm")
    if not timm.is_model("test_vit"):
        pytest.skip("needs timm's test_vit")
    done = explain("query.png", "first.png", more=("--model", "timm:test_vit", "--input-size", "160", "--json"))
    assert done.exit_code == 2 and "error [MODEL_UNSUPPORTED]" in done.stderr
    (record,) = records_of(done)
    assert (record["status"], record["errors"][0]["code"]) == ("unsupported", "MODEL_UNSUPPORTED")
    assert record["model_id"] == "timm:test_vit" and record["images"][1]["annotation_id"] == "candidate-1"


def test_pictures_of_an_earlier_call_do_not_stay_beside_a_new_record(
    call: Callable[..., Any], explain: Callable[..., Any], draw: Callable[[Path, int], None], tmp_path: Path
) -> None:
    draw(tmp_path / "lion.png", 9)
    first = explain("query.png", str(tmp_path / "lion.png"), more=("--json",))
    assert first.exit_code == 0, first.output
    folder = tmp_path / "01-lion"
    (folder / "note.txt").write_text("mine")
    assert {path.name for path in folder.iterdir()} >= {"matches.webp", "heatmask.webp", "clean.webp"}
    explain("query.png", str(tmp_path / "lion.png"), more=("--view", "clean", "--format", "png"))
    assert {path.name for path in folder.iterdir()} == {"clean.png", "explanation.json", "note.txt"}
    (tmp_path / "lion.png").write_bytes(b"")
    assert explain("query.png", str(tmp_path / "lion.png")).exit_code == 2
    assert {path.name for path in folder.iterdir()} == {"explanation.json", "note.txt"}


def test_earlier_record_that_names_other_places_removes_nothing_there(
    explain: Callable[..., Any], tmp_path: Path
) -> None:
    (tmp_path / "01-first").mkdir()
    (tmp_path / "precious.png").write_bytes(b"x")
    (tmp_path / "01-first" / "precious.txt").write_bytes(b"x")
    assets = [{"url": "../precious.png"}, {"url": str(tmp_path / "precious.png")}, {"url": "precious.txt"}]
    (tmp_path / "01-first" / "explanation.json").write_text(json.dumps({"assets": assets}))
    assert explain("query.png", "first.png").exit_code == 0
    assert (tmp_path / "precious.png").exists() and (tmp_path / "01-first" / "precious.txt").exists()


@pytest.mark.parametrize("place", [0, 1], ids=["query", "candidate"])
def test_url_is_known_for_one(call: Callable[..., Any], photographs: Path, tmp_path: Path, place: int) -> None:
    names = [str(photographs / "query.png"), str(photographs / "first.png")]
    names[place] = "https://example.org/whale.jpg"
    done = call("explain", *names, "--model", "timm:resnet18", "--input-size", 64, "--output", tmp_path)
    assert done.exit_code == 2
    assert "error [CHIP_INVALID]" in done.stderr and "'https://example.org/whale.jpg' is a URL" in done.stderr


def test_boxes_cut_the_animal_out(explain: Callable[..., Any], tmp_path: Path) -> None:
    boxes = (
        "--bbox-query",
        "10,20,60,40",
        "--theta-query",
        "0.2",
        "--bbox-candidate",
        "",
        "--bbox-candidate",
        "5,5,50,50",
    )
    done = explain(
        "query.png", "first.png", "second.png", more=(*boxes, "--json", "--no-report")
    )
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    images = [json.loads(Path(pair["record"]).read_text())["images"] for pair in answer["explanations"]]
    assert images[0][0]["bbox"] == [10, 20, 60, 40] and images[0][0]["theta"] == 0.2
    assert [pair[1]["bbox"] for pair in images] == [[0, 0, 120, 90], [5, 5, 50, 50]]
    assert answer["report"] is None and not (tmp_path / "report.html").exists()


def test_one_view_and_one_layer_can_be_chosen(explain: Callable[..., Any], tmp_path: Path) -> None:
    more = ("--view", "clean", "--layer", "layer2", "--layer", "layer1", "--json")
    done = explain("query.png", "first.png", more=more)
    pair = json.loads(done.stdout)["explanations"][0]
    assert list(pair["pictures"]) == ["clean"]
    record = json.loads(Path(pair["record"]).read_text())
    assert record["layer_key"] == "layer2"
    assert [layer["layer_key"] for layer in record["other_layers"]] == ["layer1"]


def test_table_for_people_names_the_files(explain: Callable[..., Any], tmp_path: Path) -> None:
    done = explain("query.png", "first.png")
    assert done.exit_code == 0
    assert "first.png" in done.stdout and "report.html" in done.stdout and "uncalibrated" in done.stdout


@pytest.mark.parametrize(
    ("names", "more", "code", "words"),
    [
        (("gone.png", "first.png"), (), "IMAGE_NOT_FOUND", "gone.png"),
        (("broken.jpg", "first.png"), (), "IMAGE_UNREADABLE", "broken.jpg"),
        (("query.png", "gone.png"), (), "IMAGE_NOT_FOUND", "nothing was explained"),
        (("query.png", "first.png"), ("--layer", "layer9"), "LAYER_UNKNOWN", "nearest: 'layer"),
        (("query.png", "first.png"), ("--explainer", "pairy"), "EXPLAINER_UNKNOWN", "nearest: 'pairx'"),
        (("query.png", "first.png"), ("--model", "timm:resnet18x"), "MODEL_UNKNOWN", "resnet18"),
        (("query.png", "first.png"), ("--model", "no.safetensors"), "MODEL_UNKNOWN", "no.safetensors"),
        (("query.png", "first.png"), ("--k-lines", "-1"), "SETTING_INVALID", "k_lines"),
        (("query.png", "first.png"), ("--set", "k_line=3"), "SETTING_INVALID", "nearest: 'k_lines'"),
        (("query.png", "first.png"), ("--set", "palette"), "SETTING_INVALID", "NAME=VALUE"),
        (("query.png", "first.png"), ("--set", "k_lines=3"), "SETTING_INVALID", "given twice, by --set"),
        (("query.png", "first.png"), ("--set", "seed=1", "--set", "seed=2"), "SETTING_INVALID", "'seed' twice"),
        (("query.png", "first.png"), ("--set", "top_k=1"), "SETTING_INVALID", "here every candidate is explained"),
        (("query.png", "first.png"), ("--view", "lines"), "SETTING_INVALID", "matches"),
        (("query.png", "first.png"), ("--bbox-query", "1,2,3"), "SETTING_INVALID", "x,y,w,h"),
        (("query.png", "first.png"), ("--bbox-query", "1,2,nan,4"), "SETTING_INVALID", "nan"),
        (("query.png", "first.png"), ("--bbox-query", "900,900,50,50"), "CHIP_INVALID", "900"),
        (("query.png", "first.png"), ("--theta-candidate", "0", "--theta-candidate", "1"), "SETTING_INVALID", "once"),
        (("query.png", "first.png"), ("--input-size", "9x"), "SETTING_INVALID", "440x440"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, tuple) else "",
)
def test_bad_input_is_one_clear_line_and_exit_code_2(
    explain: Callable[..., Any], tmp_path: Path, names: tuple[str, ...], more: tuple[str, ...], code: str, words: str
) -> None:
    done = explain(*names, more=(*more, "--json"))
    assert done.exit_code == 2, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"error [{code}]: ") and words in lines[0]
    assert "Traceback" not in done.output


def test_output_folder_that_cannot_be_made_is_told_before_the_work(
    explain: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("x")
    monkeypatch.setattr("pairx_plugin.models.catalogue.ModelCatalogue.load", lambda *_, **__: pytest.fail("worked"))
    done = explain("query.png", "first.png", more=("--output", tmp_path / "file" / "deep"))
    assert done.exit_code == 1
    assert done.stderr.startswith("error [STORE_FAILED]: --output ") and "is no folder" in done.stderr


def test_file_that_cannot_be_written_is_told(explain: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "01-first").write_text("in the way")
    done = explain("query.png", "first.png")
    assert done.exit_code == 1
    assert done.stderr.startswith("error [STORE_FAILED]: ") and "--output" in done.stderr
