"""The hooks as a Markdown table, read from the docstrings of the specifications.

Only documents need it: cog writes the table into the README with it, and tests ask it what is documented.
"""

from __future__ import annotations

import inspect
import re

from . import hookspecs
from .markers import PROJECT_NAME

__all__ = ["HEADINGS", "hook_names", "hook_sections", "hook_signature", "hook_table"]

HEADINGS = ("Called", "Args", "Returns", "None", "Failure")


def hook_names() -> list[str]:
    """Return the hooks as they stand in the file, which is the order in which a review meets them."""
    return sorted(hookspecs.__all__, key=lambda hook: getattr(hookspecs, hook).__code__.co_firstlineno)


def hook_signature(hook: str) -> str:
    """Return a hook's call as its implementer writes it, without types: ``load_chip(annotation)``."""
    return f"{hook}({', '.join(inspect.signature(getattr(hookspecs, hook)).parameters)})"


def hook_sections(hook: str) -> dict[str, str]:
    """Return the parts of a hook's docstring by heading, each as one line; the first line is ``Summary``."""
    text = inspect.getdoc(getattr(hookspecs, hook)) or ""
    parts = re.split(rf"^({'|'.join(HEADINGS)}):$", text, flags=re.MULTILINE)
    sections = {heading: " ".join(body.split()) for heading, body in zip(parts[1::2], parts[2::2])}
    return {"Summary": text.partition("\n")[0], **sections}


def hook_table() -> str:
    """Return one row for each hook, with the first sentence of each part of its docstring."""
    rows = ["| Hook | What it does | Called | Returns | Asked | If it raises |", "|" + " --- |" * 6]
    for hook in hook_names():
        sections = hook_sections(hook)
        first = getattr(getattr(hookspecs, hook), f"{PROJECT_NAME}_spec")["firstresult"]
        asked = "plugin by plugin, until one answers" if first else "every plugin"
        parts = [sections["Summary"], sections["Called"], sections["Returns"], asked, sections["Failure"]]
        rows.append(f"| `{hook_signature(hook)}` | {' | '.join(map(_first_sentence, parts))} |")
    return "\n".join(rows)


def _first_sentence(text: str) -> str:
    return re.split(r"\.(?= |$)", text)[0].replace("``", "`").replace("|", "\\|")
