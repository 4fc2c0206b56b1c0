"""Plugins are found in installed distributions; a broken one stops nobody."""

from __future__ import annotations

import sys
import textwrap

import pytest

from pairx_hooks import Annotation, ENTRY_POINT_GROUP, build_manager, hookimpl

GOOD = """
from pairx_hooks import ExplainerEntry, hookimpl

@hookimpl
def load_chip(annotation):
    return "chip of " + __name__

@hookimpl
def register_explainers():
    return [ExplainerEntry(explainer_id=__name__, title=__name__, create=dict)]
"""


@pytest.fixture
def install(tmp_path, monkeypatch):
    """Install distributions into a folder on the path: a module, and metadata that names it."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def make(name, source=GOOD, *, version="1.0", target=None, entry_points=None, metadata=True):
        module = f"{name}_contract_module"
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source), "utf-8")
        folder = tmp_path / f"{name}-{version}.dist-info"
        folder.mkdir()
        if metadata:
            (folder / "METADATA").write_text(
                f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", "utf-8"
            )
        text = entry_points or f"[{ENTRY_POINT_GROUP}]\n{name} = {target or module}\n"
        (folder / "entry_points.txt").write_text(text, "utf-8")
        return module

    yield make
    for module in [name for name in sys.modules if name.endswith("_contract_module")]:
        del sys.modules[module]


def described(manager):
    return {item.name: item for item in manager.describe()}


def test_installed_plugin_is_found_and_described(install):
    module = install("acme", version="2.5")
    manager = build_manager()
    found = described(manager)["acme"]
    assert (found.module, found.distribution, found.version) == (module, "acme", "2.5")
    assert (found.hooks, found.explainers) == (("load_chip", "register_explainers"), (module,))
    assert found.error is None and manager.chip(Annotation(annotation_id="a1")) == f"chip of {module}"


def test_entry_point_may_name_an_object(install):
    source = """
    from pairx_hooks import hookimpl

    class Plugin:
        @hookimpl
        def load_chip(self):
            return "from an object"

    plugin = Plugin()
    """
    install("acme", source, target="acme_contract_module:plugin")
    assert build_manager().chip(Annotation(annotation_id="a1")) == "from an object"


BROKEN = {
    "syntax": ("def (", "SyntaxError"),
    "missing package": ("import a_package_that_nobody_has", "ModuleNotFoundError"),
    "system exit": ("raise SystemExit('no licence')", "SystemExit: no licence"),
    "runtime": ("raise RuntimeError('operator torchvision::nms does not exist')", "nms does not exist"),
    "bad hook": (
        "from pairx_hooks import hookimpl\n@hookimpl\ndef load_chips(): pass",
        "nearest: 'load_chip'",
    ),
    "no hook": ("", "implements no hook"),
}


@pytest.mark.parametrize("source, error", BROKEN.values(), ids=BROKEN)
def test_broken_plugin_is_recorded_and_the_others_work(install, source, error):
    install("aaa", source)
    module = install("zzz")
    manager = build_manager()
    assert manager.chip(Annotation(annotation_id="a1")) == f"chip of {module}"
    broken = [failure for failure in manager.failures if failure.plugin == "aaa"]
    assert [failure.hook for failure in broken] == [None]
    assert error in broken[0].error and broken[0].traceback
    assert ("cannot be imported" in broken[0].error) == ("hook" not in error and "load_chip" not in error)
    found = described(manager)["aaa"]
    assert error in found.error and found.distribution == "aaa" and found.hooks == ()


def test_load_failure_names_the_distribution_and_the_way_out(install):
    install("aaa", "raise RuntimeError('old torch')", version="0.3")
    error = described(build_manager())["aaa"].error
    assert error.startswith("'aaa_contract_module' of aaa 0.3 cannot be imported: RuntimeError: old torch; ")
    assert "block the plugin 'aaa'" in error


def test_failed_plugin_is_named_where_nobody_explains(install, ranked):
    from pairx_hooks import ExplanationRequest

    install("aaa", "raise RuntimeError('old torch')")
    manager = build_manager(blocked=installed_names() - {"aaa"})
    found = manager.explain(ranked(1), ExplanationRequest())
    assert "(aaa: installed, cannot be loaded)" in found[0].failure.message


def installed_names() -> set[str]:
    """Names of the plugins that this environment has, so that a test can leave them out."""
    from importlib.metadata import entry_points

    return {item.name for item in entry_points(group=ENTRY_POINT_GROUP)}


def test_blocked_plugin_is_not_even_imported(install):
    module = install("acme")
    assert "acme" not in described(build_manager(blocked=["acme"]))
    assert module not in sys.modules


def test_without_entry_points_nothing_is_imported(install):
    module = install("acme")
    assert build_manager(entry_points=False).describe() == []
    assert module not in sys.modules


def test_hosts_own_plugin_is_asked_before_the_installed_ones(install):
    install("acme")

    class Host:
        @hookimpl
        def load_chip(self, annotation):
            return "host's" if annotation.annotation_id == "a1" else None

    manager = build_manager(Host())
    assert manager.chip(Annotation(annotation_id="a1")) == "host's"
    assert manager.chip(Annotation(annotation_id="a2")) == "chip of acme_contract_module"


def test_installed_plugins_are_registered_by_name(install):
    for name in ("ccc", "aaa", "bbb"):
        install(name)
    names = [item.name for item in build_manager().describe()]
    assert [name for name in names if len(set(name)) == 1] == ["aaa", "bbb", "ccc"]


def test_plugin_that_the_host_passes_and_that_is_installed_is_registered_once(install):
    module = __import__(install("acme"))
    manager = build_manager(module)
    assert [item.name for item in manager.describe() if item.module == module.__name__] == ["acme"]
    assert manager.failures == ()


def test_two_distributions_of_one_plugin_name_are_told_apart(install):
    install("acme")
    install("other", entry_points=f"[{ENTRY_POINT_GROUP}]\nacme = other_contract_module\n")
    manager = build_manager()
    assert [failure.plugin for failure in manager.failures] == ["acme"]
    assert "'acme' is taken by another plugin" in manager.failures[0].error


def test_same_metadata_twice_on_the_path_is_no_failure(install, tmp_path, monkeypatch):
    install("acme")
    monkeypatch.syspath_prepend(str(tmp_path / ".." / tmp_path.name))
    manager = build_manager()
    assert manager.failures == () and described(manager)["acme"].version == "1.0"


def test_distribution_without_metadata_is_found_all_the_same(install):
    install("acme", metadata=False)
    manager = build_manager()
    assert manager.chip(Annotation(annotation_id="a1")) == "chip of acme_contract_module"
    assert described(manager)["acme"].version is None


@pytest.mark.parametrize(
    "text", [f"[{ENTRY_POINT_GROUP}]\nno equals sign\n", "\x00"], ids=["no value", "no section"]
)
def test_unreadable_entry_points_of_one_distribution_hide_no_others(install, text):
    install("broken", entry_points=text)
    module = install("zzz")
    assert build_manager().chip(Annotation(annotation_id="a1")) == f"chip of {module}"
