"""Runs of the sample host from the command line, and the report of a finished run."""

from __future__ import annotations

import csv
import json
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pairx_plugin.cli.demo import sample_queries

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("sqlalchemy", reason="needs the extra 'sample'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")

COLUMNS = ("theta", "viewpoint", "name", "file_name", "species", "file_path", "x", "y", "w", "h")


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory, draw: Callable[[Path, int], None]) -> Path:
    """A folder with five photographs of two animals, one of them unreadable, and a configuration."""
    folder = tmp_path_factory.mktemp("run")
    with open(folder / "annotations.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for index, name in enumerate(("Ngaio", "Ngaio", "Rata", "Rata", "Rata")):
            draw(folder / f"p{index}.png", 5 + index)
            table.writerow([0.1, "left", name, f"p{index}.png", "kiwi", f"p{index}.png", 10, 10, 90, 70])
    (folder / "p4.png").write_bytes(b"not a picture")
    (folder / "host.toml").write_text(
        'annotations = "annotations.csv"\noutput = "output"\nmodel = "timm:resnet18"\nqueries = ["p0.png", "p4.png"]\n'
        'pairx_explain = true\npairx_top_k = 2\npairx_k_colors = 1\npairx_layers = "layer1"\n'
    )
    return folder


@pytest.fixture(scope="module")
def finished(call: Callable[..., Any], run_folder: Path) -> dict[str, Any]:
    done = call("run", run_folder / "host.toml", "--json")
    assert done.exit_code == 3, done.output  # one photograph is broken
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_run_ranks_explains_and_writes_the_report(finished: dict[str, Any], run_folder: Path) -> None:
    first, lost = finished["queries"]
    assert [candidate["status"] for candidate in first["candidates"]] == ["ready", "ready", "skipped"]
    assert lost["failure"]["code"] == "IMAGE_UNREADABLE"
    page = (run_folder / "output" / "report.html").read_text()
    assert finished["report"] == str(run_folder / "output" / "report.html")
    assert page.count('class="candidate"') == 2 and "This query could not be ranked." in page
    assert page.count("data:image/webp") >= 6
    scores = [f"{candidate['score']:.3f}" for candidate in first["candidates"]]
    assert all(score in page for score in scores)


@pytest.mark.parametrize("where", ["output", "output.sqlite3", "sqlite:///{}/output.sqlite3"])
def test_report_is_written_again_from_folder_file_or_url(
    call: Callable[..., Any], finished: dict[str, Any], run_folder: Path, tmp_path: Path, where: str
) -> None:
    place = where.format(run_folder) if "{}" in where else run_folder / where
    done = call("report", place, "--to", tmp_path / "again.html", "--title", "Kiwis", "--json")
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["n_queries"] == 2 and answer["bytes"] == (tmp_path / "again.html").stat().st_size
    assert "<title>Kiwis</title>" in (tmp_path / "again.html").read_text()


def test_report_of_pictures_that_moved_finds_them(
    call: Callable[..., Any], finished: dict[str, Any], run_folder: Path, tmp_path: Path
) -> None:
    shutil.copytree(run_folder / "output", tmp_path / "moved")
    done = call(
        "report", run_folder / "output.sqlite3", "--pictures", tmp_path / "moved", "--run", finished["run_id"][:8]
    )
    assert done.exit_code == 0, done.output
    page = (tmp_path / "moved" / "report.html").read_text()
    assert "A picture could not be read" not in page and page.count("data:image/webp") >= 6


@pytest.mark.parametrize(
    ("place", "more", "words"),
    [
        ("nowhere", (), "neither a folder nor a database"),
        ("output/pictures", (), "should go with one database"),
        ("sqlite:///none.sqlite3", (), "no database file"),
        ("output.sqlite3", ("--run", "zzz"), "no run of the database begins with 'zzz'"),
    ],
    ids=["nothing", "no database", "missing file", "unknown run"],
)
def test_report_of_what_is_not_there_is_bad_input(
    call: Callable[..., Any], finished: dict[str, Any], run_folder: Path, place: str, more: tuple[str, ...], words: str
) -> None:
    where = place if "://" in place else run_folder / place
    done = call("report", where, *more)
    assert done.exit_code == 2
    assert done.stderr.startswith("error [HOST_FAILED]: ") and words in " ".join(done.stderr.split())


@pytest.mark.parametrize("suffix", [".sqlite3", ".sqlite", ".db"])
@pytest.mark.parametrize("beside", [True, False], ids=["beside", "inside"])
def test_report_finds_the_database_of_a_folder(
    call: Callable[..., Any], finished: dict[str, Any], run_folder: Path, tmp_path: Path, suffix: str, beside: bool
) -> None:
    shutil.copytree(run_folder / "output", tmp_path / "reviews")
    place = tmp_path / f"reviews{suffix}" if beside else tmp_path / "reviews" / f"kept{suffix}"
    shutil.copy(run_folder / "output.sqlite3", place)
    done = call("report", tmp_path / "reviews", "--json")
    assert done.exit_code == 0 and json.loads(done.stdout)["n_queries"] == 2, done.output


def test_report_of_a_folder_with_two_databases_asks_which(
    call: Callable[..., Any], finished: dict[str, Any], run_folder: Path, tmp_path: Path
) -> None:
    for name in ("one.db", "two.sqlite"):
        shutil.copy(run_folder / "output.sqlite3", tmp_path / name)
    done = call("report", tmp_path)
    assert done.exit_code == 2 and "one.db" in done.stderr and "two.sqlite" in done.stderr


@pytest.mark.parametrize("prefix", ["", "sqlite:///"], ids=["file", "url"])
@pytest.mark.parametrize("kind", ["empty", "text", "foreign"])
def test_report_leaves_a_file_that_is_no_review_database_as_it_was(
    call: Callable[..., Any], tmp_path: Path, kind: str, prefix: str
) -> None:
    path = tmp_path / "somebody.sqlite3"
    path.write_bytes(b"" if kind == "empty" else b"some text that is no database")
    if kind == "foreign":
        path.unlink()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("CREATE TABLE whales (name TEXT)")
            connection.commit()
    before = path.read_bytes()
    done = call("report", f"{prefix}{path}")
    assert done.exit_code == 2 and "is no database of review records" in done.stderr
    assert path.read_bytes() == before and [item.name for item in tmp_path.iterdir()] == [path.name]


def test_run_tells_what_the_loader_notes_and_takes_its_options(
    call: Callable[..., Any], run_folder: Path, tmp_path: Path
) -> None:
    text = (run_folder / "host.toml").read_text().replace("pairx_explain = true", "pairx_explain = false")
    (run_folder / "noted.toml").write_text(text.replace('"output"', '"noted"').replace(', "p4.png"', ""))
    command = ("run", run_folder / "noted.toml", "--no-report", "--model-option")
    done = call(*command, "input_size=64", "--json")
    assert done.exit_code == 0 and "The weights are random" in json.loads(done.stdout)["notes"][0], done.output
    assert "The weights are random" in " ".join(call(*command, "input_size=64").stdout.split())
    wrong = call(*command, "pretraned=true")
    assert wrong.exit_code == 2 and "nearest: 'pretrained'" in wrong.stderr


def test_run_says_in_words_what_came_of_it(
    call: Callable[..., Any], finished: dict[str, Any], run_folder: Path, tmp_path: Path
) -> None:
    text = (run_folder / "host.toml").read_text().replace("pairx_explain = true", "pairx_explain = false")
    (run_folder / "off.toml").write_text(text.replace('"output"', '"off"').replace(', "p4.png"', ""))
    done = call("run", run_folder / "off.toml", "--no-report")
    assert done.exit_code == 0, done.output
    assert "pairx_explain is off" in done.stdout and "Rank-1" in done.stdout and "off.sqlite3" in done.stdout
    assert not (run_folder / "off" / "report.html").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot read the configuration"),
        ("annotations = ", "is not TOML"),
        ('anotations = "a.csv"', "nearest: 'annotations'"),
        ('annotations = "gone.csv"', "cannot read the annotations"),
    ],
    ids=["missing", "not TOML", "unknown key", "no annotations"],
)
def test_wrong_configuration_is_bad_input(
    call: Callable[..., Any], tmp_path: Path, text: str | None, words: str
) -> None:
    if text is not None:
        (tmp_path / "host.toml").write_text(text)
    done = call("run", tmp_path / "host.toml")
    assert done.exit_code == 2 and words in " ".join(done.stderr.split())


def test_demo_goes_the_whole_way_on_sample_photographs(call: Callable[..., Any], tmp_path: Path) -> None:
    more = ("--queries", 1, "--top-k", 1, "--model", "timm:resnet18", "--model-option", "input_size=96", "--json")
    done = call("demo", "--output", tmp_path / "demo", *more)
    assert done.exit_code == 0, done.output
    answer = json.loads(done.stdout)
    assert answer["n_annotations"] >= 50 and answer["statuses"]["ready"] == 1
    assert [note.split(":")[0] for note in answer["notes"]] == ["The weights are random"]
    assert {path.name for path in (tmp_path / "demo").iterdir()} >= {"reviews.sqlite3", "report.html", "pictures"}
    whole = answer["whole_sample"]
    assert whole["n_judged"] == answer["n_annotations"] and 0.0 <= whole["rank_1"] <= 1.0
    shown = answer["look_at"]
    assert all(item["query"] == sample_queries(1)[0] and item["band"] for item in shown.values()) and shown


def test_demo_queries_take_turns_between_species() -> None:
    names = [name.rsplit("_", 2)[0] for name in sample_queries(4)]
    assert len(set(names)) == 4
    individuals = [name.rsplit("_", 1)[0] for name in sample_queries(8)]
    assert len(set(individuals)) == 8
