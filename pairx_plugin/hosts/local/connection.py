"""Opens the review database: SQLite or PostgreSQL, safe for several writers at once."""

from __future__ import annotations

import functools
import json
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, insert, inspect, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError, SQLAlchemyError

from ...errors import HostError, HostUnavailable
from .schema import SCHEMA_VERSION, Base, SchemaVersion

__all__ = ["connect", "host_errors", "shown_url"]

_WAIT_SECONDS = 30  # how long a writer waits for another one
_CREATION_LOCK = 0x70616972  # any number that every process of this host agrees on


def shown_url(url: str) -> str:
    """Return the URL with its password hidden, for messages and records."""
    try:
        return make_url(url).render_as_string(hide_password=True)
    except (ArgumentError, ValueError):  # a port that is no number is a ValueError
        return "(a database URL that cannot be read)"


def connect(url: str, *, read_only: bool = False) -> Engine:
    """Open the database at `url` and make the tables where they are missing.

    Args:
        read_only: nothing is made or changed in the database, and a database without the tables is refused.

    Raises:
        HostUnavailable: the database does not answer, or the file cannot be opened or made.
        HostError: the URL is not one of SQLite or PostgreSQL, its driver is missing, or the tables are
            another version's, or missing where nothing may be made.
    """
    address = _address(url)
    options: dict[str, Any] = {"pool_pre_ping": True}
    if address.get_backend_name() == "sqlite":
        options["connect_args"] = {"timeout": _WAIT_SECONDS}
        if read_only:
            address = _for_reading(address)
        else:
            _make_folder(address)
    elif read_only:
        options["execution_options"] = {"postgresql_readonly": True}
    # allow_nan=False: NaN would be written as a bare word that no JSON reader but Python's takes.
    options["json_serializer"] = functools.partial(json.dumps, allow_nan=False)
    with host_errors(url):
        try:
            engine = create_engine(address, **options)
        except ModuleNotFoundError as error:
            raise HostError(
                f"the database {shown_url(url)} needs the package '{error.name}'; install it, "
                f"for PostgreSQL with: pip install 'psycopg[binary]'"
            ) from error
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _prepare_reader if read_only else _prepare_sqlite)
            event.listen(engine, "begin", _begin_sqlite)
        try:
            _check_tables(engine, url) if read_only else _make_tables(engine, url)
        except BaseException:
            engine.dispose()
            raise
    return engine


@contextmanager
def host_errors(url: str) -> Iterator[None]:
    """Turn the errors of the database into the host's, without password and without SQL."""
    try:
        yield
    except OperationalError as error:
        raise HostUnavailable(
            f"the database {shown_url(url)} cannot be used: {_reason(error)}; check the address, "
            f"the rights and the space on the disk"
        ) from error
    except (DBAPIError, SQLAlchemyError) as error:
        raise HostError(f"the database {shown_url(url)} refused: {_reason(error)}") from error
    except (TypeError, ValueError) as error:  # some drivers write JSON themselves
        raise HostError(f"the database {shown_url(url)} cannot hold a value: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    cause = error.orig if isinstance(error, DBAPIError) else error
    return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"


def _address(url: str) -> URL:
    try:
        address = make_url(url)
        if address.drivername in ("postgres", "postgresql"):
            address = address.set(drivername="postgresql+psycopg")
        address.get_dialect()
    except (ArgumentError, NoSuchModuleError, ValueError) as error:
        raise HostError(
            f"the database URL {shown_url(url)!r} cannot be read; give sqlite:///reviews.sqlite3 or "
            f"postgresql://user:password@server/database"
        ) from error
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        raise HostError(
            f"the review database runs on SQLite or PostgreSQL, not on {address.get_backend_name()}; give "
            f"sqlite:///reviews.sqlite3 or postgresql://user:password@server/database"
        )
    return address


def _make_folder(address: URL) -> None:
    if address.database and address.database != ":memory:":
        folder = Path(address.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise HostUnavailable(
                f"the folder of the database, {str(folder)!r}, cannot be made: {error.strerror or error}; "
                f"choose another with the key 'database'"
            ) from error


def _for_reading(address: URL) -> URL:
    """Return the address by which SQLite neither makes nor changes the file."""
    file = address.database or ":memory:"
    if file == ":memory:":
        return address  # nobody else's, and gone with the connection
    options = {**address.query, "mode": "ro", "uri": "true"}
    if not file.startswith("file:"):
        path = Path(file).absolute()
        if not os.access(path.parent, os.W_OK) and not path.with_name(path.name + "-wal").exists():
            options["immutable"] = "1"  # else SQLite would need its two side files, which cannot be made there
        file = path.as_uri()
    return address.set(database=file, query=options)


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    _prepare_reader(connection, _)
    for pragma in ("journal_mode = WAL", "foreign_keys = ON", "synchronous = NORMAL"):
        connection.execute(f"PRAGMA {pragma}")


def _prepare_reader(connection: sqlite3.Connection, _: object) -> None:
    # The driver would begin transactions by itself, and late: a reader that turns writer then fails at once
    # instead of waiting for the other writer. With isolation_level None, _begin_sqlite does.
    connection.isolation_level = None
    connection.execute(f"PRAGMA busy_timeout = {_WAIT_SECONDS}000")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _make_tables(engine: Engine, url: str) -> None:
    """Make the tables and check their version in one transaction, as two hosts may start at once."""
    with engine.execution_options(writes=True).begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _CREATION_LOCK})
        fresh = not inspect(connection).has_table(SchemaVersion.__tablename__)
        if fresh:
            Base.metadata.create_all(connection)
            connection.execute(insert(SchemaVersion).values(version=SCHEMA_VERSION))
        _check_version(connection, url)


def _check_tables(engine: Engine, url: str) -> None:
    """Refuse a database without the tables, and leave it as it is."""
    with engine.begin() as connection:
        if not inspect(connection).has_table(SchemaVersion.__tablename__):
            raise HostError(
                f"the database {shown_url(url)} holds no review records; give the one that `pairx-plugin run` or "
                f"`pairx-plugin demo` wrote"
            )
        _check_version(connection, url)


def _check_version(connection: Connection, url: str) -> None:
    found = connection.scalar(select(SchemaVersion.version))
    if found != SCHEMA_VERSION:
        raise HostError(
            f"the database {shown_url(url)} holds tables of version {found}, this host reads version "
            f"{SCHEMA_VERSION}; give another database with the key 'database'"
        )
