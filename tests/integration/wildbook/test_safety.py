"""The plugin broken on purpose, in every place: the query, its scores and the plain pictures come out as without us."""

from __future__ import annotations

import pytest

from pairx_plugin.hosts.wildbook import explaining, pictures, shelf, stage


def assert_as_without_us(host, now):
    before = host.before
    for scores in ("annot_score_list", "score_list", "name_score_list"):
        assert (now.entry[scores] == before.entry[scores]).all()
    assert now.entry["dannot_uuid_list"] == before.entry["dannot_uuid_list"]
    assert now.entry["dannot_extern_list"] == before.entry["dannot_extern_list"]
    assert now.thumbs == before.thumbs


def broken(*args, **kwargs):
    raise RuntimeError("broken on purpose")


def test_broken_explainer_is_a_failure_of_each_candidate(host, monkeypatch, encoded):
    from pairx_plugin.explainers.pairx import PairXSession

    monkeypatch.setattr(PairXSession, "steps", broken)
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    assert_as_without_us(host, now)
    answer = encoded(now.entry["pairx"])
    assert answer["status"] == "failed" and answer["n_explained"] == 0
    for record in answer["explanations"]:
        assert record["status"] == "failed" and "broken on purpose" in record["errors"][0]["message"]
        assert record["host"]["dannot_uuid"] in host.best(now.entry)[:2]


@pytest.mark.parametrize(
    "owner, name",
    [
        (explaining, "hosted_model"),
        (explaining, "build_manager"),
        (stage, "load_host_model"),
        (stage, "best_candidates"),
        (explaining, "pair_record"),
    ],
    ids=lambda item: getattr(item, "__name__", item),
)
def test_broken_stage_is_a_failure_of_the_query(host, monkeypatch, encoded, owner, name):
    monkeypatch.setattr(owner, name, broken)
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    assert_as_without_us(host, now)
    answer = encoded(now.entry["pairx"])
    assert answer["status"] == "failed" and "broken on purpose" in answer["failure"]["message"]


@pytest.mark.parametrize("name", ["answer", "reference_of", "uuid_text"])
def test_stage_that_cannot_even_answer_leaves_no_answer(host, monkeypatch, name):
    from pairx_plugin.hosts.wildbook import absence

    monkeypatch.setattr(stage, name, broken)
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert_as_without_us(host, now)
    assert "pairx" not in now.entry
    assert "had not loaded" in absence(now.result, host.query_uuid)


def test_broken_options_leave_the_request_to_the_host(host, monkeypatch):
    from pairx_plugin.hosts.wildbook import parameters

    monkeypatch.setattr(parameters, "_prepared", broken)
    now = host.ask()
    assert_as_without_us(host, now)
    assert now.config == host.before.config


def test_broken_parameters_leave_the_configuration_to_the_host(host, monkeypatch):
    from pairx_plugin.hosts.wildbook import parameters

    monkeypatch.setattr(parameters, "option_defaults", broken)
    for options in ({}, {"pairx_explain": True}):
        now = host.ask(**options)
        assert_as_without_us(host, now)
        assert now.config == host.before.config and "pairx" not in now.entry


def test_network_that_cannot_be_recognised_is_read_as_without_us(host, monkeypatch):
    from pairx_plugin.hosts.wildbook import shared_models

    monkeypatch.setattr(shared_models, "_key", broken)
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert (now.entry["annot_score_list"] == host.before.entry["annot_score_list"]).all()
    assert now.entry["pairx"]["status"] == "ready"


def test_broken_pictures_leave_plain_ones_and_the_record(host, monkeypatch):
    monkeypatch.setattr(pictures, "decode", broken)
    now = host.ask(pairx_explain=True, pairx_top_k=2)
    assert_as_without_us(host, now)
    assert now.entry["pairx"]["status"] == "ready"


def test_broken_drawing_leaves_a_partial_record(host, monkeypatch):
    from pairx_plugin import explanation

    monkeypatch.setattr(explanation, "render", broken)
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert_as_without_us(host, now)
    (record,) = now.entry["pairx"]["explanations"]
    assert now.entry["pairx"]["status"] == "partial" and now.entry["pairx"]["n_explained"] == 1
    assert record["status"] == "partial" and record["errors"][0]["code"] == "PICTURES_FAILED"
    assert record["num_matches"] > 0 and record["assets"] == []


def test_chip_that_cannot_be_loaded_costs_its_candidate_alone(host, monkeypatch):
    best = host.best(host.before.entry)[:3]
    load = host.plugin._load_data

    def some_broken(ibs, aids, *args, **kwargs):
        if list(aids) == [host.aid(best[1])]:
            raise OSError("the photograph is gone")
        return load(ibs, aids, *args, **kwargs)

    monkeypatch.setattr(host.plugin, "_load_data", some_broken)
    now = host.ask(pairx_explain=True, pairx_top_k=3)
    records = now.entry["pairx"]["explanations"]
    assert [record["status"] for record in records] == ["ready", "failed", "ready"]
    assert "the photograph is gone" in records[1]["errors"][0]["message"]
    assert now.entry["pairx"]["status"] == "partial"
    plain = host.aid(best[1])
    assert all(now.thumbs[plain, v] == host.before.thumbs[plain, v] for v in ("matches", "heatmask", "clean"))
    shown = host.aid(best[0])
    assert now.thumbs[shown, "matches"] != host.before.thumbs[shown, "matches"]


def test_tensor_that_is_no_picture_is_refused_with_the_reason(host, monkeypatch):
    load = host.plugin._load_data

    def scaled(ibs, aids, *args, **kwargs):
        loader, dataset = load(ibs, aids, *args, **kwargs)
        return [(batch[0] * 0.77, *batch[1:]) for batch in loader], dataset

    monkeypatch.setattr(host.plugin, "_load_data", scaled)
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    (record,) = entry["pairx"]["explanations"]
    assert record["status"] == "failed" and "not a picture normalised" in record["errors"][0]["message"]


def test_full_disk_costs_the_pictures_and_not_the_record(host, monkeypatch, encoded):
    def no_room(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shelf, "write_whole", no_room)
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert_as_without_us(host, now)
    (record,) = encoded(now.entry["pairx"])["explanations"]
    assert record["status"] == "partial" and record["errors"][-1]["code"] == "EXPLANATION_NOT_KEPT"
    assert record["errors"][-1]["retryable"] is True and record["num_matches"] > 0


def test_full_disk_leaves_no_picture_of_a_former_box(host, monkeypatch):
    """The host's own cache of pictures knows no boxes, and a record that cannot be written must not hide that."""
    first = host.ask(pairx_explain=True, pairx_top_k=1)
    best = host.aid(host.best(first.entry)[0])
    x, y, width, height = host.ibs.get_annot_bboxes(best)

    def no_room(path, data):
        raise OSError(28, "No space left on device")

    try:
        host.ibs.set_annot_bboxes([best], [(x + 20, y + 10, width - 40, height - 20)])
        with monkeypatch.context() as patch:
            patch.setattr(shelf, "write_whole", no_room)
            _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
        assert entry["pairx"]["explanations"][0]["errors"][-1]["code"] == "EXPLANATION_NOT_KEPT"
        thumbs = host.thumbs()
        assert thumbs[best, "clean"] != first.thumbs[best, "clean"]
        assert thumbs[best, "matches"] == thumbs[best, "clean"]  # plain, as the host draws what is not explained
    finally:
        host.ibs.set_annot_bboxes([best], [(x, y, width, height)])


def test_failure_is_tried_again_and_then_shown(host, monkeypatch):
    from pairx_plugin.explainers.pairx import PairXSession

    with monkeypatch.context() as patch:
        patch.setattr(PairXSession, "steps", broken)
        failed = host.ask(pairx_explain=True, pairx_top_k=1)
    assert failed.thumbs == host.before.thumbs
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert entry["pairx"]["status"] == "ready"
    best = host.aid(host.best(entry)[0])
    assert host.thumbs()[best, "matches"] != host.before.thumbs[best, "matches"]


def test_query_that_fails_between_two_that_do_not_is_plain_and_the_next_is_not(host, monkeypatch):
    first = host.ask(pairx_explain=True, pairx_top_k=1)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "load_host_model", broken)
        _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert entry["pairx"]["status"] == "failed" and host.thumbs() == host.before.thumbs
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    assert entry["pairx"]["status"] == "ready" and host.thumbs() == first.thumbs


def test_record_that_the_host_cannot_encode_does_not_leave_us(host, monkeypatch, encoded):
    """A result that the host cannot encode ends a worker process of its job engine."""
    from pairx_plugin import explanation

    to_json = explanation.PairExplanation.to_json
    monkeypatch.setattr(
        explanation.PairExplanation, "to_json", lambda self: {**to_json(self), "similarity": float("nan")}
    )
    _, entry = host.graph(pairx_explain=True, pairx_top_k=1)
    (record,) = encoded(entry["pairx"])["explanations"]
    assert record["similarity"] is None


def test_exit_in_our_stage_does_not_end_the_host(host, monkeypatch):
    def leave(*args, **kwargs):
        raise SystemExit(3)

    monkeypatch.setattr(stage, "load_host_model", leave)
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert_as_without_us(host, now)
    assert now.entry["pairx"]["status"] == "failed" and "SystemExit" in now.entry["pairx"]["failure"]["message"]


def test_answer_that_is_no_json_is_a_failure_that_says_so(host, monkeypatch, encoded):
    monkeypatch.setattr(stage, "files_of", lambda settings: {"calibration": float("nan")})
    now = host.ask(pairx_explain=True, pairx_top_k=1)
    assert_as_without_us(host, now)
    answer = encoded(now.entry["pairx"])
    assert answer["status"] == "failed" and "not JSON compliant" in answer["failure"]["message"]


def test_several_queries_at_once_have_an_answer_each(host):
    result, _ = host.graph(qaids=host.aids[:2], pairx_explain=True, pairx_top_k=1)
    for query, entry in result["cm_dict"].items():
        assert entry["pairx"]["query_annot_uuid"] == query and entry["pairx"]["n_explained"] == 1
