"""The host's command line: our options on it, and its flag for the MiewID plugin."""

import subprocess
import sys
import textwrap

import pytest

from pairx_plugin.hosts.wildbook import miew_id_flag
from pairx_plugin.hosts.wildbook.arguments import argument_options
from pairx_plugin.hosts.wildbook.miew_id_flag import take_over_miew_id
from pairx_plugin.hosts.wildbook.options import read_options

LINES = {
    "flag": ("--web --pairx-explain --port 5000", {"pairx_explain": "true"}),
    "flag off": ("--pairx-explain --no-pairx-explain", {"pairx_explain": "false"}),
    "flag off, the host's other spelling": ("--nopairx-explain", {"pairx_explain": "false"}),
    "flag with a value": ("--pairx-explain=off", {"pairx_explain": "off"}),
    "value behind": ("--pairx-top-k 3 --web", {"pairx_top_k": "3"}),
    "value attached": ("--pairx-layer-key=backbone.blocks.3", {"pairx_layer_key": "backbone.blocks.3"}),
    "underscores": ("--pairx_k_lines 8", {"pairx_k_lines": "8"}),
    "last one counts": ("--pairx-top-k 3 --pairx-top-k 4", {"pairx_top_k": "4"}),
    "the flag takes no value from behind": ("--pairx-explain false", {"pairx_explain": "true"}),
    "value forgotten": ("--pairx-top-k --web", {}),
    "somebody else's": ("--pairx-colour red --top-k 3 pairx-explain", {}),
    "not for people": ("--pairx-refused why", {}),
}


@pytest.mark.parametrize("line, options", LINES.values(), ids=LINES)
def test_options_are_read_as_the_host_spells_its_own(line, options):
    assert argument_options(line.split()) == options


def test_options_of_the_command_line_are_coerced_like_any():
    options = read_options(argument_options("--pairx-explain --pairx-top-k 3 --pairx-rerank".split()))
    assert options.explain and options.settings.top_k == 3 and options.reranking is not None
    refused = read_options(argument_options("--pairx-explain --pairx-top-k many".split()))
    assert refused.failure is not None and "top_k" in refused.failure.message


@pytest.fixture
def installed(monkeypatch):
    """Say that the MiewID plugin is installed."""
    monkeypatch.setattr(miew_id_flag.importlib.util, "find_spec", lambda name: object())


@pytest.mark.parametrize(
    "arguments, environment",
    [(["--web", "--miew-id"], {}), (["--web"], {"UTOOL_MIEW_ID": "True"})],
    ids=["argument", "variable"],
)
def test_flag_is_taken_over_where_the_host_would_not_find_the_plugin(installed, tmp_path, arguments, environment):
    assert take_over_miew_id(arguments, environment, fixed_place=str(tmp_path / "none")) is True
    assert arguments == ["--web"] and "UTOOL_MIEW_ID" not in environment
    # what the host hands on to the processes that it spawns says the same
    assert take_over_miew_id(["--web"], dict(environment), fixed_place=str(tmp_path / "none")) is True


def test_flag_is_the_hosts_where_the_host_finds_the_plugin(installed, tmp_path):
    arguments, environment = ["--miew-id"], {}
    assert take_over_miew_id(arguments, environment, fixed_place=str(tmp_path)) is False
    assert (arguments, environment) == (["--miew-id"], {})


def test_flag_is_the_hosts_where_there_is_no_plugin(tmp_path):
    arguments = ["--miew-id"]
    assert take_over_miew_id(arguments, {}, fixed_place=str(tmp_path / "none")) is False
    assert arguments == ["--miew-id"]


def test_nothing_is_taken_over_where_nothing_was_asked_for(installed, tmp_path):
    none = str(tmp_path / "none")
    assert take_over_miew_id(["--web"], {"UTOOL_MIEW_ID": "False"}, fixed_place=none) is False
    assert take_over_miew_id(["--miew-id", "--no-miew-id"], {}, fixed_place=none) is False


def test_plugin_is_imported_after_the_host_and_before_it_is_used(tmp_path):
    for name, code in {
        "wbia/__init__.py": "import sys\nsys.argv.append('host')\nassert '--miew-id' not in sys.argv\n",
        "wbia_miew_id/__init__.py": "",
        "wbia_miew_id/_plugin.py": "import sys, wbia\nsys.argv.append('plugin')\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(code)
    code = """
        import sys
        from pairx_plugin.hosts.wildbook import loading
        loading._attach = lambda module: sys.argv.append("attached")
        loading.wait_for_host()
        assert "wbia" not in sys.modules
        import wbia
        print(sys.argv[1:])
    """
    run = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), "--web", "--miew-id"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(tmp_path), "PATH": ""},
    )
    assert run.stdout.strip() == "['--web', 'host', 'plugin', 'attached']", run.stderr
