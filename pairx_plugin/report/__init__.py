"""Ranked queries and their explanations as one HTML file that opens from disk and asks nothing of the network.

The room takes records of the hook contract and encoded pictures, so that it can write a report of any host's and any
explainer's work; it knows neither networks nor feature maps.
"""

from __future__ import annotations

from .bands import Band, band_of
from .page import render_report, write_report
from .pictures import encoded_picture
from .queries import Decided, Note, QueryPhotograph, ReportQuery, RunFacts

__all__ = [
    "Band",
    "Decided",
    "Note",
    "QueryPhotograph",
    "ReportQuery",
    "RunFacts",
    "band_of",
    "encoded_picture",
    "render_report",
    "write_report",
]
