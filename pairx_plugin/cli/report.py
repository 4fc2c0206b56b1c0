"""``pairx-plugin report``: the report of a finished run, written again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import typer

from ..errors import HostError
from .databases import find_database
from .display import Steps, output, print_json, steps

__all__ = ["report", "write_run_report"]


def report(
    where: Annotated[str, typer.Argument(help="Output folder of a run, its SQLite file, or a database URL.")],
    run: Annotated[
        Optional[str], typer.Option(help="Id of the run, or how it begins; the newest finished one by default.")
    ] = None,
    pictures: Annotated[
        Optional[Path], typer.Option(help="Folder that the pictures lie in, if it was moved since the run.")
    ] = None,
    to: Annotated[
        Optional[Path], typer.Option(help="The file to write; report.html beside the pictures by default.")
    ] = None,
    title: Annotated[Optional[str], typer.Option(help="Title of the page.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Write the report of a finished run again, from its database and its pictures."""
    if pictures is not None and not pictures.expanduser().is_dir():
        raise HostError(f"there is no folder {str(pictures)!r} with pictures; check --pictures, or leave it out")
    url, near = find_database(where)
    pictures, to = (None if path is None else path.expanduser() for path in (pictures or near, to))
    with steps() as progress:
        path, size, n_queries = write_run_report(
            url, run_id=run, pictures=pictures, target=to, title=title, progress=progress
        )
    if as_json:
        print_json({"report": str(path), "bytes": size, "n_queries": n_queries})
    else:
        output().print(f"Wrote {path} ({size / 1e6:.1f} MB, {n_queries} queries).", soft_wrap=True)


def write_run_report(
    url: str,
    *,
    run_id: str | None = None,
    pictures: Path | None = None,
    target: Path | None = None,
    title: str | None = None,
    progress: Steps,
) -> tuple[Path, int, int]:
    """Write the report of a run; return its path, its size in bytes and the number of queries.

    Args:
        url: of the review database, which must exist.
        pictures: folder that the paths of pictures start from; where it does not hold them, the run's own is used.

    Raises:
        HostError: the database or the run is not there.
        StoreError: the report cannot be written.
    """
    from ..hosts.local.database import ReviewDatabase
    from ..report import write_report
    from ..report.pictures import PictureEmbedder
    from .finished_runs import choose_run, facts_of_run, queries_of_run

    with ReviewDatabase(url, read_only=True) as database:
        run = choose_run(database, run_id)
        folder = _folder(run.config, pictures)
        facts = facts_of_run(database, run)
        queries = queries_of_run(database, run, lambda done, total: progress("gather", done, total))
    path = target or folder / "report.html"
    size = write_report(
        path,
        queries,
        run=facts,
        title=title,
        pictures=PictureEmbedder(folder=folder),
        on_query=lambda done, total: progress("report", done, total),
    )
    return path, size, len(queries)


def _folder(config: dict[str, Any], given: Path | None) -> Path:
    """The run's own output folder, unless it has gone and another was named or found."""
    own = Path(str(config.get("output") or "."))
    if given is not None and ((given / "pictures").is_dir() or not own.is_dir()):
        return given
    return own
