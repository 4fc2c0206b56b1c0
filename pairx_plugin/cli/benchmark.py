"""``pairx-plugin benchmark``: what explaining costs on this machine, beside the public PAIR-X."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..atomic_files import unwritten, write_whole
from ..errors import SettingsError, StoreError
from .display import output, print_json, steps, table
from .failures import FAILED, PARTIAL
from .options import parse_size, usable_folder

if TYPE_CHECKING:
    from ..benchmark.plan import Plan
    from ..benchmark.results import Benchmark

__all__ = ["benchmark"]


def benchmark(
    reference: Annotated[
        Optional[Path],
        typer.Option(help="Checkout of WildMeOrg/pairx to measure beside; by default the importable package."),
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="A trial of a minute with a small network and small pictures.")
    ] = False,
    row: Annotated[
        Optional[list[str]],
        typer.Option(
            help="A row to measure: pair, ranking, lines, memory, kept, flatness, batch or flag; may be given again."
        ),
    ] = None,
    model: Annotated[
        Optional[str],
        typer.Option(
            "--model", "-m", help="Network to measure, as in `explain`; or 'seeded:NAME', drawn weights on timm's NAME."
        ),
    ] = None,
    layer: Annotated[Optional[str], typer.Option(help="Key of the layer that is explained.")] = None,
    input_size: Annotated[
        Optional[str], typer.Option(metavar="HxW", help="Size of the network's input in pixels.")
    ] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    threads: Annotated[Optional[int], typer.Option(help="Threads that torch may use: two, one for a trial.")] = None,
    repeats: Annotated[Optional[int], typer.Option(help="How many turns each implementation has.")] = None,
    candidates: Annotated[Optional[int], typer.Option(help="Length of the ranking.")] = None,
    reference_pairs: Annotated[
        Optional[int],
        typer.Option(help="Pairs of the ranking that the public code explains in a turn; its time is scaled."),
    ] = None,
    lengths: Annotated[
        Optional[str],
        typer.Option(metavar="N,N,...", help="Lengths of the rankings whose cost per candidate is compared."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and pictures.")] = 0,
    output_file: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="File for the figures as JSON, beside the table.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Measure what explaining costs on this machine, beside WildMeOrg/pairx where its code is there.

    Time, exactness, memory and stages, as a table or as JSON. Implementations take turns in one process, and
    ratios come with their spread. Without the public code our own figures are measured alone. The exit code
    is 3 where a row could not be measured in full.
    """
    if output_file is not None:
        output_file = _usable_file(output_file)
    with steps() as progress:
        progress.begin("Importing")
        from ..benchmark.reference import find_public_code
        from ..benchmark.running import run_benchmark

        given = {
            "model": model,
            "layer": layer,
            "input_size": parse_size(input_size),
            "device": device,
            "threads": threads,
            "repeats": repeats,
            "n_candidates": candidates,
            "reference_pairs": reference_pairs,
            "lengths": _lengths(lengths),
            "seed": seed,
            "rows": tuple(row) if row else None,
        }
        plan = _plan(given, quick)
        found = run_benchmark(plan, find_public_code(reference and reference.expanduser()), progress)
    if as_json:
        print_json(found.to_json())
    else:
        _print(found)
    if output_file is not None:
        _write(output_file, found)
    if any(line.failures for line in found.rows):
        raise typer.Exit(FAILED if all(line.ours is None for line in found.rows) else PARTIAL)


def _plan(given: dict[str, Any], quick: bool) -> Plan:
    from ..benchmark.plan import Plan

    chosen = {name: value for name, value in given.items() if value is not None}
    if "model" in chosen:  # layer and size of the default network do not fit another one
        chosen = {"layer": None, "input_size": None, **chosen}
    return Plan.small(**chosen) if quick else Plan(**chosen)


def _lengths(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise SettingsError(f"--lengths must be whole numbers such as 5,20,200, not {text!r}") from None


def _usable_file(path: Path) -> Path:
    """Return the file that ``--output`` names; what is wrong with it is told now, and not after many minutes."""
    folder = usable_folder(path.parent)
    if (folder / path.name).is_dir():
        raise StoreError(f"--output {str(path)!r} is a folder; name a file in it, such as benchmark.json")
    return folder / path.name


def _write(path: Path, found: Benchmark) -> None:
    try:
        write_whole(path, json.dumps(found.to_json(), indent=2, allow_nan=False) + "\n")
    except OSError as error:
        raise unwritten("the file of figures", path, error, "give another --output") from error


def _print(found: Benchmark) -> None:
    from ..benchmark.exactness import PIXEL_LIMIT, RELEVANCE_LIMIT
    from ..benchmark.table import exactness_lines, main_lines, note_lines, stage_lines

    console = output()
    right = ("ours", "public code")
    rows = table("work", *right, "figure", "wanted", "reached", right=right)
    for line in main_lines(found):
        rows.add_row(*line)
    console.print(rows)
    if exact := exactness_lines(found):
        limits = f"relevance maps, at most {RELEVANCE_LIMIT:g}", f"pixel maps, at most {PIXEL_LIMIT:g}"
        rows = table("largest difference from the public code", *limits, "reached", "matches agreeing")
        for compared in exact:
            rows.add_row(*compared)
        console.print(rows)
    columns, stages = stage_lines(found)
    if stages:
        rows = table("stage", *columns, right=tuple(columns))
        for stage in stages:
            rows.add_row(*stage)
        console.print(rows)
    for note in note_lines(found):
        console.print(note)
