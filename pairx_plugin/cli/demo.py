"""``pairx-plugin demo``: the whole way on the sample data, from photographs to a report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..errors import HostError
from .display import output, print_json, steps
from .failures import PARTIAL
from .highlights import Highlight, find_highlights
from .options import ModelOptions, parse_model_options, usable_folder
from .run import is_partial, print_summary, report_of

if TYPE_CHECKING:
    from pairx_hooks import Annotation

    from ..hosts.local import LocalHostConfig, RunSummary

__all__ = ["demo", "sample_queries"]


def demo(
    output_folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for database, records, pictures and report.")
    ] = Path("pairx-demo"),
    queries: Annotated[int, typer.Option(min=1, help="How many queries are ranked and explained.")] = 4,
    top_k: Annotated[int, typer.Option(min=0, help="How many candidates of each are explained.")] = 5,
    model: Annotated[
        str, typer.Option("--model", "-m", help="Another network than the sample's: an id or a checkpoint.")
    ] = "sample",
    model_option: ModelOptions = None,
    open_page: Annotated[
        bool, typer.Option("--open/--no-open", help="Show the report in the browser when it is written.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Embed, rank and explain sample photographs, and write database, records, pictures and a report.

    The animals are drawn by this project; the sample network has never seen the individuals that are shown.
    """
    options, folder = parse_model_options(model_option, input_size=None), usable_folder(output_folder).absolute()
    with steps() as progress:
        progress.begin("load")
        from ..hosts.local import LocalHost
        from ..models.catalogue import ModelCatalogue

        config = _config(folder, queries, top_k, model)
        network = ModelCatalogue().load(config.model, **options)
        with LocalHost(config, model=network, progress=progress) as host:
            summary = host.run()
        with LocalHost(_all_as_queries(config), model=network, progress=progress) as host:
            whole = host.run()
        page = report_of(config.database, summary, progress)
    found = find_highlights(summary, _annotations(config))
    if as_json:
        print_json(_answer(summary, whole, network.notes, found, page))
    else:
        print_summary(summary, page, network.notes)
        _print_figures(whole)
        _print_highlights(found, page)
    if open_page and page is not None:
        typer.launch(page.resolve().as_uri())
    if is_partial(summary) or page is None:
        raise typer.Exit(PARTIAL)


def sample_queries(n: int) -> list[str]:
    """Return file names of `n` sample photographs: species take turns, and so do their individuals.

    Raises:
        HostError: the sample data are not installed.
    """
    annotations = _sample_data().load_annotations()
    by_species: dict[str, dict[str, list[str]]] = {}
    for item in annotations:
        by_species.setdefault(item.species, {}).setdefault(item.name, []).append(item.file_name)
    per_species = [_in_turn(list(names.values())) for names in by_species.values()]
    return _in_turn(per_species)[:n]


def _in_turn(groups: list[list[str]]) -> list[str]:
    """Return the first of every group, then the second of every group, and so on."""
    return [item for row in zip_longest(*groups) for item in row if item is not None]


def _sample_data() -> Any:
    try:
        import pairx_sample_data
    except ImportError as error:
        raise HostError("the sample data are not installed; install pairx-plugin with its sample data") from error
    return pairx_sample_data


def _config(folder: Path, queries: int, top_k: int, model: str) -> LocalHostConfig:
    from ..hosts.local import LocalHostConfig

    sample = _sample_data()
    return LocalHostConfig.from_mapping(
        {
            "annotations": str(sample.path_of("annotations")),
            "output": str(folder),
            "database": f"sqlite:///{(folder / 'reviews.sqlite3').as_posix()}",
            "model": model,
            "queries": sample_queries(queries),
            "pairx_explain": True,
            "pairx_top_k": top_k,
        },
        folder=Path.cwd(),
    )


def _annotations(config: LocalHostConfig) -> dict[str, Annotation]:
    from ..hosts.local.annotations import read_annotations

    table = read_annotations(config.annotations, config.images)
    return {annotation.annotation_id: annotation for annotation in table.annotations}


def _all_as_queries(config: LocalHostConfig) -> LocalHostConfig:
    """Every photograph as a query, for figures that a few queries cannot give; embeddings are there, so it is quick."""
    return replace(config, queries="all", n_candidates=1, database="sqlite:///:memory:", pairx={})


def _answer(
    summary: RunSummary, whole: RunSummary, notes: Sequence[str], found: list[Highlight], page: Path | None
) -> dict[str, Any]:
    return {
        **summary.to_json(),
        "notes": list(notes),
        "whole_sample": {
            "n_judged": whole.n_judged,
            "rank_1": whole.rank_1,
            "mean_average_precision": whole.mean_average_precision,
        },
        "look_at": {item.kind: item.to_json() for item in found},
        "report": None if page is None else str(page),
    }


def _print_figures(whole: RunSummary) -> None:
    if whole.rank_1 is not None and whole.mean_average_precision is not None:
        output().print(
            f"The whole sample, each of {whole.n_judged} photographs as a query once: rank-1 {whole.rank_1:.1%}, "
            f"mean average precision {whole.mean_average_precision:.3f}."
        )


def _print_highlights(found: list[Highlight], page: Path | None) -> None:
    console = output()
    if found:
        console.print("\nWhat to look at:")
    for item in found:
        console.print(f"  {item.sentence()}")
    if page is not None:
        console.print(f"\nOpen {page.resolve().as_uri()} in a browser.", soft_wrap=True)
