"""Photographs that callers sent, kept in memory for the requests that name them."""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict

__all__ = ["PREFIX", "Uploads", "is_upload"]

PREFIX = "upload:"
_NAME = re.compile(r"upload:[0-9a-f]{64}")


def is_upload(uri: str) -> bool:
    """True for the name of a photograph that was sent, whether or not it is still kept.

    >>> is_upload("upload:" + 64 * "0"), is_upload("upload:../x")
    (True, False)
    """
    return _NAME.fullmatch(uri) is not None


class Uploads:
    """Encoded photographs by the digest of their bytes, the longest unused going first; safe for threads.

    Args:
        most_bytes: of all together; one that is larger alone is not kept.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most, self._size = most_bytes, 0
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = threading.Lock()

    def put(self, content: bytes) -> str:
        """Keep a photograph and return its name; equal bytes have one name and are kept once."""
        name = PREFIX + hashlib.sha256(content).hexdigest()
        with self._lock:
            if name not in self._kept:
                self._kept[name] = bytes(content)
                self._size += len(content)
            self._kept.move_to_end(name)
            while self._size > self._most:
                self._size -= len(self._kept.popitem(last=False)[1])
        return name

    def get(self, name: str) -> bytes | None:
        """Return the bytes of a photograph, None where it was never sent or had to go."""
        with self._lock:
            if name not in self._kept:
                return None
            self._kept.move_to_end(name)
            return self._kept[name]
