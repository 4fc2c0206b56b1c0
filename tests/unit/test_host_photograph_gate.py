"""What a request may name: files below folders, servers on a list, photographs that come along, and nothing else."""

from __future__ import annotations

import base64
import io
import os
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image

from pairx_plugin.errors import (
    ChipFetchFailed,
    ChipForbidden,
    ChipNotFound,
    ChipTooLarge,
    ChipUnreadable,
    SettingsError,
)
from pairx_plugin.hosts import fetching
from pairx_plugin.hosts.fetching import is_public
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate


def png(width=40, height=30) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.full((height, width, 3), (200, 10, 30), np.uint8)).save(stream, "PNG")
    return stream.getvalue()


def data_uri(content: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(content).decode("ascii")


@pytest.fixture
def folder(tmp_path):
    inside = tmp_path / "inside"
    (inside / "deep").mkdir(parents=True)
    (inside / "deep" / "a.png").write_bytes(png())
    (inside / "note.txt").write_text("not a picture")
    (tmp_path / "secret.png").write_bytes(png())
    (inside / "way_out.png").symlink_to(tmp_path / "secret.png")
    return inside


@pytest.fixture
def gate(folder):
    return PhotographGate(GateRules(roots=(folder,)))


@pytest.mark.parametrize("name", ["deep/a.png", "{root}/deep/a.png", "file://{root}/deep/a.png", " deep/./a.png "])
def test_file_below_a_root_is_read(gate, folder, name):
    photograph = gate.read(name.format(root=folder))
    assert photograph.size == (40, 30) and photograph.pixels[5, 5].tolist() == [200, 10, 30]


@pytest.mark.parametrize(
    "name",
    [
        "{root}/../secret.png",
        "../secret.png",
        "deep/../../secret.png",
        "/etc/passwd",
        "file:///etc/passwd",
        "file://server/share/a.png",
        "{root}",
        "",
        "a\0.png",
        "\ud800.png",
        "x" * 5000,
        "way_out.png",
    ],
)
def test_path_out_of_the_roots_is_refused(gate, folder, name):
    with pytest.raises(ChipForbidden):
        gate.read(name.format(root=folder))


def test_forbidden_path_is_not_looked_up(gate, monkeypatch):
    def touched(*_, **__):
        raise AssertionError("the disk was asked")

    for name in ("open", "stat", "lstat"):
        monkeypatch.setattr(os, name, touched)
    with pytest.raises(ChipForbidden):
        gate.check("/etc/passwd")
    with pytest.raises(ChipForbidden):
        gate.read("/etc/passwd")


def test_nothing_is_read_from_the_disk_unless_a_root_is_named(folder):
    with pytest.raises(ChipForbidden):
        PhotographGate().read(str(folder / "deep" / "a.png"))


def test_what_is_no_photograph_is_told(gate, folder):
    with pytest.raises(ChipNotFound):
        gate.read("deep/none.png")
    with pytest.raises(ChipUnreadable, match="no file"):
        gate.read("deep")
    with pytest.raises(ChipUnreadable, match="no image"):
        gate.read("note.txt")
    os.mkfifo(folder / "pipe.png")
    with pytest.raises(ChipUnreadable, match="no file"):  # and it does not wait for a writer
        gate.read("pipe.png")


def test_root_that_is_a_symbolic_link_works_by_either_name(folder, tmp_path):
    (tmp_path / "link").symlink_to(folder)
    gate = PhotographGate(GateRules(roots=(tmp_path / "link",)))
    for name in (tmp_path / "link" / "deep" / "a.png", folder / "deep" / "a.png"):
        assert gate.read(str(name)).size == (40, 30)


def test_limits_of_bytes_and_pixels(folder):
    small = PhotographGate(GateRules(roots=(folder,), max_bytes=50))
    for uri in ("deep/a.png", data_uri(png())):
        with pytest.raises(ChipTooLarge):
            small.read(uri)
    with pytest.raises(ChipTooLarge, match="40 x 30"):
        PhotographGate(GateRules(roots=(folder,), max_pixels=1000)).read("deep/a.png")


def test_photograph_in_the_request(gate):
    assert gate.read(data_uri(png())).size == (40, 30)
    assert gate.label(data_uri(png())) == "data:image/png;base64,..."
    for bad in ("data:image/png;base64,@@", "data:image/png,abc", "data:image/png;base64"):
        with pytest.raises(ChipUnreadable):
            gate.read(bad)
    with pytest.raises(ChipForbidden):
        PhotographGate(GateRules(inline=False)).read(data_uri(png()))


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("8.8.8.8", True),
        ("2606:4700::1111", True),
        ("127.0.0.1", False),
        ("10.1.2.3", False),
        ("172.16.0.1", False),
        ("192.168.1.1", False),
        ("169.254.169.254", False),
        ("100.64.0.1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
        ("::1", False),
        ("fe80::1%eth0", False),
        ("fc00::1", False),
        ("::ffff:10.0.0.1", False),
        ("64:ff9b::7f00:1", False),
        ("2002:7f00:1::", False),
        ("nonsense", False),
    ],
)
def test_private_addresses_are_known_however_they_are_written(address, public):
    assert is_public(address) is public


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):  # noqa: N802
        answer = getattr(self, "answer_" + self.path.strip("/").partition("?")[0].replace(".", "_"), None)
        self.server.seen.append((self.path, self.headers.get("Host")))
        answer() if answer else self.send_error(404)

    def answer_a_png(self):
        self.send(200, png())

    def answer_text(self):
        self.send(200, b"<html>")

    def answer_big(self):
        self.send(200, b"x" * 5000)

    def answer_endless(self):
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(1000):
                self.wfile.write(b"x" * 1000)
        except OSError:
            return

    def answer_short(self):
        self.send_response(200)
        self.send_header("Content-Length", "3000")
        self.end_headers()
        self.wfile.write(b"x")

    def answer_slow(self):
        self.send_response(200)
        self.end_headers()
        try:
            for _ in range(100):
                self.wfile.write(b"x")
                time.sleep(0.05)
        except OSError:
            return

    def answer_broken(self):
        self.send(500, b"")

    def answer_moved(self):
        self.send(302, b"", Location="/a.png")

    def answer_loop(self):
        self.send(302, b"", Location="/loop")

    def answer_inwards(self):
        self.send(302, b"", Location="http://169.254.169.254/latest/meta-data")

    def answer_file(self):
        self.send(302, b"", Location="file:///etc/passwd")

    def send(self, status, content, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    made = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.seen = []
    thread = threading.Thread(target=made.serve_forever, args=[0.01], daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def reaching(server, **more) -> tuple[PhotographGate, str]:
    port = server.server_address[1]
    rules = GateRules(private_hosts=(f"127.0.0.1:{port}", f"localhost:{port}"), max_bytes=4000, **more)
    return PhotographGate(rules), f"http://127.0.0.1:{port}"


def test_photograph_is_fetched_from_a_named_server(server):
    gate, root = reaching(server)
    assert gate.read(f"{root}/a.png?size=1 2".replace(" ", "%20")).size == (40, 30)
    assert gate.read(f"{root}/moved").size == (40, 30)
    assert server.seen[0] == ("/a.png?size=1%202", root[7:])
    assert gate.label(f"{root.replace('//', '//user:word@')}/a.png?sig=1") == "http://127.0.0.1/a.png"


@pytest.mark.parametrize(
    ("path", "error", "words"),
    [
        ("/none", ChipNotFound, "404"),
        ("/text", ChipUnreadable, "web page"),
        ("/big", ChipTooLarge, "4000"),
        ("/endless", ChipTooLarge, "4000"),
        ("/short", ChipFetchFailed, "broke off|IncompleteRead"),
        ("/broken", ChipFetchFailed, "500"),
        ("/loop", ChipFetchFailed, "redirected"),
        ("/inwards", ChipForbidden, "169.254"),
        ("/file", ChipForbidden, "only http"),
    ],
)
def test_server_that_sends_something_else(server, path, error, words):
    gate, root = reaching(server)
    with pytest.raises(error, match=words):
        gate.read(root + path)


def test_slow_server_is_left_in_time(server):
    gate, root = reaching(server, fetch_seconds=0.3)
    started = time.monotonic()
    with pytest.raises(ChipFetchFailed, match="too long"):
        gate.read(f"{root}/slow")
    assert time.monotonic() - started < 2.0


def test_servers_that_nobody_named_are_not_asked(server):
    _, root = reaching(server)
    gate = PhotographGate(GateRules(url_hosts=("images.example.org", "*.example.net")))
    for url in (
        f"{root}/a.png",
        "http://example.org/a.png",
        "http://images.example.org:8080/a.png",
        "http://example.net/a.png",
        "http://badexample.net/a.png",
        "http://images.example.org@evil.example/a.png",
        "http://[::1/a.png",
        "http://images.example.org:99999/a.png",
        "http:///a.png",
    ):
        with pytest.raises(ChipForbidden):
            gate.check(url)
    gate.check("https://images.example.org/a.png")
    gate.check("https://a.b.EXAMPLE.net/a.png")
    assert server.seen == []


def test_named_server_in_a_private_network_has_to_be_named_as_such(server, monkeypatch):
    port = server.server_address[1]
    gate = PhotographGate(GateRules(url_hosts=(f"photos.example.org:{port}",)))
    inside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
    outside = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("8.8.8.8", port))
    monkeypatch.setattr(fetching.socket, "getaddrinfo", lambda *_, **__: [outside, inside])
    with pytest.raises(ChipForbidden, match="private network"):
        gate.read(f"http://photos.example.org:{port}/a.png")
    assert server.seen == []


def test_server_that_is_not_there(monkeypatch):
    gate = PhotographGate(GateRules(private_hosts=("127.0.0.1:9",), fetch_seconds=1.0))
    with pytest.raises(ChipFetchFailed, match="cannot be reached") as caught:
        gate.read("http://127.0.0.1:9/a.png")
    assert caught.value.retryable

    def unknown(*_, **__):
        raise socket.gaierror("no such name")

    monkeypatch.setattr(fetching.socket, "getaddrinfo", unknown)
    with pytest.raises(ChipFetchFailed, match="not known"):
        gate.read("http://127.0.0.1:9/a.png")


@pytest.mark.parametrize(
    "values",
    [{"url_hosts": ("http://example.org/",)}, {"private_hosts": ("a b",)}, {"max_bytes": 0}, {"fetch_seconds": -1.0}],
)
def test_rules_that_do_not_fit_are_refused(values):
    with pytest.raises(SettingsError):
        GateRules(**values)


def test_root_that_is_no_folder_is_refused(tmp_path):
    with pytest.raises(SettingsError, match="no folder"):
        GateRules(roots=(tmp_path / "none",))
