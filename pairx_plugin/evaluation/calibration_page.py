"""The reliability of a calibration as one HTML page."""

from __future__ import annotations

from pathlib import Path

from ..calibration import FIGURES, Calibration
from ..report.page_templates import page_templates
from .plots import reliability_plot
from .report import write_text

__all__ = ["write_calibration_page"]


def write_calibration_page(path: Path, calibration: Calibration) -> Path:
    """Write the page.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        StoreError: it cannot be written.
    """
    templates = page_templates("pairx_plugin.evaluation", purpose="writing the report")
    page = templates.get_template("calibration.html.j2").render(
        facts=calibration,
        plot=reliability_plot(calibration.bins, title="reliability"),
        weights=sorted(zip(FIGURES, calibration.weights), key=lambda item: -abs(item[1])),
    )
    return write_text(path, page)
