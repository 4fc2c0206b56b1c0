"""Fetches a photograph from a server that the operator has named, and from no other.

The address that was checked is the one that is connected to, so that a name cannot lead elsewhere between the two;
every redirect is checked like the first address; and a server that sends slowly or without end is left.
"""

from __future__ import annotations

import http.client
import ipaddress
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from typing import Union
from urllib.parse import SplitResult, quote, urljoin, urlsplit

from ..errors import ChipError, ChipFetchFailed, ChipForbidden, ChipNotFound, ChipTooLarge

__all__ = ["Reach", "fetch", "is_public", "shown_url"]

logger = logging.getLogger(__name__)

# Whether a host and port may be asked: None for no, False for yes, True for yes even in a private network.
Reach = Callable[[str, int], Union[bool, None]]

_PORTS = {"http": 80, "https": 443}
_REDIRECTS, _MOVED = 3, (301, 302, 303, 307, 308)
_PASSING = (408, 421, 425, 429)  # refusals that may be none a little later
_PART = 64 * 1024
_PLAIN = "/%:@!$&'()*+,;=~-._?"
_NAT64 = ipaddress.ip_network("64:ff9b::/96")

_Address = Union[ipaddress.IPv4Address, ipaddress.IPv6Address]


def fetch(url: str, reach: Reach, *, max_bytes: int, seconds: float) -> bytes:
    """Return what a URL holds.

    Args:
        url: http or https, without user name and password.
        reach: says whether a host and port may be asked.
        max_bytes: more than this is not read.
        seconds: for everything, redirects included.

    Raises:
        ChipForbidden: the URL, or a redirect, leads where nothing may be asked.
        ChipNotFound: the server has no such photograph, or gives it to nobody.
        ChipTooLarge: it has more bytes than `max_bytes`.
        ChipFetchFailed: the server cannot be reached, fails, or is too slow.
    """
    deadline = time.monotonic() + seconds
    for _ in range(_REDIRECTS + 1):
        parts = _checked(url)
        host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
        private = reach(host, port)
        if private is None:
            raise ChipForbidden(
                f"no photograph is fetched from {host!r:.80} port {port}; the operator of this service has to allow it"
            )
        found = _asked(parts, _addresses(host, port, private), max_bytes, deadline)
        if isinstance(found, bytes):
            return found
        url = _redirected(url, found)
    raise ChipFetchFailed(f"{shown_url(url)} is redirected more than {_REDIRECTS} times")


def _redirected(url: str, location: str) -> str:
    try:
        return urljoin(url, location)
    except ValueError as error:
        raise ChipFetchFailed(f"{shown_url(url)} is redirected to what is no address: {error}") from error


def shown_url(url: str) -> str:
    """Return a URL for messages: without user, password and query, which may hold signatures."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        return "the URL"
    return f"{parts.scheme}://{host}{parts.path}"[:120]


def is_public(address: str) -> bool:
    """Return whether an IP address is one of the public internet, whatever it is wrapped into.

    >>> is_public("10.0.0.1"), is_public("::ffff:127.0.0.1"), is_public("169.254.169.254"), is_public("8.8.8.8")
    (False, False, False, True)
    """
    try:
        found: _Address = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        inner = found.ipv4_mapped or found.sixtofour or (found.teredo[1] if found.teredo else None)
        if inner is None and found in _NAT64:
            inner = ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return found.is_global and not found.is_multicast and not found.is_reserved


def _checked(url: str) -> SplitResult:
    try:
        if any(ord(part) <= 32 or ord(part) == 127 for part in url):
            raise ValueError("it holds spaces or control characters")
        parts = urlsplit(url)
        if parts.scheme not in _PORTS or not parts.hostname:
            raise ValueError("only http and https with a host are fetched")
        if parts.username is not None or parts.password is not None:
            raise ValueError("it holds a user name")
        parts.port  # out of its range it raises
        parts.hostname.encode("idna" if not parts.hostname.isascii() else "ascii")
    except ValueError as error:
        raise ChipForbidden(f"the URL cannot be used: {error}") from error
    return parts


def _addresses(host: str, port: int, private: bool) -> list[str]:
    """Return the addresses of a host; one private address among them is enough to refuse it."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ChipFetchFailed(f"the server {host!r:.80} is not known: {error}") from error
    addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
    if not private and not all(map(is_public, addresses)):
        raise ChipForbidden(
            f"{host!r:.80} lies in a private network; the operator of this service has to allow it as such"
        )
    return addresses


def _asked(parts: SplitResult, addresses: list[str], max_bytes: int, deadline: float) -> bytes | str:
    """Return the content, or the address of a redirect."""
    url = shown_url(parts.geturl())
    connection = _connected(parts, addresses, deadline)
    # A timeout of a socket counts from byte to byte; this one is for the whole.
    watch = threading.Timer(max(0.0, deadline - time.monotonic()), _cut_off, [connection.sock])
    watch.daemon = True
    watch.start()
    try:
        target = quote(parts.path or "/", safe=_PLAIN) + (f"?{quote(parts.query, safe=_PLAIN)}" if parts.query else "")
        headers = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "pairx-plugin"}
        connection.request("GET", target, headers={**headers, "Connection": "close"})
        answer = connection.getresponse()
        location = answer.getheader("Location")
        if answer.status in _MOVED and location:
            return location
        if 400 <= answer.status < 500 and answer.status not in _PASSING:
            raise ChipNotFound(f"{url} answers {answer.status}; check the address")
        if answer.status != 200:
            raise ChipFetchFailed(f"{url} answers {answer.status}")
        return _content(answer, url, max_bytes, deadline)
    except ChipError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = "it takes too long" if time.monotonic() >= deadline else f"{type(error).__name__}: {error}"
        reason = "".join(part if part.isprintable() else " " for part in reason[:200])  # a server's own words
        raise ChipFetchFailed(f"{url} cannot be fetched: {reason.strip()}") from error
    finally:
        watch.cancel()
        connection.close()


def _content(answer: http.client.HTTPResponse, url: str, max_bytes: int, deadline: float) -> bytes:
    told = answer.getheader("Content-Length", "")
    promised = int(told) if told.isascii() and told.isdigit() else 0
    _check_size(promised, url, max_bytes)
    parts, size = [], 0
    while True:
        if time.monotonic() >= deadline:
            raise TimeoutError
        part = answer.read(_PART)
        if not part:
            break
        parts.append(part)
        size += len(part)
        _check_size(size, url, max_bytes)
    if size < promised:
        raise ChipFetchFailed(f"{url} broke off after {size} of {told} bytes")
    return b"".join(parts)


def _check_size(size: int, url: str, max_bytes: int) -> None:
    if size > max_bytes:
        raise ChipTooLarge(f"{url} has more than {max_bytes} bytes, which is the limit")


def _connected(parts: SplitResult, addresses: list[str], deadline: float) -> http.client.HTTPConnection:
    host, port = str(parts.hostname), parts.port or _PORTS[parts.scheme]
    name = host if host.isascii() else host.encode("idna").decode("ascii")
    cause: Exception | None = None
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        try:
            plain = socket.create_connection((address, port), timeout=left)
        except OSError as error:
            cause = error
            continue
        connection = http.client.HTTPConnection(f"[{name}]" if ":" in name else name, port, timeout=left)
        connection.sock = plain
        if parts.scheme == "http":
            return connection
        try:
            connection.sock = ssl.create_default_context().wrap_socket(plain, server_hostname=name)
            connection.default_port = 443  # so that the Host header goes without it
            return connection
        except (OSError, ValueError) as error:
            plain.close()
            cause = error
    raise ChipFetchFailed(f"the server {host!r:.80} cannot be reached: {cause or 'it takes too long'}") from cause


def _cut_off(sock: socket.socket | None) -> None:
    try:
        if sock is not None:
            sock.shutdown(socket.SHUT_RDWR)
    except OSError as error:
        logger.debug("a connection was over before it was cut off: %s", error)
