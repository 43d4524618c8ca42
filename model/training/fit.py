"""A training run: from a set to a folder with checkpoints, logs, curves and a bundle.

RUN/settings.json     what was asked for (model.training.settings); a resumed run goes on with exactly this
RUN/state/            weights, optimizer and callbacks' memory after the last whole epoch
RUN/best.keras        the network at its best dev score
RUN/log.csv           one row an epoch, RUN/curves.png the picture of it, RUN/tensorboard/ the same for TensorBoard
RUN/bundle/           what judges recordings (see model.bundle)
RUN/metrics.json      the test table
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from audio.errors import ModelError, ToolkitError, UsageError
from audio.labels import HYBRID, LABELS, label_index
from model import metrics
from model.bundle import read_bundle
from model.networks import build
from model.networks.parts import HELPERS, without_helpers
from model.training import callbacks
from model.training.examples import WHOLE, Batches, Share, TrainingSet, fixed_windows, stream
from model.training.recordings import Splices
from model.training.settings import SINGLE, TrainSettings
from model.training.team import ALONE, Team, as_on_one_device, train_together

MAX_WATCHED = 1_000
"""Dev clips looked at after each epoch, spread evenly over the split; the calibration at the end takes them all."""


def fit(
    run: Path,
    settings: TrainSettings,
    training_set: TrainingSet,
    splices: Splices | None = None,
    *,
    team: Team = ALONE,
) -> keras.Model:
    """Train, or go on training, and return the network at its best dev score.

    Trains on `splices` where they are given, else on the training split of the set; the dev split chooses. The same
    settings on the same set give bit-identical weights, in one go or resumed after a kill: every random draw derives
    from (seed, epoch, step), ops are deterministic, and the state is saved whole after each epoch. A team takes the
    same steps to the rounding of sums (`model.training.team`).

    Raises
    ------
    ToolkitError
        When a recording cannot be read, the state is broken, or a worker of the team is gone.
    """
    ready = prepare(settings, training_set, splices, team=team)
    with team.home(run) as home:
        state = callbacks.read_state(home / "state")
        first_epoch = state["epoch"] if state else 0
        saved, others = _callbacks(home, settings, ready, training_set.split("dev"), first_epoch)
        with team.scope():
            if state:
                saved.restore(state, ready.model)
            elif settings.start_from is not None:
                begin_with(ready.model, Path(settings.start_from))
        if not (state and state["stopped"]) and first_epoch < settings.epochs:
            with callbacks.Interrupt() as interrupt, ready.faults_told():
                ready.train(first_epoch, settings.epochs, [*others, saved, interrupt])
        is_plain = team is ALONE and settings.precision == SINGLE
        best = without_helpers(keras.saving.load_model(home / "best.keras", compile=is_plain))
    return best if is_plain else _plain(best, settings)


def _plain(model: keras.Model, settings: TrainSettings) -> keras.Model:
    """Return a network of float32 for one device with the weights of one that was trained otherwise."""
    plain = without_helpers(build(settings.features, settings.network))
    plain.set_weights(model.get_weights())
    return plain


class Ready(NamedTuple):
    """A network that can be trained, and what it learns from."""

    model: keras.Model
    """Compiled, with random weights."""
    batches: Batches
    helpers: tuple[str, ...]
    steps_per_epoch: int
    team: Team
    faults: list[ToolkitError]
    """What went wrong in the making of batches."""

    def stream(self, first_step: int, n_steps: int, share: Share = WHOLE) -> Any:
        """Return the batches from `first_step` up to `n_steps`, or parts of them, as `model.fit` wants them."""
        return stream(
            self.batches, first_step=first_step, n_steps=n_steps, helpers=self.helpers, share=share, faults=self.faults
        )

    def train(self, first_epoch: int, epochs: int, listeners: list[keras.callbacks.Callback]) -> None:
        """Train from one epoch to another."""
        if self.team is not ALONE:
            train_together(self, first_epoch=first_epoch, epochs=epochs, callbacks=listeners)
            return
        self.model.fit(
            self.stream(first_epoch * self.steps_per_epoch, epochs * self.steps_per_epoch),
            epochs=epochs,
            initial_epoch=first_epoch,
            steps_per_epoch=self.steps_per_epoch,
            callbacks=listeners,
            shuffle=False,
            verbose=0,
        )

    @contextmanager
    def faults_told(self) -> Iterator[None]:
        """Raise what went wrong with a recording instead of what TensorFlow makes of it."""
        import tensorflow as tf

        try:
            yield
        except (tf.errors.OpError, ToolkitError):
            if self.faults:
                raise self.faults[0] from None
            raise


def prepare(
    settings: TrainSettings, training_set: TrainingSet, splices: Splices | None = None, *, team: Team = ALONE
) -> Ready:
    """Build the network of a run and what it learns from; the seed decides every number in it.

    Raises
    ------
    UsageError
        When batches cannot be dealt to the team in equal parts.
    """
    import tensorflow as tf

    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    train = training_set.split("train")
    batches = Batches(
        train,
        settings.window,
        settings.batch_size,
        settings.seed,
        settings.augmentation,
        splices=splices,
        shuffle_window=settings.shuffle_window,
    )
    each = settings.steps_per_epoch or batches.steps_per_pass
    helpers = tuple(name for name in HELPERS if name in settings.loss_weights)
    if batches.examples_per_batch % team.size:
        told = f"batches of {batches.examples_per_batch} windows on {team.size} devices"
        raise UsageError(f"--batch-size: expected a batch that can be dealt out equally. Received: {told}")
    with team.scope(), precision(settings.precision):
        model = build(settings.features, settings.network, helpers=helpers)
        compile_model(model, settings, batches, n_steps=settings.epochs * each)
        if team is not ALONE:
            as_on_one_device(model, team.size)
    return Ready(model, batches, helpers, each, team, [])


@contextmanager
def precision(policy: str) -> Iterator[None]:
    """Let networks that are built here compute by a policy of Keras', one of `model.training.settings.PRECISIONS`."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def begin_with(model: keras.Model, bundle: Path) -> None:
    """Give a fresh network the weights of a bundle's; heads that only training has keep their own.

    Raises
    ------
    ModelError
        When the bundle is missing or broken, or its network is another one.
    """
    path = read_bundle(bundle).keras_path
    try:
        without_helpers(model).set_weights(keras.saving.load_model(path).get_weights())
    except (ValueError, OSError, TypeError) as error:
        raise ModelError(f"{path}: expected a network like the one to train: {error}") from None


def compile_model(model: keras.Model, settings: TrainSettings, batches: Batches, *, n_steps: int) -> None:
    """Attach AdamW with a warm-up and cosine decay over `n_steps`, and the focal losses of all heads.

    The clip head's classes are weighted by the inverse of their share in the training split (focal loss's alpha).
    """
    warmup = min(100, max(1, n_steps // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 10,
        decay_steps=max(1, n_steps - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    gamma, weights = settings.focal_gamma, settings.loss_weights
    frame_loss = keras.losses.BinaryFocalCrossentropy(gamma=gamma)
    clip_loss = keras.losses.CategoricalFocalCrossentropy(alpha=class_weights(batches), gamma=gamma, from_logits=True)
    optimizer = keras.optimizers.AdamW(schedule, weight_decay=settings.weight_decay, clipnorm=1.0)
    optimizer.exclude_from_weight_decay(var_names=["bias", "beta", "gamma"])  # offsets and scales have no size to limit
    model.compile(
        optimizer=optimizer,
        loss={name: clip_loss if name == "clip_logits" else frame_loss for name in weights},
        loss_weights=weights,
        metrics={
            "clip_logits": [
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.F1Score(average="macro", name="macro_f1"),
            ]
        },
    )


def class_weights(batches: Batches) -> list[float]:
    """Weigh classes by the inverse of their share, mean 1 over the clips; a class without clips weighs 0.

    Classes of splices come equally often. Twins that swap stretches are hybrids, whatever the set says.

    Returns
    -------
    weights in the order of `LABELS`
    """
    if batches.splices is not None:
        return [1.0] * len(LABELS)
    clips, swap_share = batches.training_set.clips, batches.swap_share
    paired = {i for pair in batches.twins for i in pair}
    counts = [0.0] * len(LABELS)
    for i, clip in enumerate(clips):
        swapped = swap_share if i in paired else 0.0
        counts[label_index(clip.label)] += 1.0 - swapped
        counts[label_index(HYBRID)] += swapped
    present = sum(count > 0 for count in counts)
    return [len(clips) / (present * count) if count else 0.0 for count in counts]


def _callbacks(
    run: Path, settings: TrainSettings, ready: Ready, dev: TrainingSet, first_epoch: int
) -> tuple[callbacks.SavedState, list[keras.callbacks.Callback]]:
    watch: dict[str, Any] = {"monitor": "dev_score", "mode": "max"}
    best = keras.callbacks.ModelCheckpoint(str(run / "best.keras"), save_best_only=True, **watch)
    patience = keras.callbacks.EarlyStopping(patience=settings.patience, **watch)
    saved = callbacks.SavedState(run / "state", {"best": best, "patience": patience})
    return saved, [
        callbacks.DevScore(_dev_evaluation(dev, settings, ready.team)),
        callbacks.SeededEpochs(settings.seed),
        *([callbacks.Console(settings.epochs, ready.steps_per_epoch, first_epoch)] if ready.team.is_chief else []),
        callbacks.Log(run / "log.csv", first_epoch),
        keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
        best,
        patience,
    ]


def _predict(model: keras.Model, features: Any, batch_size: int) -> dict[str, Any]:
    """As `model.predict`, without the input pipeline that it makes anew (and TensorFlow complains about) each time."""
    import tensorflow as tf

    alone = model.distribute_strategy.num_replicas_in_sync == 1
    # In a team, `predict_on_batch` would gather what all of its devices say.
    called = model.predict_on_batch if alone else tf.function(lambda part: model(part, training=False))
    parts = [called(features[i : i + batch_size]) for i in range(0, len(features), batch_size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _dev_evaluation(dev: TrainingSet, settings: TrainSettings, team: Team) -> Any:
    """As `dev_evaluation`; of several processes the chief looks and tells the others, so that all stop together."""
    look = dev_evaluation(dev, settings) if team.is_chief else None

    def evaluate(model: keras.Model) -> dict[str, float]:
        found = look(model) if look is not None else {}
        return dict(json.loads(team.told(json.dumps(found).encode())))

    return evaluate if team.is_spread else look


def dev_evaluation(dev: TrainingSet, settings: TrainSettings) -> Any:
    """Return a function of the model that gives `dev_accuracy`, `dev_macro_f1`, `dev_frame_eer` and `dev_score`.

    It looks at the middle window of at most `MAX_WATCHED` clips; a figure that is undefined on this split (a class
    is missing, spans are unknown) is left out of the score, and the score is 0 when nothing is defined.
    """
    chosen = np.unique(np.linspace(0, len(dev.clips) - 1, min(len(dev.clips), MAX_WATCHED)).round().astype(int))
    watched = TrainingSet(dev.manifest_path, tuple(dev.clips[i] for i in chosen), dev.has_spans)
    features, frames, weights, classes = fixed_windows(watched, settings.window)
    truth = [LABELS[i] for i in classes.argmax(axis=1)]
    known = weights.astype(bool)

    def evaluate(model: keras.Model) -> dict[str, float]:
        predicted = _predict(model, features, settings.batch_size)
        table = metrics.confusion(truth, [LABELS[i] for i in predicted["clip_logits"].argmax(axis=1)])
        eer = metrics.equal_error_rate(frames[known][:, 0] > 0, predicted["frames"][known][:, 0])
        found = {
            "dev_accuracy": metrics.accuracy(table),
            "dev_macro_f1": metrics.macro_f1(table),
            "dev_frame_eer": eer if dev.has_spans else None,
        }
        parts = [found["dev_macro_f1"], None if found["dev_frame_eer"] is None else 1 - found["dev_frame_eer"]]
        defined = [part for part in parts if part is not None]
        score = float(np.mean(defined)) if defined else 0.0
        return {**{name: value for name, value in found.items() if value is not None}, "dev_score": score}

    return evaluate
