"""Training a stack: members that did not hear a speaker tell what they think of him, and heads learn whom to believe.

    training split -> folds, speaker by speaker -> each member fitted anew without a fold -> what it says of that fold
                                                                                            -> heads
    the stack      -> the members as they are, fitted on all of the training split

What a member says of clips that it was fitted on is better than what it will ever say again; a stack that learned from
that would trust whoever knows most by heart. Networks take as long for each fold as they took for themselves.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from audio.errors import ManifestError, ModelError, UsageError
from audio.labels import label_index
from audio.manifest import Clip
from model.bundle import BUNDLE_FOLDER, CARD_NAME, STACK, Bundle, read_bundle
from model.classical.pipelines import SHALLOW, Recipe
from model.classical.stack import FOLDER, clip_names, frame_names, told
from model.judging.systems import System, open_system
from model.training.classical import (
    BATCH,
    ClassicalSettings,
    Rows,
    begin,
    check_numbers,
    fit_classical,
    fitted,
    gather_rows,
    half,
    write_heads,
)
from model.training.evaluate import Table
from model.training.examples import Augmentation, Batches, TrainingSet, Window, read_set
from model.training.runs import SETTINGS_NAME, finish, read_settings, start_run, write_cost
from model.training.splits import OWN_SPLITS, Division

METAS = ("logistic", "xgboost")
"""Meta-classifiers, the default first."""

FOLDS_FOLDER = "folds"
"""Where a run keeps the members that it fits for its folds, until it is done."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class StackSettings:
    """Everything that a stack depends on, besides the set and its members."""

    data: str
    runs: tuple[str, ...]
    """Runs of the members, each a folder with settings and a bundle."""
    meta: str = METAS[0]
    stack_folds: int = 3
    seed: int = 0
    windows: int = 2_000
    """Windows that the heads learn from at least, over all folds."""
    division: Division = OWN_SPLITS
    """Other splits than those of the set: those that the members were trained on."""
    kind: str = STACK

    def __post_init__(self) -> None:
        """Refuse settings that train nothing.

        Raises
        ------
        UsageError
            Naming the setting.
        """
        if self.meta not in METAS:
            raise UsageError(f"meta: expected one of {', '.join(METAS)}. Received: {self.meta!r}")
        if len(self.runs) < 2:
            raise UsageError(f"stack: expected two runs or more. Received: {', '.join(self.runs)}")
        if self.stack_folds < 2:
            raise UsageError(f"stack-folds: expected 2 or more. Received: {self.stack_folds}")
        check_numbers(self.seed, self.windows)

    def to_json(self) -> dict[str, Any]:
        """The settings as a JSON object."""
        return asdict(self)


@dataclass(frozen=True)
class Member:
    """A run that becomes part of a stack."""

    bundle: Bundle
    settings: Mapping[str, Any]
    """As the run has them."""
    network: Mapping[str, Any] | None = None
    """Those of the network behind embeddings."""


def read_members(settings: StackSettings) -> list[Member]:
    """Read the runs of a stack.

    Raises
    ------
    ModelError
        When one is no finished run.
    UsageError
        When one cannot be fitted anew, or their windows differ.
    """
    members = [_read_member(Path(run)) for run in settings.runs]
    for member in members:
        if any(known is not None and known.get("splices") is not None for known in (member.settings, member.network)):
            raise UsageError(f"stack: expected runs on a set, received one on a recipe, {member.bundle.path}")
        if Path(str(member.settings.get("data"))).resolve() != Path(settings.data).resolve():
            log.warning("%s: was trained on another set, which may hold clips of this one's tests", member.bundle.path)
        elif Division(**member.settings.get("division", {})) != settings.division:
            raise UsageError(f"stack: expected members of the same splits as the stack. Received: {member.bundle.path}")
    lengths = {member.bundle.window_samples for member in members}
    if len(lengths) > 1:
        told_lengths = ", ".join(f"{m.bundle.path} {m.bundle.window_samples}" for m in members)
        raise UsageError(f"stack: expected members with windows of one length. Received, in samples: {told_lengths}")
    return members


def _read_member(run: Path) -> Member:
    bundle = read_bundle(run)
    if bundle.kind == STACK:
        raise UsageError(f"stack: expected networks and classical systems, received the stack {bundle.path}")
    settings = read_settings(run)
    if settings.get("network") is None or "kind" not in settings:
        return Member(bundle, settings)
    network = Path(settings["network"])
    network = network.parent if network.name == BUNDLE_FOLDER else network
    if not (network / SETTINGS_NAME).is_file():
        told = f"embeddings of a run of yours, which can be fitted anew, received {bundle.path} on {network}"
        raise UsageError(f"stack: expected {told}")
    return Member(bundle, settings, read_settings(network))


def train_stack(run: Path, settings: StackSettings) -> dict[str, Table]:
    """Fit a stack in folder `run`, and leave a bundle and `metrics.json` there; returns the test tables.

    Raises
    ------
    UsageError
        When the members do not go together, or the folder is taken.
    ToolkitError
        When the set is broken or has too few speakers, a member cannot be fitted anew, or a package is missing.
    """
    begin(run)
    training_set = read_set(Path(settings.data), seed=settings.seed, division=settings.division)
    members, folder, began = read_members(settings), run / BUNDLE_FOLDER, time.process_time()
    shutil.rmtree(run / FOLDS_FOLDER, ignore_errors=True)  # of a run that was stopped, perhaps with other members
    rows = out_of_fold(training_set, members, settings, run / FOLDS_FOLDER)
    files = [file for i, member in enumerate(members) for file in _copied(member.bundle, folder, i)]
    window_samples = members[0].bundle.window_samples
    facts = {
        "path": folder,
        "name": run.name,
        "window_samples": window_samples,
        "step_samples": half(window_samples),
        "kind": STACK,
        "training": {
            "settings": settings.to_json(),
            "members": [member.bundle.name for member in members],
            "frames": len(rows.frames),
            "windows": len(rows.clips),
        },
    }
    heads = fitted(rows, Recipe(settings.meta, settings.seed, trees=SHALLOW))
    names = (frame_names(len(members)), clip_names(len(members)))
    bundle = write_heads(facts, heads, names, system={"members": len(members)}, files=tuple(files))
    shutil.rmtree(run / FOLDS_FOLDER, ignore_errors=True)
    write_cost(run, parameters=None, cpu_seconds=time.process_time() - began)
    start_run(run, settings)
    return finish(run, bundle, training_set, seed=settings.seed)


def _copied(member: Bundle, folder: Path, number: int) -> list[str]:
    """Copy a member's bundle, and return its files as the stack's."""
    place = folder / FOLDER / str(number)
    for name in (CARD_NAME, *member.files):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(member.path / name, place / name)
    return [f"{FOLDER}/{number}/{name}" for name in (CARD_NAME, *member.files)]


def out_of_fold(training_set: TrainingSet, members: Sequence[Member], settings: StackSettings, place: Path) -> Rows:
    """Gather what members say of windows whose speakers they have not heard."""
    train = training_set.split("train")
    found = []
    parts = folds(train.clips, n_folds=settings.stack_folds, seed=settings.seed)
    for k, held in enumerate(parts):
        out = set(held.tolist())
        kept = [clip for i, clip in enumerate(train.clips) if i not in out]
        others = replace(training_set, clips=(*kept, *training_set.split("dev").clips))
        log.info("fold %d of %d: %d clips fitted on, %d told of", k + 1, len(parts), len(kept), len(held))
        systems = [fitted_anew(member, others, place / str(k) / str(i)) for i, member in enumerate(members)]
        told_of = replace(training_set, clips=tuple(train.clips[i] for i in held))
        window = Window(members[0].bundle.window_samples, None)
        batches = Batches(told_of, window, BATCH, settings.seed, Augmentation())
        n_windows = -(-settings.windows * len(held) // len(train.clips))
        found.append(gather_rows(batches, _Said(systems), n_windows=n_windows, title=f"fold {k + 1}"))
    return Rows(*(np.concatenate(each) for each in zip(*found, strict=True)))


class _Said:
    """What members say of a window, in numbers."""

    def __init__(self, systems: Sequence[System]) -> None:
        self._systems = systems

    def __call__(self, samples: Any) -> Any:
        return told([system.judge(samples) for system in self._systems])


def folds(clips: Sequence[Clip], *, n_folds: int, seed: int) -> list[np.ndarray[Any, np.dtype[np.int64]]]:
    """Deal clips into folds, all of a speaker into one, with classes as even as that allows.

    A clip without a speaker stays with its genuine twin, or is a speaker of its own.

    Returns
    -------
    the clips of each fold by their index, rising; fewer folds where there are fewer speakers

    Raises
    ------
    ManifestError
        When there is only one speaker.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    speakers = [clip.speaker or clip.source_clip or clip.path for clip in clips]
    n_speakers = len(set(speakers))
    if n_speakers < 2:
        raise ManifestError(f"stack: expected clips of two speakers or more to learn from. Received: {n_speakers}")
    classes = [label_index(clip.label) for clip in clips]
    dealer = StratifiedGroupKFold(min(n_folds, n_speakers), shuffle=True, random_state=seed)
    return [held for _, held in dealer.split(classes, classes, speakers) if len(held)]


def fitted_anew(member: Member, training_set: TrainingSet, place: Path) -> System:
    """Fit a member by its own settings to other clips; `training_set` has what to fit on, and dev.

    Raises
    ------
    ModelError
        When its settings are none that can be fitted.
    """
    if "kind" not in member.settings:
        return open_system(_network_anew(member.settings, training_set, place))
    try:
        settings = ClassicalSettings.from_json(member.settings)
    except (KeyError, TypeError) as error:
        raise ModelError(f"{member.bundle.path}: not the settings of a run: {error}") from None
    if member.network is not None:
        network = _network_anew(member.network, training_set, place / "network")
        settings = replace(settings, network=str(network.path))
    return open_system(fit_classical(training_set.split("train"), settings, place / BUNDLE_FOLDER, name="fold"))


def _network_anew(known: Mapping[str, Any], training_set: TrainingSet, place: Path) -> Bundle:
    from model.training.quiet import load_tensorflow

    load_tensorflow()
    from model.training.fit import fit
    from model.training.run import exported
    from model.training.settings import TrainSettings

    settings = TrainSettings.from_json(known)
    place.mkdir(parents=True, exist_ok=True)
    return exported(fit(place, settings, training_set), place / BUNDLE_FOLDER, settings, name="fold")
