"""A bundle: one folder that holds a trained model and every fact needed to judge with it.

    bundle.json   schema version, kind, name, windows, features, calibration, operating points, limits of what is
                  judged, training facts, licence, and the hashes of exactly the other files

    kind "network"     model.onnx, what judging runs; model.keras, what fine-tuning starts from
    kind "classical"   fitted models (`model.classical.heads`), an embedding network where there is one
    kind "stack"       whole bundles in members/0, members/1 ..., and the fitted models that weigh what they say

Formats are promises: a bundle of any version must always read. Version 1 had one operating point without a name and
no limits, version 2 no kind: it is a network. A bundle is data from whoever made it; take none from people you do not
trust. Even so nothing in one is ever unpickled.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from audio.atomic import replacing
from audio.errors import ModelError, UsageError
from audio.labels import LABELS
from model.features import FRAME_HOP_SAMPLES, FeatureConfig
from model.judging.abstain import Limits

SCHEMA_VERSION = 3
"""Version of `bundle.json` that `write_bundle` writes."""

READABLE_VERSIONS = (1, 2, 3)
"""Versions that `read_bundle` reads."""

CARD_NAME = "bundle.json"
ONNX_NAME = "model.onnx"
KERAS_NAME = "model.keras"
NETWORK_FILES = (ONNX_NAME, KERAS_NAME)
BUNDLE_FOLDER = "bundle"
"""Where a run folder keeps its bundle."""

NETWORK, CLASSICAL, STACK = KINDS = ("network", "classical", "stack")
"""What a bundle holds: a network; fitted models over hand-made features or embeddings; or several of either."""

SHIPPED = Path(__file__).parent / "pretrained"
"""The bundle that comes with the toolkit."""

BALANCED = "balanced"
"""Name of the operating point at which all classes are alike: nobody asked for few false alarms."""


@dataclass(frozen=True)
class Thresholds:
    """When a stretch of frame scores counts as a fake span; chosen on dev, never on test.

    A span opens where P(fake) reaches `enter` and goes on both ways while it stays at or above `exit`. Gaps below
    `min_gap_samples` are closed, then spans below `min_fake_samples` are dropped.

    Raises
    ------
    ModelError
        Unless 0 <= exit <= enter <= 1 and both lengths are zero or more.
    """

    enter: float = 0.5
    exit: float = 0.35
    min_fake_samples: int = 1_600
    min_gap_samples: int = 1_600

    def __post_init__(self) -> None:
        """Validate."""
        if not 0.0 <= self.exit <= self.enter <= 1.0:
            raise ModelError(f"thresholds: expected 0 <= exit <= enter <= 1. Received: {self}")
        if min(self.min_fake_samples, self.min_gap_samples) < 0:
            raise ModelError(f"thresholds: expected lengths of 0 or more. Received: {self}")


@dataclass(frozen=True)
class Calibration:
    """From clip logits to probabilities: divided by a temperature, and shifted class by class (temperature and vector
    scaling: Guo et al., "On Calibration of Modern Neural Networks", ICML 2017), fitted on dev.

    Raises
    ------
    ModelError
        Unless the temperature is positive and there is one finite bias and slope for each label.
    """

    temperature: float = 1.0
    biases: tuple[float, ...] = (0.0,) * len(LABELS)
    """Added to the logits of a clip, after the temperature, in the order of `audio.labels.LABELS`."""
    slopes: tuple[float, ...] = (0.0,) * len(LABELS)
    """How much the mean P(fake) of the frames with speech adds to each: the frames have heard something too."""

    def __post_init__(self) -> None:
        """Validate."""
        if not self.temperature > 0:
            raise ModelError(f"calibration: expected a temperature above 0. Received: {self.temperature}")
        for name in ("biases", "slopes"):
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
            if len(getattr(self, name)) != len(LABELS) or not all(map(math.isfinite, getattr(self, name))):
                raise ModelError(f"calibration: expected {len(LABELS)} finite {name}. Received: {getattr(self, name)}")

    def added(self, mean_frame_score: float) -> tuple[float, ...]:
        """What is added to the logits of a clip whose frames with speech have this P(fake) on average."""
        return tuple(bias + slope * mean_frame_score for bias, slope in zip(self.biases, self.slopes, strict=True))


@dataclass(frozen=True)
class OperatingPoint:
    """How much evidence an accusation needs, chosen on dev for a rate of false alarms.

    Raises
    ------
    ModelError
        For a name that is empty, a bias that is not finite, or temperatures that are not three positive numbers.
    """

    name: str = BALANCED
    real_bias: float = 0.0
    """Added to the calibrated logit of real: so many nats more evidence does it take to call a clip anything else."""
    thresholds: Thresholds = Thresholds()
    measured: Mapping[str, Any] = field(default_factory=dict)
    """What it was chosen on and what it gave there; free facts for people."""
    temperatures: tuple[float, float, float] = (1.0, 1.0, 1.0)
    """What the logarithms of the shifted probabilities are divided by, for each verdict in the order of `LABELS`: the
    verdict stays, and its probability is how often such verdicts are right."""

    def __post_init__(self) -> None:
        """Validate."""
        object.__setattr__(self, "temperatures", tuple(self.temperatures))
        positive = len(self.temperatures) == len(LABELS) and all(0.0 < each < math.inf for each in self.temperatures)
        if not (self.name and math.isfinite(self.real_bias) and positive):
            expected = f"a name, a finite real_bias and {len(LABELS)} positive temperatures"
            raise ModelError(f"operating point: expected {expected}. Received: {self}")

    def to_json(self) -> dict[str, Any]:
        """The point as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Mapping[str, Any]) -> OperatingPoint:
        """Rebuild from `to_json`; raises `ModelError`, `KeyError` or `TypeError` when `facts` is none."""
        return cls(**{**facts, "thresholds": Thresholds(**facts["thresholds"])})


@dataclass(frozen=True)
class Bundle:
    """A model's facts, read from `bundle.json`; the weights stay on disk until someone runs them."""

    path: Path
    name: str
    window_samples: int
    """Length of the windows that the model judges, in samples."""
    step_samples: int
    """Distance between the starts of two windows, in samples."""
    features: FeatureConfig = FeatureConfig()
    """What a network sees; of no meaning for the other kinds."""
    calibration: Calibration = Calibration()
    operating_points: tuple[OperatingPoint, ...] = (OperatingPoint(),)
    """The first is the one to use unless told otherwise."""
    limits: Limits = Limits()
    """When a recording is not judged."""
    labels: tuple[str, ...] = LABELS
    frame_hop_samples: int = FRAME_HOP_SAMPLES
    training: Mapping[str, Any] = field(default_factory=dict)
    """What it was trained on and how it did; free facts for people."""
    licence: str = ""
    """Under which the weights may be used, where they are given away."""
    kind: str = NETWORK
    """One of `KINDS`."""
    files: tuple[str, ...] = NETWORK_FILES
    """Every file of the bundle besides `bundle.json`, as POSIX paths in its folder."""
    system: Mapping[str, Any] = field(default_factory=dict)
    """How a model that is no network is put together from its files (`model.classical`)."""

    def __post_init__(self) -> None:
        """Refuse facts that no detector could work with.

        Raises
        ------
        ModelError
            For unknown labels or frame hop, a window or step that is not a whole number of frames, a step longer
            than the window, operating points that are missing or share a name, an unknown kind, or files that it does
            not have or that lie elsewhere.
        """
        _check_kind(self.kind, self.files)
        if self.labels != LABELS or self.frame_hop_samples != FRAME_HOP_SAMPLES:
            raise ModelError(
                f"bundle: expected labels {LABELS} every {FRAME_HOP_SAMPLES} samples."
                f" Received: {self.labels} every {self.frame_hop_samples}"
            )
        if not 0 < self.step_samples <= self.window_samples:
            raise ModelError(
                "bundle: expected 0 < step_samples <= window_samples."
                f" Received: {self.step_samples}, {self.window_samples}"
            )
        if self.step_samples % FRAME_HOP_SAMPLES or self.window_samples % FRAME_HOP_SAMPLES:
            raise ModelError(f"bundle: window and step must be multiples of {FRAME_HOP_SAMPLES} samples")
        names = [point.name for point in self.operating_points]
        if not names or len(set(names)) < len(names):
            raise ModelError(f"bundle: expected operating points of different names. Received: {names}")

    def operating_point(self, name: str | None = None) -> OperatingPoint:
        """Return the operating point of a name; None: the default.

        Raises
        ------
        ModelError
            When there is none, saying which there are.
        """
        found = {point.name: point for point in self.operating_points}
        if name is None:
            return self.operating_points[0]
        if name not in found:
            raise ModelError(f"{self.path}: expected an operating point of {', '.join(found)}. Received: {name!r}")
        return found[name]

    def require_network(self, asked: str) -> None:
        """Refuse what only networks can do; `asked` is what was asked for, and begins the message.

        Raises
        ------
        UsageError
            When the model is no network.
        """
        if self.kind != NETWORK:
            raise UsageError(f"{asked}: expected a network, received the {self.kind} model {self.path}")

    @property
    def onnx_path(self) -> Path:
        """The network as ONNX."""
        return self.path / ONNX_NAME

    @property
    def keras_path(self) -> Path:
        """The network as a Keras file."""
        return self.path / KERAS_NAME


def _check_kind(kind: str, files: tuple[str, ...]) -> None:
    if kind not in KINDS:
        raise ModelError(f"bundle: expected a kind of {', '.join(KINDS)}. Received: {kind!r}")
    if kind == NETWORK and set(files) != set(NETWORK_FILES):
        raise ModelError(f"bundle: expected hashes of {' and '.join(NETWORK_FILES)}. Received: {sorted(files)}")
    if not files or not all(map(_lies_inside, files)):
        raise ModelError(f"bundle: expected hashes of files in its own folder. Received: {sorted(files)}")


def _lies_inside(name: str) -> bool:
    """Whether a path leads to a file below the folder it is in, on every system."""
    path = PurePosixPath(name)
    return (
        path.as_posix() == name
        and not path.is_absolute()
        and not {"..", "."} & {*path.parts}
        and not (set(name) & set("\\:"))
    )


def write_bundle(bundle: Bundle) -> None:
    """Write `bundle.json` beside the model files that already lie in `bundle.path`, with their hashes.

    Raises
    ------
    ModelError
        When a model file is missing.
    """
    card = {
        "schema_version": SCHEMA_VERSION,
        "kind": bundle.kind,
        "name": bundle.name,
        "labels": list(bundle.labels),
        "window_samples": bundle.window_samples,
        "step_samples": bundle.step_samples,
        "frame_hop_samples": bundle.frame_hop_samples,
        **({"features": bundle.features.to_json()} if bundle.kind == NETWORK else {"system": dict(bundle.system)}),
        "calibration": asdict(bundle.calibration),
        "operating_points": [point.to_json() for point in bundle.operating_points],
        "limits": bundle.limits.to_json(),
        "training": dict(bundle.training),
        "licence": bundle.licence,
        "hashes": {name: _sha256(bundle.path / name) for name in bundle.files},
    }
    with replacing(bundle.path / CARD_NAME) as beside:
        beside.write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")


def read_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Read the facts of the bundle in folder `path` (or of the run folder above it) and check its files' hashes.

    Raises
    ------
    ModelError
        For a missing, broken or changed bundle, or one of another schema version.
    """
    folder = Path(path)
    if folder.is_file():
        raise ModelError(f"{folder}: expected the folder of a model bundle, received a file: no single file is loaded")
    if not (folder / CARD_NAME).is_file() and (folder / BUNDLE_FOLDER / CARD_NAME).is_file():
        folder = folder / BUNDLE_FOLDER
    card = _read_card(folder / CARD_NAME)
    try:
        bundle = _from_card(folder, card)
        hashes = dict(card["hashes"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{folder / CARD_NAME}: not a complete bundle: {error!r}") from None
    for name in bundle.files:
        if _sha256(folder / name) != hashes.get(name):
            raise ModelError(f"{folder / name}: does not match its hash in {CARD_NAME}: changed or cut short")
    return bundle


def find_bundle(explicit: str | os.PathLike[str] | None = None, *, runs: str | os.PathLike[str] = "runs") -> Path:
    """Say which bundle to judge with: the one asked for, else the shipped one, else the newest run's.

    Raises
    ------
    ModelError
        When there is none, saying how to get one.
    """
    if explicit is not None:
        return Path(explicit)
    if (SHIPPED / CARD_NAME).is_file():
        return SHIPPED
    cards = sorted(Path(runs).glob(f"*/{BUNDLE_FOLDER}/{CARD_NAME}"), key=lambda card: (card.stat().st_mtime_ns, card))
    if not cards:
        raise ModelError(
            f"no model found: none is shipped and {Path(runs)}/ holds no finished run."
            " Train one with 'python train_cnnrnnlstm.py --data data/NAME' or name one with --model"
        )
    return cards[-1].parent


def _read_card(path: Path) -> dict[str, Any]:
    try:
        card = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: expected a model bundle: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: expected JSON in UTF-8") from None
    if not isinstance(card, dict) or card.get("schema_version") not in READABLE_VERSIONS:
        found = card.get("schema_version") if isinstance(card, dict) else type(card).__name__
        expected = " or ".join(map(str, READABLE_VERSIONS))
        raise ModelError(f"{path}: expected schema_version {expected}. Received: {found!r}")
    return card


def _from_card(folder: Path, card: Mapping[str, Any]) -> Bundle:
    return Bundle(
        path=folder,
        name=str(card["name"]),
        window_samples=int(card["window_samples"]),
        step_samples=int(card["step_samples"]),
        labels=tuple(card["labels"]),
        frame_hop_samples=int(card["frame_hop_samples"]),
        training=dict(card["training"]),
        **(_judging_v1(card) if card["schema_version"] == 1 else _judging(card)),
        **(_made_of(card) if card["schema_version"] >= 3 else _network(card)),
    )


def _network(card: Mapping[str, Any]) -> dict[str, Any]:
    return {"features": FeatureConfig.from_json(card["features"])}


def _made_of(card: Mapping[str, Any]) -> dict[str, Any]:
    kind = str(card["kind"])
    seen = {"system": dict(card["system"])} if kind in (CLASSICAL, STACK) else _network(card)
    return {"kind": kind, "files": tuple(map(str, card["hashes"])), **seen}


def _judging_v1(card: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "calibration": Calibration(float(card["calibration"]["temperature"])),
        "operating_points": (OperatingPoint(thresholds=Thresholds(**card["thresholds"])),),
    }


def _judging(card: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "calibration": Calibration(**card["calibration"]),
        "operating_points": tuple(OperatingPoint.from_json(facts) for facts in card["operating_points"]),
        "limits": Limits.from_json(card["limits"]),
        "licence": str(card["licence"]),
    }


def _sha256(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{path}: expected a model file: {error.strerror}") from None
