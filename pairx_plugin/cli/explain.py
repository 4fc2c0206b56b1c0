"""``pairx-plugin explain``: somebody's own photographs, with any network and layer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from pairx_hooks import Status

from ..errors import MissingExtra, SettingsError, StoreError
from ..settings import AUTO_LAYER, Settings
from .attribute_table import print_attributes
from .display import Steps, output, print_json, steps, table
from .failures import BAD_INPUT, FAILED, PARTIAL, is_input_code, print_error
from .options import InputSize, ModelId, ModelOptions, parse_box, parse_model_options, parse_pairs, parse_size
from .options import usable_folder

if TYPE_CHECKING:
    from ..report import ReportQuery, RunFacts
    from .pair_host import Subject
    from .pair_files import PairFiles

__all__ = ["explain"]

_OF_A_HOST = ("explain", "top_k")
_OPTION = "options."  # what comes behind is an explainer's own setting


def explain(
    query: Annotated[Path, typer.Argument(help="The query photograph.")],
    candidates: Annotated[list[Path], typer.Argument(help="Photographs to compare it with, best first.")],
    model: ModelId = "sample",
    model_option: ModelOptions = None,
    input_size: InputSize = None,
    layer: Annotated[
        Optional[list[str]],
        typer.Option(help="Key of a layer, as `pairx-plugin layers MODEL` lists them, or auto; may be given again."),
    ] = None,
    k_lines: Annotated[Optional[int], typer.Option(help="How many matches are drawn as lines.")] = None,
    k_colors: Annotated[Optional[int], typer.Option(help="How many matches are carried back to pixels.")] = None,
    explainer: Annotated[Optional[str], typer.Option(help="Id of a registered explainer.")] = None,
    view: Annotated[
        Optional[list[str]],
        typer.Option(help="A picture to draw: clean, matches, heatmask or both; may be given again."),
    ] = None,
    picture_format: Annotated[Optional[str], typer.Option("--format", help="png or webp.")] = None,
    setting: Annotated[
        Optional[list[str]],
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="Any other setting, such as palette=reference; an explainer's own as options.NAME=VALUE.",
        ),
    ] = None,
    bbox_query: Annotated[
        Optional[str], typer.Option(metavar="X,Y,W,H", help="Box of the animal in the query.")
    ] = None,
    theta_query: Annotated[float, typer.Option(help="Turn of that box about its centre, in radians.")] = 0.0,
    bbox_candidate: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="X,Y,W,H", help="Box in a candidate: once for each, in order; '' for the whole photograph."
        ),
    ] = None,
    theta_candidate: Annotated[
        Optional[list[float]], typer.Option(help="Turn of a candidate's box: once for each, in order.")
    ] = None,
    output_folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for pictures, records and report.")
    ] = Path("pairx-explanations"),
    with_report: Annotated[bool, typer.Option("--report/--no-report", help="Write report.html as well.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Explain why a network finds a query photograph and other photographs similar.

    Every candidate gets a folder with a record. A candidate that cannot be read or explained keeps its place, and its
    record says why; the others are explained all the same, and the exit code is 3. It is 2 or 1 where none could be
    explained.
    """
    settings = _settings(
        {
            "layers": layer,
            "k_lines": k_lines,
            "k_colors": k_colors,
            "explainer": explainer,
            "pictures": view,
            "picture_format": picture_format,
        },
        parse_pairs(setting, "--set"),
    )
    asked, others = _subjects(query, candidates, bbox_query, theta_query, bbox_candidate, theta_candidate)
    options = parse_model_options(model_option, input_size=parse_size(input_size))
    folder = usable_folder(output_folder)
    with steps() as progress:
        found, run = _explained(asked, others, model, options, settings, progress)
        files = _written(folder, found, run, settings, with_report, progress)
    if as_json:
        print_json(files.to_json())
    else:
        _print(found, files, run)
    _exit(found, files)


def _settings(options: dict[str, Any], pairs: dict[str, Any]) -> Settings:
    """Return the settings of options of their own and of ``--set``; what would be overlooked is refused."""
    given = {name: value for name, value in options.items() if value is not None}
    for name in pairs:
        if name in given:
            raise SettingsError(f"setting '{name}' is given twice, by --set and by an option of its own; give it once")
        if name in _OF_A_HOST:
            raise SettingsError(f"setting '{name}' is a host's: here every candidate is explained; leave it out")
    chosen = {name: value for name, value in pairs.items() if value is not None}
    own = {name: chosen.pop(name) for name in list(chosen) if name.startswith(_OPTION)}
    if own:
        chosen["options"] = {name[len(_OPTION) :]: value for name, value in own.items()}
    return Settings.from_mapping({**given, **chosen})


def _subjects(
    query: Path,
    candidates: list[Path],
    bbox_query: str | None,
    theta_query: float,
    boxes: list[str] | None,
    thetas: list[float] | None,
) -> tuple[Subject, list[Subject]]:
    from .pair_host import Subject

    for option, values in (("--bbox-candidate", boxes), ("--theta-candidate", thetas)):
        if values and len(values) != len(candidates):
            raise SettingsError(
                f"{option} was given {len(values)} times for {len(candidates)} candidates; give it once for each"
            )
    asked = Subject(path=query, bbox=parse_box(bbox_query, "--bbox-query"), theta=theta_query)
    others = [
        Subject(path=path, bbox=parse_box(box, "--bbox-candidate"), theta=theta)
        for path, box, theta in zip(candidates, boxes or [""] * len(candidates), thetas or [0.0] * len(candidates))
    ]
    return asked, others


def _explained(
    asked: Subject, others: list[Subject], model: str, options: dict[str, Any], settings: Settings, progress: Steps
) -> tuple[ReportQuery, RunFacts]:
    """Load the network and explain; what would spoil every candidate alike is raised before the work begins."""
    progress.begin("load")
    from ..models.layers import get_layer
    from ..models.provided import load_model
    from ..pipeline import find_explainer
    from ..report import Note, RunFacts
    from .pair_host import PairHost

    _check_files(settings)
    loaded = load_model(model, **options)
    for key in settings.layers:
        if key != AUTO_LAYER:
            get_layer(loaded.network, key)
    done = 0

    def advance() -> None:
        nonlocal done
        done = min(done + 1, len(others))
        progress("explain", done, len(others))

    host = PairHost(loaded, settings, advance)
    find_explainer(settings.explainer, host.manager.explainers())
    notes = [Note(code="MODEL_NOTE", message=note) for note in loaded.notes]
    run = RunFacts(model_id=loaded.model_id, model_fingerprint=loaded.fingerprint(), notes=notes)
    progress("explain", 0, len(others))
    return host.explain(asked, others), run


def _check_files(settings: Settings) -> None:
    """Refuse files that were named and cannot be read: a host goes on without them, and here nobody would notice."""
    from ..calibration import Calibration
    from ..layer_choice import LayerFindings

    for path, kind in ((settings.layer_choice, LayerFindings), (settings.calibration, Calibration)):
        if path not in ("", "none"):
            kind.from_file(path)


def _written(
    folder: Path, found: ReportQuery, run: RunFacts, settings: Settings, with_report: bool, progress: Steps
) -> PairFiles:
    from .pair_files import write_pairs, write_pairs_report

    params = {"layer_key": next(iter(settings.layers), None), **settings.params()}
    files = write_pairs(folder, found, run, params, lambda done, total: progress("pictures", done, total))
    if not with_report:
        return files
    progress.begin("report")
    try:
        return write_pairs_report(files, found, run)
    except (MissingExtra, StoreError) as error:  # the pictures and records are there already
        print_error(error.code, str(error))
        return files


def _print(found: ReportQuery, files: PairFiles, run: RunFacts) -> None:
    console = output()
    rows = table("", "candidate", "cosine", "what came of it", right=("", "cosine"))
    for candidate, pair in zip(found.ranked_query.candidates, files.pairs):
        score = "" if candidate.score is None else f"{candidate.score:.3f}"
        words = pair.words if pair.failure is None else f"{pair.status}: {pair.failure.message}"
        image = candidate.annotation.image
        rows.add_row(str(candidate.rank), Path(image).name or image, score, words)
    console.print(rows)
    print_attributes(found)
    for doubt, ranks in _doubts(files).items():
        console.print(f"doubt about {', '.join(map(str, ranks))}: {doubt}")
    for note in run.notes:
        console.print(f"note: {note.message}")
    console.print(f"pictures and records: {files.folder}", soft_wrap=True)
    if files.report is not None:
        console.print(f"report:               {files.report}", soft_wrap=True)


def _doubts(files: PairFiles) -> dict[str, list[int]]:
    """Return each doubt once, with the ranks of the candidates that it is about."""
    found: dict[str, list[int]] = {}
    for pair in files.pairs:
        for doubt in pair.doubts:
            found.setdefault(doubt, []).append(pair.rank)
    return found


def _exit(found: ReportQuery, files: PairFiles) -> None:
    failures = [pair.failure for pair in files.pairs if pair.failure is not None]
    usable = [explanation for explanation in found.explanations if explanation.status.usable]
    if usable and (failures or any(item.status is Status.PARTIAL for item in usable)):
        raise typer.Exit(PARTIAL)
    if not usable:
        for failure in failures[:1]:
            print_error(failure.code, f"nothing was explained: {failure.message}")
        codes = {failure.code for failure in failures}
        raise typer.Exit(BAD_INPUT if codes and all(map(is_input_code, codes)) else FAILED)
