"""``pairx-plugin report``: the report of a finished run, written again."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ..errors import HostError
from .display import Steps, output, print_json, steps

__all__ = ["report", "write_run_report"]

_SQLITE_SUFFIXES = (".sqlite3", ".sqlite", ".db")
_SQLITE_BEGINS = b"SQLite format 3\0"


def report(
    where: Annotated[str, typer.Argument(help="Output folder of a run, its SQLite file, or a database URL.")],
    run: Annotated[
        Optional[str], typer.Option(help="Id of the run, or how it begins; the newest finished one by default.")
    ] = None,
    pictures: Annotated[
        Optional[Path], typer.Option(help="Folder that the pictures lie in, if it was moved since the run.")
    ] = None,
    to: Annotated[
        Optional[Path], typer.Option(help="The file to write; report.html beside the pictures by default.")
    ] = None,
    title: Annotated[Optional[str], typer.Option(help="Title of the page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Write the report of a finished run again, from its database and its pictures."""
    url, near = _database(where)
    pictures, to = (None if path is None else path.expanduser() for path in (pictures or near, to))
    with steps() as progress:
        path, size, n_queries = write_run_report(
            url, run_id=run, pictures=pictures, target=to, title=title, progress=progress
        )
    if as_json:
        print_json({"report": str(path), "bytes": size, "n_queries": n_queries})
    else:
        output().print(f"Wrote {path} ({size / 1e6:.1f} MB, {n_queries} queries).", soft_wrap=True)


def write_run_report(
    url: str,
    *,
    run_id: str | None = None,
    pictures: Path | None = None,
    target: Path | None = None,
    title: str | None = None,
    progress: Steps,
) -> tuple[Path, int, int]:
    """Write the report of a run; return its path, its size in bytes and the number of queries.

    Args:
        url: of the review database, which must exist.
        pictures: folder that the paths of pictures start from; where it does not hold them, the run's own is used.

    Raises:
        HostError: the database or the run is not there.
        StoreError: the report cannot be written.
    """
    from ..hosts.local.database import ReviewDatabase
    from ..report import write_report
    from ..report.pictures import PictureEmbedder
    from .finished_runs import choose_run, facts_of_run, queries_of_run

    with ReviewDatabase(url) as database:
        run = choose_run(database, run_id)
        folder = _folder(run.config, pictures)
        facts = facts_of_run(database, run)
        queries = queries_of_run(database, run, lambda done, total: progress("gather", done, total))
    path = target or folder / "report.html"
    size = write_report(
        path,
        queries,
        run=facts,
        title=title,
        pictures=PictureEmbedder(folder=folder),
        on_query=lambda done, total: progress("report", done, total),
    )
    return path, size, len(queries)


def _folder(config: dict[str, Any], given: Path | None) -> Path:
    """The run's own output folder, unless it has gone and another was named or found."""
    own = Path(str(config.get("output") or "."))
    if given is not None and ((given / "pictures").is_dir() or not own.is_dir()):
        return given
    return own


def _database(where: str) -> tuple[str, Path | None]:
    """Return the URL of the database that `where` means, and the folder that pictures may lie in."""
    if "://" in where:
        _check_sqlite(where)
        return where, None
    path = Path(where).expanduser()
    if path.is_file():
        return _sqlite_url(path), path.absolute().parent
    if path.is_dir():
        return _sqlite_url(_database_of(path.absolute())), path.absolute()
    raise HostError(f"there is neither a folder nor a database {where!r}; give the output folder of a run")


def _database_of(folder: Path) -> Path:
    """Return the one database in an output folder, or beside it under the folder's name."""
    inside = [path for path in sorted(folder.iterdir()) if path.suffix in _SQLITE_SUFFIXES and path.is_file()]
    beside = [folder.with_name(folder.name + suffix) for suffix in _SQLITE_SUFFIXES]
    found = [*inside, *(path for path in beside if path.is_file())]
    if len(found) == 1:
        return found[0]
    names = ", ".join(str(item) for item in found) or f"nothing in it, and no {beside[0].name} beside it"
    raise HostError(
        f"the folder {str(folder)!r} should go with one database ({', '.join(f'*{end}' for end in _SQLITE_SUFFIXES)}), "
        f"found: {names}; name the database"
    )


def _sqlite_url(path: Path) -> str:
    _check_reviews(path)
    return f"sqlite:///{path.absolute().as_posix()}"


def _check_sqlite(url: str) -> None:
    """SQLite would make a missing file; a report has nothing to say about an empty database."""
    scheme, _, rest = url.partition(":///")
    file = rest.partition("?")[0]
    if scheme.startswith("sqlite") and file and not file.startswith((":memory:", "file:")):
        if not Path(file).is_file():
            raise HostError(f"there is no database file {file!r}; check the path")
        _check_reviews(Path(file))


def _check_reviews(path: Path) -> None:
    """Refuse a file without review records: the database would make its tables in it, and change what is not ours."""
    from ..hosts.local.schema import MatchRun

    try:
        with open(path, "rb") as file:
            is_sqlite = file.read(len(_SQLITE_BEGINS)) == _SQLITE_BEGINS
        if is_sqlite:
            with closing(sqlite3.connect(path.absolute().as_uri() + "?mode=rw", uri=True)) as connection:
                asked = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
                is_sqlite = bool(connection.execute(asked, (MatchRun.__tablename__,)).fetchone()[0])
    except (OSError, sqlite3.Error) as error:
        raise HostError(f"the database {str(path)!r} cannot be read: {error}; check its rights") from error
    if not is_sqlite:
        raise HostError(
            f"{str(path)!r} is no database of review records; give the output folder of a run, or the database that "
            f"`pairx-plugin run` wrote"
        )
