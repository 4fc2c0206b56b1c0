"""What the commands on a database of Wildbook IA share, and the one that chooses a layer as a caller meets it."""

import argparse

import pytest

from pairx_plugin.errors import HostError
from pairx_plugin.hosts.wildbook import choose_layer
from pairx_plugin.hosts.wildbook.commands import run_command, whole_number


def test_command_without_a_database_says_why_nothing_came_of_it(tmp_path, capsys):
    assert choose_layer._main(["--dbdir", str(tmp_path)]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err.startswith("no layer was chosen: there is no database of Wildbook IA in ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", ["0", "-3", "many"])
def test_numbers_of_pairs_that_mean_nothing_are_refused(number, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        choose_layer._main(["--dbdir", str(tmp_path), "--pairs", number])
    assert ended.value.code == 2 and "argument --pairs" in capsys.readouterr().err


def test_whole_numbers_start_where_they_are_told_to():
    kind = whole_number(10)
    assert kind("10") == 10
    with pytest.raises(argparse.ArgumentTypeError, match="must be at least 10, not 9"):
        kind("9")


def test_what_is_not_ours_is_not_swallowed(capsys):
    def fails(error):
        raise error

    assert run_command(lambda: None, "no file was made") == 0
    assert run_command(lambda: fails(HostError("no such host")), "no file was made") == 2
    assert run_command(lambda: fails(ModuleNotFoundError("No module named 'wbia'")), "no file was made") == 2
    assert capsys.readouterr().err.splitlines() == [
        "no file was made: no such host", "no file was made: No module named 'wbia'",
    ]
    with pytest.raises(ZeroDivisionError):
        run_command(lambda: 1 // 0, "no file was made")
