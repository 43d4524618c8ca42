"""How many steps fit into a budget of processor time: found by trying a few."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from model.networks import cnnrnnlstm
from model.training.examples import Batches, read_set
from model.training.fit import compile_model
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
        Of a run on a set (not on splices made on the fly).
    cpu_minutes
        The budget, all cores together.
    """
    steps = max(1, int(60.0 * cpu_minutes / seconds_per_step(settings)))
    epochs = min(LOOKS, steps)
    return replace(settings, epochs=epochs, steps_per_epoch=max(1, round(steps / epochs)))


def seconds_per_step(settings: TrainSettings) -> float:
    """Measure the processor time of a training step, in seconds, all threads."""
    training_set = read_set(Path(settings.data), seed=settings.seed, division=settings.division)
    batches = Batches(
        training_set.split("train"), settings.window, settings.batch_size, settings.seed, settings.augmentation
    )
    model = cnnrnnlstm.build(settings.features, settings.network)
    compile_model(model, replace(settings, early_loss_weight=0.0, boundary_loss_weight=0.0), batches, n_steps=TRIED + 1)
    for step in range(TRIED + 1):
        if step == 1:
            began = time.process_time()
        features, frames, weights, classes = batches.batch(step)
        model.train_on_batch(
            features, {"frames": frames, "clip_logits": classes}, {"frames": weights, "clip_logits": None}
        )
    return (time.process_time() - began) / TRIED
