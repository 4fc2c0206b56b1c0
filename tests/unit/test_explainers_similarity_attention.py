"""Similarity attention: the paper's formulas by hand, rivals from the ranking, and what it says when it cannot."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import torch
from torch import nn

from pairx_hooks import Annotation, Candidate, ExplanationRequest, RankedQuery, Status, build_manager, hookimpl
from pairx_plugin import EmbeddingModel
from pairx_plugin.chips import Chip
from pairx_plugin.errors import SettingsError
from pairx_plugin.explainers.similarity_attention import SimilarityAttention, side_weights
from pairx_plugin.pipeline import explain_chips
from pairx_plugin.settings import Settings


class Pooled(nn.Module):
    """A map of four channels, averaged: the embedding is the pooled map itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 4, stride=4)

    def forward(self, x):
        return self.conv(x).mean((2, 3))


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        return EmbeddingModel(Pooled().eval(), input_size=(16, 16))


@pytest.fixture
def chips(make_texture):
    return [Chip.from_array(make_texture(seed, 16), name=name) for seed, name in enumerate("qaabbc")]


def by_hand(model, chip, weights):
    """Channel weights by the mean gradient, rectified sum: as the paper says, in float64, with plain autograd."""
    x = model.tensor([chip.pixels]).double()
    conv = nn.functional.conv2d(x, model.network.conv.weight.double(), model.network.conv.bias.double(), stride=4)
    feature_map = conv.detach().requires_grad_()
    embedding = feature_map.mean((2, 3))[0]
    scalar = (torch.as_tensor(weights).double() * embedding / embedding.norm()).sum()
    (gradient,) = torch.autograd.grad(scalar, feature_map)
    alpha = gradient.mean((2, 3))[0]
    return (alpha[:, None, None] * feature_map[0].detach()).sum(0).clamp(min=0).numpy()


def unit(model, chip):
    vector = model.embed([chip.pixels])[0].astype(np.float64)
    return vector / np.linalg.norm(vector)


def ranks(values):
    return np.argsort(np.argsort(values)) / (len(values) - 1)


def asked(model, chips, **options):
    session = SimilarityAttention().prepare(model, chips[0], Settings(options=options))
    session.see_ranking(chips[1:])
    return session


def codes(evidence):
    return [doubt.code for doubt in evidence.doubts]


@pytest.mark.parametrize(
    "options, weigh",
    [
        pytest.param({"attention_weight": "paper"}, lambda q, c, n, m: 1 - abs(q - c), id="pair, paper"),
        pytest.param({"attention_weight": "rank"}, lambda q, c, n, m: 1 - ranks(abs(q - c)), id="pair, rank"),
        pytest.param(
            {"attention_weight": "paper", "attention_mode": "negative"}, lambda q, c, n, m: abs(q - c), id="negative"
        ),
        pytest.param(
            {"attention_weight": "paper", "attention_mode": "triplet"},
            lambda q, c, n, m: (1 - abs(q - c)) * abs(q - n),
            id="triplet",
        ),
        pytest.param(
            {"attention_weight": "paper", "attention_mode": "quadruplet"},
            lambda q, c, n, m: (1 - abs(q - c)) * abs(q - n) * abs(q - m),
            id="quadruplet",
        ),
        pytest.param(
            {"attention_weight": "rank", "attention_mode": "triplet"},
            lambda q, c, n, m: (1 - ranks(abs(q - c))) * ranks(abs(q - n)),
            id="triplet, rank",
        ),
    ],
)
def test_maps_are_those_of_the_formula_by_hand(model, chips, options, weigh):
    # the first candidate is an "a": its rivals are the best "b", fourth of the chips, and the "c" behind it
    query, candidate, rival, other = (unit(model, chips[index]) for index in (0, 1, 3, 5))
    weights = weigh(query, candidate, rival, other)
    (evidence,) = asked(model, chips, **options).explain([chips[1]])
    layer = evidence.layers[0]
    for found, chip in ((layer.relevance_0, chips[0]), (layer.relevance_1, chips[1])):
        expected = by_hand(model, chip, weights)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * max(1e-3, expected.max()))
    assert layer.layer_key == "conv" and layer.grid_0 == (4, 4) and len(layer.matches) == 0
    assert evidence.similarity == pytest.approx(float(query @ candidate), abs=1e-5)


def test_product_weights_make_the_scalar_the_cosine(model, chips):
    query, candidate, rival = (unit(model, chips[index]) for index in (0, 1, 3))
    (pair,) = asked(model, chips, attention_signed=False).explain([chips[1]])
    np.testing.assert_allclose(pair.layers[0].relevance_0, by_hand(model, chips[0], candidate), atol=1e-5)
    np.testing.assert_allclose(pair.layers[0].relevance_1, by_hand(model, chips[1], query), atol=1e-5)
    (triplet,) = asked(model, chips, attention_signed=False, attention_mode="triplet").explain([chips[1]])
    np.testing.assert_allclose(
        triplet.layers[0].relevance_0, by_hand(model, chips[0], candidate - rival), atol=1e-5
    )


def test_signed_maps_keep_what_the_rectifier_drops(model, chips):
    (plain,) = asked(model, chips, attention_signed="no").explain([chips[1]])
    (signed,) = asked(model, chips).explain([chips[1]])
    maps = signed.layers[0].relevance_0
    assert (maps < 0).any()
    np.testing.assert_allclose(np.maximum(maps, 0), plain.layers[0].relevance_0, atol=1e-7)


def test_rival_is_the_best_ranked_chip_of_another_individual(model, chips):
    session = asked(model, chips, attention_mode="triplet")
    first, second, third = session.explain([chips[1], chips[3], chips[5]])
    assert [[d.values["rank"] for d in e.doubts if d.code == "CONTRASTED"] for e in (first, second, third)] == [
        [3], [1], [1],
    ]
    assert "'" not in first.doubts[0].message and "b" not in json.dumps(dict(first.doubts[0].values)), "no names"


@pytest.mark.parametrize(
    "names, seen, code, says",
    [
        pytest.param("aa", True, "NO_RIVAL", "no other individual", id="one individual alone"),
        pytest.param("a", False, "NO_RIVAL", "not shown the ranking", id="ranking never seen"),
        pytest.param([None, "b"], True, "NO_RIVAL", "own name is not known", id="candidate without a name"),
        pytest.param(["a", None], True, "NO_RIVAL", "no other individual", id="others without names"),
    ],
)
def test_without_a_rival_the_pair_is_shown_and_said_to_be(model, make_texture, names, seen, code, says):
    query = Chip.from_array(make_texture(9, 16))
    others = [Chip.from_array(make_texture(seed, 16), name=name) for seed, name in enumerate(names)]
    session = SimilarityAttention().prepare(model, query, Settings(options={"attention_mode": "triplet"}))
    if seen:
        session.see_ranking(others)
    (evidence,) = session.explain(others[:1])
    (pair,) = SimilarityAttention().prepare(model, query, Settings()).explain(others[:1])
    assert codes(evidence) == [code] and says in evidence.doubts[0].message
    np.testing.assert_array_equal(evidence.layers[0].relevance_0, pair.layers[0].relevance_0)


def test_quadruplet_with_one_rival_is_a_triplet_and_says_so(model, chips):
    few = asked(model, chips[:4], attention_mode="quadruplet").explain([chips[1]])[0]
    triplet = asked(model, chips[:4], attention_mode="triplet").explain([chips[1]])[0]
    assert codes(few) == ["ONE_RIVAL", "CONTRASTED"]
    np.testing.assert_array_equal(few.layers[0].relevance_1, triplet.layers[0].relevance_1)


def test_rival_that_cannot_be_embedded_makes_room_for_the_next(chips, make_texture):
    class NanOnBright(Pooled):
        def forward(self, x):
            return super().forward(x) * (2.0 - x.amax((1, 2, 3))).sqrt()[:, None]

    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = EmbeddingModel(NanOnBright().eval(), input_size=(16, 16))
    dark = [dataclasses.replace(Chip.from_array(chip.pixels // 2), name=chip.name) for chip in chips]
    white = Chip.from_array(np.full((16, 16, 3), 255, np.uint8), name="z")
    (evidence,) = asked(model, [dark[0], dark[1], white, dark[3]], attention_mode="triplet").explain([dark[1]])
    assert evidence.doubts[0].values == {"rank": 3}


def test_rivals_are_embedded_once_for_all_candidates(model, chips, monkeypatch):
    session = asked(model, chips, attention_mode="triplet")
    run, n = session._run, []
    monkeypatch.setattr(session, "_run", lambda chosen: n.append(len(chosen)) or run(chosen))
    session.explain(chips[1:3])
    session.explain(chips[1:3])
    assert n == [2, 1, 2]


def test_weights_that_hardly_differ_are_reported(model, chips):
    wide = torch.randn(2, 2000, generator=torch.Generator().manual_seed(1))
    weights = side_weights(*nn.functional.normalize(wide), weight="paper")[0]
    assert float(weights.std() / weights.mean()) < 0.1
    (same,) = asked(model, chips, attention_weight="rank").explain([dataclasses.replace(chips[0], name="a")])
    assert codes(same)[:2] == ["SAME_PICTURE", "WEIGHTS_DEGENERATE"]
    assert next(d for d in same.doubts if d.code == "WEIGHTS_DEGENERATE").values["spread"] == 0.0


def test_map_that_hardly_depends_on_the_partner_is_reported(make_texture):
    """Embeddings whose parts all follow one channel: whatever the weights, the map is that channel's."""

    class OneChannel(Pooled):
        def forward(self, x):
            return self.conv(x)[:, :1].mean((2, 3)).expand(-1, 4) * torch.tensor([1.0, 2.0, 3.0, 4.0]) + 0.1

    with torch.random.fork_rng():
        torch.manual_seed(5)
        model = EmbeddingModel(OneChannel().eval(), input_size=(16, 16))
    chips = [Chip.from_array(make_texture(seed, 16)) for seed in (1, 2)]
    (ranked,) = asked(model, chips, attention_weight="rank", attention_signed=True).explain([chips[1]])
    (doubt,) = [doubt for doubt in ranked.doubts if doubt.code == "PARTNER_HARDLY_COUNTS"]
    assert doubt.values == {"layer": "conv", "correlation": 1.0} and "product" in doubt.message


def test_negative_mode_says_that_it_shows_differences(model, chips):
    (evidence,) = asked(model, chips, attention_mode="negative").explain([chips[1]])
    assert codes(evidence) == ["SHOWS_DIFFERENCES"]


def test_map_that_is_zero_all_over_is_a_doubt_and_no_nan(model, chips):
    (evidence,) = asked(model, chips, attention_mode="negative", attention_weight="paper").explain([chips[0]])
    assert {"MAP_ZERO_0", "MAP_ZERO_1"} <= set(codes(evidence))
    assert not evidence.layers[0].relevance_0.any() and np.isfinite(evidence.layers[0].relevance_1).all()


def test_batches_give_what_single_candidates_give(model, chips):
    together = asked(model, chips).explain(chips[1:4])
    for chip, one in zip(chips[1:4], together):
        (alone,) = asked(model, chips).explain([chip])
        np.testing.assert_allclose(one.layers[0].relevance_0, alone.layers[0].relevance_0, atol=1e-6)
        np.testing.assert_allclose(one.layers[0].relevance_1, alone.layers[0].relevance_1, atol=1e-6)
    assert asked(model, chips).explain([]) == []


@pytest.mark.parametrize(
    "options, says",
    [
        ({"attention_mode": "triplets"}, "nearest: 'triplet'"),
        ({"attention_weight": 3}, "product, rank, paper"),
        ({"attention_signed": "perhaps"}, "true or false"),
        ({"attention_signed": True, "attention_mode": "negative"}, "differences alone"),
    ],
)
def test_options_that_do_not_fit_are_refused_and_others_options_ignored(model, chips, options, says):
    with pytest.raises(SettingsError, match=says):
        asked(model, chips, **options)
    assert asked(model, chips, somebody_elses=1).explain([chips[1]])


class Host:
    """Gives chips without names of their own, as a host of today does."""

    def __init__(self, model, pictures):
        self.model, self.pictures = model, pictures

    @hookimpl
    def provide_embedding_model(self, model_id):
        return self.model

    @hookimpl
    def load_chip(self, annotation):
        return self.pictures[annotation.annotation_id]


def test_hosts_names_reach_the_explainer_through_the_hooks(model, make_texture):
    pictures = {key: make_texture(seed, 16) for seed, key in enumerate(("q", "c1", "c2", "c3"))}
    ranked = RankedQuery(
        query_id="one",
        query=Annotation(annotation_id="q"),
        candidates=tuple(
            Candidate(rank=rank, score=1.0 / rank, annotation=Annotation(annotation_id=f"c{rank}", name=name))
            for rank, name in ((1, "a"), (2, "a"), (3, "b"))
        ),
        model_id="net",
    )
    request = ExplanationRequest(
        explainer="similarity_attention", top_k=3, pictures=("clean",),
        settings={"options": {"attention_mode": "triplet"}},
    )
    found = build_manager(Host(model, pictures)).explain(ranked, request)
    assert [item.status for item in found] == [Status.READY] * 3
    doubts = [{d["code"]: d["values"] for d in item.record["warnings"]} for item in found]
    assert [each["CONTRASTED"]["rank"] for each in doubts] == [3, 3, 1]


def test_explanation_s_id_holds_the_rival(model, chips):
    settings = Settings(explainer="similarity_attention", options={"attention_mode": "triplet"})
    first, *_ = explain_chips(model, chips[0], [chips[1], chips[3]], SimilarityAttention(), settings)
    other, *_ = explain_chips(model, chips[0], [chips[1], chips[5]], SimilarityAttention(), settings)
    again, *_ = explain_chips(model, chips[0], [chips[1], chips[3]], SimilarityAttention(), settings)
    assert first.evidence.other_chips == (chips[3].sha256,) and other.evidence.other_chips == (chips[5].sha256,)
    assert first.explanation_id == again.explanation_id != other.explanation_id
