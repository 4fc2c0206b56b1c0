"""``pairx-plugin serve-api``: explanations for other programs, as WildMeOrg/ml-service gives them."""

from __future__ import annotations

import dataclasses
import logging
import secrets
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import MissingExtra, SettingsError
from .display import output
from .listening import address_of, listen
from .options import ModelOptions, parse_model_options

if TYPE_CHECKING:
    from ..hosts.ml_service import ServiceConfig

__all__ = ["serve_api"]

_TOKEN = 16  # characters at least

_Names = Optional[list[str]]


def serve_api(
    config: Annotated[
        Optional[Path], typer.Argument(help="The service's TOML file; what the options say comes on top.")
    ] = None,
    model: Annotated[
        _Names,
        typer.Option(
            metavar="ID=WHERE",
            help="A model under the id that requests name, from the catalogue or a checkpoint; may be repeated.",
        ),
    ] = None,
    model_option: ModelOptions = None,
    root: Annotated[
        Optional[list[Path]], typer.Option(help="Folder below which requests may name files; may be repeated.")
    ] = None,
    url_host: Annotated[
        _Names, typer.Option(help="Server from which requests may name photographs; may be repeated.")
    ] = None,
    private_host: Annotated[
        _Names, typer.Option(help="The same for a server in a private network; may be repeated.")
    ] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; anything but loopback asks for a token.")] = (
        "127.0.0.1"
    ),
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 for any that is free.")] = 8473,
    token: Annotated[
        str, typer.Option(envvar="PAIRX_SERVE_TOKEN", help="Token to ask for; made where one is needed and none given.")
    ] = "",
    public_name: Annotated[
        _Names, typer.Option(help="Host name under which the service is reached; may be repeated.")
    ] = None,
    time_limit: Annotated[Optional[float], typer.Option(help="Seconds that one request may take.")] = None,
    waiting: Annotated[Optional[int], typer.Option(help="Requests that may wait for their turn.")] = None,
) -> None:
    """Answer /explain/ for other programs as ml-service does, with records beside the pictures."""
    try:
        from ..hosts.ml_service import ApiServer, ExplainService, ServedModels, ServiceConfig
        from ..hosts.ml_service.running import serve
        from ..hosts.photograph_gate import PhotographGate
        from ..review import allowed_hosts, is_loopback
    except ImportError as error:
        if isinstance(error, MissingExtra):
            raise
        raise MissingExtra("uvicorn", extra="serve", purpose="the service", cause=error) from error

    if token and len(token) < _TOKEN:
        raise SettingsError(f"a token needs {_TOKEN} characters or more; leave it out to have one made")
    asked = token or ("" if is_loopback(host) else secrets.token_urlsafe(24))
    chosen = ServiceConfig.from_file(config) if config is not None else ServiceConfig()
    chosen = _with_limits(_with_models(chosen, model, model_option), time_limit, waiting)
    chosen = _with_photographs(chosen, root, url_host, private_host)
    models = ServedModels.from_sources(chosen.models)
    choices = {name: source.layer_choice for name, source in chosen.models.items() if source.layer_choice}
    service = ExplainService(models, PhotographGate(chosen.photographs), chosen.settings, choices)
    with ApiServer(service, chosen, token=asked, hosts=allowed_hosts(host, public_name or ())) as server:
        listening = listen(host, port)
        threading.Thread(target=models.load_all, daemon=True).start()
        _tell(address_of(host, listening.getsockname()[1]), asked, models.ids)
        serve(server, listening)


def _tell(address: str, token: str, ids: list[str]) -> None:
    logging.getLogger("pairx_plugin.hosts.ml_service").debug("serving %s", ", ".join(ids))
    output().print(f"Explanations at {address}explain/ for {', '.join(ids)} (stop with Ctrl+C)", soft_wrap=True)
    if token:
        output().print(f"Callers send the header  Authorization: Bearer {token}", soft_wrap=True)


def _with_models(config: ServiceConfig, texts: _Names, options: Any) -> ServiceConfig:
    from ..hosts.ml_service.configuration import ModelSource

    given = parse_model_options(options, input_size=None)
    if not texts:
        if not given:
            return config
        sources = {
            name: dataclasses.replace(item, options={**item.options, **given}) for name, item in config.models.items()
        }
        return dataclasses.replace(config, models=sources)
    found = {}
    for text in texts:
        name, equals, where = (part.strip() for part in text.partition("="))
        if not name or (equals and not where):
            raise SettingsError(f"--model must be ID=WHERE, such as miewid-msv4.1=model.bin, not {text!r}")
        found[name] = ModelSource(where=where or name, options=given)
    return dataclasses.replace(config, models=found)


def _with_limits(config: ServiceConfig, time_limit: float | None, waiting: int | None) -> ServiceConfig:
    return dataclasses.replace(
        config,
        time_limit=config.time_limit if time_limit is None else time_limit,
        waiting=config.waiting if waiting is None else waiting,
    )


def _with_photographs(
    config: ServiceConfig, roots: list[Path] | None, url_hosts: _Names, private_hosts: _Names
) -> ServiceConfig:
    rules = config.photographs
    rules = dataclasses.replace(
        rules,
        roots=(*rules.roots, *(path.expanduser() for path in roots or ())),
        url_hosts=(*rules.url_hosts, *(url_hosts or ())),
        private_hosts=(*rules.private_hosts, *(private_hosts or ())),
    )
    return dataclasses.replace(config, photographs=rules)
