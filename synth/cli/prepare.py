"""`python -m synth prepare`: make one's own recordings fit to build from."""

from __future__ import annotations

import argparse
import logging
from pathlib import Path

from audio.executors import add_executor, workers_of

HELP = "make a folder of your own recordings fit to build from"

EXAMPLE = """\
examples:
  python -m synth prepare recordings data/prepared
  python -m synth build --real data/prepared --out data/mine --clips 300

  recordings/SPEAKER/NAME.wav (or any other format) becomes data/prepared/SPEAKER/NAME.wav: 16 kHz, mono, trimmed to
  its speech, at one loudness. Recordings longer than 20 s are cut at pauses, into NAME_001.wav and so on.
  data/prepared/report.csv says what was rejected and why: clips that are silent, short, clipped or distorted, and
  those whose pitch, level or spectrum lies outside the interquartile fences of their speaker.

  python -m synth prepare recordings data/prepared --denoise gate --augment 2 --noise noise

  Real stays real: copies change speed, tempo or pitch by at most 10 %. Denoising is off by default, because what it
  leaves behind would tell genuine voices from fake ones.

A preparation that was stopped goes on when the same command is given again. It exits 1 when a recording could not be
read, or none is left; clips that were merely rejected are listed.
"""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("recordings", type=Path, metavar="IN", help="folder of recordings, subfolder = speaker")
    add("out", type=Path, metavar="OUT", help="folder for the clips")
    add("--denoise", default="none", metavar="HOW", help="none, gate, subtract or wavelet (default: %(default)s)")
    add("--target-lufs", type=float, default=-23.0, metavar="LUFS", help="loudness of the clips (default: %(default)s)")
    add("--no-trim", action="store_true", help="keep the silence before and behind the speech")
    add("--keep-outliers", action="store_true", help="report clips that stand out, but keep them")
    add("--augment", type=int, default=0, metavar="N", help="N varied copies of each clip (default: %(default)s)")
    add("--noise", type=Path, metavar="DIR", help="recordings of noise for the copies (default: generated)")
    add("--seed", type=int, default=1, metavar="S", help="what the copies are drawn from (default: %(default)s)")
    add_executor(parser)


def run(options: argparse.Namespace) -> int:
    """Prepare, tell what was rejected; return 1 when something could not be read or nothing is left, else 0."""
    from synth.preparation import Preparation
    from synth.prepare import prepare_folder

    preparation = Preparation(
        denoise=options.denoise,
        target_lufs=options.target_lufs,
        trim=not options.no_trim,
        keep_outliers=options.keep_outliers,
        n_copies=options.augment,
        seed=options.seed,
    )
    outcome = prepare_folder(
        options.recordings, options.out, preparation=preparation, noise=options.noise, workers=workers_of(options)
    )
    for line in outcome.rejected:
        _log.info("rejected: %s", line)
    for line in outcome.failed:
        _log.error("failed: %s", line)
    counts = f"{len(outcome.clips)} clips, {len(outcome.rejected)} rejected, {len(outcome.failed)} recordings failed"
    _log.info("%s: %s; see report.csv", options.out, counts)
    return 1 if outcome.failed or not outcome.clips else 0
