"""Other splits of a set than its own: cross-validation, and the naive split that makes detectors look perfect.

    own        the splits that the set says; nothing changes
    grouped    nobody who speaks in training speaks in test, and no generator of training is heard there

                              speakers of fold 0   1   2 ...
               generators of fold 0      test      -    -        fold 0 tests, fold 1 is dev, all others train;
                                  1       -       dev   -        clips that are half of the one and half of the
                                  2       -        -  train      other are left out

    leaky      clips drawn at random: the same voices, generators and often the same sentences on both sides

The last one is here to show how a 99 % comes about, and goes by no other name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from audio.errors import UsageError
from audio.labels import LABELS, REAL, label_index
from audio.manifest import Clip

OWN, GROUPED, LEAKY = "own", "grouped", "leaky"

KINDS = (OWN, GROUPED, LEAKY)

Counts = npt.NDArray[np.float64]
"""Clips, of each class in the order of `LABELS` or of each fold."""

FEWEST_FOLDS = 3
"""One tests, one is dev, and something has to train."""

USUAL_FOLDS = 5
"""Of which one tests where nobody asked for cross-validation: a fifth of the voices, as is usual."""


@dataclass(frozen=True)
class Division:
    """How a set is divided into training, dev and test.

    Raises
    ------
    UsageError
        For an unknown kind, fewer than `FEWEST_FOLDS` folds, or a fold that there is not.
    """

    kind: str = OWN
    """One of `KINDS`."""
    folds: int = USUAL_FOLDS
    fold: int = 0
    """Which fold tests, from 0; the next one is dev."""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise UsageError(f"division: expected one of {', '.join(KINDS)}. Received: {self.kind!r}")
        if self.folds < FEWEST_FOLDS:
            raise UsageError(f"folds: expected {FEWEST_FOLDS} or more. Received: {self.folds}")
        if not 0 <= self.fold < self.folds:
            raise UsageError(f"fold: expected 0 to {self.folds - 1}. Received: {self.fold}")

    def split_of(self, fold: int) -> str:
        """Return what a fold is for."""
        return {self.fold: "test", (self.fold + 1) % self.folds: "dev"}.get(fold, "train")


OWN_SPLITS = Division()


def division_of(folds: int | None, fold: int | None, *, leaky: bool) -> Division:
    """Return the division that was asked for: one of several folds, one that is drawn at random, or the set's own."""
    if folds is None and not leaky:
        return OWN_SPLITS
    return Division(LEAKY if leaky else GROUPED, USUAL_FOLDS if folds is None else folds, fold or 0)


def divide(clips: Sequence[Clip], division: Division, *, seed: int) -> tuple[Clip, ...]:
    """Give clips the splits of a division; those that belong to none are left out.

    Parameters
    ----------
    clips
        Of one set, in any order: a clip's split does not depend on it.
    division
        How.
    seed
        What the folds are drawn from.

    Raises
    ------
    UsageError
        When the set has too few clips, speakers or generators for so many folds, or does not name its speakers.
    """
    if division.kind == OWN:
        return tuple(clips)
    splits = (_drawn if division.kind == LEAKY else _grouped)(clips, division, seed)
    return tuple(replace(clip, split=splits[clip.path]) for clip in clips if clip.path in splits)


def speakers(clip: Clip) -> frozenset[str]:
    """Return everybody who is heard in a clip, as far as the set says."""
    return frozenset({clip.speaker, *(str(source.get("speaker") or "") for source in clip.sources)}) - {""}


def generators(clip: Clip) -> frozenset[str]:
    """Return everything that made a part of a clip, as far as the set says."""
    return frozenset({clip.generator, *(str(source.get("generator") or "") for source in clip.sources)}) - {""}


def _drawn(clips: Sequence[Clip], division: Division, seed: int) -> dict[str, str]:
    """Deal the clips of each class to the folds, as if nothing else were known of them."""
    splits: dict[str, str] = {}
    for label in sorted({clip.label for clip in clips}):
        paths = sorted(clip.path for clip in clips if clip.label == label)
        _expect_enough(len(paths), division.folds, f"{label} clips")
        order = np.random.default_rng((seed, label_index(label))).permutation(len(paths))
        splits |= {paths[index]: division.split_of(rank % division.folds) for rank, index in enumerate(order)}
    return splits


def _grouped(clips: Sequence[Clip], division: Division, seed: int) -> dict[str, str]:
    """Deal speakers and generators to the folds, and keep the clips all of whose are for the same split."""
    nameless = sum(not speakers(clip) for clip in clips if clip.label == REAL)
    if nameless:
        raise UsageError(f"folds by speaker: expected a set that names its speakers. {nameless} real clips have none")
    voices = _dealt_speakers(clips, division, (seed, 0))
    makers = _dealt_generators(clips, voices, division, (seed, 1))
    splits = {}
    for clip in clips:
        folds = {voices[name] for name in speakers(clip)} | {makers[name] for name in generators(clip)}
        theirs = {division.split_of(fold) for fold in folds}
        if len(theirs) == 1:
            splits[clip.path] = theirs.pop()
    return splits


def _dealt_speakers(clips: Sequence[Clip], division: Division, seed: Sequence[int]) -> Mapping[str, int]:
    """Deal speakers to folds so that these get about as many clips of each class: who has most first, each to the fold
    that has least of what they bring (greedy, as scikit-learn's StratifiedGroupKFold, but clips may have several)."""
    brings: dict[str, Counts] = {}
    for clip in clips:
        for name in speakers(clip):
            brings.setdefault(name, np.zeros(len(LABELS)))[label_index(clip.label)] += 1
    folds: dict[str, int] = {}
    filled = np.zeros((division.folds, len(LABELS)))
    for name in _in_turn(brings, division, seed, "speakers"):
        folds[name] = emptiest = int((filled @ brings[name]).argmin())
        filled[emptiest] += brings[name]
    return folds


def _dealt_generators(
    clips: Sequence[Clip], voices: Mapping[str, int], division: Division, seed: Sequence[int]
) -> Mapping[str, int]:
    """Deal generators to folds: each to the emptiest of those that keep at least half as many of its clips as the best
    one does. Many a synthesiser has a voice that nobody else has, and would be lost in any fold but that voice's."""
    keeps: dict[str, Counts] = {}
    for clip in clips:
        theirs = {voices[name] for name in speakers(clip)}
        for name in generators(clip):
            keeps.setdefault(name, np.zeros(division.folds))[list(theirs)] += len(theirs) == 1
    folds: dict[str, int] = {}
    filled = np.zeros(division.folds)
    for name in _in_turn(keeps, division, seed, "generators"):
        good = 2 * keeps[name] >= keeps[name].max()
        folds[name] = emptiest = int(np.where(good, filled, np.inf).argmin())
        filled[emptiest] += keeps[name][emptiest]
    return folds


def _in_turn(counts: Mapping[str, Counts], division: Division, seed: Sequence[int], what: str) -> list[str]:
    """Put names in order: those with most clips first, luck decides between equals."""
    _expect_enough(len(counts), division.folds, what)
    luck = dict(zip(sorted(counts), np.random.default_rng(seed).random(len(counts)), strict=True))
    return sorted(counts, key=lambda name: (-counts[name].sum(), luck[name]))


def _expect_enough(n: int, n_folds: int, what: str) -> None:
    if n < n_folds:
        raise UsageError(f"{n_folds} folds: expected at least {n_folds} {what}. Received: {n}")
