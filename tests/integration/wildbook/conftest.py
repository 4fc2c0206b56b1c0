"""One database and one host for all tests of this folder; they run in the host's own environment only.

    bash tests/integration/wildbook/make_environment
    .ci/cache/wildbook/bin/python -m pytest -c tests/integration/wildbook/pytest.ini tests/integration/wildbook

The MiewID plugin is the stand-in of this folder, and the host the release 4.0.4, unless checkouts are named by path:
``PAIRX_MIEW_ID`` for wbia-plugin-miew-id, ``PAIRX_WILDBOOK_IA`` for wildbook-ia's main.
"""

from __future__ import annotations

import functools
import importlib.util
import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

_HAS_HOST = importlib.util.find_spec("wbia") is not None
collect_ignore_glob = [] if _HAS_HOST else ["test_*.py"]

if _HAS_HOST:
    import host_files
    import review_reader


class HostUnderTest:
    """The host with our plugin attached, and what it answered before.

    Attributes:
        loads: how often a network was read from its file.
        before: the result, configuration string and thumbnails of a query from before we were attached.
    """

    def __init__(self, folder: Path) -> None:
        host_files.write_models(folder / "models")
        self.plugin = host_files.import_plugin()
        self.loads = 0
        self._count_loads()
        self.ibs = host_files.make_database(folder / "db")
        self.aids = self.ibs.get_valid_aids()
        self.qaid = self.aids[0]
        self.query_uuid = str(self.ibs.get_annot_uuids(self.qaid))
        self.before = self._ask()

    def _count_loads(self) -> None:
        get_model = self.plugin.get_model

        @functools.wraps(get_model)
        def counted(config, checkpoint_path=None, use_gpu=False):  # before we are attached, no GPU has to be there
            self.loads += 1
            return get_model(config, checkpoint_path, use_gpu=use_gpu)

        self.plugin.get_model = counted

    def graph(self, qaids=None, **options):
        """Run ``query_chips_graph``; return its result, and the query's entry."""
        config = {"pipeline_root": "MiewId", **options}
        result = self.ibs.query_chips_graph(qaids or [self.qaid], self.aids, query_config_dict=config)
        return result, result["cm_dict"].get(self.query_uuid)

    def request(self, **options):
        return self.ibs.new_query_request(
            [self.qaid], self.aids, cfgdict={"pipeline_root": "MiewId", **options}, verbose=False
        )

    def _ask(self, **options):
        self.clear()
        result, entry = self.graph(**options)
        request = self.request(**options)
        row = self.ibs.depc_annot["MiewId"].get_config_rowid(request.config)
        return SimpleNamespace(
            result=result, entry=entry, config=request.get_cfgstr(), config_row=row, thumbs=self.thumbs()
        )

    ask = _ask

    def clear(self) -> None:
        """Forget all match pictures and records."""
        for folder in (self.ibs.get_match_thumbdir(), os.path.join(self.ibs.cachedir, "query_match")):
            shutil.rmtree(folder, ignore_errors=True)
            os.makedirs(folder)

    def thumbs(self):
        """Return the bytes of the host's cached pictures by (candidate's row id, version)."""
        found = {}
        for path in Path(self.ibs.get_match_thumbdir()).glob("match_aids=*"):
            pair, _, draw, mask, _ = _parts(path.stem)
            version = "matches" if draw == "True" else "heatmask" if mask == "True" else "clean"
            found[int(pair.split(",")[1]), version] = path.read_bytes()
        return found

    def best(self, entry):
        """Return candidates' UUIDs, best annotation score first."""
        order = sorted(range(len(entry["annot_score_list"])), key=lambda i: -entry["annot_score_list"][i])
        return [str(entry["dannot_uuid_list"][i]) for i in order]

    def aid(self, annot_uuid):
        import uuid

        return self.ibs.get_annot_aids_from_uuid(uuid.UUID(annot_uuid))


def _parts(stem):
    """``match_aids=1,2_cfgstr=abc_draw=True_mask=False_orientation=horizontal`` as five values."""
    return [part.split("=", 1)[1] for part in stem[len("match_"):].split("_")]


@pytest.fixture(scope="session")
def attached_host(tmp_path_factory):
    import torch

    torch.set_num_threads(1)
    host = HostUnderTest(tmp_path_factory.mktemp("host"))
    from pairx_plugin.hosts.wildbook import install

    host.installation = install(ibs=host.ibs)
    return host


@pytest.fixture()
def host(attached_host):
    """The host, with no match picture and no record kept, as after a fresh start."""
    attached_host.clear()
    attached_host.installation.models.close()
    attached_host.installation.review.close()
    return attached_host


@pytest.fixture()
def client(attached_host):
    """The host's web application, without a server."""
    from wbia.control import controller_inject

    app = controller_inject.get_flask_app()
    app.ibs = attached_host.ibs
    return app.test_client()


@pytest.fixture(scope="session")
def encoded():
    """JSON as the host's encoder writes it for jobs and answers, read back strictly: no NaN, no Infinity."""
    import utool

    def refuse(constant):
        raise AssertionError(f"JSON holds {constant}")

    return lambda value: json.loads(utool.to_json(value), parse_constant=refuse)


@pytest.fixture()
def hosted(attached_host):
    """The host as it is, with what other tests have kept."""
    return attached_host


@pytest.fixture()
def explained(hosted):
    """A query whose best candidate is explained; asked again only where a test has cleared what was kept."""
    from pairx_plugin.hosts.wildbook.pictures import reference_of
    from pairx_plugin.hosts.wildbook.shelf import Shelf

    request = hosted.request(pairx_explain=True, pairx_top_k=1)
    where = {"extern_reference": reference_of(request), "query_annot_uuid": hosted.query_uuid}
    if Shelf(hosted.ibs.cachedir, where["extern_reference"]).read_query(hosted.query_uuid) is None:
        hosted.graph(pairx_explain=True, pairx_top_k=1)
    return where


@pytest.fixture()
def reader(hosted, client, explained):
    """A reader of the page, and a host without reviews."""
    ibs = hosted.ibs
    ibs.delete_review(ibs._get_all_review_rowids())
    ibs.delete_annotmatch(ibs._get_all_annotmatch_rowids())
    hosted.installation.review.close()
    yield review_reader.Reader(client, explained)
    hosted.installation.review.close()
