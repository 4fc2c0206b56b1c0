"""``pairx-plugin calibrate``: plausibility measured against what reviewers decided."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from ..errors import CalibrationRefused, HostError, SettingsError
from .databases import find_database
from .display import output, print_json, steps

if TYPE_CHECKING:
    from ..calibration import Calibration
    from ..evaluation.calibrating import JudgedPair

__all__ = ["calibrate"]


def calibrate(
    where: Annotated[str, typer.Argument(help="Output folder of a run, its SQLite file, or a database URL.")],
    method: Annotated[
        str, typer.Option(help="logistic, or isotonic on top of it, for a thousand decisions and more.")
    ] = "logistic",
    layer: Annotated[
        Optional[str], typer.Option(help="Key of the layer; by default the one that most decided pairs have.")
    ] = None,
    explainer: Annotated[Optional[str], typer.Option(help="Id of the explainer; likewise.")] = None,
    least: Annotated[int, typer.Option(min=10, help="Smallest number of decisions that is fitted.")] = 100,
    seed: Annotated[int, typer.Option(help="Seed of the folds.")] = 0,
    output_file: Annotated[
        Optional[Path], typer.Option("--output", "-o", help="File for the calibration; beside the database by default.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON to the standard output.")] = False,
) -> None:
    """Fit how often reviewers confirmed pairs with such figures, so that bands mean a measured share.

    The file lies beside the database, and runs and review pages of it use it from then on, for the network, layer and
    settings that it was fitted on and for no other.
    """
    url, _ = find_database(where)
    with steps() as progress:
        progress.begin("Reading decisions")
        from ..evaluation.calibrating import fit_calibration
        from ..evaluation.calibration_page import write_calibration_page
        from ..hosts.local.calibrated import calibration_path

        path = output_file.expanduser() if output_file else calibration_path(url)
        if path is None:
            raise SettingsError("the database is no file that a calibration could lie beside; name one with --output")
        pairs, left_out = _pairs(url, layer, explainer)
        progress.begin("Fitting")
        calibration = fit_calibration(pairs, method=method, least=least, n_left_out=left_out, seed=seed)
        calibration.write(path)
        page = write_calibration_page(path.with_suffix(".html"), calibration)
    if as_json:
        print_json({**calibration.to_json(), "separates": calibration.separates, "file": str(path), "page": str(page)})
    else:
        _print(calibration, path, page)


def _pairs(url: str, layer: str | None, explainer: str | None) -> tuple[list[JudgedPair], int]:
    """Return the decided pairs of one way to explain, and how many decisions that leaves out."""
    from ..evaluation.calibrating import JudgedPair, identities
    from ..hosts.local.database import ReviewDatabase
    from ..hosts.local.judged_pairs import read_judgements

    with ReviewDatabase(url, read_only=True) as database:
        judgements = read_judgements(database)
    if not judgements:
        raise CalibrationRefused(
            "nobody has confirmed or rejected a pair in this database; do so on the review page, `pairx-plugin serve`"
        )
    found = [
        JudgedPair(
            individual_0=item.individual_0, individual_1=item.individual_1, same=item.same, record=item.record
        )
        for item in judgements
        if item.record is not None and _asked_for(item.record, layer, explainer)
    ]
    ranked = identities(pair for pair in found if pair.figures is not None)
    if not ranked:
        raise HostError(
            f"none of {len(judgements)} decided pairs has plausibility figures"
            f"{' of that layer or explainer' if layer or explainer else ''}; explain them first: pairx_explain = true"
        )
    chosen = [pair for pair in found if pair.identity == ranked[0][0]]
    return chosen, len(judgements) - len(chosen)


def _asked_for(record: Any, layer: str | None, explainer: str | None) -> bool:
    return (layer is None or record.get("layer_key") == layer) and (
        explainer is None or record.get("algorithm") == explainer
    )


def _print(calibration: Calibration, path: Path, page: Path) -> None:
    console = output()
    interval = ""
    if calibration.auc_low is not None and calibration.auc_high is not None:
        interval = f" ({calibration.auc_low:.3f} to {calibration.auc_high:.3f})"
    console.print(
        f"{calibration.n_same} confirmed and {calibration.n_different} rejected pairs of {calibration.n_individuals} "
        f"individuals; {calibration.n_left_out} decisions left out."
    )
    console.print(
        f"On held-out individuals: AUC {calibration.auc:.3f}{interval}, Brier score {calibration.brier:.3f}, "
        f"calibration error {calibration.calibration_error:.3f}."
    )
    if not calibration.separates:
        console.print("The figures do not tell confirmed from rejected pairs here; nothing will be re-ranked by them.")
    console.print(f"calibration: {path}", soft_wrap=True)
    console.print(f"reliability: {page}", soft_wrap=True)
