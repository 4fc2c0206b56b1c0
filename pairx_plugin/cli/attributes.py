"""``pairx-plugin train-attributes`` and ``measure-attributes``: named attributes for the explainer `sane`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import SettingsError, StoreError
from .display import Steps, output, print_json, steps, table
from .options import ModelOptions, parse_model_options

if TYPE_CHECKING:
    from ..explainers.sane.attribute_head import AttributeHead
    from ..explainers.sane.training import HeadReport

__all__ = ["measure_attributes", "train_attributes"]

Sources = Annotated[
    list[str],
    typer.Argument(
        help="CSV files with columns GROUP:NAME, folders of the sample generator, or 'sample'.", show_default=False
    ),
]
Model = Annotated[
    str, typer.Option("--model", "-m", help="The network whose features are read: an id or a checkpoint.")
]


def train_attributes(
    sources: Sources,
    output_file: Annotated[
        Path, typer.Option("--output", "-o", help="File to write the head to.")
    ] = Path("attribute_head.json"),
    model: Model = "sample",
    model_option: ModelOptions = None,
    layer: Annotated[
        str, typer.Option(help="Key of the layer to read; the last feature map unless given.")
    ] = "",
    folds: Annotated[int, typer.Option(min=2, help="Parts of the cross-validation, split by individual.")] = 5,
    least_positive: Annotated[
        int, typer.Option(min=2, help="Photographs that an attribute needs, with it and without.")
    ] = 30,
    least_individuals: Annotated[int, typer.Option(min=2, help="Individuals that they must show.")] = 10,
    precision: Annotated[
        float, typer.Option(min=0.01, max=1.0, help="How often an attribute must be right where it is named.")
    ] = 0.8,
    ranking_pairs: Annotated[
        int, typer.Option(min=0, help="Pairs that the ranking is tuned on; 0 for equal weights.")
    ] = 40,
    seed: Annotated[int, typer.Option(min=0, help="Seed of splits and random directions.")] = 0,
    features: Annotated[
        Optional[Path], typer.Option(help="File to keep the pooled features in (.npz), for another run.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Train an attribute head for the explainer `sane` on photographs with known attributes.

    The network stays as it is: a linear map is fitted to its features, calibrated on individuals that were left out,
    and written as one JSON file, which `--set options.sane_head=FILE` names, or which lies beside a checkpoint.
    """
    folder = output_file.absolute().parent
    if not folder.is_dir():
        raise StoreError(f"there is no folder {str(folder)!r} to write the head to; make it first")
    if output_file.is_dir() or not os.access(folder, os.W_OK):  # before the training, which takes minutes
        raise StoreError(f"the head cannot be written to {str(output_file)!r}; give the path of a file in your folder")
    options = parse_model_options(model_option, input_size=None)
    with steps() as progress:
        progress.begin("load")
        from ..explainers.sane.training import TrainingPlan, read_labelled, train_head
        from ..models.catalogue import ModelCatalogue

        plan = TrainingPlan(
            layer=layer,
            folds=folds,
            least_positive=least_positive,
            least_individuals=least_individuals,
            precision=precision,
            ranking_pairs=ranking_pairs,
            seed=seed,
        )
        photographs = read_labelled(sources)
        network = ModelCatalogue().load(model, **options)
        named = [Path(source).name or source for source in sources]
        report = train_head(
            network, photographs, plan, sources=named, kept=features, advance=_advance(progress)
        )
    report.head.write(output_file)
    if as_json:
        print_json({"head": str(output_file), "labels": _labels(report.head), "left_out": _left_out(report)})
    else:
        _print_head(report, output_file)


def measure_attributes(
    sources: Sources,
    head_file: Annotated[
        Optional[Path], typer.Option("--head", help="The head; the one that belongs to the model unless given.")
    ] = None,
    model: Model = "sample",
    model_option: ModelOptions = None,
    other_pairs: Annotated[
        int, typer.Option(min=0, help="Pairs of two individuals that are measured beside all pairs of one.")
    ] = 100,
    cells: Annotated[int, typer.Option(min=2, max=64, help="Windows on each axis of the saliency.")] = 7,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what is drawn.")] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Measure an attribute head on photographs with known attributes that it was not trained on.

    Mean average precision, calibration, how often what is named is true, and what the similarity loses when the place
    of what is named is hidden, with 95 % intervals over individuals.
    """
    options = parse_model_options(model_option, input_size=None)
    with steps() as progress:
        progress.begin("load")
        from dataclasses import replace

        from ..explainers.sane.finding_heads import find_head
        from ..explainers.sane.training import read_labelled
        from ..explainers.sane.training.measuring import measure_head
        from ..explainers.sane.training.validation_pairs import COARSE
        from ..models.catalogue import ModelCatalogue

        photographs = read_labelled(sources)
        network = ModelCatalogue().load(model, **options)
        head, doubts = find_head(network, "" if head_file is None else str(head_file))
        if head is None:
            raise SettingsError(f"{doubts[0].message}; give one by --head, or make one with `train-attributes`")
        figures = measure_head(
            network,
            head,
            photographs,
            options=replace(COARSE, cells=cells),
            other_pairs=other_pairs,
            seed=seed,
            advance=_advance(progress),
        )
    if as_json:
        print_json(figures)
    else:
        _print_figures(figures)


def _advance(progress: Steps) -> Callable[[str, int, int], None]:
    return lambda stage, done, total: progress(f"attributes-{stage}", done, total)


def _labels(head: AttributeHead) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in label.items() if key not in ("weights", "bias")}
        for label in head.to_json()["labels"]
    ]


def _left_out(report: HeadReport) -> dict[str, str]:
    return {f"{group}:{name}": why for (group, name), why in report.left_out.items()}


def _print_head(report: HeadReport, path: Path) -> None:
    console, right = output(), ("photographs", "individuals", "precision", "named from", "prior")
    rows = table("attribute", *right, right=right)
    for label in report.head.labels:
        named = "never" if label.threshold is None else f"{label.threshold:.2f}"
        precision = "" if label.average_precision is None else f"{label.average_precision:.3f}"
        counts = str(label.n_positive), str(label.n_individuals)
        rows.add_row(f"{label.group}:{label.name}", *counts, precision, named, f"{label.prior:.2f}")
    console.print(rows)
    for name, why in _left_out(report).items():
        console.print(f"left out: {name}, {why}")
    weights = ", ".join(f"{name} {weight:.2f}" for name, weight in report.head.to_json()["ranking"].items())
    console.print(f"ranking: {weights}")
    console.print(f"head:    {path}", soft_wrap=True)


def _print_figures(figures: Mapping[str, Any]) -> None:
    console, right = output(), ("photographs", "prevalence", "average precision", "calibration error")
    rows = table("attribute", *right, right=right)
    for name, facts in figures["labels"].items():
        values = [_decimal(facts.get(key)) for key in ("prevalence", "average_precision", "calibration_error")]
        rows.add_row(name, str(facts["n"]), *values)
    console.print(rows)
    for suffix, words in (("", "all attributes"), ("_evidence", "attributes that can explain")):
        precision, chance = _decimal(figures[f"map{suffix}"]), _decimal(figures[f"prevalence{suffix}"])
        console.print(f"mean average precision, {words}: {precision} (chance {chance})")
    console.print(f"calibration error: {_decimal(figures['calibration_error'])}")
    for kind, words in (("same", "one individual"), ("other", "two individuals")):
        pairs = figures[kind]
        console.print(f"\n{pairs['n_pairs']} pairs of {words}")
        for name in ("coverage", "agreement", "chance"):
            console.print(f"  {name}: {_interval(pairs[name])}")
        for name, lost in pairs["lost"].items():
            console.print(f"  similarity lost without {name.replace('_', ' ')}: {_interval(lost)}")
        for point in pairs["curve"]:
            line = f"named from {point['confidence']:.2f}: {_decimal(point['coverage'])} of pairs"
            console.print(f"  {line}, {_decimal(point['accuracy'])} of them right")


def _decimal(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _interval(value: Mapping[str, Any] | None) -> str:
    if value is None:
        return "-"
    return f"{value['mean']:.3f} ({value['low']:.3f} to {value['high']:.3f}; {value['n']} pairs)"
