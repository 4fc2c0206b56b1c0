"""The reliability of a calibration as one HTML page."""

from __future__ import annotations

from pathlib import Path

from ..calibration import FIGURES, Calibration
from ..errors import MissingExtra
from .plots import reliability_plot
from .report import write_text

__all__ = ["write_calibration_page"]


def write_calibration_page(path: Path, calibration: Calibration) -> Path:
    """Write the page.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
        StoreError: it cannot be written.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", extra="sample", purpose="writing the report", cause=error) from error
    environment = Environment(
        loader=PackageLoader("pairx_plugin.evaluation"), autoescape=True, undefined=StrictUndefined, trim_blocks=True,
        lstrip_blocks=True,
    )
    page = environment.get_template("calibration.html.j2").render(
        facts=calibration,
        plot=reliability_plot(calibration.bins, title="reliability"),
        weights=sorted(zip(FIGURES, calibration.weights), key=lambda item: -abs(item[1])),
    )
    return write_text(path, page)
