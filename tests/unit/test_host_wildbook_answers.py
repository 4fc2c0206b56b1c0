"""Answers on their way into the host's results, and what their absence means."""

import sys
import threading

from pairx_plugin.hosts.wildbook.answers import ANSWER_KEY, AnswerCollector, absence
from pairx_plugin.hosts.wildbook.graph import with_our_answers


def test_answers_reach_the_result_of_the_query_that_collects_them():
    collector = AnswerCollector()

    def graph(ibs, queries):
        for query in queries:
            collector.add({"query_annot_uuid": query, "n": ibs})
        return {"cm_dict": {query: {} for query in queries}}

    wrapped = with_our_answers(graph, collector)
    assert wrapped(1, ["a", "b"])["cm_dict"] == {
        "a": {ANSWER_KEY: {"query_annot_uuid": "a", "n": 1}},
        "b": {ANSWER_KEY: {"query_annot_uuid": "b", "n": 1}},
    }
    assert wrapped(1, [])["cm_dict"] == {}
    collector.add({"query_annot_uuid": "c"})  # nobody collects
    assert with_our_answers(lambda ibs: {"cm_dict": {"c": {}}}, collector)(1) == {"cm_dict": {"c": {}}}


def test_answers_do_not_cross_threads():
    collector = AnswerCollector()
    with collector.collecting() as found:
        other = threading.Thread(target=collector.add, args=({"query_annot_uuid": "a"},))
        other.start()
        other.join()
        assert found == {}


def test_result_that_has_odd_shape_is_returned_as_it_is():
    collector = AnswerCollector()

    def graph(ibs):
        collector.add({"query_annot_uuid": "a"})
        return {"no cm_dict": 1}

    assert with_our_answers(graph, collector)(1) == {"no cm_dict": 1}


def test_absence_is_told_from_not_asked():
    asked = {"query_config_dict": {"pairx_explain": True}, "cm_dict": {"q": {}}}
    assert "had not loaded pairx-plugin" in absence(asked, "q")
    assert absence({"query_config_dict": {}, "cm_dict": {"q": {}}}, "q") == "'pairx_explain' was not asked for"
    assert absence({**asked, "cm_dict": {"q": {ANSWER_KEY: {}}}}, "q") is None
    assert "was not asked for" in absence({}, "q")
    aliased = {"query_config_dict": {"MiewId_pairx_explain": "yes"}, "cm_dict": {"q": {}}}
    assert "had not loaded pairx-plugin" in absence(aliased, "q")


def test_absence_is_told_where_the_server_asks_for_explanations_by_default(monkeypatch):
    plain = {"query_config_dict": {"pipeline_root": "MiewId"}, "cm_dict": {"q": {}}}
    monkeypatch.setattr(sys, "argv", ["serve", "--web", "--pairx-explain"])
    assert "had not loaded pairx-plugin" in absence(plain, "q")
    monkeypatch.setattr(sys, "argv", ["serve"])
    assert "was not asked for" in absence(plain, "q")
    monkeypatch.setenv("PAIRX_EXPLAIN", "1")
    assert "had not loaded pairx-plugin" in absence(plain, "q")
    refused = {**plain, "query_config_dict": {"pairx_explain": False}}
    assert "was not asked for" in absence(refused, "q")
