"""What the commands on a database of Wildbook IA share: how they are called, and how they say that nothing came of it.

The host's environment need not have the packages of our own command line, so these stand on argparse.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from ...errors import PairXError

__all__ = ["command_parser", "run_command", "whole_number"]

_REFUSED = 2


def command_parser(module: str, description: str | None) -> argparse.ArgumentParser:
    """Return the parser of ``python -m MODULE``, which asks for the database already.

    Args:
        description: of the command, shown as it is laid out.
    """
    parser = argparse.ArgumentParser(
        prog=f"python -m {module}", description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dbdir", required=True, help="folder of the host's database")
    return parser


def whole_number(least: int) -> Callable[[str], int]:
    """Return the type of an argument that is a whole number of at least `least`."""

    def whole(text: str) -> int:
        number = int(text)
        if number < least:
            raise argparse.ArgumentTypeError(f"must be at least {least}, not {number}")
        return number

    return whole


def run_command(work: Callable[[], None], refusal: str) -> int:
    """Do the work of a command, and return the status that its process ends with.

    Args:
        work: may raise what we raise, and ImportError where a package of the host is missing.
        refusal: begins the line on standard error, such as ``no layer was chosen``.
    """
    try:
        work()
    except (PairXError, ImportError) as error:
        sys.stderr.write(f"{refusal}: {error}\n")
        return _REFUSED
    return 0
