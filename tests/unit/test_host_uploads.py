"""Photographs that were sent: one name for equal bytes, and the longest unused go first."""

from __future__ import annotations

import threading

from pairx_plugin.hosts.uploads import Uploads, is_upload


def test_equal_bytes_have_one_name_and_are_kept_once():
    uploads = Uploads(10)
    name = uploads.put(b"123456")
    assert is_upload(name) and uploads.put(b"123456") == name and uploads.get(name) == b"123456"
    assert uploads.put(b"654321") != name and uploads.get(name) is None  # 12 bytes are too many


def test_longest_unused_goes_first():
    uploads = Uploads(10)
    first, second = uploads.put(b"aaaa"), uploads.put(b"bbbb")
    assert uploads.get(first) == b"aaaa"
    third = uploads.put(b"cccc")
    assert uploads.get(second) is None and uploads.get(first) == b"aaaa" and uploads.get(third) == b"cccc"
    assert uploads.get(uploads.put(b"x" * 11)) is None


def test_threads_may_send_at_once():
    uploads, names = Uploads(1000), []

    def send(number):
        names.extend(uploads.put(bytes([number, turn % 7]) * 5) for turn in range(200))

    threads = [threading.Thread(target=send, args=[number]) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(names)) == 28 and all(uploads.get(name) is not None for name in set(names))


def test_names_are_digests_alone():
    assert not any(map(is_upload, ("upload:", "upload:../x", "UPLOAD:" + 64 * "0", "upload:" + 63 * "0", "a.png")))
