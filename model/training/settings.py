"""What a training run is asked to do, from the command line or a TOML file, and where a run keeps it.

    epochs = 40
    steps_per_epoch = 250

    [features]
    hop_samples = 160

    [network]
    architecture = "cnn-bilstm"
    channels = [24, 48, 64]

Everything that is not named keeps its default; the network, unless it is named, is ours.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from audio.errors import ModelError, UsageError
from model.bundle import Bundle
from model.features import FRAME_HOP_SAMPLES, FeatureConfig
from model.networks import DEFAULT, config_type
from model.networks.config import BaseConfig
from model.training.examples import Augmentation, Window
from model.training.runs import SETTINGS_NAME, read_settings
from model.training.splits import OWN_SPLITS, Division

SINGLE = "float32"

PRECISIONS = (SINGLE, "mixed_bfloat16", "mixed_float16")
"""Keras' policies: mixed ones compute in 16 bits, which GPUs do faster."""

TABLES: Mapping[str, type] = {"features": FeatureConfig, "network": BaseConfig, "augmentation": Augmentation}
"""Settings that have settings of their own; those of the network depend on which it is."""

NOT_ASKED_FOR = ("data", "splices", "start_from", "division")
"""Settings that the command line decides, not a file."""


@dataclass(frozen=True)
class TrainSettings:
    """Everything that a run's result depends on, besides the set itself."""

    data: str
    epochs: int = 20
    batch_size: int = 32
    seed: int = 0
    learning_rate: float = 3e-3
    weight_decay: float = 0.0
    """What each step takes off the weights, times the learning rate (AdamW: Loshchilov and Hutter, ICLR 2019)."""
    patience: int = 15
    """Epochs without a better dev score after which training stops."""
    window_s: float = 4.0
    frame_loss_weight: float = 2.0
    early_loss_weight: float = 0.0
    """Of P(fake) halfway up the network, before its recurrences; 0: the network is not asked."""
    boundary_loss_weight: float = 0.0
    """Of where spans begin and end; 0: the network is not asked."""
    focal_gamma: float = 2.0
    """Focusing parameter of the focal losses (Lin et al., ICCV 2017; 2 was their best, 0 is plain cross-entropy)."""
    steps_per_epoch: int | None = None
    """Batches after which dev is looked at and the state is saved; None: a pass over the training clips."""
    shuffle_window: int | None = None
    """Clips that are shuffled together, for storage that likes reads in order (`model.training.order`); None: all."""
    start_from: str | None = None
    """Bundle whose weights training begins with; None: random weights."""
    division: Division = OWN_SPLITS
    """Other splits than those of the set."""
    precision: str = SINGLE
    """What a network computes in while it is trained, one of `PRECISIONS`; its weights and heads are float32 always."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    splices: Mapping[str, Any] | None = None
    """What training examples are spliced from on the fly, in the words of whoever does it; None: those of the set."""
    features: FeatureConfig = field(default_factory=FeatureConfig)
    network: BaseConfig = field(default_factory=lambda: config_type()())
    """Which network, and its sizes."""

    def __post_init__(self) -> None:
        """Refuse settings that train nothing.

        Raises
        ------
        UsageError
            Naming the setting.
        """
        for name in ("epochs", "batch_size", "patience", "learning_rate", "window_s", "frame_loss_weight"):
            if not getattr(self, name) > 0:
                raise UsageError(f"{name.replace('_', '-')}: expected more than 0. Received: {getattr(self, name)}")
        for name in ("early_loss_weight", "boundary_loss_weight", "focal_gamma", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name.replace('_', '-')}: expected 0 or more. Received: {getattr(self, name)}")
        if self.steps_per_epoch is not None and self.steps_per_epoch < 1:
            raise UsageError(f"steps-per-epoch: expected 1 or more. Received: {self.steps_per_epoch}")
        if self.shuffle_window is not None and self.shuffle_window < 1:
            raise UsageError(f"shuffle-window: expected 1 or more. Received: {self.shuffle_window}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision: expected one of {', '.join(PRECISIONS)}. Received: {self.precision!r}")
        if self.seed < 0:
            raise UsageError(f"seed: expected 0 or more. Received: {self.seed}")
        if self.features.n_mels < self.network.least_mels:
            least = self.network.least_mels
            raise UsageError(f"network: expected n_mels of {least} or more. Received: {self.features.n_mels}")

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

    @property
    def loss_weights(self) -> dict[str, float]:
        """How much each head counts, by its name; without those that count nothing."""
        weights = {
            "frames": self.frame_loss_weight,
            "clip_logits": 1.0,
            "early": self.early_loss_weight,
            "boundaries": self.boundary_loss_weight,
        }
        return {name: weight for name, weight in weights.items() if weight > 0}

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> TrainSettings:
        """Rebuild from `to_json`."""
        facts = {
            **data,
            "features": FeatureConfig.from_json(data["features"]),
            "network": _table("network", data["network"]),
            "augmentation": Augmentation(**_with_tuples(data.get("augmentation", {}))),
            "division": Division(**data.get("division", {})),
        }
        return cls(**facts)


def _with_tuples(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Neither JSON nor TOML has tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in facts.items()}


def read_run(run: Path) -> TrainSettings:
    """Read the settings of an existing run of a network.

    Raises
    ------
    ModelError
        When there is no run in the folder, or its settings are broken.
    UsageError
        When something else than a network was trained there.
    """
    found = read_settings(run)
    if "kind" in found:
        raise UsageError(f"{run}: expected the run of a network: a {found['kind']} model is fitted in one go")
    try:
        return TrainSettings.from_json(found)
    except (ValueError, KeyError, TypeError, UsageError) as error:
        raise ModelError(f"{run / SETTINGS_NAME}: not the settings of a run: {error}") from None


def read_config(path: Path, *, architecture: str | None = None) -> dict[str, Any]:
    """Read settings from a TOML file: the fields of `TrainSettings`, those of `TABLES` as tables.

    Parameters
    ----------
    path
        The file.
    architecture
        The network that the table `network` is about, whichever the file says; None: that one.

    Returns
    -------
    What it names, as arguments of `TrainSettings`.

    Raises
    ------
    UsageError
        When the file cannot be read, or a setting is unknown or of the wrong type.
    """
    try:
        with path.open("rb") as file:
            entries = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"{path}: expected settings of a training: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path}: expected TOML: {error}") from None
    if unasked := sorted(entries.keys() & set(NOT_ASKED_FOR)):
        raise UsageError(f"{path}: expected {', '.join(unasked)} on the command line")
    if architecture is not None and isinstance(entries.get("network"), dict):
        entries["network"]["architecture"] = architecture
    settings_from(str(path), {"data": "", **entries})
    return {name: _table(name, value) if name in TABLES else value for name, value in entries.items()}


def settings_from(where: str, entries: Mapping[str, Any]) -> TrainSettings:
    """Make settings of what a TOML file holds; `where` begins the message of an error.

    Raises
    ------
    UsageError
        When a setting is unknown or of the wrong type.
    """
    known = {each.name for each in fields(TrainSettings)}
    if unknown := sorted(entries.keys() - known):
        raise UsageError(f"{where}: expected some of {', '.join(sorted(known))}. Received: {', '.join(unknown)}")
    try:
        return TrainSettings(**{n: _table(n, value) if n in TABLES else value for n, value in entries.items()})
    except (TypeError, ModelError, UsageError) as error:
        raise UsageError(f"{where}: {error}") from None


def _table(name: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise UsageError(f"{name}: expected a table. Received: {value!r}")
    given = _with_tuples(value)
    # Settings of earlier versions do not say which network they are about: there was one.
    kind = config_type(given.pop("architecture", DEFAULT)) if name == "network" else TABLES[name]
    known = sorted(each.name for each in fields(kind))
    if unknown := sorted(given.keys() - set(known)):
        raise UsageError(f"{name}: unknown {', '.join(unknown)}; expected some of {', '.join(known)}")
    return kind(**given)


def settings_like(bundle: Bundle) -> dict[str, Any]:
    """Return the settings that a network must share with the one it starts from, as arguments of `TrainSettings`.

    Raises
    ------
    ModelError
        When the bundle does not say how its network was built.
    """
    try:
        known = TrainSettings.from_json(bundle.training["settings"])
    except (KeyError, TypeError, UsageError) as error:
        told = f"expected the settings it was trained with, missing or unknown: {error}"
        raise ModelError(f"{bundle.path}: {told}") from None
    return {"features": known.features, "network": known.network, "window_s": known.window_s}
