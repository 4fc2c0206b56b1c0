"""The review page within a host that speaks WSGI."""

from __future__ import annotations

import io
import threading
from wsgiref.validate import validator

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI, Request  # noqa: E402
from fastapi.responses import StreamingResponse  # noqa: E402

from pairx_plugin.review import WsgiBridge  # noqa: E402


def make_app() -> FastAPI:
    app = FastAPI()

    @app.get("/review/name/{name}")
    def name(request: Request, name: str, q: str = "") -> dict:
        root, user = request.scope.get("root_path"), request.scope.get("review_user")
        return {"name": name, "q": q, "root": root, "user": user, "host": request.headers["host"]}

    @app.post("/review/echo")
    async def echo(request: Request) -> dict:
        body = await request.body()
        return {"body": body.decode(), "type": request.headers.get("content-type")}

    @app.get("/review/pieces")
    def pieces() -> StreamingResponse:
        return StreamingResponse((f"{n} " for n in range(500)), media_type="text/plain")

    @app.get("/review/thread")
    def thread() -> str:
        return threading.current_thread().name

    @app.get("/review/broken")
    def broken() -> None:
        raise RuntimeError("broken on purpose")

    return app


def environ(path: str, *, query: str = "", body: bytes = b"", method: str = "GET", **more: object) -> dict:
    return {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "host",
        "SERVER_PORT": "5000",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_HOST": "host:5000",
        "CONTENT_LENGTH": str(len(body)) if body else "",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        **more,
    }


@pytest.fixture
def bridge():
    made = WsgiBridge(make_app(), mount="/pairx")
    yield made
    made.close()


def ask(bridge, path: str, **how) -> tuple[str, dict, bytes]:
    begun: list = []
    parts = validator(bridge)(environ(path, **how), lambda status, headers, info=None: begun.extend((status, headers)))
    body = b"".join(parts)
    parts.close()
    return begun[0], dict(begun[1]), body


def test_request_reaches_the_application_below_its_mount(bridge):
    status, headers, body = ask(bridge, "/pairx/review/name/Tāne".encode().decode("latin-1"), query="q=a%20b")
    assert status == "200 OK" and headers["content-type"] == "application/json"
    assert '"name":"Tāne","q":"a b","root":"/pairx","user":null,"host":"host:5000"' in body.decode()


def test_hosts_own_script_name_comes_before_the_mount(bridge):
    _, _, body = ask(bridge, "/pairx/review/name/x", SCRIPT_NAME="/wbia")
    assert '"root":"/wbia/pairx"' in body.decode()


def test_body_and_what_the_host_knows_are_handed_on(bridge):
    status, _, body = ask(bridge, "/pairx/review/echo", method="POST", body=b'{"a": 1}', CONTENT_TYPE="text/x")
    assert status.startswith("200") and b'{\\"a\\": 1}' in body and b"text/x" in body
    read_already = environ("/pairx/review/echo", method="POST", CONTENT_LENGTH="7")
    assert b'"body":"abcdefg"' in bridge.answer(read_already, body=b"abcdefg").body
    known = bridge.answer(environ("/pairx/review/name/x"), more={"review_user": "ana@ngo"})
    assert b'"user":"ana@ngo"' in known.body


def test_body_beyond_all_measure_is_not_read_and_its_length_is_told(bridge):
    class Endless:
        def read(self, *_):
            raise AssertionError("read")

    huge = environ("/pairx/review/echo", method="POST", CONTENT_LENGTH=str(10**12), **{"wsgi.input": Endless()})
    seen = []

    async def app(scope, receive, send):
        seen.append(dict(scope["headers"])[b"content-length"])
        await send({"type": "http.response.start", "status": 413, "headers": []})
        await send({"type": "http.response.body", "body": b""})

    refusing = WsgiBridge(app)
    assert refusing.answer(huge).status == 413 and seen == [b"1000000000000"]
    refusing.close()


def test_stream_with_an_end_comes_whole(bridge):
    _, _, body = ask(bridge, "/pairx/review/pieces")
    assert body.decode() == "".join(f"{n} " for n in range(500))


def test_errors_are_answers(bridge):
    assert ask(bridge, "/pairx/review/nowhere")[0] == "404 Not Found"
    assert ask(bridge, "/pairx/review/broken")[0] == "500 Internal Server Error"
    assert ask(bridge, "/pairx/review/name/x")[0] == "200 OK"


def test_threads_share_one_bridge_and_the_host_s_threads_run_no_loop(bridge):
    found: list[bytes] = []
    threads = [threading.Thread(target=lambda: found.append(ask(bridge, "/pairx/review/thread")[2])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(found) == 8 and all(b"AnyIO" in item for item in found)
    loops = [thread for thread in threading.enumerate() if thread.name == "pairx-review-wsgi"]
    assert len(loops) == 1


def test_closed_bridge_begins_anew(bridge):
    ask(bridge, "/pairx/review/name/x")
    bridge.close()
    assert ask(bridge, "/pairx/review/name/x")[0] == "200 OK"
