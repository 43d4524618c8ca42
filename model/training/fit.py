"""A training run: from a set to a folder with checkpoints, logs, curves and a bundle.

RUN/settings.json     what was asked for; a resumed run goes on with exactly this
RUN/state/            weights, optimizer and callbacks' memory after the last whole epoch
RUN/best.keras        the network at its best dev score
RUN/log.csv           one row an epoch, RUN/curves.png the picture of it, RUN/tensorboard/ the same for TensorBoard
RUN/bundle/           what judges recordings (see model.bundle)
RUN/metrics.json      the test table
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from audio.atomic import replacing
from audio.errors import ModelError, UsageError
from audio.labels import LABELS
from model import metrics
from model.features import FRAME_HOP_SAMPLES, FeatureConfig
from model.networks import cnnrnnlstm
from model.training import callbacks
from model.training.examples import Batches, TrainingSet, Window, fixed_windows, stream
from model.training.recordings import Splices

FOCAL_GAMMA = 2.0
"""Focusing parameter of the focal loss (Lin et al., ICCV 2017, their best)."""

MAX_WATCHED = 1_000
"""Dev clips looked at after each epoch, spread evenly over the split; the calibration at the end takes them all."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a run's result depends on, besides the set itself."""

    data: str
    epochs: int = 20
    batch_size: int = 32
    seed: int = 0
    learning_rate: float = 3e-3
    patience: int = 15
    """Epochs without a better dev score after which training stops."""
    window_s: float = 4.0
    frame_loss_weight: float = 2.0
    splices: Mapping[str, Any] | None = None
    """What training examples are spliced from on the fly, in the words of whoever does it; None: those of the set."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    network: cnnrnnlstm.NetworkConfig = field(default_factory=cnnrnnlstm.NetworkConfig)

    def __post_init__(self) -> None:
        """Refuse settings that train nothing.

        Raises
        ------
        UsageError
            Naming the setting.
        """
        for name in ("epochs", "batch_size", "patience", "learning_rate", "window_s"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name.replace('_', '-')}: expected more than 0. Received: {getattr(self, name)}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more. Received: {self.seed}")

    @property
    def window_samples(self) -> int:
        """Length of a window, a whole number of frames."""
        return max(1, round(self.window_s * self.features.sample_rate / FRAME_HOP_SAMPLES)) * FRAME_HOP_SAMPLES

    @property
    def window(self) -> Window:
        """What is cut from recordings."""
        return Window(self.window_samples, self.features)

    @property
    def step_samples(self) -> int:
        """Distance between the windows of a judged recording: half a window, a whole number of frames."""
        return max(1, self.window_samples // FRAME_HOP_SAMPLES // 2) * FRAME_HOP_SAMPLES

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainSettings:
        """Rebuild from `to_json`."""
        # JSON has no tuples.
        network: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in data["network"].items()}
        facts = {
            **data,
            "features": FeatureConfig.from_json(data["features"]),
            "network": cnnrnnlstm.NetworkConfig(**network),
        }
        return cls(**facts)


def start_run(run: Path, settings: TrainSettings) -> None:
    """Make the folder of a new run.

    Raises
    ------
    UsageError
        When the folder already holds a run.
    """
    path = run / "settings.json"
    if path.exists():
        raise UsageError(f"{run}: already holds a run; go on with it by --resume {run}, or choose another --out")
    with replacing(path) as beside:
        beside.write_text(json.dumps(settings.to_json(), indent=2) + "\n", encoding="utf-8")


def read_run(run: Path) -> TrainSettings:
    """Read the settings of an existing run.

    Raises
    ------
    ModelError
        When there is no run in the folder, or its settings are broken.
    """
    path = run / "settings.json"
    try:
        return TrainSettings.from_json(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ModelError(f"{path}: expected a run to resume: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{path}: not the settings of a run: {error}") from None


def fit(
    run: Path, settings: TrainSettings, training_set: TrainingSet, splices: Splices | None = None
) -> keras.Model:
    """Train, or go on training, and return the network at its best dev score.

    Trains on `splices` where they are given, else on the training split of the set; the dev split chooses. The same
    settings on the same set give bit-identical weights, in one go or resumed after a kill: every random draw derives
    from (seed, epoch, step), ops are deterministic, and the state is saved whole after each epoch.
    """
    import tensorflow as tf

    keras.utils.set_random_seed(settings.seed)
    tf.config.experimental.enable_op_determinism()
    train = training_set.split("train")
    batches = Batches(train, settings.window, settings.batch_size, settings.seed, splices=splices)
    model = cnnrnnlstm.build(settings.features, settings.network)
    compile_model(model, settings, batches)
    state = callbacks.read_state(run / "state")
    first_epoch = state["epoch"] if state else 0
    saved, others = _callbacks(run, settings, batches, training_set.split("dev"), first_epoch)
    if state:
        saved.restore(state, model)
    if not (state and state["stopped"]) and first_epoch < settings.epochs:
        each = batches.steps_per_epoch
        with callbacks.Interrupt() as interrupt:
            model.fit(
                stream(batches, first_step=first_epoch * each, n_steps=settings.epochs * each),
                epochs=settings.epochs,
                initial_epoch=first_epoch,
                steps_per_epoch=each,
                callbacks=[*others, saved, interrupt],
                shuffle=False,
                verbose=0,
            )
    return keras.saving.load_model(run / "best.keras")


def compile_model(model: keras.Model, settings: TrainSettings, batches: Batches) -> None:
    """Attach Adam with a warm-up and cosine decay, and the focal losses of both heads.

    The clip head's classes are weighted by the inverse of their share in the training split (focal loss's alpha).
    """
    total = settings.epochs * batches.steps_per_epoch
    warmup = min(100, max(1, total // 10))
    schedule = keras.optimizers.schedules.CosineDecay(
        settings.learning_rate / 10,
        decay_steps=max(1, total - warmup),
        warmup_target=settings.learning_rate,
        warmup_steps=warmup,
    )
    model.compile(
        optimizer=keras.optimizers.Adam(schedule, clipnorm=1.0),
        loss={
            "frames": keras.losses.BinaryFocalCrossentropy(gamma=FOCAL_GAMMA),
            "clip_logits": keras.losses.CategoricalFocalCrossentropy(
                alpha=class_weights(batches), gamma=FOCAL_GAMMA, from_logits=True
            ),
        },
        loss_weights={"frames": settings.frame_loss_weight, "clip_logits": 1.0},
        metrics={
            "clip_logits": [
                keras.metrics.CategoricalAccuracy(name="accuracy"),
                keras.metrics.F1Score(average="macro", name="macro_f1"),
            ]
        },
    )


def class_weights(batches: Batches) -> list[float]:
    """Weigh classes by the inverse of their share, mean 1 over the clips; a class without clips weighs 0.

    Classes of splices come equally often.

    Returns
    -------
    weights in the order of `LABELS`
    """
    if batches.splices is not None:
        return [1.0] * len(LABELS)
    clips = batches.training_set.clips
    counts = [sum(clip.label == label for clip in clips) for label in LABELS]
    present = sum(count > 0 for count in counts)
    return [len(clips) / (present * count) if count else 0.0 for count in counts]


def _callbacks(
    run: Path, settings: TrainSettings, batches: Batches, dev: TrainingSet, first_epoch: int
) -> tuple[callbacks.SavedState, list[keras.callbacks.Callback]]:
    watch: dict[str, Any] = {"monitor": "dev_score", "mode": "max"}
    best = keras.callbacks.ModelCheckpoint(str(run / "best.keras"), save_best_only=True, **watch)
    patience = keras.callbacks.EarlyStopping(patience=settings.patience, **watch)
    saved = callbacks.SavedState(run / "state", {"best": best, "patience": patience})
    return saved, [
        callbacks.DevScore(dev_evaluation(dev, settings)),
        callbacks.SeededEpochs(settings.seed),
        callbacks.Console(settings.epochs, batches.steps_per_epoch, first_epoch),
        callbacks.Log(run / "log.csv", first_epoch),
        keras.callbacks.TensorBoard(str(run / "tensorboard"), write_graph=False),
        best,
        patience,
    ]


def _predict(model: keras.Model, features: Any, batch_size: int) -> dict[str, Any]:
    """As `model.predict`, without the input pipeline that it makes anew (and TensorFlow complains about) each time."""
    parts = [model.predict_on_batch(features[i : i + batch_size]) for i in range(0, len(features), batch_size)]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


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
