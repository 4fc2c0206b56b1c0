"""The named attributes of explained pairs, as `pairx-plugin explain` prints them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .display import output, table

if TYPE_CHECKING:
    from ..report import ReportQuery

__all__ = ["print_attributes"]

_TERMS = ("confidence", "overlap", "prior", "score")


def print_attributes(found: ReportQuery) -> None:
    """Print each candidate's attributes with all terms; nothing where the explainer names none."""
    rows = table("", "attribute", "on", *_TERMS, right=("", *_TERMS))
    n_rows = 0
    for explanation in found.explanations:
        record = explanation.to_json()["record"]
        named = record.get("attributes") or []
        if record.get("abstained"):
            rows.add_row(str(explanation.rank), "none that explains the similarity", "", *[""] * len(_TERMS))
            n_rows += 1
        for item in named:
            terms = [_decimal(item.get(term)) for term in _TERMS]
            rows.add_row(str(explanation.rank), f"{item['group']}: {item['name']}", _sides(item), *terms)
            n_rows += 1
    if n_rows:
        output().print(rows)


def _sides(item: dict[str, Any]) -> str:
    if item.get("kind") != "different":
        return "both"
    return "the candidate alone" if item.get("side") == 1 else "the query alone"


def _decimal(value: Any) -> str:
    return f"{value:.2f}" if isinstance(value, (int, float)) else ""
