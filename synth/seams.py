"""Fitting a plan to what is heard: cuts moved to where waveforms meet, spectral tilt, loudness.

Nothing here is random. Each function takes a plan and the samples of its sources and returns the plan with its
numbers filled in, so that the plan alone says what is played.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property

import numpy as np
import numpy.typing as npt

from audio.segments import SAMPLE_RATE
from synth.loudness import BLOCK_SAMPLES, loudness_lufs
from synth.pcm import Pcm, rms_dbfs, to_float
from synth.splice import BS1770, CORRELATED, ZERO, Join, Piece, SplicePlan, excerpt

ZERO_WITHIN_SAMPLES = 160
"""How far a cut is moved to reach a zero crossing, 10 ms: a period of a low voice has one."""

FIT_WITHIN_SAMPLES = 160
"""How far a piece is moved to fit its predecessor, 10 ms: one period of voices from 100 Hz on. The search of
synchronised overlap-add (Roucos and Wilgus, ICASSP 1985; Verhelst and Roelands, ICASSP 1993)."""

FIT_SAMPLES = 160
"""Least context either side of a join that is compared, 10 ms."""

TILT_CONTEXT_SAMPLES = SAMPLE_RATE // 2
"""How much of either neighbour says which tilt a span without a counterpart should have, 0.5 s."""

MAX_TILT_DB = 6.0
"""A tilt is corrected by at most this much per octave: more would only raise noise."""

THIRD_OCTAVES_HZ = 200.0 * 2.0 ** (np.arange(16) / 3.0)
"""Edges of the bands whose levels a tilt is measured with, 200 Hz to 6.4 kHz."""

MAX_GAIN_DB = 12.0
"""Loudness is corrected by at most this much: more would only raise noise."""

AUDIBLE_DBFS = -60.0
"""Quieter excerpts have no loudness worth matching."""

Sources = Mapping[int, Pcm]
"""int16 (n,) of each source that a plan mentions."""


def fitted_to(plan: SplicePlan, sources: Sources) -> SplicePlan:
    """Return `plan` with its cuts where its joins' points ask for, then its tilts, then its gains."""
    return match_loudness(match_tilt(fit_joins(plan, sources), sources), sources)


# Places: a cut moves by some milliseconds, to a zero crossing or to where the waveforms fit.


def fit_joins(plan: SplicePlan, sources: Sources) -> SplicePlan:
    """Move the cuts of joins whose point is `ZERO` or `CORRELATED`; one that finds no place stays.

    At zero crossings, both pieces are cut where their own waveform rises through 0. For a correlated join the
    later piece begins where it continues the earlier one best, by normalised cross-correlation.
    """
    pieces = list(plan.pieces)
    overlaps = [0, *(join.overlap_samples for join in plan.joins), 0]
    for i, join in enumerate(plan.joins):
        before, after = _moved(pieces[i], pieces[i + 1], join=join, sources=sources)
        room = (overlaps[i] + overlaps[i + 1], overlaps[i + 1] + overlaps[i + 2])
        if _is_playable(before, room[0], sources) and _is_playable(after, room[1], sources):
            pieces[i : i + 2] = [before, after]
    return replace(plan, pieces=tuple(pieces))


def _is_playable(piece: Piece, overlaps: int, sources: Sources) -> bool:
    """Tell whether a piece lies inside its source and holds its overlaps."""
    return piece.onset >= 0 and piece.offset <= sources[piece.source].size and piece.duration > overlaps


def _moved(before: Piece, after: Piece, *, join: Join, sources: Sources) -> tuple[Piece, Piece]:
    half = join.overlap_samples // 2
    end, start = before.offset - half, after.onset + half
    if join.point == ZERO:
        shift = nearest_crossing(sources[before.source], end) - end
        other = nearest_crossing(sources[after.source], start) - start
        return replace(before, offset=before.offset + shift), replace(after, onset=after.onset + other)
    if join.point == CORRELATED:
        shift = best_shift(sources[before.source], sources[after.source], at=(end, start), context=half)
        return before, replace(after, onset=after.onset + shift)
    return before, after


def nearest_crossing(samples: Pcm, place: int) -> int:
    """Return the sample nearest to `place` at which the waveform rises through 0, or `place` when none is near."""
    first = max(place - ZERO_WITHIN_SAMPLES, 1)
    around = samples[first - 1 : place + ZERO_WITHIN_SAMPLES + 1]
    rising = np.flatnonzero((around[:-1] < 0) & (around[1:] >= 0)) + first
    return int(rising[np.argmin(np.abs(rising - place))]) if rising.size else place


def best_shift(earlier: Pcm, later: Pcm, *, at: tuple[int, int], context: int) -> int:
    """Return by how many samples to move a cut in `later` so that it continues `earlier` best.

    Parameters
    ----------
    earlier, later
        int16 (n,)
    at
        Where one ends and the other begins.
    context
        How many samples either side are compared, at least `FIT_SAMPLES`.

    Returns
    -------
    The shift within `FIT_WITHIN_SAMPLES` with the largest normalised cross-correlation, the smallest such; 0
    where the recordings are too short to compare.
    """
    width, (end, start) = max(context, FIT_SAMPLES), at
    wanted = earlier[max(end - width, 0) : end + width].astype(np.float64)
    first = start - width - FIT_WITHIN_SAMPLES
    heard = later[max(first, 0) : start + width + FIT_WITHIN_SAMPLES].astype(np.float64)
    if wanted.size < 2 * width or heard.size < 2 * (width + FIT_WITHIN_SAMPLES):
        return 0
    windows = np.lib.stride_tricks.sliding_window_view(heard, 2 * width)
    energy = np.sqrt(np.einsum("ij,ij->i", windows, windows) * np.sum(wanted**2)) + 1.0
    shifts = np.arange(-FIT_WITHIN_SAMPLES, FIT_WITHIN_SAMPLES + 1)
    likeness = np.round(windows @ wanted / energy, 6)  # no last bit of some machine's arithmetic decides
    best = np.flatnonzero(likeness == likeness.max())
    return int(shifts[best[np.argmin(np.abs(shifts[best]))]])


# Tilt: spans get the spectral slope of what surrounds them.


def match_tilt(plan: SplicePlan, sources: Sources) -> SplicePlan:
    """Return `plan` with tilts that give its spans the slope of their surroundings, where it asks for that.

    A span that stands for words of the base gets the slope of those words, any other one that of the half
    seconds on either side. Slopes are corrected by at most `MAX_TILT_DB` per octave, in steps of 0.01 dB.
    """
    if not plan.tilt:
        return plan
    tilted = [
        replace(piece, tilt_db=_tilt_db(plan, i, sources)) if piece.span else piece
        for i, piece in enumerate(plan.pieces)
    ]
    return replace(plan, pieces=tuple(tilted))


def _tilt_db(plan: SplicePlan, place: int, sources: Sources) -> float:
    piece = plan.pieces[place]
    if piece.stands_for is not None:
        wanted = [sources[piece.stands_for][piece.onset : piece.offset]]
    else:
        ends = [sources[p.source][p.onset : p.offset] for p in plan.pieces[max(place - 1, 0) : place]]
        starts = [sources[p.source][p.onset : p.offset] for p in plan.pieces[place + 1 : place + 2]]
        wanted = [*(e[-TILT_CONTEXT_SAMPLES:] for e in ends), *(s[:TILT_CONTEXT_SAMPLES] for s in starts)]
    given = sources[piece.source][piece.onset : piece.offset]
    difference = slope_db(np.concatenate(wanted)) - slope_db(given)
    return round(float(np.clip(difference, -MAX_TILT_DB, MAX_TILT_DB)), 2)


def slope_db(pcm: Pcm) -> float:
    """Return the slope of the spectrum of int16 (n,) in dB per octave: a line through third-octave levels."""
    size = 1 << max(pcm.size - 1, 1_023).bit_length()
    power = np.abs(np.fft.rfft(to_float(pcm), size)) ** 2
    edges = np.round(THIRD_OCTAVES_HZ * size / SAMPLE_RATE).astype(int)
    means = np.add.reduceat(power, edges)[:-1] / np.diff(edges)
    levels_db = 10.0 * np.log10(means + 1e-12)
    return float(np.polyfit(np.log2(THIRD_OCTAVES_HZ[:-1]), levels_db, 1)[0])


# Loudness: every piece is brought to that of the recording the clip begins with.


def match_loudness(plan: SplicePlan, sources: Sources) -> SplicePlan:
    """Return `plan` with gains that make neighbours equally loud, where it asks for that.

    The first recording sets the level. A piece that stands for words of the base gets the level of those very
    words; any other one the level of the first recording. Loudness is ITU-R BS.1770, or the RMS for excerpts
    shorter than its 400 ms blocks.

    Returns
    -------
    The plan with gains within `MAX_GAIN_DB`, in steps of 0.01 dB, none of which makes its piece clip.
    """
    if plan.loudness != BS1770:
        return plan
    anchor = plan.pieces[0].source
    first = _Heard(sources[anchor])
    needed = {piece.source if piece.stands_for is None else piece.stands_for for piece in plan.pieces} - {anchor}
    gains_db = {anchor: 0.0, **{source: _gain_db(first, _Heard(sources[source])) for source in needed}}
    return replace(plan, pieces=tuple(_levelled(piece, sources, gains_db=gains_db) for piece in plan.pieces))


def _levelled(piece: Piece, sources: Sources, *, gains_db: Mapping[int, float]) -> Piece:
    """Give a piece the gain of its recording, or what makes it as loud as the words that it stands for."""
    if piece.stands_for in (None, piece.source):
        gain_db = gains_db[piece.source]
    else:
        span = slice(piece.onset, piece.offset)
        own, replaced = sources[piece.source][span], sources[piece.stands_for][span]
        gain_db = _gain_db(_Heard(replaced), _Heard(own), further_db=gains_db[piece.stands_for])
    return replace(piece, gain_db=_below_clipping(gain_db, excerpt(piece, sources)))


class _Heard:
    """An excerpt and how loud it is, measured once and only when asked for."""

    def __init__(self, pcm: Pcm) -> None:
        self.samples = to_float(pcm)
        self.rms_dbfs = rms_dbfs(self.samples)

    @cached_property
    def lufs(self) -> float:
        return loudness_lufs(self.samples)


def _gain_db(wanted: _Heard, given: _Heard, *, further_db: float = 0.0) -> float:
    """Return the gain that makes `given` as loud as `wanted`, and louder by `further_db`, within the bounds."""
    gain_db = _difference_db(wanted, given) + further_db
    return float(np.clip(gain_db, -MAX_GAIN_DB, MAX_GAIN_DB))


def _below_clipping(gain_db: float, played: npt.NDArray[np.float64]) -> float:
    """Lower a gain to what keeps the samples, in steps of int16, below full scale; in steps of 0.01 dB."""
    peak = max(float(np.abs(played).max(initial=0.0)), 1.0)
    return float(np.floor(min(gain_db, 20.0 * np.log10(32_767.0 / peak)) * 100.0) / 100.0)


def _difference_db(wanted: _Heard, given: _Heard) -> float:
    """Return by how many dB `given` must be raised to be as loud as `wanted`; 0 when either is silence."""
    if min(wanted.rms_dbfs, given.rms_dbfs) < AUDIBLE_DBFS:
        return 0.0
    if min(wanted.samples.size, given.samples.size) < BLOCK_SAMPLES:
        return wanted.rms_dbfs - given.rms_dbfs
    return wanted.lufs - given.lufs
