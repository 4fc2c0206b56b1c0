"""What is closable is closed at the end of its block, whatever happens in it."""

from __future__ import annotations

import pytest

from pairx_plugin.closable import Closable


class Connection(Closable):
    def __init__(self):
        self.closed = 0

    def close(self):
        self.closed += 1


def test_block_gives_the_object_itself_and_closes_it():
    connection = Connection()
    with connection as inside:
        assert inside is connection and not connection.closed
    assert connection.closed == 1


def test_an_exception_closes_too_and_goes_on():
    connection = Connection()
    with pytest.raises(KeyError), connection:
        raise KeyError("lost")
    assert connection.closed == 1


def test_class_without_a_close_cannot_be_made():
    class Careless(Closable):
        pass

    with pytest.raises(TypeError, match="close"):
        Careless()
