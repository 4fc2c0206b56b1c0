"""A database that is opened to be read is left as it is, and says what it lacks."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, inspect

from pairx_plugin.errors import HostError, HostUnavailable
from pairx_plugin.hosts.local.connection import _address
from pairx_plugin.hosts.local.database import ReviewDatabase

RUN = {"config": {}, "model_id": "m", "model_fingerprint": "x", "explain": False, "n_annotations": 0}


def tables(url: str) -> list[str]:
    engine = create_engine(_address(url))
    try:
        return sorted(inspect(engine).get_table_names())
    finally:
        engine.dispose()


@pytest.fixture
def foreign(database_url: str, tmp_path: Path) -> Iterator[str]:
    """A database of somebody else's, with one table."""
    (tmp_path / "made").mkdir(exist_ok=True)
    engine = create_engine(_address(database_url))
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE notes (line VARCHAR)")
    engine.dispose()
    yield database_url


def test_a_database_without_review_records_is_refused_and_nothing_is_made_in_it(foreign: str) -> None:
    with pytest.raises(HostError, match="holds no review records; give the one that `pairx-plugin run`"):
        ReviewDatabase(foreign, read_only=True)
    assert tables(foreign) == ["notes"]


def test_what_was_written_is_read_and_cannot_be_changed(database_url: str) -> None:
    with ReviewDatabase(database_url) as database:
        run_id = database.begin_run(**RUN)
    before = tables(database_url)
    with ReviewDatabase(database_url, read_only=True) as reader:
        assert [run.run_id for run in reader.runs()] == [run_id]
        with pytest.raises(HostError, match="(?i)read-?only"):
            reader.begin_run(**RUN)
        assert [run.run_id for run in reader.runs()] == [run_id]
    assert tables(database_url) == before


def test_a_writer_and_a_reader_do_not_wait_for_each_other(database_url: str) -> None:
    with ReviewDatabase(database_url) as database, ReviewDatabase(database_url, read_only=True) as reader:
        assert reader.runs() == []
        database.begin_run(**RUN)
        assert len(reader.runs()) == 1


def test_a_missing_file_and_its_folder_are_not_made(tmp_path: Path) -> None:
    with pytest.raises(HostUnavailable, match="unable to open database file"):
        ReviewDatabase(f"sqlite:///{tmp_path}/made/reviews.sqlite3", read_only=True)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file::memory:?uri=true"])
def test_a_database_in_memory_has_nothing_to_read(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(HostError, match="holds no review records"):
        ReviewDatabase(url, read_only=True)
    assert list(tmp_path.iterdir()) == []


def test_a_path_of_any_characters_is_that_file(tmp_path: Path) -> None:
    path = tmp_path / "50% über?#&=1.sqlite3"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE notes (line)")
    connection.close()
    url = f"sqlite:///{str(path).replace('%', '%25').replace('?', '%3F')}"
    with pytest.raises(HostError, match="holds no review records"):
        ReviewDatabase(url, read_only=True)
    assert [item.name for item in tmp_path.iterdir()] == [path.name]


def test_a_file_in_a_folder_that_cannot_be_written_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "reviews.sqlite3"
    with ReviewDatabase(f"sqlite:///{path}") as database:
        run_id = database.begin_run(**RUN)
    content = path.read_bytes()
    monkeypatch.setattr(os, "access", lambda *_: False)  # root may write everywhere
    with ReviewDatabase(f"sqlite:///{path}", read_only=True) as reader:
        assert [run.run_id for run in reader.runs()] == [run_id]
        assert [item.name for item in tmp_path.iterdir()] == [path.name]  # not even the two side files
    assert path.read_bytes() == content
