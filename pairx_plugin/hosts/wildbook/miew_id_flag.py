"""The host's flag ``--miew-id``, honoured where the host itself cannot.

The host reads a flag ``--x-y`` from its arguments or from the variable ``UTOOL_X_Y``, and hands both on to the
processes that it spawns. wildbook-ia 4.0.4 does not know ``--miew-id``; its main branch imports the MiewID plugin from
one fixed place, and ends where nothing lies there, although the plugin may be installed.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import MutableMapping, MutableSequence

__all__ = ["FIXED_PLACE", "take_over_miew_id"]

FIXED_PLACE = "/wbia/wbia-plugin-miew-id/wbia_miew_id/__init__.py"
_FLAG_ARGUMENT, _FLAG_VARIABLE = "--miew-id", "UTOOL_MIEW_ID"
_REFUSALS = ("--no-miew-id", "--nomiew-id")
_TAKEN_OVER = "PAIRX_WILDBOOK_MIEW_ID"  # set by us, for the processes that the host spawns


def take_over_miew_id(
    arguments: MutableSequence[str] | None = None,
    environment: MutableMapping[str, str] | None = None,
    *,
    fixed_place: str = FIXED_PLACE,
) -> bool:
    """Say whether we have to import the MiewID plugin that the host's flag ``--miew-id`` asks for.

    Then the flag is taken off the arguments and out of the environment, so that the host does not stumble over it, and
    a variable tells the processes that the host spawns.

    Args:
        arguments, environment: of this process; changed in place.
        fixed_place: where the host looks.
    """
    arguments = sys.argv if arguments is None else arguments
    environment = os.environ if environment is None else environment
    if any(refusal in arguments for refusal in _REFUSALS):
        return False
    asked = _FLAG_ARGUMENT in arguments or environment.get(_FLAG_VARIABLE, "").upper() in ("TRUE", "ON")
    if not asked:
        return environment.get(_TAKEN_OVER) == "1"
    if os.path.exists(fixed_place) or importlib.util.find_spec("wbia_miew_id") is None:
        return False  # the host finds it, or there is nothing to be found and the host says so
    arguments[:] = [argument for argument in arguments if argument != _FLAG_ARGUMENT]
    environment.pop(_FLAG_VARIABLE, None)
    environment[_TAKEN_OVER] = "1"
    return True
