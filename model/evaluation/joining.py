"""Scores of a system and labels of a set, joined clip by clip.

Polarity is never guessed from the scores: either the format says which end is fake, or the caller does; what comes out
is higher for more fake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

import numpy as np

from audio.errors import UsageError
from audio.labels import FAKE, REAL
from audio.manifest import AUDIO_SUFFIXES, Clip
from model.evaluation.judged import Judged
from model.evaluation.scorefiles import ClipScores, Scores


def join(
    scores: Scores,
    clips: Mapping[str, Clip],
    *,
    higher_is: str | None = None,
    n_samples: Mapping[str, int] | None = None,
    allow_missing: bool = False,
) -> tuple[list[Judged], tuple[str, ...]]:
    """Join scores with labels by id, turned so that higher is more fake.

    An id of the scores names the clip with exactly that id; else the only clip with the same id without the
    extension of an audio file; else the only clip with the same name without folders and extension. Backslashes
    count as slashes there. Where there are frame scores only, the greatest of them is the score of the clip.

    Parameters
    ----------
    scores
        From `read_scores`.
    clips
        The labelled clips by id (`audio.corpora.keys.read_keys`).
    higher_is
        The class that high scores speak for, `REAL` or `FAKE`; None takes what the format says. It overrules a
        convention of the field, but not a format that defines fake as high.
    n_samples
        Lengths in samples at 16 kHz by id of `clips`, for clips that do not know theirs; after it comes what the
        scores tell, and 0 means unknown.
    allow_missing
        Whether clips without a score and scores without a clip are left out and counted in the notes; otherwise
        they are errors.

    Returns
    -------
    one `Judged` for each clip with scores, in the order of `clips`; and notes for people.

    Raises
    ------
    UsageError
        When polarity is unknown or contradicted, ids are missing on one side, two scores are for one clip, or
        a key in the score file contradicts the label.
    """
    polarity, notes = _polarity(scores, higher_is)
    pairs, unknown, by_name = _matched(scores.clips, clips)
    notes += _missing(scores, clips, pairs=pairs, unknown=unknown, allowed=allow_missing)
    if by_name:
        notes.append(f"{by_name} of {len(pairs)} ids match without folder or extension only")
    _check_keys(scores, clips, pairs=pairs)
    rows = [
        _judged(clip, scores.clips[pairs[name]], polarity=polarity, n_samples=(n_samples or {}).get(name, 0))
        for name, clip in clips.items()
        if name in pairs
    ]
    if any(row.frames is not None and row.score is None for row in scores.clips.values()):
        notes.append("the score of a clip is the greatest of its frames: the file has frame scores only")
    return rows, (*notes, *_inverted(rows))


def _polarity(scores: Scores, higher_is: str | None) -> tuple[str, list[str]]:
    """Decide what high scores speak for, and say so."""
    if higher_is not in (None, REAL, FAKE):
        raise UsageError(f"what high scores mean (--higher): expected {REAL} or {FAKE}, received {higher_is!r}")
    known = scores.higher_is
    if higher_is is None and known is None:
        said = f"expected {REAL} or {FAKE}, as '{scores.kind}' does not say, received neither"
        raise UsageError(f"what high scores mean (--higher): {said}")
    if known == FAKE and higher_is == REAL:
        said = f"expected {FAKE}, which '{scores.kind}' defines, received {REAL}"
        raise UsageError(f"what high scores mean (--higher): {said}")
    if higher_is is None:
        return str(known), [f"high scores mean {known} ({scores.kind})"]
    against = f", against the convention of {scores.kind}" if known not in (None, higher_is) else ""
    return higher_is, [f"high scores mean {higher_is} (as told{against})"]


def _without_extension(name: str) -> str:
    """An id with slashes, and without the extension of an audio file."""
    plain = name.replace("\\", "/")
    stem, dot, extension = plain.rpartition(".")
    return stem if dot and f".{extension}".lower() in AUDIO_SUFFIXES else plain


def _bare_name(name: str) -> str:
    """An id without folders and without the extension of an audio file."""
    return _without_extension(name).rpartition("/")[2]


def _matched(given: Iterable[str], clips: Mapping[str, Clip]) -> tuple[dict[str, str], list[str], int]:
    """Return the id of the scores for each id of a clip, the ids of no clip, and how many match by name only."""
    pairs: dict[str, str] = {}
    rest = []
    for name in given:
        if name in clips:
            pairs[name] = name
        else:
            rest.append(name)
    n_exact = len(pairs)
    for simplified in (_without_extension, _bare_name):
        index = _unique(clips, simplified) if rest else {}
        left = []
        for name in rest:
            target = index.get(simplified(name))
            if target is None:
                left.append(name)
            elif target in pairs:
                raise UsageError(f"scores of {target!r}: expected one, received {pairs[target]!r} and {name!r}")
            else:
                pairs[target] = name
        rest = left
    return pairs, rest, len(pairs) - n_exact


def _unique(names: Iterable[str], simplified: Callable[[str], str]) -> dict[str, str | None]:
    """Index names by what they are without some of their parts; None where several are the same."""
    index: dict[str, str | None] = {}
    for name in names:
        short = simplified(name)
        index[short] = None if short in index else name
    return index


def _missing(
    scores: Scores, clips: Mapping[str, Clip], *, pairs: Mapping[str, str], unknown: Sequence[str], allowed: bool
) -> list[str]:
    """Say what one side has and the other has not; an error unless that is allowed."""
    unscored = [name for name in clips if name not in pairs]
    notes = [
        f"{len(names)} of {total} {what}, the first is {names[0]!r}"
        for names, total, what in (
            (unknown, len(scores.clips), "scores have no label"),
            (unscored, len(clips), "labelled clips have no score"),
        )
        if names
    ]
    if notes and not allowed:
        raise UsageError(f"scores and labels: expected the same ids (or allow missing ones), received: {notes[0]}")
    if not pairs:
        raise UsageError("scores and labels: expected ids that both have, received none")
    return [f"left out: {note}" for note in notes]


def _check_keys(scores: Scores, clips: Mapping[str, Clip], *, pairs: Mapping[str, str]) -> None:
    """Raise when a score file that brings its own truth contradicts the labels about what is real."""
    wrong = [
        name
        for name, given in pairs.items()
        if (key := scores.clips[given].key) is not None and (key == REAL) != (clips[name].label == REAL)
    ]
    if wrong:
        key, label = scores.clips[pairs[wrong[0]]].key, clips[wrong[0]].label
        raise UsageError(
            f"scores and labels: expected the same truth in both, received {len(wrong)} of {len(pairs)} that differ,"
            f" first {wrong[0]!r}: {key} with the scores, {label} in the labels"
        )


def _judged(clip: Clip, found: ClipScores, *, polarity: str, n_samples: int) -> Judged:
    """Put what a file says beside the truth, higher for fake."""
    turn = -1.0 if polarity == REAL else 1.0
    frames = None if found.frames is None else found.frames * np.float32(turn)
    score = None if found.score is None else turn * found.score
    if score is None and frames is not None and len(frames):
        score = float(frames.max())
    hop = found.hop_samples
    length = clip.n_samples or n_samples or found.n_samples
    if not length and frames is not None and hop is not None:
        length = len(frames) * hop
    return Judged(
        clip,
        length,
        score=score,
        label=found.label,
        probabilities=found.probabilities,
        frame_scores=frames,
        **({} if hop is None else {"hop_samples": hop}),
        spans=found.spans,
        reasons=found.reasons,
        failed=found.failed,
    )


def _inverted(rows: Sequence[Judged]) -> list[str]:
    """Warn when the scores look as if somebody had mixed up the polarity; nothing is changed."""
    scored = [(row.clip.label != REAL, row.score) for row in rows if row.score is not None]
    is_fake = np.array([fake for fake, _ in scored], dtype=bool)
    values = np.array([score for _, score in scored], dtype=np.float64)
    if not is_fake.any() or is_fake.all():
        return []
    fake, real = float(np.median(values[is_fake])), float(np.median(values[~is_fake]))
    if fake >= real:
        return []
    return [
        f"the median score of fake clips ({fake:g}) is below that of real ones ({real:g}), higher meaning fake:"
        " check the polarity"
    ]
