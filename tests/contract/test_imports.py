"""A host may read the contract without the packages that explanations need."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pairx_hooks

FORBIDDEN = ("torch", "numpy", "cv2", "PIL", "pairx_plugin", "zennit", "timm")
FOLDER = Path(pairx_hooks.__file__).resolve().parent
WITH_ALL_MODULES = """
import importlib, pkgutil, sys
import pairx_hooks
for module in pkgutil.iter_modules(pairx_hooks.__path__):
    importlib.import_module(f"pairx_hooks.{module.name}")
pairx_hooks.build_manager(entry_points=False)
print(" ".join(sorted(sys.modules)))
"""


def test_importing_the_contract_imports_nothing_heavy():
    path = f"import sys; sys.path.insert(0, {str(Path(pairx_hooks.__file__).parent.parent)!r})"
    done = subprocess.run(
        [sys.executable, "-c", path + WITH_ALL_MODULES],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert {"pairx_hooks.manager", "pairx_hooks.documentation", "pluggy"} <= loaded
    assert not loaded & set(FORBIDDEN)


@pytest.mark.parametrize("module", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_module_imports_the_standard_library_pluggy_and_its_neighbours_only(module):
    imported = set()
    for node in ast.walk(ast.parse(module.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            imported.add((node.module or "").partition(".")[0])
    assert imported <= {*sys.stdlib_module_names, "pluggy"}


def test_public_names_are_sorted_and_there():
    assert pairx_hooks.__all__ == sorted(pairx_hooks.__all__)
    assert all(hasattr(pairx_hooks, name) for name in pairx_hooks.__all__)
    assert not hasattr(pairx_hooks, "__version__")


def test_types_are_published():
    assert (FOLDER / "py.typed").exists()
