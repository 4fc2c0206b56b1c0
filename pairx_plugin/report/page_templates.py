"""Templates of pages and drawings, from a package's folder ``templates``: one place says how text gets into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import MissingExtra

if TYPE_CHECKING:
    from jinja2 import Environment

__all__ = ["page_templates"]


def page_templates(package: str, *, purpose: str) -> Environment:
    """Return the templates of a package; whatever text they are given is escaped, and a name they lack is an error.

    Args:
        package: dotted name, such as ``pairx_plugin.report``.
        purpose: what they are for, said where Jinja2 is not installed.

    Raises:
        MissingExtra: Jinja2 cannot be imported.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined
    except ImportError as error:
        raise MissingExtra("jinja2", extra="sample", purpose=purpose, cause=error) from error
    return Environment(
        loader=PackageLoader(package), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
