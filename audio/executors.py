"""Where the work of `audio.jobs` is done: in this process, in others of this machine, or on a cluster by Ray.

All take a function and a stream of items and give back what came of each, a bounded number at a time: memory does not
grow with the number of items, and what comes of them is the same everywhere.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from typing import Protocol

from audio import cluster, crew
from audio.crew import Attempt, Known, Outcomes, Todo
from audio.errors import UsageError
from audio.processes import Process


class Executor(Protocol):
    """A place to work."""

    def outcomes(self, attempt: Attempt, todo: Todo, *, ordered: bool) -> Outcomes:
        """Yield the name and outcome of each item, in their order or, if not `ordered`, as they come.

        Raises
        ------
        ToolkitError
            When there are no workers to be had.
        Exception
            Whatever `attempt` raised.
        """


@dataclass(frozen=True)
class Here:
    """This process."""

    def outcomes(self, attempt: Attempt, todo: Todo, *, ordered: bool) -> Outcomes:
        """See `Executor`."""
        for name, item in todo:
            yield name, item if item is Known.DONE else attempt(name, item)


@dataclass(frozen=True)
class Processes:
    """Processes of this machine: spawned, as on Windows and macOS, so that they begin alike everywhere."""

    n: int

    def outcomes(self, attempt: Attempt, todo: Todo, *, ordered: bool) -> Outcomes:
        """See `Executor`."""
        return crew.outcomes(lambda: Process(attempt), self.n, todo, ordered=ordered)


@dataclass(frozen=True)
class OnRay:
    """Workers on a Ray cluster, one core each; Ray comes with the extra `ray`.

    Parameters
    ----------
    n
        How many; None for as many as the cluster has cores now. More than that wait until there is room.
    address
        Of the cluster, "auto" for the one that this machine belongs to; None for one that lives only as long as the
        work, on this machine.
    """

    n: int | None = None
    address: str | None = None

    def outcomes(self, attempt: Attempt, todo: Todo, *, ordered: bool) -> Outcomes:
        """See `Executor`."""
        with cluster.cluster(self.n, self.address) as n:
            yield from crew.outcomes(cluster.starter(attempt), n, todo, ordered=ordered)


Workers = int | Executor
"""How many processes of this machine, or where else; 1 is this process."""


def executor_of(workers: Workers) -> Executor:
    """Return the place that is meant.

    Raises
    ------
    UsageError
        For fewer than one worker.
    """
    if not isinstance(workers, int):
        return workers
    if workers < 1:
        raise UsageError(f"workers: expected at least 1, received {workers}")
    return Here() if workers == 1 else Processes(workers)


LOCAL, RAY = "local", "ray"
"""What `--engine` takes."""


def add_executor(parser: argparse.ArgumentParser, *, default: int | None = None, told: str = "processes") -> None:
    """Declare where a command works.

    Parameters
    ----------
    parser
        Of the command.
    default
        Processes unless told otherwise; None for one a core.
    told
        What works side by side.
    """
    add, usual = parser.add_argument, "all cores" if default is None else default
    many = f"{told} (default: {usual}; on a Ray cluster all that it has)"
    add("-j", "--workers", type=int, metavar="N", help=many)
    add("--engine", choices=(LOCAL, RAY), default=LOCAL, help="this machine, or a Ray cluster (default: %(default)s)")
    add("--address", metavar="HOST:PORT", help="of the cluster, or auto (default: one on this machine, for the time)")
    parser.set_defaults(usual_workers=default)


def workers_of(arguments: argparse.Namespace) -> Workers:
    """Return where a command was told to work.

    Raises
    ------
    UsageError
        For fewer than one worker, or an address of nothing.
    """
    if arguments.workers is not None:
        executor_of(arguments.workers)
    if arguments.engine == RAY:
        return OnRay(arguments.workers, arguments.address)
    if arguments.address is not None:
        raise UsageError(f"--address: expected --engine {RAY} beside it, received {arguments.address} alone")
    return arguments.workers or arguments.usual_workers or os.cpu_count() or 1
