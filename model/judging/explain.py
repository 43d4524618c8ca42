"""What the frame scores hang on: parts of the spectrogram are covered one by one, and the scores fall or rise.

    bands  |    |    |####|    |        a cell: 200 ms of a sixteenth of the mel scale, set to 0 in every window
           |    |    |    |    |        that holds it; 0 is the band's own mean, as SpecAugment's masks are in
           |____|____|____|____|  time  training, so that the network has met such gaps
              [== explained ==]         effect of the cell = mean logit of these frames - the same, cell covered

Occlusion sensitivity (Zeiler & Fergus, "Visualizing and understanding convolutional networks", ECCV 2014): it needs no
gradients, which ONNX Runtime does not give, and says what happens, not what would for an infinitely small change. What
is explained is P(fake) of the frames in the spans judged fake, because those say where a recording was changed; where
there are none, of all frames with speech. As logits, because P(fake) itself hardly moves once the network is sure, and
over windows joined as judging joins them. So a positive effect carries "fake", a negative one speaks for "real", and a
cell in no window with an explained frame has an effect of exactly 0.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from audio.errors import ModelError, UsageError
from audio.messages import listing, text
from audio.segments import SAMPLE_RATE, Segment, n_frames, to_frames
from model.bundle import Bundle
from model.features import FeatureConfig, log_mel, mel_edges_hz
from model.judging.windows import Window, sliding_windows, triangle

PATCH_FRAMES = 10
"""Frames of 20 ms that are covered together: 200 ms, about a syllable. Shorter gaps the network fills in."""

PATCH_ROWS = 16
"""Rows that the mel bands are cut into, 8 of 128 bands each: about 190 Hz up to 1 kHz, a fifth of the pitch above."""

MOST_WINDOWS = 30
"""Windows that are explained at most, a minute at 4 s every 2 s: each takes 320 runs of the network, 2 s."""

BATCH = 32
"""Covered windows that are run together: more are no faster."""

LEAST_PROBABILITY = 1e-6
"""P(fake) is kept this far from 0 and 1 before its logit is taken: nearer, float32 has too few steps left."""

Float = NDArray[np.float32]
Mask = NDArray[np.bool_]


class Scorer(Protocol):
    """What runs the network, `model.judging.runtime.Network`."""

    def frame_scores(self, features: Float) -> Float:
        """Give P(fake), float32 (n, frames), of windows (n, time, bands)."""


@dataclass(frozen=True, eq=False, slots=True)
class Explanation:
    """Which cells of the spectrogram carry the scores of the explained frames."""

    effects: Float
    """By how much the mean logit falls when a cell is covered, float32 (n_columns, n_rows), low frequencies first; the
    last column may be shorter than `PATCH_FRAMES`."""
    explained: Mask
    """The frames whose scores are explained, bool (n_frames,)."""
    n_left_out: int
    """Frames that should have been, but lie behind `MOST_WINDOWS`."""
    score: float
    """Mean logit of P(fake) of the explained frames, nothing covered."""
    rows_hz: NDArray[np.float64]
    """Where the rows begin and end, (n_rows + 1,)."""
    hop_samples: int

    @property
    def columns_s(self) -> NDArray[np.float64]:
        """Where the columns begin and end, in seconds, (n_columns + 1,)."""
        frames = np.minimum(np.arange(len(self.effects) + 1) * PATCH_FRAMES, len(self.explained))
        return np.asarray(frames * self.hop_samples / SAMPLE_RATE)

    def towards(self, label_is_fake: bool) -> Float:
        """Return the part of the effects that speaks for fake, or for real: like `effects`, 0 or more."""
        return np.maximum(self.effects if label_is_fake else -self.effects, 0.0)

    def by_frame(self) -> NDArray[np.float64]:
        """Spread what carries "fake" evenly over the frames of its cells; float64 (n_frames,), 0 or more."""
        column_of = np.arange(len(self.explained)) // PATCH_FRAMES
        lengths = np.bincount(column_of, minlength=len(self.effects))
        return np.asarray(self.towards(True).sum(axis=1, dtype=np.float64) / lengths)[column_of]

    def share_inside(self, frames: Mask) -> float | None:
        """Return the share of what carries "fake" that lies in some frames, (n_frames,); None where nothing does."""
        each = self.by_frame()
        return float(each[frames].sum() / each.sum()) if each.any() else None

    def strongest_rows(self, label_is_fake: bool, *, most: int = 3) -> list[tuple[float, float, float]]:
        """Return the rows that carry most, the strongest first: from and to in Hz, and the share of the whole."""
        each = self.towards(label_is_fake).sum(axis=0, dtype=np.float64)
        order = [row for row in np.argsort(-each, kind="stable")[:most] if each[row] > 0]
        return [(float(self.rows_hz[i]), float(self.rows_hz[i + 1]), float(each[i] / each.sum())) for i in order]


def explain(
    samples: Float, explained: Mask, *, bundle: Bundle, network: Scorer, title: str | None = None
) -> Explanation:
    """Say what the scores of some frames of a recording hang on.

    Parameters
    ----------
    samples
        float32 (n,) at 16 kHz, finite.
    explained
        bool (n_frames,): the frames whose scores are asked about, at least one.
    bundle, network
        The model, and what runs it.
    title
        What to call the work in a progress bar on stderr, which only terminals see; None: no bar.

    Raises
    ------
    UsageError
        `explained` does not fit the recording, or marks nothing.
    ModelError
        The network does not do what its bundle says.
    """
    occlusion = Occlusion(samples, explained, bundle=bundle, network=network)
    return Explanation(
        effects=occlusion.effects(title=title),
        explained=occlusion.explained,
        n_left_out=int(np.count_nonzero(explained) - np.count_nonzero(occlusion.explained)),
        score=occlusion.score(),
        rows_hz=rows_hz(bundle.features),
        hop_samples=bundle.frame_hop_samples,
    )


@dataclass(frozen=True, eq=False, slots=True)
class _View:
    """A window with explained frames in it."""

    first: int
    """Its first frame in the recording."""
    features: Float
    weights: NDArray[np.float64]
    """What each of its frames counts in the explained score, (frames,); they add up to 1 over all windows."""

    @property
    def columns(self) -> slice:
        """The columns of the recording that it touches."""
        return slice(self.first // PATCH_FRAMES, -(-(self.first + len(self.weights)) // PATCH_FRAMES))


class Occlusion:
    """A recording whose spectrogram can be covered in places; parameters and errors are those of `explain`."""

    def __init__(self, samples: Float, explained: Mask, *, bundle: Bundle, network: Scorer) -> None:
        hop = bundle.frame_hop_samples
        expected = n_frames(len(samples), hop)
        if explained.shape != (expected,) or not explained.any():
            told = f"{np.count_nonzero(explained)} of {explained.shape}"
            raise UsageError(f"explain: expected one or more of {expected} frames, received {told}")
        windows = sliding_windows(
            len(samples), window_samples=bundle.window_samples, step_samples=bundle.step_samples, hop_samples=hop
        )
        self.explained = _bounded(explained, windows, hop)
        self._network, self._config = network, bundle.features
        row_sizes = np.diff(_row_edges(bundle.features))
        self._row_of_band = np.repeat(np.arange(len(row_sizes)), row_sizes)
        self._views = list(_views(samples, self.explained, windows, bundle))

    @property
    def shape(self) -> tuple[int, int]:
        """Columns and rows of the recording."""
        return -(-len(self.explained) // PATCH_FRAMES), int(self._row_of_band[-1]) + 1

    def score(self, covered: Mask | None = None) -> float:
        """Return the mean logit of the explained frames with some cells covered, bool of `shape`; None: with none."""
        given = np.zeros(self.shape, dtype=np.bool_) if covered is None else covered
        return sum(float(self._logits(view, [given[view.columns]])[0] @ view.weights) for view in self._views)

    def effects(self, *, title: str | None = None) -> Float:
        """Return by how much the mean logit falls when each cell is covered alone, float32 of `shape`."""
        from tqdm import tqdm  # here, for the 30 ms that importing it takes

        found = np.zeros(self.shape)
        for view in tqdm(self._views, desc=title, unit="window", disable=None if title else True):
            n_columns = view.columns.stop - view.columns.start
            nothing = np.zeros((n_columns, self.shape[1]), dtype=np.bool_)
            as_it_is, falls = self._logits(view, [nothing]), []
            one_by_one = _one_by_one(nothing.shape)
            while batch := list(islice(one_by_one, BATCH)):
                # Frame by frame before they are added up, so that no change gives exactly 0.
                falls.append((as_it_is - self._logits(view, batch)) @ view.weights)
            found[view.columns] += np.concatenate(falls).reshape(nothing.shape)
        return found.astype(np.float32)

    def _logits(self, view: _View, covers: list[Mask]) -> NDArray[np.float64]:
        """The logits of a window, (n, frames), for each way of covering its columns, bool (columns, rows)."""
        scores = self._network.frame_scores(np.stack([self._covered(view, cover) for cover in covers]))
        if scores.shape != (len(covers), len(view.weights)):
            told = f"expected {len(view.weights)} frame scores a window, received {scores.shape[-1]}"
            raise ModelError(f"explain: {told}")
        probabilities = np.clip(scores.astype(np.float64), LEAST_PROBABILITY, 1.0 - LEAST_PROBABILITY)
        return np.asarray(np.log(probabilities / (1.0 - probabilities)))

    def _covered(self, view: _View, cover: Mask) -> Float:
        """The features of a window with 0 in the covered cells, of all sets of bands alike."""
        column_of_frame = (view.first + np.arange(len(view.weights))) // PATCH_FRAMES - view.columns.start
        hidden = cover[column_of_frame][:, self._row_of_band]
        hidden = np.tile(hidden.repeat(self._config.frames_per_score, axis=0), len(self._config.parts))
        return np.where(hidden, np.float32(0.0), view.features)


def explanation_text(explanation: Explanation, spans: Sequence[Segment]) -> str:
    """Tell an explanation in words: how much lies inside the spans judged fake, and at which frequencies most.

    Parameters
    ----------
    explanation
        The explanation.
    spans
        The spans judged fake; none: told is what speaks for real.
    """
    is_fake, hop = bool(spans), explanation.hop_samples
    rows = explanation.strongest_rows(is_fake)
    if not rows:
        return text("explained_nothing")
    bands = [text("explained_band", low_khz=low / 1e3, high_khz=high / 1e3, share=share) for low, high, share in rows]
    share = explanation.share_inside(to_frames(spans, len(explanation.explained), hop))
    key = "explained_fake" if is_fake else "explained_real"
    told = text(key, share=share, bands=listing(bands, at_most=len(bands)))
    if not explanation.n_left_out:
        return told
    n_explained = int(np.count_nonzero(explanation.explained))
    seconds = [n * hop / SAMPLE_RATE for n in (n_explained, n_explained + explanation.n_left_out)]
    return told + text("explained_left_out", explained_s=seconds[0], asked_s=seconds[1])


def rows_hz(config: FeatureConfig) -> NDArray[np.float64]:
    """Return where the rows begin and end in Hz, float64 (n_rows + 1,): halfway between the peaks of two bands."""
    peaks = mel_edges_hz(config)[1:-1]
    halfway = np.concatenate([[config.f_min_hz], (peaks[1:] + peaks[:-1]) / 2, [config.f_max_hz]])
    return np.asarray(halfway[_row_edges(config)])


def _row_edges(config: FeatureConfig) -> NDArray[np.int64]:
    """Where the rows begin and end in bands, int64 (n_rows + 1,); fewer bands than `PATCH_ROWS` are a row each."""
    return np.linspace(0, config.n_mels, min(PATCH_ROWS, config.n_mels) + 1).astype(np.int64)


def _frames_of(window: Window, hop: int) -> slice:
    first = window.onset // hop
    return slice(first, first + n_frames(window.duration, hop))


def _bounded(explained: Mask, windows: list[Window], hop: int) -> Mask:
    """Leave out the frames from the first window on that is one too many, but never the first frame of all."""
    asked = [window for window in windows if explained[_frames_of(window, hop)].any()]
    if len(asked) <= MOST_WINDOWS:
        return explained
    bounded = explained.copy()
    bounded[max(asked[MOST_WINDOWS].onset // hop, int(np.argmax(explained)) + 1) :] = False
    return bounded


def _views(samples: Float, explained: Mask, windows: list[Window], bundle: Bundle) -> Iterator[_View]:
    """Yield the windows that hold explained frames, each frame weighted as joined windows weight it."""
    frames = [_frames_of(window, bundle.frame_hop_samples) for window in windows]
    total = np.zeros(len(explained), dtype=np.int64)
    for each in frames:
        total[each] += triangle(each.stop - each.start)
    per_frame = explained / (total * np.count_nonzero(explained))
    for window, each in zip(windows, frames, strict=True):
        if explained[each].any():
            features = log_mel(samples[window.onset : window.offset], bundle.features)
            yield _View(each.start, features, per_frame[each] * triangle(each.stop - each.start))


def _one_by_one(shape: tuple[int, int]) -> Iterator[Mask]:
    """Yield masks of a shape with one cell each, row after row as `reshape` lays them out."""
    for place in np.ndindex(shape):
        mask = np.zeros(shape, dtype=np.bool_)
        mask[place] = True
        yield mask
