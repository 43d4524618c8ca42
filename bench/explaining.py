"""`python -m bench.explaining`: does the map of `script.py detect --explain` point at what was spliced?

Takes the hybrids of a set whose fake spans are known, `--clips` of them evenly spread over the set, and asks:

- **Inside or outside?** The share of what carries "fake" that lies inside the true spans, by the share of the speech
  that lies there: 1 is what a map gives that knows nothing. Only frames with speech count, as spans lie in speech and
  pauses carry little. Beside it, the same map moved along the speech by random distances, its end joined to its
  beginning: what chance gives on these clips, and how often no move does better. And the same ratio of P(fake) itself:
  no map can point at spans that the scores do not find.
- **Is the map true to the network?** The score falls when the 5 % of the cells that carry most are covered at once;
  does it fall more than for as many random cells, and than for as many in the same 200 ms at other frequencies? The map
  was made by covering one cell at a time, so this says that effects add up, and not that they are right.

Each for the frames that the command would explain (spans judged fake, else all speech), for all speech whatever the
verdict, and inside or outside also for the clips with spans alone. Intervals are 95 % percentile bootstrap intervals by
clip. `--write FILE` puts the tables into a document, between two marks.
"""

from __future__ import annotations

import argparse
import hashlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from apps.cli.evaluate import ALL, chosen, set_name
from audio.atomic import put_between
from audio.cleaning import speech_frames
from audio.errors import ToolkitError, UsageError
from audio.labels import HYBRID
from audio.manifest import Clip, fake_spans, read_set, resolve
from audio.reading import Samples, read
from audio.segments import to_frames
from model import metrics
from model.bundle import find_bundle, read_bundle
from model.judging.detector import Detector
from model.judging.explain import Explanation, Mask, Occlusion, explain
from model.judging.runtime import Network, open_network
from model.metrics.bootstrap import share_interval

CLIPS = 60
"""Hybrids that are explained unless told otherwise."""

COVERED_SHARE = 0.05
"""Share of the cells that are covered together."""

N_MOVES = 19
"""Moves of each map: a map that knows nothing is better than all of them once in twenty."""

N_RANDOM = 4
"""Random sets of cells, whose falls are averaged."""

MAPS = ("as the command explains", "all speech")
"""Which frames are explained."""

WITH_SPANS = "as the command explains, clips with spans judged fake"

BEGIN, END = "<!-- explaining begin -->", "<!-- explaining end -->"
"""Marks in a document that the tables stand between."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Inside:
    """How much of a map lies inside the true spans; shares of 0 to 1."""

    share: float
    """Of what carries "fake" in speech."""
    moved: tuple[float, ...]
    """The same, of the map moved along the speech."""
    area: float
    """Share of the speech that lies inside."""
    scores: float
    """Share of P(fake) in speech that lies inside."""


@dataclass(frozen=True)
class Fall:
    """By how much the mean logit falls when as many cells are covered at once."""

    most: float
    """Those that carry most."""
    anywhere: float
    """Random ones."""
    same_columns: float
    """Random ones of the same columns."""


@dataclass(frozen=True)
class Row:
    """One clip and one of `MAPS`."""

    path: str
    map: str
    has_spans: bool
    """Whether spans were judged fake."""
    inside: Inside | None
    """None where nothing carries "fake", or the speech lies all inside or all outside."""
    fall: Fall


def examine(place: Path, clips: Sequence[Clip], *, model: Path | None, seed: int = 0) -> list[Row]:
    """Explain hybrids and compare the maps with the truth.

    Returns
    -------
    Two rows for each clip with a verdict, in the order of `MAPS`.

    Raises
    ------
    ToolkitError
        A recording cannot be read, or there is no usable model.
    """
    from tqdm import tqdm

    detector = Detector(model)
    network = open_network(detector.bundle)
    rows: list[Row] = []
    for clip in tqdm(clips, desc="explaining", unit="clip", disable=None):
        rows += _rows(clip, read(resolve(place, clip)), detector, network, seed)
    return rows


def _rows(clip: Clip, samples: Samples, detector: Detector, network: Network, seed: int) -> Iterator[Row]:
    """Compare both maps of a clip, which are one where no span is judged fake; nothing where there is no verdict."""
    bundle, detection = detector.bundle, detector.detect(samples)
    if detection.abstained:
        return
    speech = speech_frames(samples, hop_samples=bundle.frame_hop_samples)
    truth = to_frames(fake_spans(clip, len(samples)), len(speech), bundle.frame_hop_samples)

    def row(found: Explanation, name: str) -> Row:
        digest = hashlib.sha256(f"{seed}\n{clip.path}".encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        score = Occlusion(samples, found.explained, bundle=bundle, network=network).score
        inside = inside_of(found, truth, speech, detection.frame_scores, rng)
        return Row(clip.path, name, bool(detection.spans), inside, fall_of(found, score, rng))

    first = row(detector.explain(samples, detection), MAPS[0])
    yield first
    if detection.spans:
        yield row(explain(samples, speech, bundle=bundle, network=network), MAPS[1])
    else:
        yield replace(first, map=MAPS[1])


def inside_of(
    found: Explanation, truth: Mask, speech: Mask, scores: Samples, rng: np.random.Generator
) -> Inside | None:
    """Say how much of a map lies inside the true spans.

    Parameters
    ----------
    found
        The map.
    truth, speech
        Fake frames and frames with speech, bool (n_frames,).
    scores
        P(fake), float32 (n_frames,).
    rng
        What moves the map.

    Returns
    -------
    The shares; None where nothing carries "fake", or the speech lies all inside or all outside.
    """
    carried, inside = found.by_frame()[speech], truth[speech]
    if not (carried.any() and scores[speech].any() and inside.any()) or inside.all():
        return None
    moves = rng.integers(1, len(carried), N_MOVES)
    moved = tuple(_share(np.roll(carried, move), inside) for move in moves)
    heard = scores[speech].astype(np.float64)
    return Inside(_share(carried, inside), moved, float(inside.mean()), _share(heard, inside))


def _share(carried: NDArray[np.float64], inside: Mask) -> float:
    return float(carried[inside].sum() / carried.sum())


def fall_of(found: Explanation, score: Callable[[Mask], float], rng: np.random.Generator) -> Fall:
    """Cover the cells that carry most, and as many others.

    Parameters
    ----------
    found
        The map.
    score
        Gives the mean logit with cells covered, bool like `found.effects`.
    rng
        What chooses the others.
    """
    most = most_carrying(found)

    def fall(covered: Mask) -> float:
        return found.score - score(covered)

    anywhere = [fall(rng.permutation(most.ravel()).reshape(most.shape)) for _ in range(N_RANDOM)]
    same_columns = [fall(rng.permuted(most, axis=1)) for _ in range(N_RANDOM)]
    return Fall(fall(most), float(np.mean(anywhere)), float(np.mean(same_columns)))


def most_carrying(found: Explanation) -> Mask:
    """Mark the share `COVERED_SHARE` of the cells that carry most, at least one; bool like `found.effects`."""
    effects = found.effects.ravel()
    covered = np.zeros(effects.size, dtype=np.bool_)
    covered[np.argsort(-effects, kind="stable")[: max(1, round(COVERED_SHARE * effects.size))]] = True
    return covered.reshape(found.effects.shape)


# Tables


INSIDE_COLUMNS = (
    *("explained", "clips", "inside the true spans", "speech there", "ratio"),
    *("ratio, maps moved", f"beyond all {N_MOVES} moves", "ratio of P(fake)"),
)

FALL_COLUMNS = (
    *("explained", "clips", "fall, most carrying cells", "random cells", "same 200 ms"),
    *("above random", "above same 200 ms"),
)


def tables(rows: Sequence[Row]) -> Iterator[str]:
    """Yield the lines of both tables, in Markdown."""
    yield from _head(INSIDE_COLUMNS)
    for name, part in _parts(rows):
        told = [row.inside for row in part if row.inside is not None]
        yield _line(name, str(len(told)), *_inside_cells(told))
    yield ""
    yield from _head(FALL_COLUMNS)
    for name, part in _parts(rows):
        if name in MAPS:
            yield _line(name, str(len(part)), *_fall_cells([row.fall for row in part]))


def _head(columns: Sequence[str]) -> Iterator[str]:
    yield _line(*columns)
    yield "|---" * len(columns) + "|"


def _line(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _parts(rows: Sequence[Row]) -> Iterator[tuple[str, list[Row]]]:
    for name in MAPS:
        yield name, [row for row in rows if row.map == name]
        if name == MAPS[0]:
            yield WITH_SPANS, [row for row in rows if row.map == name and row.has_spans]


def _inside_cells(told: Sequence[Inside]) -> Iterator[str]:
    if not told:
        yield from ("-",) * (len(INSIDE_COLUMNS) - 2)
        return
    share, area = [each.share for each in told], [each.area for each in told]
    yield f"{100 * np.mean(share):.1f} %"
    yield f"{100 * np.mean(area):.1f} %"
    yield with_interval(share, area)
    yield with_interval([float(np.mean(each.moved)) for each in told], area)
    yield share_with_interval([each.share > max(each.moved) for each in told])
    yield with_interval([each.scores for each in told], area)


def _fall_cells(told: Sequence[Fall]) -> Iterator[str]:
    for name in ("most", "anywhere", "same_columns"):
        yield with_interval([getattr(each, name) for each in told], [1.0] * len(told))
    for name in ("anywhere", "same_columns"):
        yield share_with_interval([each.most > getattr(each, name) for each in told])


def share_with_interval(chosen: Sequence[bool]) -> str:
    """Write the share of the clips that are chosen, at least one clip, with its interval by clip."""
    interval = share_interval(chosen, [""] * len(chosen))
    return f"{np.mean(chosen):.2f}" + (f" ({interval.low:.2f} to {interval.high:.2f})" if interval else "")


def with_interval(above: Sequence[float], below: Sequence[float]) -> str:
    """Write the ratio of two sums over clips, with its interval by clip where there are two clips or more."""
    ratio = f"{sum(above) / sum(below):.2f}"
    drawn = metrics.resamples([str(i) for i in range(len(above))])
    if drawn is None:
        return ratio
    sums = metrics.sums(drawn, np.stack([above, below], axis=1))
    interval = metrics.interval(sums[:, 0] / sums[:, 1])
    return ratio if interval is None else f"{ratio} ({interval.low:.2f} to {interval.high:.2f})"


# The command


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; return 0, 1 when something failed, or 2 for wrong usage."""
    logging.basicConfig(format="%(message)s", level=logging.INFO, stream=sys.stderr)
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except ToolkitError as error:
        _log.error("error: %s", error)
        return 2 if isinstance(error, UsageError) else 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m bench.explaining", description=(__doc__ or "").split("\n")[0])
    add = parser.add_argument
    add("--set", type=Path, required=True, metavar="SET", help="manifest, or its folder, of a set with known spans")
    add("--model", type=Path, metavar="BUNDLE", help="folder of a model (default: shipped, else newest run)")
    add("--split", default="dev", metavar="NAME", help=f"split to take, or {ALL} (default: %(default)s)")
    add("--clips", type=int, default=CLIPS, metavar="N", help="no more hybrids than this (default: %(default)s)")
    add("--seed", type=int, default=0, metavar="N", help="of moves and random cells (default: %(default)s)")
    add("--write", type=Path, metavar="FILE", help="put the tables into this document")
    return parser


def _run(options: argparse.Namespace) -> None:
    place, everything = read_set(options.set)
    split, clips = chosen(everything, options.split)
    some = known_hybrids(clips, options.clips)
    rows = examine(place, some, model=options.model, seed=options.seed)
    if not rows:
        raise UsageError("--set: expected hybrids that the model has a verdict on, received none")
    n_judged, name = len(rows) // len(MAPS), read_bundle(find_bundle(options.model)).name
    facts = f"{len(some)} hybrids of the split {split} of `{set_name(place)}`, {n_judged} of them judged;"
    command = f"`python -m bench.explaining --set SET --split {split} --clips {options.clips} --seed {options.seed}`"
    said = "\n".join([f"{facts} model `{name}`;", f"{command}.", "", *tables(rows)])
    print(said, flush=True)
    if options.write:
        put_between(options.write, said, begin=BEGIN, end=END)


def known_hybrids(clips: Sequence[Clip], most: int) -> list[Clip]:
    """Return the hybrids with known spans, `most` of them, evenly spread in the order of the manifest.

    Raises
    ------
    UsageError
        There is none, or `most` is below 1.
    """
    known = [clip for clip in clips if clip.label == HYBRID and clip.segments]
    if most < 1 or not known:
        raise UsageError(f"--clips: expected 1 or more hybrids with known spans, received {min(most, len(known))}")
    n = min(most, len(known))
    return [known[i * len(known) // n] for i in range(n)]


if __name__ == "__main__":
    sys.exit(main())
