"""Fits what plausibility figures mean on the pairs that reviewers of a Wildbook IA database decided.

    python -m pairx_plugin.cli.calibrate_wildbook --dbdir DATABASE [--species SPECIES] [--pairs 1000]

Run it in the host's environment, with the same PAIRX_ variables as the server. The pairs are those that were confirmed
or rejected on the review page or in the host's own tools; each is explained on the network that the MiewID plugin has
for it, as re-ranking explains it. The file lies beside the database and is used from the next query on, by re-ranking
(`pairx_rerank`) and by the words of review pages, for that network, layer and settings and for no other.

It begins with how many decisions there are, and ends at once where they are too few.
"""

from __future__ import annotations

import dataclasses
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..calibration import Calibration
from ..errors import CalibrationRefused, PairXError
from ..evaluation.calibrating import LEAST, METHODS, JudgedPair, fit_calibration, missing_decisions
from ..evaluation.calibration_page import write_calibration_page
from ..hosts.wildbook.commands import command_parser, run_command, whole_number
from ..hosts.wildbook.decided_pairs import HostPair, decided_pairs, decisions, in_proportion
from ..hosts.wildbook.judged_pairs import JudgedHostPair, judge_pairs, model_of_pairs
from ..hosts.wildbook.opening import OpenedHost, open_host, server_settings
from ..hosts.wildbook.own_files import calibration_file
from ..settings import Settings

if TYPE_CHECKING:
    from argparse import Namespace

__all__ = ["HostCalibration", "calibrate_host"]

_OF_EACH = {"match": "confirmed", "nomatch": "rejected"}
_UNDECIDED = {"notcomp": "not comparable", "unknown": "unsure", "unreviewed": "not reviewed"}


@dataclass(frozen=True, kw_only=True, eq=False)
class HostCalibration:
    """A calibration with what it was made from.

    Attributes:
        path: where the host looks for it.
        by_species: how many pairs of each species were explained.
        failed: how many pairs have no figures, by the code of the reason.
    """

    calibration: Calibration
    path: Path
    by_species: dict[str, int]
    failed: dict[str, int]


def calibrate_host(
    host: OpenedHost,
    settings: Settings,
    *,
    species: str = "",
    most: int = 1000,
    method: str = METHODS[0],
    least: int = LEAST,
    seed: int = 0,
    tell: Callable[[str], None] = lambda text: None,
) -> HostCalibration:
    """Explain the host's decided pairs, fit a calibration and write it where the host looks for it.

    Args:
        settings: as queries have them.
        species: whose pairs alone; by default those of every species that has the network of most pairs.
        most: how many pairs are explained at most, of both kinds in the proportion in which they were decided.
        method, least, seed: see :func:`pairx_plugin.evaluation.calibrating.fit_calibration`.
        tell: called with a sentence, now and then.

    Raises:
        CalibrationRefused: there are too few decisions, or too few of them can be explained.
        HostError: no pair of that species is decided.
        StoreError: the file cannot be written.
    """
    pairs = decided_pairs(host.ibs)
    tell(_census(decisions(host.ibs)))
    _check_enough(pairs, least)
    model, pairs = model_of_pairs(host.plugin, host.models, pairs, species)
    _check_enough(pairs, least, f" of the network '{model.model_id}'")
    chosen = in_proportion(pairs, most)
    tell(f"{len(chosen)} of {len(pairs)} decided pairs are explained on the network '{model.model_id}'.")
    done = 0

    def advance(n: int) -> None:
        nonlocal done
        if (done + n) // 25 > done // 25 or done + n == len(chosen):
            tell(f"{done + n} of {len(chosen)} pairs")
        done += n

    judged = list(judge_pairs(host.plugin, host.ibs, model, chosen, settings, advance))
    failed = Counter(reason for item in judged if (reason := _reason(item)))
    for reason, n in failed.items():
        tell(f"{n} pairs have no figures: {reason}.")
    calibration = fit_calibration([_as_judged(item) for item in judged], method=method, least=least, seed=seed)
    return HostCalibration(
        calibration=calibration,
        path=calibration.write(calibration_file(host.ibs, model.model_id)),
        by_species=dict(Counter(pair.species for pair in chosen)),
        failed=dict(failed),
    )


def _census(counted: dict[str, int]) -> str:
    kinds = {**_OF_EACH, **_UNDECIDED}
    told = [f"{counted[word]} {meaning}" for word, meaning in kinds.items() if counted.get(word)]
    return f"Pairs in the host's annotation matches: {', '.join(told) or 'none'}."


def _check_enough(pairs: Sequence[HostPair], least: int, of: str = "") -> None:
    """Refuse too few decisions before any of them is explained, which takes about a second each."""
    n_same = sum(pair.same for pair in pairs)
    n_individuals = len({name for pair in pairs for name in (pair.individual, pair.other)})
    missing = missing_decisions(n_same, len(pairs) - n_same, n_individuals, least, what="decisions")
    if missing:
        raise CalibrationRefused(
            f"there is too little to calibrate on{of}: {'; '.join(missing)}; confirm and reject more pairs on the "
            f"review page of the host, /pairx/review/, or in its own tools"
        )


def _reason(item: JudgedHostPair) -> str:
    """Return why a pair cannot be fitted on; empty where it can."""
    if _as_judged(item).figures is not None:
        return ""
    errors = item.record.get("errors") or []
    if errors:
        return str(errors[0].get("code"))
    if not isinstance(item.record.get("plausibility"), dict):
        return f"the explainer {item.record.get('algorithm')!r} gives none"
    return "too few matches to fit a pose"


def _as_judged(item: JudgedHostPair) -> JudgedPair:
    pair = item.pair
    return JudgedPair(individual_0=pair.individual, individual_1=pair.other, same=pair.same, record=item.record)


def _main(arguments: Sequence[str]) -> int:
    parser = command_parser("pairx_plugin.cli.calibrate_wildbook", __doc__)
    parser.add_argument("--species", default="", help="this species' pairs alone; else all that share a network")
    parser.add_argument("--layer", default="", help="layer to calibrate for; the one that queries take by default")
    parser.add_argument("--pairs", type=whole_number(20), default=1000, help="at most so many decided pairs")
    parser.add_argument("--least", type=whole_number(10), default=LEAST, help="smallest number of decisions to fit")
    parser.add_argument("--method", choices=METHODS, default=METHODS[0], help="isotonic needs a thousand decisions")
    parser.add_argument("--seed", type=whole_number(0), default=0, help="seed of the folds")
    given = parser.parse_args(arguments)
    return run_command(lambda: _calibrate(given), "no calibration was made")


def _calibrate(given: Namespace) -> None:
    settings = server_settings()
    if given.layer:
        settings = dataclasses.replace(settings, layers=(given.layer,))
    made = calibrate_host(
        open_host(given.dbdir),
        settings,
        species=given.species,
        most=given.pairs,
        method=given.method,
        least=given.least,
        seed=given.seed,
        tell=_tell,
    )
    sys.stdout.write(_told(made))
    try:
        page = write_calibration_page(made.path.with_suffix(".html"), made.calibration)
        sys.stdout.write(f"reliability: {page}\n")
    except PairXError as error:
        sys.stderr.write(f"there is no page about it: {error}\n")


def _told(made: HostCalibration) -> str:
    fitted = made.calibration
    interval = ""
    if fitted.auc_low is not None and fitted.auc_high is not None:
        interval = f" ({fitted.auc_low:.3f} to {fitted.auc_high:.3f})"
    species = ", ".join(f"{n} {name or 'of no species'}" for name, n in sorted(made.by_species.items()))
    lines = [
        f"{fitted.n_same} confirmed and {fitted.n_different} rejected pairs of {fitted.n_individuals} individuals "
        f"({species}) at layer {fitted.layer_key}; {fitted.n_left_out} left out.",
        f"On held-out individuals: AUC {fitted.auc:.3f}{interval}, Brier score {fitted.brier:.3f}, calibration error "
        f"{fitted.calibration_error:.3f}.",
    ]
    if not fitted.separates:
        lines.append("The figures do not tell confirmed from rejected pairs here; nothing will be re-ranked by them.")
    return "\n".join([*lines, f"calibration: {made.path}", ""])


def _tell(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
