"""Thresholds from one set for another: never from the set that is tested."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from audio.digest import file_sha256
from audio.errors import ToolkitError, UsageError
from audio.manifest import Clip, resolve
from audio.segments import SAMPLE_RATE
from model.evaluation.clip_figures import clip_scores
from model.evaluation.figures import Operating, Sample
from model.evaluation.place_figures import FINEST_MS, located, recordings
from model.metrics.cells import gather
from model.metrics.ranking import equal_error_threshold


def operating_from(given: Sample, *, source: str, calibrated: bool) -> Operating:
    """Choose thresholds on judged clips: those of equal error, of clips and of cells of 20 ms.

    Parameters
    ----------
    given
        Clips of a set that is not tested.
    source
        What it is called.
    calibrated
        Whether the scores are probabilities under the classes' shares in this set, as those of our bundles are under
        dev's; they become log-likelihood ratios by its odds. Otherwise scores are taken for such ratios.

    Raises
    ------
    UsageError
        When no threshold can be chosen, because real clips or clips with anything fake are missing.
    """
    scored = given.only(lambda found: found.score is not None)
    threshold = equal_error_threshold(scored.is_fake, clip_scores(scored))
    if threshold is None:
        raise UsageError(f"threshold from {source}: expected scored clips, real ones and others, received one kind")
    heard = located(scored)
    cells = gather(recordings(heard), cell_samples=FINEST_MS * SAMPLE_RATE // 1_000)
    n_fake, n_real = int(scored.is_fake.sum()), int((~scored.is_fake).sum())
    return Operating(
        f"{source} ({len(scored.judged)} clips)",
        clip_threshold=threshold,
        frame_threshold=equal_error_threshold(cells.is_fake, cells.scores),
        log_prior_odds=float(np.log(n_fake / n_real)) if calibrated else None,
    )


def check_apart(tested: tuple[Path, Sequence[Clip]], choosing: tuple[Path, Sequence[Clip]]) -> None:
    """Refuse to choose on what is tested.

    Parameters
    ----------
    tested, choosing
        Each with its place (`audio.manifest.read_set`) and its clips.

    Raises
    ------
    UsageError
        When a recording, known by its content, is in both.
    """
    theirs = _contents(*choosing)
    if shared := [path for path in _contents(*tested).items() if path[0] in theirs]:
        digest, path = shared[0]
        raise UsageError(
            "--threshold-from: expected a set apart from the one that is tested,"
            f" received {len(shared)} recordings that are in both, for example {path} ({theirs[digest]})"
        )


def _contents(place: Path, clips: Sequence[Clip]) -> dict[str, str]:
    """Name each readable recording by its content."""
    named = {}
    for clip in clips:
        try:
            named[file_sha256(resolve(place, clip))] = clip.path
        except ToolkitError:
            continue  # whoever judges it will say so
    return named
