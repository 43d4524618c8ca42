"""What happens around an epoch: the dev score, the saved state that makes resuming exact, and the console table."""

from __future__ import annotations

import csv
import json
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import keras
import numpy as np

from audio.atomic import replacing
from audio.errors import ModelError

STATE_NAME = "latest.json"
STATE_FIELDS = ("best", "wait", "stopped_epoch", "best_epoch", "cooldown_counter")
"""What Keras' EarlyStopping, ModelCheckpoint and ReduceLROnPlateau remember between epochs."""


def read_state(folder: Path) -> dict[str, Any] | None:
    """Read what `SavedState` last wrote: `epoch` (finished epochs), `weights`, `callbacks`, `stopped`, `cpu_seconds`;
    None if nothing.

    Raises
    ------
    ModelError
        When the state is there but broken.
    """
    path = folder / STATE_NAME
    if not path.exists():
        return None
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        facts = {key: state[key] for key in ("epoch", "weights", "callbacks", "stopped")}
        return {**facts, "cpu_seconds": float(state.get("cpu_seconds", 0.0))}  # older states did not count it
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a saved training state: {error}") from None


class SavedState(keras.callbacks.Callback):
    """Save weights, optimizer and the memory of other callbacks after every epoch, and put them back on resume.

    Keras' `BackupAndRestore` saves the same weights, but overwrites its only copy in place and forgets how patient
    EarlyStopping was and what ModelCheckpoint's best was. Here the weights of an epoch get a file of their own and
    `latest.json` is moved into place after it, so that a kill at any moment leaves a whole state. Put this callback
    last: what it saves is the state after all others have run.
    """

    def __init__(self, folder: Path, watched: Mapping[str, keras.callbacks.Callback]) -> None:
        super().__init__()
        self.folder = folder
        self.watched = watched
        self._memories: Mapping[str, Mapping[str, Any]] = {}
        self._cpu_seconds = -time.process_time()  # what this process did before is no training

    def restore(self, state: Mapping[str, Any], model: keras.Model) -> None:
        """Put `state` from `read_state` back into `model`; the callbacks get their memory when training begins."""
        model.optimizer.build(model.trainable_variables)
        model.load_weights(self.folder / state["weights"])
        self._memories = state["callbacks"]
        self._cpu_seconds += state["cpu_seconds"]

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Give the callbacks their memory back; EarlyStopping has just cleared its own, being ahead in the list."""
        for name, memory in self._memories.items():
            for field, value in memory.items():
                setattr(self.watched[name], field, value)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Save."""
        self.folder.mkdir(parents=True, exist_ok=True)
        name = f"epoch-{epoch + 1:04d}.weights.h5"
        self.model.save_weights(self.folder / name, overwrite=True)
        state = {
            "epoch": epoch + 1,
            "weights": name,
            "callbacks": {key: _memory(callback) for key, callback in self.watched.items()},
            "stopped": bool(self.model.stop_training),
            "cpu_seconds": self._cpu_seconds + time.process_time(),
        }
        with replacing(self.folder / STATE_NAME) as beside:
            beside.write_text(json.dumps(state, indent=2), encoding="utf-8")
        for old in self.folder.glob("epoch-*.weights.h5"):
            if old.name != name:
                old.unlink()


def _memory(callback: keras.callbacks.Callback) -> dict[str, float | None]:
    fields = [field for field in STATE_FIELDS if hasattr(callback, field)]
    values = {field: getattr(callback, field) for field in fields}
    return {field: None if value is None else float(value) for field, value in values.items()}


class Interrupt(keras.callbacks.Callback):
    """Make Ctrl-C count even where Python loses it: raise it again after the batch.

    Python drops what is raised in destructors and weak references' callbacks, of which TensorFlow runs many, and a
    `KeyboardInterrupt` that falls into one is gone. In a `with` block around the training; it leaves alone a program
    that handles Ctrl-C in a way of its own, and does nothing outside the main thread.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False

    def __enter__(self) -> Interrupt:
        self._taken = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        self._taken = self._taken and threading.current_thread() is threading.main_thread()
        if self._taken:
            signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        if self._taken:
            signal.signal(signal.SIGINT, signal.default_int_handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        signal.default_int_handler(number, frame)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Stop when somebody asked for it."""
        if self.asked:
            raise KeyboardInterrupt


class SeededEpochs(keras.callbacks.Callback):
    """Derive dropout's randomness from (seed, epoch), so that an epoch is the same in a resumed run."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Set every dropout layer's generator."""
        for index, layer in enumerate(self.model.layers):
            if isinstance(layer, keras.layers.Dropout) and layer.rate > 0:
                state = np.random.SeedSequence((self.seed, epoch, index)).generate_state(2)
                layer.seed_generator.state.assign(state.astype(layer.seed_generator.state.dtype))


class DevScore(keras.callbacks.Callback):
    """Add `dev_score` to the logs: the mean of what the two heads reach on dev, both in [0, 1].

    macro-F1 of the clips and, where spans are known, 1 - EER of the frames. Put this callback first.
    """

    def __init__(self, evaluate: Callable[[keras.Model], Mapping[str, float]]) -> None:
        super().__init__()
        self.evaluate = evaluate

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Evaluate and extend `logs`, which Keras hands to the callbacks after this one."""
        if logs is not None:
            logs.update(self.evaluate(self.model))


class Console(keras.callbacks.Callback):
    """Tell how it goes: one line an epoch on stderr, and in a terminal a progress bar with an ETA."""

    COLUMNS = ("loss", "accuracy", "macro_f1", "dev_accuracy", "dev_macro_f1", "dev_frame_eer")

    def __init__(self, epochs: int, steps_per_epoch: int, first_epoch: int) -> None:
        super().__init__()
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.first_epoch = first_epoch
        self._bar: Any = None

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Start the bar over all steps of the run."""
        from tqdm import tqdm

        self._bar = tqdm(
            total=self.epochs * self.steps_per_epoch,
            initial=self.first_epoch * self.steps_per_epoch,
            desc="training",
            unit="step",
            disable=None,
            file=sys.stderr,
        )

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Move the bar."""
        self._bar.update(1)

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Print the epoch's line."""
        facts = _plain(logs or {})
        shown = "  ".join(f"{name} {facts[name]:.3f}" for name in self.COLUMNS if name in facts)
        self._bar.write(f"epoch {epoch + 1}/{self.epochs}  {shown}", file=sys.stderr)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Close the bar."""
        self._bar.close()


class Log(keras.callbacks.Callback):
    """Write one CSV row an epoch; on resume, rows of epochs that will run again are dropped first."""

    def __init__(self, path: Path, first_epoch: int) -> None:
        super().__init__()
        self.path = path
        self.first_epoch = first_epoch

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Drop what is ahead of the resumed epoch."""
        _write_rows(self.path, [row for row in read_log(self.path) if int(row["epoch"]) <= self.first_epoch])

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Add a row."""
        _write_rows(self.path, [*read_log(self.path), {"epoch": epoch + 1, **_plain(logs or {})}])


def read_log(path: Path) -> list[dict[str, Any]]:
    """Read the CSV of a run: one dict an epoch, values as text; empty when there is none yet."""
    if not path.exists():
        return []
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_rows(path: Path, rows: list[dict[str, Any]]) -> None:
    with replacing(path) as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["epoch"])
        writer.writeheader()
        writer.writerows(rows)


PLAIN_NAMES = {
    "loss": "loss",
    "clip_logits_accuracy": "accuracy",
    "clip_logits_macro_f1": "macro_f1",
    "clip_logits_loss": "clip_loss",
    "frames_loss": "frame_loss",
}
"""Keras' names of the training figures, and ours."""


def _plain(logs: Mapping[str, float]) -> dict[str, float]:
    named = {PLAIN_NAMES.get(name, name): float(value) for name, value in logs.items()}
    return {name: value for name, value in named.items() if name in PLAIN_NAMES.values() or name.startswith("dev_")}
