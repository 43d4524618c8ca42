"""Who trains together: one process alone, the GPUs of a machine, or processes on several machines.

    one           this process on its one device; nothing here is used
    mirrored      `tf.distribute.MirroredStrategy`: every GPU of this machine holds the network and takes a part of each
                  batch
    multi-worker  `tf.distribute.MultiWorkerMirroredStrategy`: so do the devices of every process that TF_CONFIG names

The gradients of the parts are summed before a step, so that it is the step that one device takes on the whole batch, to
the rounding of sums: batch normalisation sees the whole batch (`synchronized`), and gradients are clipped after they
are summed, where Keras clips each part's. Dropout alone differs: each part draws the mask of its own shape.

Keras 3 trains with a `MirroredStrategy` in `model.fit`, but not with a `MultiWorkerMirroredStrategy`: `fit` and
`test_on_batch` end in an error there (keras 3.15 with TensorFlow 2.21, docs/training_at_scale.md; keras issue 20585).
So a team has a loop of its own, `train_together`, around Keras' `train_step`, the same for both.

The first worker is the chief. It alone writes the run's folder; what it reads there to go on, and what it finds on dev,
it tells the others, which write to temporary folders. So no folder need be shared, and no two workers can decide
differently when to stop.
"""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from audio.errors import ModelError, UsageError
from model.training.examples import Share

if TYPE_CHECKING:
    from model.training.fit import Ready

ONE, MIRRORED, WORKERS = "one", "mirrored", "multi-worker"

TOLD = ("state/*", "best.keras", "log.csv")
"""What of a run's folder a worker needs to go on as the chief does."""

PADDED_BYTES = 1 << 16
"""Messages are filled up to a multiple of it, so that TensorFlow prepares for few sizes."""


@dataclass(frozen=True)
class Team:
    """Those who train together. Without a strategy: this process alone, as if there were no teams."""

    strategy: Any = None
    """A `tf.distribute.Strategy` of two devices or more."""
    is_chief: bool = True
    is_spread: bool = False
    """Whether there are other processes."""

    @property
    def size(self) -> int:
        """Devices that take part."""
        return 1 if self.strategy is None else int(self.strategy.num_replicas_in_sync)

    def scope(self) -> AbstractContextManager[Any]:
        """Where the network and its optimizer are to be made."""
        return nullcontext() if self.strategy is None else self.strategy.scope()

    def share(self, context: Any) -> Share:
        """Return which parts of each batch one input pipeline makes, by TensorFlow's `InputContext`."""
        here = self.size // int(context.num_input_pipelines)
        return Share(int(context.input_pipeline_id) * here, here, self.size)

    def told(self, content: bytes) -> bytes:
        """Return what the chief holds; all workers call this together, with whatever they hold.

        Raises
        ------
        ModelError
            When another worker is gone.
        """
        if not self.is_spread:
            return content
        with others_at_work():
            pages, rest = self._from_chief(np.array(divmod(len(content), PADDED_BYTES)))  # exact in float32
            length = int(pages) * PADDED_BYTES + int(rest)
            padded = np.zeros(-(-length // PADDED_BYTES) * PADDED_BYTES, dtype=np.uint8)
            if self.is_chief:
                padded[:length] = np.frombuffer(content, dtype=np.uint8)
            return bytes(self._from_chief(padded)[:length].astype(np.uint8).tobytes()) if length else b""

    def _from_chief(self, numbers: Any) -> Any:
        """Sum over the team, to which only the chief's first device gives anything; float32 holds these numbers."""
        import tensorflow as tf

        found = _from_first(self.strategy)(tf.constant(numbers, dtype=tf.float32))
        return self.strategy.experimental_local_results(found)[0].numpy().astype(np.int64)

    @contextmanager
    def home(self, run: Path) -> Iterator[Path]:
        """Lend the folder in which this process trains: the run's, or a temporary one that begins as the run's is."""
        if not self.is_spread:
            yield run
            return
        packed = self.told(_packed(run) if self.is_chief else b"")
        if self.is_chief:
            yield run
            return
        with tempfile.TemporaryDirectory(prefix="worker-") as folder:
            with zipfile.ZipFile(io.BytesIO(packed)) as files:
                files.extractall(folder)
            yield Path(folder)


ALONE = Team()


@lru_cache(maxsize=1)
def _from_first(strategy: Any) -> Callable[[Any], Any]:
    """Return a function that gives all devices the float32 numbers of the first; one function, traced once a size."""
    import tensorflow as tf

    def replica(part: Any) -> Any:
        context = tf.distribute.get_replica_context()
        first = tf.cast(tf.equal(context.replica_id_in_sync_group, 0), tf.float32)
        return context.all_reduce(tf.distribute.ReduceOp.SUM, part * first)

    return tf.function(lambda own: strategy.run(replica, args=(own,)))


def _packed(run: Path) -> bytes:
    """Put together what `TOLD` names."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as files:
        for path in sorted(path for pattern in TOLD for path in run.glob(pattern)):
            files.write(path, path.relative_to(run).as_posix())
    return packed.getvalue()


def open_team(name: str, *, devices: Sequence[str] | None = None) -> Team:
    """Find the others. To be called before anything of TensorFlow's is used; waits until all workers are there.

    Parameters
    ----------
    name
        `ONE`, `MIRRORED` or `WORKERS`.
    devices
        Of `MIRRORED`; None: all GPUs.

    Raises
    ------
    UsageError
        When there is nobody to train together with, or TF_CONFIG does not say who.
    """
    import tensorflow as tf

    if name == ONE:
        return ALONE
    if name == MIRRORED:
        found = devices or [device.name for device in tf.config.list_logical_devices("GPU")]
        if len(found) < 2:
            raise UsageError(f"--strategy {MIRRORED}: expected two GPUs or more. Received: {len(found)}")
        return Team(tf.distribute.MirroredStrategy(found))
    rank = read_cluster(os.environ.get("TF_CONFIG"))
    return Team(tf.distribute.MultiWorkerMirroredStrategy(), is_chief=rank == 0, is_spread=True)


def mixed_precision(kind: str) -> str:
    """Return the setting for a type of 16 bits.

    Raises
    ------
    UsageError
        When there is no GPU.
    """
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        raise UsageError("--mixed-precision: expected a GPU, found none: without one it is slower, and gains nothing")
    return f"mixed_{kind}"


def read_cluster(text: str | None) -> int:
    """Return this worker's place in TF_CONFIG, from 0; the first is the chief.

    Raises
    ------
    UsageError
        When it is missing, broken, or says something else than workers.
    """
    told = 'expected {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}} in TF_CONFIG'
    if not text:
        raise UsageError(f"--strategy {WORKERS}: {told}. Received: none")
    try:
        config = json.loads(text)
        workers, task = config["cluster"]["worker"], config["task"]
        sound = set(config["cluster"]) == {"worker"} and task["type"] == "worker" and len(workers) > 1
        if sound and task["index"] in range(len(workers)):
            return int(task["index"])
    except (ValueError, KeyError, TypeError):
        pass
    raise UsageError(f"--strategy {WORKERS}: {told}, with two workers or more. Received: {text[:200]}")


@contextmanager
def others_at_work() -> Iterator[None]:
    """Turn what TensorFlow says when a worker is gone into a line."""
    import tensorflow as tf

    try:
        yield
    except tf.errors.OpError as error:
        told = error.message.strip().splitlines()[0][:160] if error.message.strip() else type(error).__name__
        raise ModelError(f"another worker is gone; start all of them again with --resume. TensorFlow: {told}") from None


def as_on_one_device(model: keras.Model, size: int) -> None:
    """Let a compiled network in a team learn what it would learn alone from whole batches."""
    import tensorflow as tf

    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = True
    optimizer = model.optimizer
    clipping = getattr(optimizer, "inner_optimizer", optimizer)  # of mixed_float16, inside one that scales the loss
    clipping.clipnorm = clipping.clipnorm / size
    own = optimizer.apply

    def apply(gradients: Any, variables: Any = None) -> Any:
        """Sum first, then clip: Keras clips what comes and sums that, so each device brings the same share of it."""
        summed = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, list(gradients))
        return own([each / size for each in summed], variables)

    optimizer.apply = apply


def train_together(
    ready: Ready, *, first_epoch: int, epochs: int, callbacks: Sequence[keras.callbacks.Callback]
) -> None:
    """Do for a team what `model.fit` does for one.

    Raises
    ------
    ModelError
        When another worker is gone.
    """
    model, each, team = ready.model, ready.steps_per_epoch, ready.team
    feed = _fed(ready, first_epoch * each, epochs * each)
    listeners = keras.callbacks.CallbackList(
        list(callbacks), add_history=False, add_progbar=False, model=model, epochs=epochs, steps=each
    )
    model.stop_training = False
    listeners.on_train_begin()
    step = _step(team.strategy, model)
    with others_at_work():
        for epoch in range(first_epoch, epochs):
            model.reset_metrics()
            listeners.on_epoch_begin(epoch)
            for number in range(each):
                listeners.on_train_batch_begin(number)
                step(feed)
                listeners.on_train_batch_end(number)
            logs = {name: float(value) for name, value in model.get_metrics_result().items()}
            listeners.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
    listeners.on_train_end()


def _fed(ready: Ready, first_step: int, n_steps: int) -> Iterator[Any]:
    """Return the batches of a team, cut into parts; the network's metrics are made by the first of them."""
    team = ready.team
    dataset = team.strategy.distribute_datasets_from_function(
        lambda context: ready.stream(first_step, n_steps, team.share(context))
    )
    with team.scope():  # by Keras' own `_symbolic_build`: what is public fails with several workers, like `fit`
        ready.model._symbolic_build(data_batch=next(iter(ready.stream(first_step, n_steps, Share(0, 1, team.size)))))
    return iter(dataset)


def _step(strategy: Any, model: keras.Model) -> Callable[[Any], None]:
    import tensorflow as tf

    @tf.function
    def step(feed: Any) -> None:
        strategy.run(model.train_step, args=(next(feed),))

    return step
