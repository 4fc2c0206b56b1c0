"""Chooses the layer that ``pairx_layers = auto`` means on a host: the one that fits best on pairs it knows.

    python -m pairx_plugin.hosts.wildbook.choose_layer --dbdir DATABASE [--species SPECIES] [--names] [--pairs 40]

The pairs are those that reviewers confirmed or rejected, on the review page or in the host's own tools; with
``--names``, annotations of one name count as confirmed too. The network is the one that the MiewID plugin has for the
species, the chips are what it reads. What comes of it lies beside the database and is used from the next query on, for
that network and those settings and for no other.
"""

from __future__ import annotations

import dataclasses
import logging
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import HostError
from ...settings import AUTO_LAYER
from .commands import command_parser, run_command, whole_number
from .decided_pairs import HostPair, decided_pairs, in_turns, named_pairs
from .explaining import HostModel, load_host_model
from .inputs import host_chip
from .opening import open_host, server_settings
from .own_files import layer_choice_file
from .shared_models import SharedModels

if TYPE_CHECKING:
    from argparse import Namespace

    from ...layer_choice import LayerFindings
    from ...layer_sweep import DecidedPair

__all__ = ["choose_layer"]

logger = logging.getLogger(__name__)


def choose_layer(
    ibs: Any,
    plugin: Any,
    models: SharedModels,
    *,
    species: str = "",
    names: bool = False,
    most: int = 40,
    layers: Sequence[str] = (),
) -> tuple[LayerFindings, Path]:
    """Measure layers on the host's pairs, and write what was found beside its database.

    Args:
        ibs: the host's controller.
        plugin: the host's MiewID plugin, a module that is attached.
        models: its networks.
        species: whose pairs; that of most pairs where it is not given.
        names: annotations of one name count as confirmed pairs.
        most: how many confirmed pairs are explained at most, and as many rejected ones.
        layers: to choose from; the network's stages where none are given.

    Raises:
        HostError: there are no pairs.
        SettingsError: they show too few individuals, or the process's own options do not fit.
    """
    from ...layer_sweep import measure_layers

    pairs = decided_pairs(ibs)
    if names:
        known = {frozenset(pair.aids) for pair in pairs}
        pairs += [pair for pair in named_pairs(ibs) if frozenset(pair.aids) not in known]
    if not pairs:
        raise HostError(
            "nobody has confirmed or rejected a pair in this database; do so on the review page, or count annotations "
            "of one name as confirmed pairs by --names"
        )
    species = species or Counter(pair.species for pair in pairs).most_common(1)[0][0]
    chosen = [
        pair
        for same in (True, False)
        for pair in in_turns((item for item in pairs if item.species == species and item.same is same), most)
    ]
    settings = dataclasses.replace(server_settings(), layers=(AUTO_LAYER,))
    model = load_host_model(plugin, models, species)
    pairs_shown = _shown(ibs, plugin, model, chosen)
    findings = measure_layers(model.hosted.embedding_model, pairs_shown, layers, settings)
    return findings, findings.write(layer_choice_file(ibs, model.model_id))


def _shown(ibs: Any, plugin: Any, model: HostModel, pairs: Sequence[HostPair]) -> Iterator[DecidedPair]:
    """Yield the pairs with their chips, one at a time; what the host makes no chip of is passed over."""
    from ...layer_sweep import DecidedPair

    for pair in pairs:
        try:
            query, candidate = (host_chip(plugin, ibs, aid, model.config, model.hosted) for aid in pair.aids)
        except Exception as error:  # the host's loader raises nearly anything
            logger.warning("the pair %s is left out: %s", pair.aids, error)
            continue
        yield DecidedPair(individual=pair.individual, query=query, candidate=candidate, same=pair.same)


def _main(arguments: Sequence[str]) -> int:
    parser = command_parser("pairx_plugin.hosts.wildbook.choose_layer", __doc__)
    parser.add_argument("--species", default="", help="species whose pairs are measured; that of most pairs by default")
    parser.add_argument("--names", action="store_true", help="annotations of one name count as confirmed pairs")
    parser.add_argument("--pairs", type=whole_number(1), default=40, help="at most so many pairs of either kind")
    parser.add_argument("--layer", action="append", default=[], help="a layer to choose from; may be repeated")
    given = parser.parse_args(arguments)
    return run_command(lambda: _choose(given), "no layer was chosen")


def _choose(given: Namespace) -> None:
    host = open_host(given.dbdir)
    findings, path = choose_layer(
        host.ibs,
        host.plugin,
        host.models,
        species=given.species,
        names=given.names,
        most=given.pairs,
        layers=given.layer,
    )
    for layer in findings.layers:
        rejected = "" if layer.rejected is None else f", rejected {layer.rejected:.2f}"
        sys.stdout.write(f"{layer.layer_key}: confirmed {layer.confirmed:.2f}{rejected}, score {layer.score:.2f}\n")
    sys.stdout.write(f"{findings.layer_key}: {findings.reason}.\nchoice: {path}\n")


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1:]))
