"""What people see on a terminal: tables that fit, doubts, and input that is refused before the work."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest

pytest.importorskip("timm", reason="needs the extra 'models'")
pytest.importorskip("typer", reason="needs the extra 'cli'")
pytest.importorskip("cv2", reason="needs the extra 'opencv'")

from pairx_plugin import __main__  # noqa: E402
from pairx_plugin.cli.display import table  # noqa: E402
from pairx_plugin.cli.listening import listen  # noqa: E402
from pairx_plugin.errors import HostUnavailable  # noqa: E402

SMALL = ("--model", "timm:resnet18", "--input-size", "64", "--k-colors", "1", "--k-lines", "8")


def lines(made, width: int) -> list[str]:
    """What a table looks like on a terminal of that width, without the lines that are empty."""
    from rich.console import Console

    console = Console(file=io.StringIO(), width=width)
    console.print(made)
    return [line.strip() for line in console.file.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [76, 40, 38], ids=["wide", "closer", "closest"])
def test_columns_move_together_before_cells_are_broken(width):
    made = table("layer", "receptive\nfield", "grid", right=("receptive\nfield", "grid"), whole=("layer",))
    made.add_row("backbone.blocks.3", "123 x 123", "14 x 14")
    shown = lines(made, width)
    assert len(shown) == 4 and shown[-1].split() == ["backbone.blocks.3", "123", "x", "123", "14", "x", "14"]


def test_names_stay_whole_where_nothing_fits():
    made = table("layer", "grid", whole=("layer",))
    made.add_row("encoder.layers.encoder_layer_11", "112 x 112")
    assert any(line.startswith("encoder.layers.encoder_layer_11") for line in lines(made, 38))


def test_sentences_keep_their_distance_where_they_fold():
    made = table("a", "what came of it")
    made.add_row("first.png", "many words " * 20)
    assert lines(made, 60)[2].startswith("first.png   many words")


def test_doubts_are_printed_once_with_the_candidates_they_are_about(call, photographs, tmp_path):
    query, first, second = (photographs / f"{name}.png" for name in ("query", "first", "second"))
    turned = ("--theta-query", "90", "--no-report", "-o", tmp_path)
    done = call("explain", query, first, second, *SMALL, *turned)
    words = " ".join(done.stdout.split())
    assert words.count("perhaps it is in degrees") == 1 and "doubt about 1, 2: Query: theta = 90 is more" in words

    told = json.loads(call("explain", query, first, *SMALL, *turned, "--json").stdout)
    assert any("degrees" in doubt for doubt in told["explanations"][0]["doubts"])


def test_place_without_a_name_is_shown_as_it_was_typed(call, photographs, tmp_path):
    done = call("explain", photographs / "query.png", photographs / "first.png", ".", *SMALL, "-o", tmp_path)
    assert done.exit_code == 3 and any(line.split()[:2] == ["2", "."] for line in done.stdout.splitlines())


@pytest.mark.parametrize(
    ("name", "says"), [("calibration", "the calibration"), ("layer_choice", "the layer choice")], ids=str
)
def test_named_file_that_cannot_be_read_is_refused(call, photographs, tmp_path, name, says):
    pair, gone = (photographs / "query.png", photographs / "first.png"), tmp_path / "gone.json"
    done = call("explain", *pair, *SMALL, "--layer", "auto", "--set", f"{name}={gone}", "-o", tmp_path / "out")
    assert done.exit_code == 2 and says in done.stderr and "cannot be read: No such file" in done.stderr
    assert not (tmp_path / "out").exists()


def test_sweep_gives_no_seconds_that_nobody_measured(call, photographs, tmp_path):
    pair = photographs / "query.png", photographs / "first.png"
    asked = ("--explainer", "similarity_attention", "--layer", "layer3", "--model", "timm:resnet18", "-o", tmp_path)
    told = json.loads(call("sweep", *pair, *asked, "--input-size", "64", "--json").stdout)
    assert [layer["seconds"] for layer in told["layers"]] == [None]
    done = call("sweep", *pair, *asked, "--input-size", "64")
    assert "All layers together took: forward" in " ".join(done.stdout.split())
    assert "Seconds of each layer" not in done.stdout


@pytest.mark.parametrize("layers, told", [(["--layer", "layer3"], "'layer3'"), ([], "4 layers")])
def test_sweep_of_an_explainer_that_looks_at_no_layer_it_is_given_is_refused(call, photographs, tmp_path, layers, told):
    pair = photographs / "query.png", photographs / "first.png"
    asked = ("--explainer", "sane", "--model", "timm:resnet18", "--input-size", "64", *layers, "-o", tmp_path / "sheet")
    done = call("sweep", *pair, *asked)
    words = " ".join(done.stderr.split())
    assert done.exit_code == 2 and f"the explainer 'sane' was given {told} and looks at 'input'" in words
    assert not (tmp_path / "sheet" / "sweep.html").exists()


def test_rules_that_fit_in_no_mode_are_said_once(call):
    pytest.importorskip("torchvision", reason="needs the extra 'models'")
    done = call("layers", "torchvision:squeezenet1_1", "--input-size", "64")
    words = " ".join(done.stdout.split())
    assert done.exit_code == 0 and words.count("supported, bare or inside of another module") == 1
    assert "Relevance rules: none, in any mode. No relevance rules are known for SqueezeNet" in words


def test_folder_of_pictures_that_is_not_there_is_refused(call, tmp_path):
    done = call("report", tmp_path, "--pictures", tmp_path / "moved")
    assert done.exit_code == 2 and "moved' with pictures; check --pictures" in done.stderr


def test_variant_that_names_no_explainer_is_not_measured_as_pairx(call, tmp_path):
    done = call("evaluate", "--variant", "grad_cma", "-o", tmp_path)
    assert done.exit_code == 2 and "not 'grad_cma'; nearest: 'grad_cam'" in done.stderr


def test_photograph_in_place_of_a_table_of_attributes_is_refused(call, tmp_path):
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff\xe0 no table")
    done = call("train-attributes", tmp_path / "a.jpg", "-o", tmp_path / "head.json")
    assert done.exit_code == 2 and "'a.jpg' is no CSV file" in done.stderr and "CSV UTF-8" in done.stderr


def test_head_that_could_not_be_written_is_refused_before_the_training(call, tmp_path):
    done = call("train-attributes", "sample", "-o", tmp_path)
    assert done.exit_code == 1 and "give the path of a file" in done.stderr


def test_address_of_another_machine_is_no_matter_of_the_port():
    with pytest.raises(HostUnavailable, match="--host must be an address of this machine"):
        listen("192.0.2.1", 0)
    taken = listen("127.0.0.1", 0)
    with taken, pytest.raises(HostUnavailable, match="choose another with --port"):
        listen("127.0.0.1", taken.getsockname()[1])


def test_interrupt_while_the_command_line_is_imported_is_one_word(monkeypatch, capsys):
    def interrupted(name: str) -> None:
        raise KeyboardInterrupt

    module = types.ModuleType("pairx_plugin.cli.app")
    module.__getattr__ = interrupted  # type: ignore[method-assign]
    monkeypatch.setitem(sys.modules, "pairx_plugin.cli.app", module)
    with pytest.raises(SystemExit) as ended:
        __main__.main()
    assert ended.value.code == 130 and capsys.readouterr().err == "interrupted\n"


def test_closed_output_is_no_error(tmp_path: Path):
    command = f'"{sys.executable}" -m pairx_plugin hooks --json >&-'
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, cwd=tmp_path, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
