"""Codes and values become sentences: places, scores, doubts, failures, plausibility."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timezone

from pairx_hooks import Candidate, Failure, RankedQuery

from .attribute_names import with_names
from .bands import (
    CHANCE_AT_LEAST,
    SOME_FACTOR,
    SOME_SHARE,
    STRONG_FACTOR,
    STRONG_SHARE,
    Band,
    band_of,
    band_of_ratio,
)
from .messages import Messages
from .queries import Decided, Note
from .reading import Figures, LayerFacts, Link, Place, RecordFacts

__all__ = ["Words", "short"]

_SETTINGS = ("k_lines", "k_colors", "mode", "channel_reduction", "similarity_seed", "seed")
_EDGE_WIDTH = 0.06  # of a chip's side: the outermost cells of a 16 x 16 grid and no others
_MANY_SHARE, _MANY_LEAST = 1 / 3, 3  # from so many links on, a reader is warned
_NO_DOUBTS = ("CHIP_SHRUNK",)  # larger boxes are usual: the network shrinks every chip, and nothing is missing
_INSIDE = {True: "Y", False: "N", None: "U"}


class Words:
    """Puts facts into one language's words.

    Args:
        say: the language's messages.
    """

    def __init__(self, say: Messages) -> None:
        self.say = say

    def place(self, place: Place | None) -> str:
        """Return "upper left" and its like: the chip is divided into three by three parts."""
        if place is None:
            return self.say("PLACE_UNKNOWN")
        column, row = (min(2, max(0, int(value * 3))) for value in place)
        return self.say(f"PLACE_{row}_{column}")

    def exact_place(self, place: Place | None) -> str:
        """Return a place in words and as shares of the chip."""
        if place is None:
            return self.say("PLACE_UNKNOWN")
        return self.say("PLACE", words=self.place(place), x=place[0], y=place[1])

    def number(self, message_id: str, value: float | None) -> str:
        """Return a number as `message_id` writes it."""
        return self.say("UNKNOWN_VALUE") if value is None else self.say(message_id, value=value)

    def score(self, candidate: Candidate) -> str:
        """Return the host's score."""
        return self.say("NO_SCORE") if candidate.score is None else self.say("NUMBER", value=candidate.score)

    def scale(self, score_scale: str) -> str:
        """Return what a score scale means; a scale without a message is the host's own."""
        return self.say.known(f"SCALE_{score_scale.upper()}", {}, self.say("SCALE_RAW"))

    def names(self, query: RankedQuery, candidate: Candidate) -> str:
        """Return whether the host knows both as one individual; empty where it does not know."""
        names = query.query.name, candidate.annotation.name
        if None in names:
            return ""
        return self.say("NAMES_SAME" if names[0] == names[1] else "NAMES_OTHER")

    def band(self, figures: Figures | None) -> Band:
        """Return the band of a layer's figures; none where the order of the links means nothing."""
        if figures is None or any(reason.code == "RELEVANCE_ZERO" for reason in figures.reasons):
            return Band.NOT_ASSESSED
        if figures.likelihood_ratio is not None:
            return band_of_ratio(figures.likelihood_ratio)
        return band_of(figures.n_inliers, figures.n_chance, figures.n_tested)

    def calibration(self, figures: Figures | None) -> str:
        """Return whether a band was measured on decisions, in a word."""
        return self.say("CALIBRATED" if figures is not None and figures.calibrated else "UNCALIBRATED")

    def band_means(self, figures: Figures | None) -> str:
        """Return what a band is about, to be read after it."""
        if figures is not None and figures.calibrated:
            return self.say("BAND_MEANS_CALIBRATED")
        return self.say("BAND_MEANS_NONE" if self.band(figures) is Band.NONE else "BAND_MEANS")

    def verdict(self, figures: Figures | None) -> str:
        """Return a band in one line: the word, what it is about, and whether it was measured on decisions."""
        band = self.band(figures)
        word = self.say(f"BAND_{band.name}")
        if band is Band.NOT_ASSESSED:
            return word
        return f"{word} {self.band_means(figures)} ({self.calibration(figures)})"

    def plausibility(self, layer: LayerFacts) -> list[str]:
        """Return what the figures of a layer say, sentence by sentence."""
        figures = layer.figures
        signs = [self.say("MAPS_SIGNED")] if layer.signed and not layer.n_coloured else []
        signs += [self.say("COLOURS_SIGNED")] if layer.signed_colours else []
        outside = [sentence for sentence in [self._outside(layer)] if sentence]
        if figures is None:
            return [self.say("MAPS_ONLY" if layer.maps_only else "NO_FIGURES"), *outside, *signs]
        # What lies outside is told by the links themselves, which explainers without figures have as well.
        reasons = [reason for reason in figures.reasons if reason.code != "OUTSIDE_ANIMAL"]
        sentences = [*(self._reason(reason) for reason in reasons), *outside]
        if figures.confirmed is not None and figures.confirmed_of_all is not None:
            sentences.append(self.say("CONFIRMED", share=figures.confirmed, of_all=figures.confirmed_of_all))
        shares = [link.share for link in layer.links if link.share is not None]
        if shares and layer.n_matches and layer.n_matches > len(shares):
            sentences.append(self.say("LEADING", n=len(shares), share=sum(shares), of=layer.n_matches))
        return sentences + signs

    def figures(self, facts: RecordFacts, layer: LayerFacts) -> list[tuple[str, str]]:
        """Return the figures behind the words, each with its scale."""
        rows = [("FIGURE_SIMILARITY", facts.similarity)] if facts.similarity is not None else []
        named = [(self.say(key), self.number("NUMBER", value)) for key, value in rows]
        figures = layer.figures
        if figures is None:
            return named
        if figures.n_inliers is not None:
            tested = self.say("FIGURE_INLIERS_VALUE", n=figures.n_inliers, of=figures.n_tested)
            named.append((self.say("FIGURE_INLIERS"), tested))
        if figures.n_chance is not None:
            named.append((self.say("FIGURE_CHANCE"), str(figures.n_chance)))
        for key, value in (
            ("FIGURE_IRM", figures.irm_rob),
            ("FIGURE_IRM_REFERENCE", figures.irm_ref),
            ("FIGURE_COVERAGE", figures.match_coverage),
        ):
            if value is not None:
                named.append((self.say(key), self.number("NUMBER", value)))
        return named

    def doubts(self, facts: RecordFacts, of_query: Sequence[Note], of_candidate: Sequence[Note]) -> list[str]:
        """Return every doubt about a pair once: the pair's own, then the chips', then the host's."""
        own = [
            self.say.known(f"DOUBT_{doubt.code}", with_names(doubt.values, self.say), doubt.message or doubt.code)
            for doubt in facts.doubts
        ]
        own += [doubt for layer in facts.layers for doubt in self._off_the_animal(layer)]
        sides = (("DOUBT_OF_QUERY", of_query), ("DOUBT_OF_CANDIDATE", of_candidate))
        for (key, notes), chip_doubts in zip(sides, facts.chip_doubts):
            told = {doubt.code for doubt in chip_doubts}
            both = [*chip_doubts, *(note for note in notes if note.code not in told)]
            own += [self.say(key, text=text) for text in self.notes(both)]
        return [doubt for doubt in dict.fromkeys(own) if doubt]

    def notes(self, notes: Sequence[Note]) -> list[str]:
        """Return what casts doubt on a photograph or its chip, in this language where the code is known."""
        told = (note for note in notes if note.code not in _NO_DOUBTS)
        return [self.say.known(f"NOTE_{note.code}", note.values, note.message or note.code) for note in told]

    def failure(self, failure: Failure) -> str:
        """Return why something is missing, in plain words; empty for a code without a message."""
        return self.say.known(f"FAILURE_{failure.code}", {}, "")

    def decision(self, decided: Decided | None) -> str:
        """Return what a reviewer decided, how sure, by whom and when, and the note."""
        if decided is None:
            return self.say("DECISION_NONE")
        said = [self.say.known(f"DECISION_{decided.evidence_decision}", {}, decided.evidence_decision)]
        if decided.confidence != "unspecified":
            said.append(self.say.known(f"CONFIDENCE_{decided.confidence}", {}, decided.confidence))
        said += [self.say.known(f"TAG_{tag}", {}, tag) for tag in decided.tags]
        when = datetime.fromtimestamp(decided.timestamp, timezone.utc)
        said.append(self.say("DECIDED_BY", who=decided.user_id.removeprefix("user:web:"), when=when))
        return ", ".join(said) + (f": {decided.comment}" if decided.comment else "")

    def provenance(self, facts: RecordFacts) -> list[tuple[str, str]]:
        """Return where an explanation comes from, as pairs of term and value."""
        layers = ", ".join(layer.layer_key for layer in facts.layers if layer.layer_key)
        model = " ".join(filter(None, (facts.model_id, short(facts.model_fingerprint))))
        rows = [
            ("PROVENANCE_EXPLAINER", facts.algorithm),
            ("PROVENANCE_MODEL", model),
            ("PROVENANCE_LAYER", layers),
            ("PROVENANCE_SETTINGS", _settings(facts.params)),
            ("PROVENANCE_VERSIONS", ", ".join(f"{name} {version}" for name, version in facts.versions.items())),
            ("PROVENANCE_CREATED", facts.created),
            ("PROVENANCE_RECORD", short(facts.record_id, 24)),
        ]
        if facts.seconds is not None:
            time = self.say("PROVENANCE_SECONDS_VALUE", value=facts.seconds, device=facts.device or "?")
            rows.insert(5, ("PROVENANCE_SECONDS", time))
        return [(self.say(key), value) for key, value in rows if value]

    def bands_rule(self) -> str:
        """Return the rule by which the band is chosen."""
        some, strong = (SOME_FACTOR, SOME_SHARE), (STRONG_FACTOR, STRONG_SHARE)
        values = {"some": some[0], "some_share": some[1], "strong": strong[0], "strong_share": strong[1]}
        return self.say("HOW_BANDS_RULE", **values, chance=CHANCE_AT_LEAST)

    def inside(self, link: Link) -> str:
        """Return whether a link lies on the animal."""
        return self.say(f"INSIDE_{_INSIDE[link.inside[0]]}{_INSIDE[link.inside[1]]}")

    def _outside(self, layer: LayerFacts) -> str:
        """Return how many links end outside of the animal; nothing where nobody knows where it is."""
        n, of = layer.n_outside, len(layer.links)
        if n is None:
            return ""
        if n:
            return self.say("OUTSIDE_SOME", n=n, of=of)
        if layer.outlined(0) and layer.outlined(1):
            return self.say("OUTSIDE_NONE", of=of)
        return self.say("OUTSIDE_NONE_0" if layer.outlined(0) else "OUTSIDE_NONE_1")

    def _off_the_animal(self, layer: LayerFacts) -> list[str]:
        """Return doubts where much of the evidence lies beside the animal, or, not knowing where it is, at the edge."""
        if layer.n_outside is None:
            return [self._at_edge(layer)]
        posed = [link for link in layer.links if link.inlier]
        n_posed = sum(link.outside for link in posed)
        if _is_many(n_posed, len(posed)):
            return [self.say("DOUBT_POSE_OUTSIDE", n=n_posed, of=len(posed))]
        many = _is_many(layer.n_outside, len(layer.links))
        return [self.say("DOUBT_OUTSIDE_ANIMAL", n=layer.n_outside, of=len(layer.links))] if many else []

    def _at_edge(self, layer: LayerFacts) -> str:
        """Return a doubt where many links end in the outermost part of a chip, else nothing."""
        ends = [(link.place_0, link.place_1) for link in layer.links]
        n = sum(any(place is not None and _is_edge(place) for place in pair) for pair in ends)
        return self.say("DOUBT_AT_EDGE", n=n, of=len(ends)) if _is_many(n, len(ends)) else ""

    def _reason(self, reason: Note) -> str:
        side = reason.values.get("side")
        key = f"REASON_{reason.code}" + (f"_{side}" if side in (0, 1) else "")
        return self.say.known(key, reason.values, reason.message or self.say("REASON_OTHER", code=reason.code))


def short(digest: str, length: int = 19) -> str:
    """Return a digest's beginning, enough to tell two apart: ``sha256:154ece9c911e``."""
    return digest if len(digest) <= length else f"{digest[:length]}…"


def _is_many(n: int, of: int) -> bool:
    return n >= _MANY_LEAST and n >= _MANY_SHARE * of


def _is_edge(place: Place) -> bool:
    return any(value < _EDGE_WIDTH or value > 1.0 - _EDGE_WIDTH for value in place)


def _settings(params: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {params[name]}" for name in _SETTINGS if name in params)
