"""What people see while they wait, on the error stream, so that the standard output stays a script's."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Steps", "output", "print_json", "steps", "table"]

_STAGES = {
    "load": "Loading the network",
    "embed": "Embedding photographs",
    "rank": "Ranking",
    "explain": "Explaining candidates",
    "pictures": "Writing pictures and records",
    "gather": "Gathering photographs",
    "report": "Writing the report",
    "attributes-features": "Reading features",
    "attributes-attributes": "Fitting attributes",
    "attributes-photographs": "Masking photographs",
    "attributes-pairs": "Explaining pairs",
}


def output() -> Console:
    """Return the console of the standard output; it prints text and never markup, as names may hold brackets."""
    from rich.console import Console

    return Console(highlight=False, markup=False)


def print_json(value: Any) -> None:
    """Write JSON to the standard output, and nothing else ever is there with ``--json``."""
    text = json.dumps(value, indent=2, allow_nan=False)
    if sys.stdout is not None:  # closed from outside: nobody wants it
        sys.stdout.write(text + "\n")


class Steps:
    """Progress by stage: a bar where the number of steps is known, a turning sign where it is not."""

    def __init__(self, progress: Any) -> None:
        self._progress = progress
        self._tasks: dict[str, Any] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Say that `done` of `total` steps of a stage are done; a new stage ends those before it."""
        self._only(stage)
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(_STAGES.get(stage, stage), total=total)
        self._progress.update(self._tasks[stage], completed=done, total=total)

    def begin(self, stage: str) -> None:
        """Say that a stage of unknown length begins."""
        self._only(stage)
        self._tasks.setdefault(stage, self._progress.add_task(_STAGES.get(stage, stage), total=None))

    def _only(self, stage: str) -> None:
        for name in [name for name in self._tasks if name != stage]:
            self._progress.remove_task(self._tasks.pop(name))


@contextmanager
def steps() -> Iterator[Steps]:
    """Show progress while the block runs; where nobody watches the error stream, nothing is written."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        yield Steps(progress)


def table(*columns: str, right: tuple[str, ...] = (), title: str | None = None, whole: tuple[str, ...] = ()) -> Any:
    """Return an empty table; it moves its columns together where the terminal is narrow, before it breaks cells.

    Args:
        columns: their heads; a line end within one keeps its column narrow.
        right: columns that are set to the right.
        title: above the table.
        whole: columns whose cells are never broken, such as names that are there to be copied.
    """
    from rich import box
    from rich.table import Table

    class Fitting(Table):
        def __rich_console__(self, console: Console, options: Any) -> Any:
            unbound = options.update(max_width=10 * options.max_width)
            for padding in ((0, 1), (0, 1, 0, 0), (0, 0)):
                self.padding = padding
                if self.__rich_measure__(console, unbound).maximum <= options.max_width:
                    break
            else:  # sentences fold, and are read better with room between columns
                self.padding = (0, 0) if whole else (0, 1)
            yield from super().__rich_console__(console, options)

    made = Fitting(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(
            column, justify="right" if column in right else "left", overflow="fold", no_wrap=column in whole
        )
    return made
