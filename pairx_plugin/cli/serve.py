"""``pairx-plugin serve``: the review page of finished runs, in the browser."""

from __future__ import annotations

import logging
import secrets
import socket
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import HostError, HostUnavailable, MissingExtra, PairXError
from .databases import find_database
from .display import output, steps
from .failures import print_error

if TYPE_CHECKING:
    from ..hosts.local.review_source import LocalReviewSource

__all__ = ["serve"]

logger = logging.getLogger(__name__)

_GRACE = 3  # seconds that open pages get when the server stops


def serve(
    where: Annotated[
        str, typer.Argument(help="Output folder of a run, its SQLite file, a database URL, or a host's TOML file.")
    ] = "pairx-demo",
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback asks for a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8472,
    token: Annotated[
        str, typer.Option(envvar="PAIRX_SERVE_TOKEN", help="Token to ask for; made where one is needed and none given.")
    ] = "",
    public_name: Annotated[
        Optional[list[str]], typer.Option(help="Host name under which the page is reached; may be repeated.")
    ] = None,
    https: Annotated[bool, typer.Option("--https", help="The page is reached by https, through a proxy.")] = False,
    language: Annotated[str, typer.Option(help="Where a browser asks for none that there is: en, de, es, fr, it.")] = (
        "en"
    ),
    names: Annotated[bool, typer.Option("--names/--blind", help="Show the names of individuals.")] = True,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in the browser.")] = False,
) -> None:
    """Serve the review page of finished runs, and compute explanations as reviewers ask for them."""
    try:
        import uvicorn

        from ..hosts.local.review_source import LocalReviewSource
        from ..review import ReviewOptions, ReviewServer, allowed_hosts, is_loopback
    except ImportError as error:
        if isinstance(error, MissingExtra):
            raise
        raise MissingExtra("uvicorn", extra="serve", purpose="the review page", cause=error) from error

    asked = token or ("" if is_loopback(host) else secrets.token_urlsafe(24))
    options = ReviewOptions(
        token=asked,
        hosts=allowed_hosts(host, public_name or ()),
        secure=https,
        language=language,
        show_names=names,
    )
    url, pictures = _where(where)
    with steps() as progress:
        progress.begin("load")
        source = LocalReviewSource(url, pictures=pictures)
    with source, ReviewServer(source, options) as server:
        if not source.tasks():
            raise HostError(f"there is no run in {where!r} to review; make one with `pairx-plugin run CONFIG`")
        listening = _listen(host, port)
        address = _address(host, listening.getsockname()[1], asked)
        threading.Thread(target=_warm_up, args=[source], daemon=True).start()
        output().print(f"Review at {address} (stop with Ctrl+C)", soft_wrap=True)
        if open_page:
            webbrowser.open(address)
        config = uvicorn.Config(
            server.app, log_level="warning", timeout_graceful_shutdown=_GRACE, server_header=False, proxy_headers=https
        )
        runner = uvicorn.Server(config)
        watch = threading.Thread(target=_let_pages_go, args=[runner, server], daemon=True)
        watch.start()
        runner.run(sockets=[listening])


def _where(where: str) -> tuple[str, Path | None]:
    """Return the database's URL and the folder of the pictures."""
    if Path(where).suffix == ".toml":
        from ..hosts.local import LocalHostConfig

        config = LocalHostConfig.from_file(where)
        return config.database, config.output
    if where == "pairx-demo" and not Path(where).exists():
        raise HostError("there is no folder 'pairx-demo' here; make it with `pairx-plugin demo`, or name another")
    return find_database(where)


def _listen(host: str, port: int) -> socket.socket:
    """Bind before anything is said, so that a port in use is an error and not a page that never comes."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host.strip("[]"), port))
        listening.listen(128)  # from here on a browser waits instead of being refused
    except OSError as error:
        listening.close()
        raise HostUnavailable(
            f"cannot listen on {host} port {port}: {error.strerror or error}; choose another with --port, or 0 for any"
        ) from error
    return listening


def _address(host: str, port: int, token: str) -> str:
    if host in ("0.0.0.0", "::"):
        name = socket.gethostname()  # reached by any of this machine's names; its own is the best guess
    else:
        name = f"[{host.strip('[]')}]" if ":" in host else host
    return f"http://{name}:{port}/" + (f"?token={token}" if token else "")


def _warm_up(source: LocalReviewSource) -> None:
    """Load the network while the reviewer looks at the first photographs."""
    try:
        source.load_model()
    except PairXError as error:  # every explanation will say so too; decisions go on without
        print_error(error.code, str(error))


def _let_pages_go(runner: Any, server: Any) -> None:
    """Close the streams of open pages when the server is told to stop; it would wait for them."""
    while not runner.should_exit:
        time.sleep(0.2)
    server.close()
