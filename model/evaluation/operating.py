"""Thresholds from one set for another: never from the set that is tested."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from audio.digest import file_sha256
from audio.errors import ToolkitError, UsageError
from audio.labels import FAKE
from audio.manifest import Clip, resolve
from audio.segments import SAMPLE_RATE, Segment
from model.evaluation.clip_figures import clip_scores
from model.evaluation.figures import Operating, Sample
from model.evaluation.judged import Judged
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
        When no threshold can be chosen, because real clips or clips with anything fake are missing, or all scores are
        the same.
    """
    scored = given.only(lambda found: found.score is not None)
    threshold = equal_error_threshold(scored.is_fake, clip_scores(scored))
    if threshold is None:
        raise UsageError(f"threshold from {source}: expected scored clips, real ones and others, received one kind")
    if not math.isfinite(threshold):
        raise UsageError(f"threshold from {source}: expected scores that differ, received the same throughout")
    heard = located(scored)
    cells = gather(recordings(heard), cell_samples=FINEST_MS * SAMPLE_RATE // 1_000)
    frame_threshold = equal_error_threshold(cells.is_fake, cells.scores)
    n_fake, n_real = int(scored.is_fake.sum()), int((~scored.is_fake).sum())
    return Operating(
        f"{source} ({len(scored.judged)} clips)",
        clip_threshold=threshold,
        frame_threshold=frame_threshold if frame_threshold is not None and math.isfinite(frame_threshold) else None,
        log_prior_odds=float(np.log(n_fake / n_real)) if calibrated else None,
    )


def with_spans(found: Judged, frame_threshold: float) -> Judged:
    """Give a clip that has frame scores but no spans those of its frames that reach a threshold from another set.

    Neighbouring frames make one span. Its confidence, which must lie between 0 and 1 whatever the scores are, is
    1/2 + atan(mean score) / pi: it keeps their order, which is all that average precision asks for.
    """
    if found.spans is not None or found.frame_scores is None:
        return found
    edges = np.flatnonzero(np.diff(found.frame_scores >= frame_threshold, prepend=False, append=False))
    spans = []
    for first, stop in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
        onset, offset = first * found.hop_samples, stop * found.hop_samples
        confidence = 0.5 + math.atan(float(found.frame_scores[first:stop].mean(dtype=np.float64))) / math.pi
        if onset < found.n_samples:
            spans.append(Segment(onset, min(offset, found.n_samples), FAKE, confidence))
    return replace(found, spans=tuple(spans))


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
