"""Workers on a Ray cluster: actors of one core each, wherever there is room. Ray comes with the extra `ray`.

Nothing of Ray's is imported before a cluster is asked for.
"""

from __future__ import annotations

import logging
import os
import pickle
import socket
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from typing import Any

from audio.crew import Attempt, Bundle, Done, Worker, work_through
from audio.errors import ToolkitError, UsageError

AUTO = "auto"
"""The address of the cluster that this machine belongs to."""

REACH_S = 5.0
"""How long a cluster may take to answer at all; Ray itself would go on trying for many minutes."""

STARTS = 2
"""How often it is tried to start one: Ray gives itself 30 s, which a busy machine may need for something else."""

STORE_BYTES = 256 * 2**20
"""Of shared memory for a cluster that we start ourselves: rows are small. Ray's own measure is 30 % of the machine."""


@contextmanager
def cluster(n: int | None, address: str | None) -> Iterator[int]:
    """Join a cluster, or start one for the time being where there is no address; give the number of workers.

    Raises
    ------
    UsageError
        For what is no address.
    ToolkitError
        When Ray is missing, or nobody answers.
    """
    ray = _load_ray()
    if ray.is_initialized():  # somebody else's, who will end it
        yield n or _cores(ray)
        return
    settings: dict[str, Any] = {"address": address}
    if address is None:
        settings = {
            "address": "local",
            "num_cpus": n,
            "include_dashboard": False,
            "object_store_memory": STORE_BYTES,
        }
    elif address != AUTO:
        _reach(address)
    _join(ray, settings, tries=STARTS if address is None else 1)
    try:
        yield n or _cores(ray)
    finally:
        ray.shutdown()


def _join(ray: Any, settings: dict[str, Any], *, tries: int) -> None:
    """Join or start a cluster; raise `ToolkitError` when that fails."""
    for left in reversed(range(tries)):
        try:
            ray.init(**settings, logging_level=logging.ERROR, log_to_driver=False)
            return
        except Exception as error:  # Ray raises bare ones too
            if not left:
                told = " ".join(str(error).split())[:300]
                raise ToolkitError(f"--engine ray: no cluster at {settings['address']}: {told}") from None


def _reach(address: str) -> None:
    """Look whether anybody is at an address.

    Raises
    ------
    UsageError
        When it is none.
    ToolkitError
        When nobody answers there.
    """
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(f"--address: expected HOST:PORT or {AUTO}, received {address!r}")
    try:
        socket.create_connection((host, int(port)), timeout=REACH_S).close()
    except (OSError, OverflowError) as error:
        raise ToolkitError(f"--address: no cluster answers at {address}: {error}") from None


def _load_ray() -> Any:
    """Import Ray and keep it quiet.

    Raises
    ------
    ToolkitError
        When it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # it would tell its makers how it is used
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # its next default, which it would warn of
    try:
        import ray
        from ray._private import worker
    except ImportError:
        raise ToolkitError("--engine ray: Ray is missing: install it with 'pip install -e .[ray]'") from None
    # It tells of dead workers on stdout, where our data goes; we say so ourselves.
    worker.print_to_stdstream = _unsaid
    return ray


def _unsaid(data: Any, ignore_prefix: bool = False) -> None:
    """Print nothing."""


def _cores(ray: Any) -> int:
    return max(1, int(ray.cluster_resources().get("CPU", 1)))


def starter(attempt: Attempt) -> Callable[[], Worker]:
    """Return what starts a worker on the cluster that was joined."""
    import ray

    actor = ray.remote(num_cpus=1, max_restarts=0, max_task_retries=0, scheduling_strategy="SPREAD")(_Actor)
    given, here = ray.put(ray.cloudpickle.dumps(attempt)), (os.getcwd(), sys.path)
    return lambda: _Remote(actor, given, here)


class _Actor:
    """What runs in a worker process of Ray."""

    def __init__(self, attempt: bytes, here: tuple[str, list[str]]) -> None:
        folder, modules = here
        with suppress(OSError):  # so that relative paths mean the same, where storage is shared
            os.chdir(folder)
        sys.path.extend(each for each in modules if each not in sys.path)
        self._attempt: Attempt = pickle.loads(attempt)  # only now, when its modules are found

    def nothing(self) -> None:
        """Answer when ready."""

    def do(self, bundle: Bundle) -> Done:
        """Work through what came."""
        return work_through(self._attempt, bundle)


class _Remote:
    """A worker: an actor of Ray, a process somewhere in the cluster that keeps its model from one item to the next."""

    def __init__(self, actor: Any, attempt: Any, here: tuple[str, list[str]]) -> None:
        from ray.exceptions import RayActorError

        self.lost: tuple[type[BaseException], ...] = (RayActorError,)
        self._actor = actor.remote(attempt, here)
        self.ready: Future[Any] = self._actor.nothing.remote().future()

    def submit(self, bundle: Bundle) -> Future[Done]:
        answer: Future[Done] = self._actor.do.remote(bundle).future()
        return answer

    def end(self) -> None:
        import ray

        ray.kill(self._actor)
