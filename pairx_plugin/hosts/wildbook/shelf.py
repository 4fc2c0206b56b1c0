"""Explanations on disk, beside the host's match pictures, so that they outlive its picture cache and its processes.

The host keeps the pictures of a pair in
``query_match/qreq_cfgstr_<reference>/qannot_uuid_<query>/dannot_uuid_<candidate>/`` under its cache folder. Ours lie
there too: ``pairx_explanation.json``, the record, and the pictures that it names. Each file appears whole or not at
all; the record comes last, so that a record never names a picture that is not there yet.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import time
import uuid
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pairx_hooks import Artifact

from ...atomic_files import write_whole
from ...errors import StoreError

__all__ = ["Shelf", "plain_json", "recent_queries"]

logger = logging.getLogger(__name__)

_PAIR_FILE, _QUERY_FILE, _PLAIN_FILE = "pairx_explanation.json", "pairx_query.json", "pairx_drawn_plain"
_REFERENCE = re.compile(r"[A-Za-z0-9_]{1,64}")
_SUFFIXES = {"image/png": ".png", "image/webp": ".webp"}
_SETTLED = 60.0  # seconds; a process names a picture in its record right after it wrote it
_PICTURE = re.compile(r"pairx_[0-9a-f]{12}_[a-z]{1,16}\.(png|webp)")


class Shelf:
    """The explanations of one host under one configuration.

    Args:
        cache_folder: the host's ``ibs.cachedir``.
        reference: the host's ``dannot_extern_reference``, a hash of the configuration.

    Raises:
        StoreError: `reference` is no such hash.
    """

    def __init__(self, cache_folder: str | os.PathLike[str], reference: str) -> None:
        if not _REFERENCE.fullmatch(str(reference)):
            raise StoreError(
                f"{str(reference)!r:.80} is no reference of the host; give the 'dannot_extern_reference' of a result"
            )
        self.reference = str(reference)
        self._folder = Path(cache_folder) / "query_match" / f"qreq_cfgstr_{self.reference}"

    def write_pair(
        self, query: str, candidate: str, record: Mapping[str, Any], pictures: Sequence[Artifact]
    ) -> dict[str, Any]:
        """Write the pictures of a pair, then its record with the pictures' names in ``host.files``.

        Args:
            query, candidate: annotation UUIDs.

        Returns:
            The record as it was written.

        Raises:
            StoreError: something could not be written; what was there before is still there.
        """
        folder = self._pair(query, candidate)
        files: dict[str, str] = {}
        kept = set(self.files_of(self.read_pair(query, candidate) or {}).values())
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for picture in pictures:
                stem = hashlib.sha256(picture.data).hexdigest()[:12]
                name = f"pairx_{stem}_{picture.version}{_SUFFIXES[picture.media_type]}"
                if not _PICTURE.fullmatch(name):
                    raise ValueError(f"{picture.version!r:.60} is no version of a picture")
                write_whole(folder / name, picture.data)
                files[picture.version] = name
            written = {**record, "host": {**record.get("host", {}), "files": files}}
            write_whole(folder / _PAIR_FILE, _encoded(written))
        except (OSError, KeyError, ValueError) as error:
            _remove(folder / name for name in files.values() if name not in kept)  # the host needs the room itself
            raise StoreError(
                f"the explanation of {candidate} cannot be written to {folder}: {error}; make room, or check its rights"
            ) from error
        _clear(folder, keep=set(files.values()))
        return written

    def read_pair(self, query: str, candidate: str) -> dict[str, Any] | None:
        """Return the record of a pair, None where there is none that can be read."""
        return _read(self._pair(query, candidate) / _PAIR_FILE)

    def picture(self, query: str, candidate: str, version: str) -> tuple[bytes, str] | None:
        """Return the bytes and media type of one picture of a pair, None where there is none."""
        record = self.read_pair(query, candidate)
        return None if record is None else self.picture_of(record, query, candidate, version)

    def picture_of(
        self, record: Mapping[str, Any], query: str, candidate: str, version: str
    ) -> tuple[bytes, str] | None:
        """As :meth:`picture`, for a record that was read already."""
        path = self.picture_path(record, query, candidate, version)
        if path is None:
            return None
        try:
            data = path.read_bytes()
        except OSError:
            return None
        return data, next(kind for kind, suffix in _SUFFIXES.items() if path.name.endswith(suffix))

    def has_pictures(self, record: Mapping[str, Any], query: str, candidate: str) -> bool:
        """True where every picture that a record names is there."""
        folder = self._pair(query, candidate)
        return all((folder / name).is_file() for name in self.files_of(record).values())

    @staticmethod
    def files_of(record: Mapping[str, Any]) -> dict[str, str]:
        """Return a record's files by version."""
        host = record.get("host")
        files = host.get("files") if isinstance(host, Mapping) else None
        return {str(key): str(name) for key, name in files.items()} if isinstance(files, Mapping) else {}

    def write_query(self, query: str, answer: Mapping[str, Any]) -> None:
        """Write what came of a query: its candidates in rank order, without their records.

        Raises:
            StoreError: it cannot be written.
        """
        folder = self._query(query)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            write_whole(folder / _QUERY_FILE, _encoded(answer))
        except (OSError, ValueError) as error:
            raise StoreError(f"the answer to {query} cannot be written to {folder}: {error}") from error

    def read_query(self, query: str) -> dict[str, Any] | None:
        """Return what came of a query, None where nothing is known."""
        return _read(self._query(query) / _QUERY_FILE)

    def query_changed(self, query: str) -> int:
        """Return when the answer to a query was written, in nanoseconds; 0 where there is none."""
        return _changed(self._query(query) / _QUERY_FILE)

    def pair_changed(self, query: str, candidate: str) -> int:
        """Return when the record of a pair was written, in nanoseconds; 0 where there is none."""
        return _changed(self._pair(query, candidate) / _PAIR_FILE)

    def picture_path(self, record: Mapping[str, Any], query: str, candidate: str, version: str) -> Path | None:
        """Return where one picture of a record lies, None where it names none of that version."""
        name = self.files_of(record).get(version, "")
        return self._pair(query, candidate) / name if _PICTURE.fullmatch(name) else None

    def candidates(self, query: str) -> list[str]:
        """Return the candidates of a query that a record is kept of, by annotation UUID."""
        found = self._query(query).glob(f"dannot_uuid_*/{_PAIR_FILE}")
        return sorted(path.parent.name[len("dannot_uuid_") :] for path in found)

    def note_plain(self, query: str, candidate: str) -> None:
        """Note that the host's own pictures of a pair may not be those of the record that is kept.

        Raises:
            OSError: it cannot be written.
        """
        folder = self._pair(query, candidate)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _PLAIN_FILE).touch()

    def take_note(self, query: str, candidate: str) -> bool:
        """Return whether there was such a note, and remove it."""
        try:
            (self._pair(query, candidate) / _PLAIN_FILE).unlink()
        except OSError:
            return False
        return True

    def exists(self) -> bool:
        """True where the host has kept anything under this configuration."""
        return self._folder.is_dir()

    def _query(self, query: str) -> Path:
        return self._folder / f"qannot_uuid_{_checked_uuid(query)}"

    def _pair(self, query: str, candidate: str) -> Path:
        return self._query(query) / f"dannot_uuid_{_checked_uuid(candidate)}"


def recent_queries(cache_folder: str | os.PathLike[str], n: int) -> list[tuple[str, str]]:
    """Return (reference, annotation UUID) of the `n` queries that were answered last, newest first."""
    found = [
        (_changed(path), path.parts[-3][len("qreq_cfgstr_") :], path.parts[-2][len("qannot_uuid_") :])
        for path in (Path(cache_folder) / "query_match").glob(f"qreq_cfgstr_*/qannot_uuid_*/{_QUERY_FILE}")
    ]
    return [(reference, query) for _, reference, query in sorted(found, reverse=True)[:n]]


def plain_json(value: Any) -> Any:
    """Return JSON data as plain dicts and lists, which is what the host's encoder takes; no NaN, no infinity.

    Raises:
        ValueError, TypeError: it is no JSON data.
    """
    return json.loads(json.dumps(value, allow_nan=False))


def _checked_uuid(text: str) -> str:
    try:
        return str(uuid.UUID(str(text)))
    except ValueError as error:
        raise StoreError(f"{str(text)!r:.80} is no annotation UUID") from error


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _encoded(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, indent=1, allow_nan=False).encode("ascii")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        data = json.loads(path.read_bytes(), parse_constant=_no_number)
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        logger.warning("the record %s cannot be read (%s) and counts as missing", path, error)
        return None
    return data if isinstance(data, dict) else None


def _no_number(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def _clear(folder: Path, keep: set[str]) -> None:
    """Remove pictures of an explanation that was replaced; not those that another process may be about to name."""
    found = [path for path in folder.glob("pairx_*") if _PICTURE.fullmatch(path.name) and path.name not in keep]
    _remove(path for path in found if _changed(path) < (time.time() - _SETTLED) * 1e9)


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        try:
            path.unlink()
        except OSError as error:
            logger.debug("%s was not removed: %s", path, error)
