"""What explaining costs on this machine, beside the public PAIR-X where that can be imported.

A :class:`.plan.Plan` says what is measured, :func:`.running.run_benchmark` measures it row by row, and
:class:`.results.Benchmark` holds what came of it, as data and as the lines of a table. Implementations take turns in
one process, each turn on pictures and on a copy of the network that neither has seen; peak memory is measured in
processes of its own. Only public interfaces are measured, so that the engine may change behind them.
"""

from __future__ import annotations
