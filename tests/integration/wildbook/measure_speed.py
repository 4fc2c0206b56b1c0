"""How much less an explained candidate costs than the host's own three renders of it, in one process of the host.

    PAIRX_MIEW_ID=... .ci/cache/wildbook/bin/python tests/integration/wildbook/measure_speed.py \
        --reference CHECKOUT_OF_WILDME_PAIRX

The host draws a candidate in three versions, each with its own load of the network and its own run of the public
PAIR-X, 20 lines and 10 colours. Where a checkout of wbia-plugin-miew-id is named its own ``render_with_visualization``
is what is measured; its submodule, the public PAIR-X, is the checkout named by ``--reference``, called with lists of
one picture, since it fails on what the plugin hands to it. Without that checkout the same steps are made here.

Ours is a whole query with the flag on, less the same query with the flag off: chips, evidence, records and the three
pictures in the host's cache, by candidate. The network is MiewID's architecture with random weights. Turns alternate,
so that what slows the machine slows both; CPU time counts all threads of the process.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import logging
import statistics
import sys
import tempfile
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import host_files

VERSIONS = 3
HOSTS_LINES, HOSTS_COLOURS = 20, 10


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock, and of all cores."""

    wall: float
    cpu: float

    def per(self, n: int) -> Spent:
        return Spent(self.wall / n, self.cpu / n)

    def less(self, other: Spent) -> Spent:
        return Spent(self.wall - other.wall, self.cpu - other.cpu)


def spent(work: Callable[[], object]) -> Spent:
    """Measure one call; what it prints is kept back."""
    wall, cpu = time.perf_counter(), time.process_time()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        work()
    return Spent(time.perf_counter() - wall, time.process_time() - cpu)


class Host:
    """The host with a network of MiewID's architecture, our plugin attached, and a query whose embeddings are kept."""

    def __init__(self, folder: Path, reference: Path, backbone: str, size: int) -> None:
        from pairx_plugin.benchmark.reference import find_public_code

        self.public = find_public_code(reference)
        self._fill_submodule()
        host_files.write_models(folder / "models", seeded=backbone, size=size)
        self.plugin = host_files.import_plugin()
        self.ibs = host_files.make_database(folder / "db")
        from pairx_plugin.hosts.wildbook import install

        self.installation = install(ibs=self.ibs)
        self.aids = self.ibs.get_valid_aids()
        self.query()  # the host keeps embeddings

    def _fill_submodule(self) -> None:
        """Put the public PAIR-X in the place of the plugin's submodule, called as it can be called."""

        def explain(img_0, img_1, img_np_0, img_np_1, model, layer_keys, k_lines=20, k_colors=10):
            pictures = [img_np_0], [img_np_1]
            tensors, layer = (img_0, img_1), layer_keys[0]
            run = self.public.explain(tensors, pictures, model, layer, k_lines=k_lines, k_colors=k_colors)
            return run.pictures[0]

        module = types.ModuleType("wbia_miew_id.visualization.pairx.core")
        module.explain = explain
        sys.modules[module.__name__] = module
        self.explain = explain

    def query(self, **options) -> dict:
        """Run a query and have its pictures drawn; nothing of an earlier one is kept."""
        import shutil

        for place in (self.ibs.get_match_thumbdir(), str(Path(self.ibs.cachedir) / "query_match")):
            shutil.rmtree(place, ignore_errors=True)
            Path(place).mkdir(parents=True)
        config = {"pipeline_root": "MiewId", **options}
        result = self.ibs.query_chips_graph(self.aids[:1], self.aids, query_config_dict=config)
        (entry,) = result["cm_dict"].values()
        return entry

    def plain(self) -> dict:
        """A query with the flag off, for which the host need not read its network again either."""
        with self.installation.models.sharing():
            return self.query()

    def explained(self, n: int, colours: int) -> dict:
        """A query that explains `n` candidates with the host's own figures."""
        layer = {"pairx_layers": host_files.LAYER, "pairx_k_lines": HOSTS_LINES, "pairx_k_colors": colours}
        entry = self.query(pairx_explain=True, pairx_top_k=n, **layer)
        made = [len(record["maps"]) for record in entry["pairx"]["explanations"]]
        if entry["pairx"]["n_explained"] != n or len(made) != n:
            raise RuntimeError(f"{entry['pairx']['n_explained']} of {n} candidates were explained")
        return entry

    def renders(self, daid: int) -> Iterator[object]:
        """The host's own three renders of one candidate."""
        request = self.ibs.new_query_request(
            self.aids[:1], [daid], cfgdict={"pipeline_root": "MiewId"}, verbose=False
        )
        match = types.SimpleNamespace(qaid=self.aids[0])
        for _ in range(VERSIONS):
            if hasattr(self.plugin, "draw_one_pairx"):
                yield request.render_with_visualization(match, daid)
            else:
                yield self._drawn_as_the_plugin_does(daid)

    def _drawn_as_the_plugin_does(self, daid: int) -> object:
        import numpy as np
        from PIL import Image

        model, config, _ = self.plugin.read_config_and_load_model(self.ibs.get_annot_species_texts(daid))
        loader, _ = self.plugin._load_data(self.ibs, [self.aids[0], daid], config, batch_size=1)
        tensors, pictures = [], []
        for batch in loader:
            tensors.append(batch[0])
            with Image.open(batch[2][0]) as photograph:
                size = tuple(config.data.image_size[::-1])
                pictures.append(np.array(photograph.convert("RGB").resize(size, Image.BILINEAR)))
        return self.explain(*tensors, *pictures, model.eval(), [host_files.LAYER], HOSTS_LINES, HOSTS_COLOURS)


def measure(host: Host, *, turns: int, n: int, colours: tuple[int, ...]) -> dict:
    """Take turns; return what each way took for a candidate, and the ratios turn by turn."""
    import torch

    first = _told("first query", spent(lambda: host.explained(n, colours[0])).per(n))
    found: dict[str, list[Spent]] = {"host": [], **{f"ours, {k} colours": [] for k in colours}}
    found.update({f"ours, {k} colours, whole query": [] for k in colours})
    for turn in range(turns):
        daid = host.aids[1 + turn % (len(host.aids) - 1)]
        found["host"].append(_told("host", spent(lambda: list(host.renders(daid)))))
        without = _told("flag off", spent(host.plain))
        for k in colours:
            whole = _told(f"{n} candidates, {k} colours", spent(lambda: host.explained(n, k)))
            found[f"ours, {k} colours"].append(whole.less(without).per(n))
            found[f"ours, {k} colours, whole query"].append(whole.per(n))
    ratios = {
        name: {kind: statistics.median(_ratios(found["host"], times, kind)) for kind in ("wall", "cpu")}
        for name, times in found.items()
        if name != "host"
    }
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "plugin": str(host.plugin.__file__),
        "candidates": n,
        "seconds per candidate": {name: [asdict(item) for item in times] for name, times in found.items()},
        "the first query of the process, per candidate": asdict(first),
        "times faster": ratios,
    }


def _told(name: str, item: Spent) -> Spent:
    sys.stderr.write(f"{name}: {item.wall:.2f} s, {item.cpu:.2f} s of all cores\n")
    return item


def _ratios(host: list[Spent], ours: list[Spent], kind: str) -> list[float]:
    return [getattr(theirs, kind) / getattr(own, kind) for theirs, own in zip(host, ours)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--reference", type=Path, required=True, help="checkout of WildMeOrg/pairx")
    parser.add_argument("--backbone", default="efficientnetv2_rw_m", help="timm's name")
    parser.add_argument("--size", type=int, default=440, help="height and width of the network's input")
    parser.add_argument("--turns", type=int, default=2)
    parser.add_argument("--candidates", type=int, default=5, help="that a query explains")
    parser.add_argument("--colours", type=int, nargs="+", default=[10, 5])
    given = parser.parse_args()
    logging.disable(logging.WARNING)
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        with contextlib.redirect_stderr(io.StringIO()):
            host = Host(Path(folder), given.reference, given.backbone, given.size)
        found = measure(host, turns=given.turns, n=given.candidates, colours=tuple(given.colours))
    json.dump(found, sys.stdout, indent=1)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
