"""``pairx-plugin serve``: the review page of finished runs, in the browser."""

from __future__ import annotations

import logging
import secrets
import threading
import time
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import HostError, MissingExtra, PairXError
from .databases import find_database
from .display import output, steps
from .failures import print_error
from .listening import address_of, listen
from .options import ModelOptions, parse_model_options

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
    root: Annotated[
        Optional[list[Path]],
        typer.Option(help="Folder below which imported tasks and /explain/ may name files; may be repeated."),
    ] = None,
    url_host: Annotated[
        Optional[list[str]], typer.Option(help="Server from which they may name photographs; may be repeated.")
    ] = None,
    private_host: Annotated[
        Optional[list[str]], typer.Option(help="The same for a server in a private network; may be repeated.")
    ] = None,
    model_option: ModelOptions = None,
    open_page: Annotated[bool, typer.Option("--open/--no-open", help="Show the page in the browser.")] = False,
) -> None:
    """Serve the review page of finished runs, and compute explanations as reviewers ask for them."""
    try:
        import uvicorn

        from ..hosts.local.explain_route import review_server
        from ..hosts.local.review_source import LocalReviewSource
        from ..hosts.photograph_gate import GateRules, PhotographGate
        from ..review import ReviewOptions, allowed_hosts, is_loopback
    except ImportError as error:
        if isinstance(error, MissingExtra):
            raise
        raise MissingExtra("uvicorn", extra="serve", purpose="the review page", cause=error) from error

    loading = parse_model_options(model_option, input_size=None)
    asked = token or ("" if is_loopback(host) else secrets.token_urlsafe(24))
    options = ReviewOptions(
        token=asked,
        hosts=allowed_hosts(host, public_name or ()),
        secure=https,
        language=language,
        show_names=names,
    )
    rules = GateRules(
        roots=tuple(path.expanduser() for path in root or ()),
        url_hosts=tuple(url_host or ()),
        private_hosts=tuple(private_host or ()),
    )
    gate = PhotographGate(rules)
    url, pictures = _where(where)
    with steps() as progress:
        progress.begin("load")
        _check_runs(url, where)
        source = LocalReviewSource(url, model_options=loading, pictures=pictures, gate=gate)
    with source, review_server(source, options, gate) as server:
        listening = listen(host, port)
        address = address_of(host, listening.getsockname()[1], asked)
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


def _check_runs(url: str, where: str) -> None:
    """Refuse a database without runs before tables for decisions are made in it."""
    from ..hosts.local.database import ReviewDatabase

    with ReviewDatabase(url, read_only=True) as database:
        if not database.runs():
            raise HostError(f"there is no run in {where!r} to review; make one with `pairx-plugin run CONFIG`")


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
