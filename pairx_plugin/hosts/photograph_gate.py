"""Which photographs a request may name: what it brings along, and what the operator has allowed.

Nothing that a request says reaches the disk or the network before it is found under a folder, or on a server, that
the operator has named. What is not allowed is refused in the same words whether or not it is there.
"""

from __future__ import annotations

import base64
import binascii
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from ..errors import ChipError, ChipForbidden, ChipNotFound, ChipTooLarge, ChipUnreadable, SettingsError
from ..photographs import Photograph, read_photograph
from .fetching import fetch, shown_url
from .uploads import Uploads, is_upload

__all__ = ["GateRules", "PhotographGate"]

_LONGEST = 4096  # characters of a path or a URL
_PORTS = (80, 443)
_NOT_ALLOWED = "the operator of this service has to allow it, or send the photograph along as a data: URI"


@dataclass(frozen=True, kw_only=True)
class GateRules:
    """What the operator allows.

    Attributes:
        roots: folders below which files may be read, symbolic links resolved; none by default.
        url_hosts: servers that may be asked: ``example.org`` for its ports 80 and 443, ``example.org:8080``,
            ``*.example.org`` for every name below it.
        private_hosts: likewise, for servers within a private network, this machine included.
        inline: whether photographs may come along as ``data:`` URIs, or be sent before and named later.
        max_bytes: of one encoded photograph.
        max_pixels: of one decoded photograph.
        fetch_seconds: for fetching one photograph.
        kept_bytes: of the photographs that were sent to be named later, all together.

    Raises:
        SettingsError: a value does not fit.
    """

    roots: tuple[Path, ...] = ()
    url_hosts: tuple[str, ...] = ()
    private_hosts: tuple[str, ...] = ()
    inline: bool = True
    max_bytes: int = 32_000_000
    max_pixels: int = 50_000_000
    fetch_seconds: float = 20.0
    kept_bytes: int = 256_000_000
    _resolved: tuple[Path, ...] = field(init=False, repr=False, default=())

    def __post_init__(self) -> None:
        for name in ("max_bytes", "max_pixels", "fetch_seconds", "kept_bytes"):
            if not getattr(self, name) > 0:
                raise SettingsError(f"'{name}' is {getattr(self, name)}; it must be above 0")
        for entry in (*self.url_hosts, *self.private_hosts):
            if not entry or "/" in entry or "@" in entry or any(part.isspace() for part in entry):
                raise SettingsError(f"{entry!r} is no name of a server; give such as example.org or example.org:8080")
        for root in self.roots:
            if not Path(root).is_dir():
                raise SettingsError(f"there is no folder {str(root)!r} to read photographs from; check its path")
        object.__setattr__(self, "_resolved", tuple(Path(root).resolve() for root in self.roots))

    @property
    def folders(self) -> tuple[Path, ...]:
        """The roots, absolute and without symbolic links."""
        return self._resolved


class PhotographGate:
    """Reads the photographs that a request names; safe for threads.

    Args:
        rules: what the operator allows.
    """

    def __init__(self, rules: GateRules = GateRules()) -> None:
        self.rules = rules
        self._uploads = Uploads(rules.kept_bytes)

    def keep(self, content: bytes) -> tuple[str, tuple[int, int]]:
        """Keep a photograph that somebody sent; return the URI that names it, and its (width, height) when upright.

        Raises:
            ChipForbidden: nobody may send any.
            ChipUnreadable: it is no photograph.
            ChipTooLarge: it has too many bytes or pixels.
        """
        if not self.rules.inline:
            raise ChipForbidden("photographs cannot be sent here; name a file or a URL")
        most = min(self.rules.max_bytes, self.rules.kept_bytes)
        if len(content) > most:
            raise ChipTooLarge(f"the photograph has {len(content)} bytes; the limit is {most}")
        photograph = read_photograph(content, uri="the photograph", max_pixels=self.rules.max_pixels)
        return self._uploads.put(content), photograph.size

    def check(self, uri: str) -> None:
        """Refuse what is not allowed, without looking for it.

        Raises:
            ChipForbidden: neither the rules nor the request itself bring it.
            ChipUnreadable: a ``data:`` URI that is none.
        """
        uri = uri.strip()
        if _is_inline(uri):
            self._inline_data(uri)
        elif _is_url(uri):
            self._check_url(uri)
        elif not is_upload(uri):
            self._places(uri)

    def read(self, uri: str) -> Photograph:
        """Return a photograph, upright.

        Args:
            uri: ``data:``, ``http:``, ``https:``, ``file:``, what :meth:`keep` returned, or a path; relative paths
                start from the roots, in order.

        Raises:
            ChipError: see the classes below it: not allowed, not there, too large, not a photograph.
        """
        return self.decoded(self.content(uri), uri)

    def decoded(self, content: bytes, uri: str) -> Photograph:
        """Return a photograph of what :meth:`content` gave for it; this takes the memory of all its pixels.

        Raises:
            ChipError: as for :meth:`read`.
        """
        return read_photograph(content, uri=self.label(uri), max_pixels=self.rules.max_pixels)

    def label(self, uri: str) -> str:
        """Return what records and messages call a photograph: short, and without what signs an address."""
        uri = uri.strip()
        if _is_inline(uri):
            return f"{uri[:40].partition(',')[0]},..."
        if is_upload(uri):
            return f"{uri[:19]}..."
        return shown_url(uri) if _is_url(uri) else uri[:200]

    def content(self, uri: str) -> bytes:
        """Return a photograph's encoded bytes, which nobody has looked into yet.

        Raises:
            ChipError: as for :meth:`read`.
        """
        uri = uri.strip()
        if _is_inline(uri):
            return self._inline_content(uri)
        if _is_url(uri):
            self._check_url(uri)
            rules = self.rules
            return fetch(uri, self._reach, max_bytes=rules.max_bytes, seconds=rules.fetch_seconds)
        if is_upload(uri):
            sent = self._uploads.get(uri)
            if sent is None:
                raise ChipNotFound(f"the photograph {self.label(uri)} is not kept here, or not any more; send it again")
            return sent
        return self._from_disk(uri)

    def _inline_data(self, uri: str) -> str:
        """Return the base64 of a ``data:`` URI, which nobody has decoded yet."""
        if not self.rules.inline:
            raise ChipForbidden("photographs in data: URIs are not allowed here; name a file or a URL")
        header, comma, data = uri.partition(",")
        if not comma or not header.lower().endswith(";base64"):
            raise ChipUnreadable("the data: URI must look like data:image/jpeg;base64,... and hold base64")
        if len(data) * 3 // 4 > self.rules.max_bytes + 3:
            raise ChipTooLarge(f"the photograph has more than {self.rules.max_bytes} bytes, which is the limit")
        return data

    def _inline_content(self, uri: str) -> bytes:
        data = self._inline_data(uri)
        try:
            return base64.b64decode(data, validate=True)
        except (binascii.Error, ValueError) as error:
            raise ChipUnreadable(f"the data: URI holds no base64: {error}; encode the file again") from error

    def _check_url(self, uri: str) -> None:
        try:
            parts = urlsplit(uri)
            host, port = parts.hostname or "", parts.port or (443 if parts.scheme.lower() == "https" else 80)
        except ValueError as error:
            raise ChipForbidden(f"the URL cannot be used: {error}") from error
        if len(uri) > _LONGEST or self._reach(host, port) is None:
            raise ChipForbidden(f"no photograph is fetched from {host!r:.80} port {port}; {_NOT_ALLOWED}")

    def _reach(self, host: str, port: int) -> bool | None:
        if any(_allows(entry, host, port) for entry in self.rules.private_hosts):
            return True
        return False if any(_allows(entry, host, port) for entry in self.rules.url_hosts) else None

    def _places(self, uri: str) -> list[Path]:
        """Return the places below the roots that a path may mean; nothing is looked up yet."""
        name = _file_name(uri)
        if not name or len(name) > _LONGEST or "\0" in name or not _encodable(name):
            raise ChipForbidden(f"{uri!r:.80} names no photograph that may be read; {_NOT_ALLOWED}")
        places = []
        for root in self.rules.folders:
            place = Path(os.path.normpath(root / name))
            if place != root and place.is_relative_to(root):
                places.append(place)
        for given, root in zip(self.rules.roots, self.rules.folders):  # a root that is itself a symbolic link
            place = Path(os.path.normpath(name))
            outer = Path(os.path.abspath(given))
            if outer != root and place.is_absolute() and place.is_relative_to(outer) and place != outer:
                places.append(root / place.relative_to(outer))
        if not places:
            raise ChipForbidden(f"{uri!r:.80} lies in no folder that may be read; {_NOT_ALLOWED}")
        return places

    def _from_disk(self, uri: str) -> bytes:
        for place in self._places(uri):
            resolved = Path(os.path.realpath(place))
            if not any(resolved.is_relative_to(root) for root in self.rules.folders):
                raise ChipForbidden(f"{uri!r:.80} lies in no folder that may be read; {_NOT_ALLOWED}")
            found = _file_content(resolved, uri, self.rules.max_bytes)
            if found is not None:
                return found
        raise ChipNotFound(f"there is no photograph {uri!r:.80}; check the path")


def _file_content(path: Path, uri: str, max_bytes: int) -> bytes | None:
    """Return a file's content, None where there is none; what is no plain file is not even opened for long."""
    try:
        # Not blocking: opening a pipe would wait for its writer.
        handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ChipUnreadable(f"{uri!r:.80} cannot be opened: {error.strerror}") from error
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode):
        os.close(handle)
        raise ChipUnreadable(f"{uri!r:.80} is no file")
    with os.fdopen(handle, "rb") as stream:
        if found.st_size > max_bytes:
            raise ChipTooLarge(f"{uri!r:.80} has {found.st_size} bytes; the limit is {max_bytes}")
        try:
            return stream.read(max_bytes)
        except OSError as error:
            raise ChipError(f"{uri!r:.80} cannot be read: {error.strerror}") from error


def _encodable(name: str) -> bool:
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return True


def _is_inline(uri: str) -> bool:
    return uri[:5].lower() == "data:"


def _is_url(uri: str) -> bool:
    return uri[:8].lower().startswith(("http://", "https://"))


def _file_name(uri: str) -> str:
    """Return the path of a ``file:`` URI of this machine, or the text as it is."""
    if uri[:5].lower() != "file:":
        return uri
    try:
        parts = urlsplit(uri)
    except ValueError:
        return ""
    return unquote(parts.path) if parts.netloc in ("", "localhost") else ""


def _allows(entry: str, host: str, port: int) -> bool:
    """Return whether an entry of the allow-list means a host and port."""
    name, colon, wanted = entry.lower().rpartition(":")
    if not colon or "]" in wanted or not wanted.isdigit():
        name, wanted = entry.lower(), ""
    name, host = name.strip("[]"), host.lower().rstrip(".")
    ports = (int(wanted),) if wanted else _PORTS
    if name.startswith("*."):
        below = name[1:]  # with its dot, so that other-example.org is not below example.org
        same = host.endswith(below) and host != below
    else:
        same = host == name
    return bool(host) and same and port in ports
