"""`script.py calibrate`: the user's own genuine recordings decide how much evidence an accusation needs."""

from __future__ import annotations

import argparse
import hashlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

from apps.cli.options import add_model, add_runtime
from audio.errors import ToolkitError, UsageError
from audio.labels import REAL
from audio.manifest import Clip, recordings_below

if TYPE_CHECKING:
    from model.bundle import OperatingPoint

HELP = "Set the false alarms on recordings like yours, from genuine ones of your own."

EXAMPLE = """\
examples:
  python script.py calibrate --real archive/genuine                            at most 1 %, into genuine.json
  python script.py calibrate --real genuine --false-alarms 0.05 --out desk.json
  python script.py interview.wav --operating-point desk.json                   judge with it

Folders in DIR are taken for speakers. The more recordings, the surer the rate: with fewer than one over the rate, none
of them may be accused. What is chosen holds for recordings like these, with this model, and for no others."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("--real", type=Path, required=True, metavar="DIR", help="genuine recordings")
    add("--false-alarms", type=float, default=0.01, metavar="P", help="share to accuse at most (default: %(default)s)")
    add("--out", type=Path, metavar="JSON", help="the operating point (default: DIR.json in the current folder)")
    add_model(parser)
    add_runtime(parser)


def run(arguments: argparse.Namespace) -> int:
    """Choose an operating point, write it and say what it does.

    Returns
    -------
    0, or 1 when a recording could not be used.

    Raises
    ------
    UsageError
        For a rate that is none, or a name that is no .json.
    ToolkitError
        When there is no usable model, or there are too few recordings.
    """
    from audio.digest import file_sha256
    from model.bundle import find_bundle, read_bundle
    from model.points import SUFFIX, write_point
    from model.training.calibrate import LEAST_GENUINE, gather, points_for

    if not 0.0 < arguments.false_alarms < 1.0:
        raise UsageError(f"--false-alarms: expected a share between 0 and 1, received {arguments.false_alarms:g}")
    out = arguments.out or Path(f"{arguments.real.resolve().name}{SUFFIX}")
    if out.suffix.lower() != SUFFIX:
        raise UsageError(f"--out: expected a name that ends in {SUFFIX}, received {out}")
    if not arguments.real.is_dir():
        raise UsageError(f"--real: expected a folder, received {arguments.real}")
    bundle = read_bundle(find_bundle(arguments.model))
    bad: list[ToolkitError] = []
    clips = _genuine(arguments.real)
    judged = gather(
        bundle.path, arguments.real, clips, title="recordings", runtime=arguments.runtime, unreadable=bad.append
    )
    for error in bad:
        _log.error("error: %s", error)
    if len(judged) < LEAST_GENUINE:
        raise ToolkitError(f"{arguments.real}: expected {LEAST_GENUINE} recordings with speech, received {len(judged)}")
    usual = bundle.operating_point()
    rates = {out.stem: arguments.false_alarms}
    (point,) = points_for(rates, judged, bundle.calibration, usual.thresholds, temperatures=usual.temperatures)
    hashes = sorted(file_sha256(arguments.real / found.clip.path) for found in judged)
    data = {"recordings": len(judged), "sha256": hashlib.sha256("".join(hashes).encode()).hexdigest()}
    write_point(out, point, bundle, data)
    print(_told(point, out))
    return 1 if bad else 0


def _told(point: OperatingPoint, out: Path) -> str:
    """Say what the point does, and how sure that is."""
    facts = point.measured
    n_accused = round(facts["false_alarms"] * facts["genuine_clips"])
    between = f"95 % interval {100 * facts['low']:.1f}-{100 * facts['high']:.1f} %"
    asked = f"asked for at most {100 * facts['false_alarms_at_most']:g} %"
    return f"{n_accused} of {facts['genuine_clips']} genuine recordings accused ({asked}; {between}) -> {out}"


def _genuine(folder: Path) -> list[Clip]:
    """The recordings of a folder; folders in it are speakers, and name the groups whose false alarms are told apart."""
    clips = []
    for place in sorted(recordings_below(folder)):
        inside = place.relative_to(folder)
        speaker = inside.parts[0] if len(inside.parts) > 1 else ""
        clips.append(Clip(inside.as_posix(), REAL, speaker=speaker, traits={"origin": speaker} if speaker else {}))
    return clips
