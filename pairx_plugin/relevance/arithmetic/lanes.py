"""Independent pieces of work side by side on a processor, each on its own share of the cores.

PyTorch splits every step over all cores, and then waits for the slowest. The windows of single cells are so small that
this loses a third of the time: five cells of efficientnetv2_rw_m take 0.85 s so, and 0.58 s where each lane has half of
two cores. How many cores a lane may use is set for its thread alone, and the caller's has its own number again
afterwards: a host's threads, and what it set for them, stay as they are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

import torch

__all__ = ["count_lanes", "side_by_side"]

Result = TypeVar("Result")

_LANES = 2


def count_lanes() -> int:
    """Return how many tasks :func:`side_by_side` does at once for this caller: 1 where one core is all there is."""
    return _LANES if torch.get_num_threads() >= _LANES and _openmp().lib_controllers else 1


def side_by_side(tasks: Sequence[Callable[[], Result]]) -> list[Result]:
    """Do all tasks and return their results in order.

    They run on the caller's thread and on another one where the caller's may use two cores or more, else one after
    another. The caller's modes of autograd do not follow to the other thread; a task sets what it needs.

    Args:
        tasks: independent of one another.

    Raises:
        BaseException: what the first failing task raised; tasks that were not begun by then are left.
    """
    if len(tasks) < 2 or count_lanes() < 2:
        return [task() for task in tasks]
    share = torch.get_num_threads() // _LANES
    waiting: SimpleQueue[int] = SimpleQueue()
    for index in range(len(tasks)):
        waiting.put(index)
    results: dict[int, Result] = {}
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with _limited_to(share):
                while not failures:
                    index = waiting.get_nowait()
                    results[index] = tasks[index]()
        except Empty:
            pass
        except BaseException as error:  # raised again on the caller's thread
            failures.append(error)

    threads = [threading.Thread(target=work, name=f"pairx-lane-{lane}", daemon=True) for lane in range(1, _LANES)]
    for thread in threads:
        thread.start()
    try:
        work()  # the caller is a lane too: it has memory at hand that a new thread would ask the system for
        for thread in threads:
            thread.join()
    except BaseException as error:  # the caller was interrupted: let the lanes end soon
        failures.append(error)
        raise
    if failures:
        raise failures[0]
    return [results[index] for index in range(len(tasks))]


@contextmanager
def _limited_to(n_threads: int) -> Iterator[None]:
    """Let this thread's steps use so many cores; no other thread notices."""
    torch.get_num_threads()  # a thread's first question takes the process's number over, which would undo the limit
    with _openmp().limit(limits=n_threads):
        yield


@lru_cache(maxsize=1)
def _openmp() -> Any:
    """Return what sets the number of threads of the OpenMP runtimes that are loaded; for the calling thread only."""
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="openmp")
