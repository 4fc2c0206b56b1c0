"""Photographs from servers: only those on a list, never a private network's by surprise, and in time."""

from __future__ import annotations

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from PIL import Image

from made_pictures import encoded
from pairx_plugin.errors import ChipFetchFailed, ChipForbidden, ChipNotFound, ChipTooLarge, ChipUnreadable
from pairx_plugin.hosts import fetching
from pairx_plugin.hosts.fetching import is_public
from pairx_plugin.hosts.photograph_gate import GateRules, PhotographGate

PNG = encoded(Image.new("RGB", (40, 30), (200, 10, 30)))


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
        self.send(200, PNG)

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

    def answer_nowhere(self):
        self.send(302, b"", Location="http://[::1")

    def answer_wrong(self):
        self.send(400, b"")

    def answer_busy(self):
        self.send(429, b"")

    def answer_noise(self):
        self.wfile.write(b"\x00\x1b[31mnoise\r\n\r\n")

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
        ("/nowhere", ChipFetchFailed, "no address"),
        ("/wrong", ChipNotFound, "answers 400"),
        ("/busy", ChipFetchFailed, "answers 429"),
        ("/noise", ChipFetchFailed, r"BadStatusLine:[ -~]*noise"),
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
