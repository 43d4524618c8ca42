"""Training a classical system: the windows that networks learn from, in hand-made features or embeddings, and heads.

    set -> windows with their truth (model.training.examples) -> features -> rows -> two heads -> bundle

RUN/settings.json, RUN/bundle/ and RUN/metrics.json are as those of a network's run. The same seed on the same set gives
the same scores. TensorFlow is needed only to write down the network that embeddings come from.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import count, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from audio.errors import ManifestError, UsageError
from audio.segments import SAMPLE_RATE
from model.bundle import BUNDLE_FOLDER, CLASSICAL, Bundle, read_bundle, write_bundle
from model.classical import embeddings, handmade
from model.classical.handmade import Described
from model.classical.heads import Head, required, save_head
from model.classical.pipelines import EMBEDDINGS, SYSTEMS, Recipe, fit_head
from model.classical.selection import SELECTIONS
from model.classical.system import CLIP, FRAMES
from model.features import FRAME_HOP_SAMPLES
from model.training.evaluate import Table
from model.training.examples import Augmentation, Batches, TrainingSet, Window, read_set
from model.training.runs import expect_new, finish, start_run, write_cost
from model.training.splits import OWN_SPLITS, Division

FRAMES_EACH = 8
"""Frames of each kind, fake and not, that are drawn from a window: its neighbours say nearly the same."""

BATCH = 16
"""Windows that are made together; it changes no figure but which twins meet."""

Float = npt.NDArray[np.float32]
Classes = npt.NDArray[np.int64]

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassicalSettings:
    """Everything that a classical run's result depends on, besides the set itself."""

    data: str
    system: str
    """One of `model.classical.pipelines.SYSTEMS`."""
    seed: int = 0
    window_s: float = 4.0
    windows: int = 2_000
    """Windows that are learned from at least, drawn as a network's are."""
    selection: str = SELECTIONS[0]
    """One of `model.classical.selection.SELECTIONS`; embeddings are taken as they are."""
    network: str | None = None
    """Bundle of the network whose embeddings are classified; its windows are the system's."""
    division: Division = OWN_SPLITS
    """Other splits than those of the set."""
    kind: str = CLASSICAL

    def __post_init__(self) -> None:
        """Refuse settings that train nothing.

        Raises
        ------
        UsageError
            Naming the setting.
        """
        if self.system not in SYSTEMS:
            raise UsageError(f"classical: expected one of {', '.join(SYSTEMS)}. Received: {self.system!r}")
        if self.selection not in SELECTIONS:
            raise UsageError(f"selection: expected one of {', '.join(SELECTIONS)}. Received: {self.selection!r}")
        if (self.network is None) == (self.system == EMBEDDINGS):
            raise UsageError(f"classical {self.system}: expected a network for {EMBEDDINGS}, and for nothing else")
        check_numbers(self.seed, self.windows, self.window_s)

    @property
    def window_samples(self) -> int:
        """Length of a window, a whole number of frames."""
        if self.network is not None:
            return read_bundle(self.network).window_samples
        return max(1, round(self.window_s * SAMPLE_RATE / FRAME_HOP_SAMPLES)) * FRAME_HOP_SAMPLES

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ClassicalSettings:
        """Rebuild from `to_json`; raises `TypeError` when `data` is none."""
        return cls(**{**data, "division": Division(**data["division"])})


def check_numbers(seed: int, windows: int, window_s: float = 1.0) -> None:
    """Refuse numbers that train nothing; raises `UsageError`."""
    for name, value, least in (("seed", seed, 0), ("windows", windows, 1)):
        if value < least:
            raise UsageError(f"{name}: expected {least} or more. Received: {value}")
    if not window_s > 0:
        raise UsageError(f"window-s: expected more than 0. Received: {window_s}")


class Rows(NamedTuple):
    """What heads are fitted to."""

    frames: Float
    """(n, d)"""
    is_fake: Classes
    """(n,), 0 or 1"""
    clips: Float
    """(windows, e)"""
    labels: Classes
    """(windows,), indices into `LABELS`"""


def train_classical(run: Path, settings: ClassicalSettings) -> dict[str, Table]:
    """Fit a system in folder `run`, and leave a bundle and `metrics.json` there.

    Returns
    -------
    the table of each test split that the set has (`model.training.evaluate.evaluate`)

    Raises
    ------
    ToolkitError
        When the set is broken or too small, or a package is missing.
    """
    begin(run)
    training_set = read_set(Path(settings.data), seed=settings.seed, division=settings.division)
    began = time.process_time()
    bundle = fit_classical(training_set.split("train"), settings, run / BUNDLE_FOLDER, name=run.name)
    write_cost(run, parameters=None, cpu_seconds=time.process_time() - began)
    start_run(run, settings)
    return finish(run, bundle, training_set, seed=settings.seed)


def begin(run: Path) -> None:
    """Refuse, before minutes of work, a folder that is taken (`UsageError`) or a missing package (`ModelError`)."""
    expect_new(run)
    for package in ("sklearn", "skops", "xgboost"):
        required(package)


def fit_classical(train: TrainingSet, settings: ClassicalSettings, folder: Path, *, name: str) -> Bundle:
    """Fit a system to clips and write its bundle into `folder`, not calibrated yet; return it."""
    folder.mkdir(parents=True, exist_ok=True)
    files: tuple[str, ...] = ()
    system: dict[str, Any] = {"name": settings.system}
    describe: Callable[[Any], Described] = handmade.describe
    names: tuple[Sequence[str], Sequence[str]] = (handmade.NAMES, handmade.NAMES)
    if settings.network is not None:
        from model.training.embedding import write_embeddings

        network, system["embeddings"] = write_embeddings(read_bundle(settings.network), folder)
        describe, names, files = network.describe, (network.frame_names, network.clip_names), (embeddings.ONNX_FILE,)
    batches = Batches(train, Window(settings.window_samples, None), BATCH, settings.seed, Augmentation())
    rows = gather_rows(batches, describe, n_windows=settings.windows)
    recipe = Recipe(
        "svm" if settings.network is not None else settings.system,
        settings.seed,
        "none" if settings.network is not None else settings.selection,
    )
    facts: dict[str, Any] = {
        "path": folder,
        "name": name,
        "window_samples": settings.window_samples,
        "step_samples": half(settings.window_samples),
        "kind": CLASSICAL,
        "training": {"settings": settings.to_json(), "frames": len(rows.frames), "windows": len(rows.clips)},
    }
    return write_heads(facts, fitted(rows, recipe), names, system=system, files=files)


def half(window_samples: int) -> int:
    """Distance between the windows of a judged recording: half a window, a whole number of frames."""
    return max(1, window_samples // FRAME_HOP_SAMPLES // 2) * FRAME_HOP_SAMPLES


def gather_rows(
    batches: Batches, describe: Callable[[Any], Described], *, n_windows: int, title: str = "describing"
) -> Rows:
    """Draw windows and describe them: all of their clip features, and some of their frames.

    Parameters
    ----------
    batches
        Where windows come from; of samples, not of spectrograms.
    describe
        A window (n_samples,) in numbers.
    n_windows
        How many at least; whole batches are made.
    title
        In front of the progress bar on stderr.

    Raises
    ------
    ManifestError
        When there is no fake frame in them all, or no genuine one.
    """
    from tqdm import tqdm

    frames: list[Float] = []
    is_fake: list[Classes] = []
    clips: list[Float] = []
    labels: list[int] = []
    bar = tqdm(total=n_windows, desc=title, unit="window", disable=None)
    for step in takewhile(lambda _: len(clips) < n_windows, count()):
        samples, truth, weights, classes = batches.batch(step)
        for i, each in enumerate(samples):
            found, fake = describe(each), truth[i, :, 0] > 0
            drawn = _drawn(fake, weights[i] > 0, np.random.default_rng((batches.seed, step, i)))
            frames.append(found.frames[drawn])
            is_fake.append(fake[drawn].astype(np.int64))
            clips.append(found.clip)
            labels.append(int(classes[i].argmax()))
        bar.update(len(samples))
    bar.close()
    truths = np.concatenate(is_fake)
    if len(np.unique(truths)) < 2:
        raise ManifestError(f"{batches.training_set.manifest_path}: expected fake and genuine frames to learn from")
    return Rows(np.concatenate(frames), truths, np.stack(clips), np.array(labels, dtype=np.int64))


def _drawn(fake: npt.NDArray[np.bool_], known: npt.NDArray[np.bool_], rng: np.random.Generator) -> Classes:
    """Draw frames of a window, as many of each kind where there are enough."""
    kinds = (np.flatnonzero(known & (fake == kind)) for kind in (False, True))
    return np.sort(np.concatenate([rng.permutation(kind)[:FRAMES_EACH] for kind in kinds]))


def fitted(rows: Rows, recipe: Recipe) -> dict[str, Head]:
    """Fit the two heads of a system."""
    log.info("fitting %s: %d frames, %d windows", recipe.classifier, len(rows.frames), len(rows.clips))
    return {
        FRAMES: fit_head(rows.frames, rows.is_fake, recipe),
        CLIP: fit_head(rows.clips, rows.labels, recipe),
    }


def write_heads(
    facts: Mapping[str, Any],
    heads: Mapping[str, Head],
    names: tuple[Sequence[str], Sequence[str]],
    *,
    system: Mapping[str, Any],
    files: tuple[str, ...],
) -> Bundle:
    """Write heads beside the files that a bundle has already, and its card; return the bundle.

    Parameters
    ----------
    facts
        Arguments of `Bundle`, without `files` and `system`.
    heads
        By their names.
    names
        Features of a frame, and of a clip.
    system, files
        What the bundle says and has besides.
    """
    folder, known = facts["path"], dict(zip((FRAMES, CLIP), names, strict=True))
    written = [file for name, head in heads.items() for file in save_head(head, folder, name)]
    told = {name: head.facts(known[name]) for name, head in heads.items()}
    write_bundle(Bundle(**facts, files=(*files, *written), system={**system, "heads": told}))
    return read_bundle(folder)
