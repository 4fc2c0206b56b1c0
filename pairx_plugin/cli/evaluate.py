"""``pairx-plugin evaluate``: which explanation to believe, measured on pairs whose truth is known."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import ExplainerNotFound, SettingsError, StoreError, nearest
from .display import output, print_json, steps, table
from .failures import FAILED, PARTIAL
from .options import InputSize, ModelId, ModelOptions, parse_model_options, parse_size, usable_folder

if TYPE_CHECKING:
    from ..evaluation import EvaluationRun, Summary, Variant

__all__ = ["evaluate"]

_FEW = 20
_MORE_SAMPLES = (
    ", such as --data sample:FOLDER after `python -m pairx_sample_data.generate --which held_out --individuals 64 "
    "--seed 2 --out FOLDER`"
)
_SHOWN = {
    "AUC": "auc_inlier_excess",
    "ins-del": "insertion_less_deletion",
    "PCK": "true_pck_10",
    "animal": "mass_lift",
    "drawn": "randomised_rho",
    "pair": "sensitivity_above_noise",
    "s": "seconds",
}


def evaluate(
    data: Annotated[
        str,
        typer.Option(
            "--data",
            "-d",
            help="sample, sample:FOLDER, a CSV file in MiewID's layout, or wildlife:NAME:FOLDER for a data set of "
            "wildlife-datasets.",
        ),
    ] = "sample",
    model: ModelId = "sample",
    model_option: ModelOptions = None,
    input_size: InputSize = None,
    explainer: Annotated[
        Optional[list[str]],
        typer.Option(help="Id of a registered explainer, or 'all'; may be given again. pairx by default."),
    ] = None,
    variant: Annotated[
        Optional[list[str]],
        typer.Option(
            metavar="NAME:KEY=VALUE,...",
            help="An explainer with settings, such as fine:explainer=pairx,layers=backbone.blocks.2 or "
            "rank:explainer=similarity_attention,options.weights=rank; may be given again.",
        ),
    ] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines/--no-baselines", help="Measure the null baselines beside them.")
    ] = True,
    measure: Annotated[
        Optional[list[str]],
        typer.Option(
            help="A part of the protocol: plausibility, faithfulness, sanity, conservation, correspondence, stability "
            "or attributes, all of them by default; or quantus, that package's own metrics, with the extra of this "
            "name. May be given again."
        ),
    ] = None,
    pairs: Annotated[int, typer.Option(min=1, help="Pairs of one individual; equally similar others come on top.")] = 8,
    photographs: Annotated[
        int,
        typer.Option(min=2, help="Photographs that pairs are chosen among; keep the number to go on from results."),
    ] = 256,
    profile: Annotated[
        str, typer.Option(help="quick, or full: the protocol's own step width, all fills, all depths.")
    ] = "quick",
    seed: Annotated[int, typer.Option(help="Seed of everything that draws.")] = 0,
    images: Annotated[
        Optional[Path], typer.Option(help="Folder that paths in a CSV start from; the CSV's own by default.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="Let wildlife-datasets fetch its data set into the folder first.")
    ] = False,
    output_folder: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for results, tables and report.")
    ] = Path("pairx-evaluation"),
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove earlier results instead of going on from them.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Measure explainers on pairs: whether to believe what they show, beside baselines that know nothing.

    Every result is appended to results.jsonl as soon as it is there, and the same call goes on where it was
    interrupted. The exit code is 3 where something could not be explained.
    """
    folder, size = usable_folder(output_folder), parse_size(input_size)
    options = parse_model_options(model_option, input_size=size)
    with steps() as progress:
        progress.begin("load")
        from pairx_hooks import build_manager

        from ..evaluation import Plan, find_source, summarise, write_files
        from ..evaluation import evaluate as run_evaluation
        from ..models.provided import load_model

        plan = Plan.of_profile(
            profile,
            n_pairs=pairs,
            n_photographs=photographs,
            seed=seed,
            measures=tuple(measure) if measure else None,
        )
        entries = build_manager().explainers()
        variants = _variants(explainer, variant, entries, baselines, seed)
        source = find_source(data, images=images, download=download)
        if fresh:
            _forget(folder)
        network = load_model(model, **options)
        run = run_evaluation(network, source, variants, plan, folder, entries=entries, progress=progress)
        progress.begin("report")
        summary = summarise(run)
        files = write_files(run, summary, folder)
    if as_json:
        from ..evaluation.report import summary_json

        print_json({**summary_json(run, summary), "files": {name: str(path) for name, path in files.items()}})
    else:
        _print(run, summary, files)
    if run.failures:
        own = [item for item in run.variants if not item.baseline]
        raise typer.Exit(FAILED if all(_nothing(run, item) for item in own) else PARTIAL)


def _variants(
    explainers: Sequence[str] | None,
    variants: Sequence[str] | None,
    entries: Mapping[str, Any],
    baselines: bool,
    seed: int,
) -> list[Variant]:
    from ..evaluation import parse_variant, plain_variant
    from ..evaluation.baselines import BASELINES

    asked = list(explainers or (() if variants else ("pairx",)))
    ids = sorted(entries, key=lambda name: name != "pairx") if "all" in asked else asked
    for name in ids:
        if name not in entries:
            raise ExplainerNotFound(
                f"explainer '{name}' is not registered{nearest(name, entries)}; registered: "
                f"{', '.join(sorted(entries))}"
            )
    made = [plain_variant(name, seed=seed) for name in dict.fromkeys(ids)]
    for text in variants or ():
        if ":" not in text and text.strip() not in entries:  # would be PAIR-X as it is, under another's name
            raise SettingsError(
                f"--variant must be NAME:KEY=VALUE,... or the id of an explainer, not {text!r}"
                f"{nearest(text, entries)}; registered: {', '.join(sorted(entries))}"
            )
    made += [parse_variant(text, entries, seed=seed) for text in variants or ()]
    taken = [item.name for item in made if item.name in BASELINES]
    if taken:
        raise SettingsError(f"the names {', '.join(taken)} are those of null baselines; choose others")
    return made + [plain_variant(name, seed=seed, baseline=True) for name in BASELINES if baselines]


def _forget(folder: Path) -> None:
    from ..evaluation.running import RESULTS

    try:
        (folder / RESULTS).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"the earlier results in {str(folder)!r} cannot be removed: {error}") from error


def _nothing(run: EvaluationRun, variant: Variant) -> bool:
    """Return whether not one result of a variant is there."""
    results = [result for (name, _, _), result in run.results.items() if name == variant.name]
    return all(result.get("failed") for result in results)


def _print(run: EvaluationRun, summary: Summary, files: Mapping[str, Path]) -> None:
    from ..evaluation.figure_names import FIGURES

    console = output()
    titles = {figure.key: figure.title for figure in FIGURES}
    names = [item.name for item in run.variants]
    shown = {head: key for head, key in _SHOWN.items() if any(summary.value(name, key) is not None for name in names)}
    rows = table("variant", *shown, "checks", right=(*shown, "checks"))
    for column in rows.columns:
        column.no_wrap = True
    for name in names:
        values = [summary.value(name, key) for key in shown.values()]
        made = [item.passed for item in summary.verdicts if item.variant == name and item.passed is not None]
        cells = ["" if value is None else f"{value:.2f}" for value in values]
        rows.add_row(name, *cells, f"{sum(made)}/{len(made)}" if made else "")
    console.print(rows)
    if shown:
        console.print("; ".join(f"{head}: {titles[key].lower()}" for head, key in shown.items()) + ".")
    choice = run.choice
    console.print(
        f"{sum(pair.same for pair in run.pairs)} pairs of one individual, {choice.n_matched} of them matched with an "
        f"equally similar pair of two (cosines within {choice.tolerance:g}); {run.seconds:.0f} s."
    )
    if choice.n_matched < _FEW:
        words = "So few matched pairs say next to nothing about plausibility: take data on which the network errs more"
        console.print(f"{words}{_MORE_SAMPLES if run.subject_set.source == 'sample data' else ''}.")
    for name, messages in run.failures.items():
        console.print(f"{name}: {len(messages)} results are missing: {messages[0]}")
    console.print(f"report: {files['report']}", soft_wrap=True)
