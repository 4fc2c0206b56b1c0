"""What holds connections, threads or files, and gives them back at the end of a ``with`` block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from types import TracebackType
from typing import TypeVar

__all__ = ["Closable"]

_Self = TypeVar("_Self", bound="Closable")


class Closable(ABC):
    """Base of a class with a ``close`` that a ``with`` block calls, whatever happens in the block."""

    @abstractmethod
    def close(self) -> None:
        """Give back what is held; a second call does nothing."""

    def __enter__(self: _Self) -> _Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
