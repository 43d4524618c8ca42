"""What lives as long as the service does, how it begins, and in which order it ends."""

from __future__ import annotations

import asyncio
import gc
import shutil
from collections.abc import AsyncIterator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from apps.serving.jobs import Jobs
from apps.serving.places import Places
from apps.serving.settings import Settings
from apps.serving.streams import Bounds, Streams
from apps.serving.telemetry import Metrics
from apps.serving.work import Workers
from audio.locking import alone_in
from model import Detector


@dataclass
class Service:
    """What lives as long as the service does."""

    settings: Settings
    metrics: Metrics
    detector: Detector
    uploads: Path
    workers: Workers
    jobs: Jobs
    streams: Streams
    receiving: Places
    judging: Places
    listening: Places

    @property
    def point_names(self) -> list[str]:
        """Operating points that may be asked for: those of the model, never a file."""
        return [point.name for point in self.detector.bundle.operating_points]

    async def end_streams(self) -> None:
        """Let live streams say their last row: the first thing to do when the service is stopped."""
        await self.streams.end(self.settings.shutdown_s)


@asynccontextmanager
async def running(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
    """Begin everything; at the end, finish what was begun.

    Raises
    ------
    ToolkitError
        There is no usable model, or another service has the folder.
    """
    with ExitStack() as stack:
        service = _begun(settings, metrics, stack)
        await service.workers.ready()
        gc.freeze()  # what lives as long as the service need not be looked through again and again
        judging = asyncio.create_task(service.jobs.run())
        try:
            yield service
        finally:
            await service.end_streams()
            service.jobs.stop()
            await asyncio.wait([judging], timeout=settings.shutdown_s)
            judging.cancel()


def _begun(settings: Settings, metrics: Metrics, stack: ExitStack) -> Service:
    """Load the model, take the folder and start the processes; `stack` ends them."""
    detector = Detector(settings.model, operating_point=settings.operating_point, runtime=settings.runtime)
    stack.enter_context(alone_in(settings.folder))
    uploads = settings.folder / "uploads"
    shutil.rmtree(uploads, ignore_errors=True)  # what a killed service left
    uploads.mkdir()
    stack.callback(shutil.rmtree, uploads, ignore_errors=True)
    workers = Workers(settings.workers, settings, judge_s=settings.judge_s)
    stack.callback(workers.stop)
    long_workers = Workers(1, settings, judge_s=settings.jobs_judge_s)
    stack.callback(long_workers.stop)
    streams = Streams(settings.streams, detector, Bounds(settings.streams_max_seconds, settings.streams_idle_s))
    stack.callback(streams.stop)
    jobs = Jobs(settings, long_workers, metrics)
    jobs.recover()
    return Service(
        settings=settings,
        metrics=metrics,
        detector=detector,
        uploads=uploads,
        workers=workers,
        jobs=jobs,
        streams=streams,
        receiving=Places(settings.uploads, served_at_once=settings.uploads, gauge=metrics.uploads),
        judging=Places(settings.workers + settings.queue, served_at_once=settings.workers, gauge=metrics.waiting),
        listening=Places(settings.streams, served_at_once=settings.streams, gauge=metrics.streams),
    )
