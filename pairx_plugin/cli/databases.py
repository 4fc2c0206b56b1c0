"""Where the review database of a finished run lies."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from ..errors import HostError

__all__ = ["find_database"]

_SQLITE_SUFFIXES = (".sqlite3", ".sqlite", ".db")
_SQLITE_BEGINS = b"SQLite format 3\0"


def find_database(where: str) -> tuple[str, Path | None]:
    """Return the URL of the database that `where` means, and the folder that pictures may lie in.

    Args:
        where: output folder of a run, its SQLite file, or a database URL.

    Raises:
        HostError: there is no database, more than one, or one that holds no reviews.
    """
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
