"""How many steps fit into a budget of processor time: found by trying a few."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from audio.errors import UsageError
from model.training.examples import read_set
from model.training.fit import prepare
from model.training.settings import TrainSettings

TRIED = 4
"""Steps that are timed, after one that TensorFlow spends on tracing the network."""

LOOKS = 10
"""Into so many epochs a budget is cut: dev is looked at after each."""


def within(settings: TrainSettings, cpu_minutes: float) -> TrainSettings:
    """Return the settings with as many epochs and steps as take about so many minutes of processor time here.

    What is counted are the steps, with the making of their windows; looking at dev comes on top. The settings say how
    many steps it came to, so that a run by them can be repeated on any machine.

    Parameters
    ----------
    settings
        Of a run on a set, not on splices made on the fly.
    cpu_minutes
        The budget, all cores together.

    Raises
    ------
    UsageError
        For a budget that is none.
    """
    if not cpu_minutes > 0:
        raise UsageError(f"minutes: expected more than 0. Received: {cpu_minutes:g}")
    steps = max(1, int(60.0 * cpu_minutes / seconds_per_step(settings)))
    epochs = min(LOOKS, steps)
    return replace(settings, epochs=epochs, steps_per_epoch=max(1, round(steps / epochs)))


def seconds_per_step(settings: TrainSettings) -> float:
    """Measure the processor time of a training step, in seconds, all threads."""
    training_set = read_set(Path(settings.data), seed=settings.seed, division=settings.division)
    ready = prepare(replace(settings, epochs=1, steps_per_epoch=1 + TRIED), training_set)
    ready.model.fit(ready.stream(0, 1), verbose=0)
    began = time.process_time()
    ready.model.fit(ready.stream(1, 1 + TRIED), verbose=0)
    return (time.process_time() - began) / TRIED
