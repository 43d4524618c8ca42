"""`script.py export`: a model in another format, proved on recordings."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from apps.cli.options import add_model
from audio.errors import AudioError

if TYPE_CHECKING:
    from audio.reading import Samples
    from model.training.proof import Proof

HELP = "Write a model in another format, and prove it on recordings beside the model itself."

EXAMPLE = """\
examples:
  python script.py export --format litert data/mine/*/*.wav        for phones: outputs/export-NAME-litert
  python script.py export --format onnx --int8 --model runs/mine data/mine/*/*.wav
  python script.py export --format saved_model --out served        without clips: proved on made sounds only

The clips are judged by the export and by the bundle's ONNX network in turns. A float export that differs by more than
0.0001 anywhere, or an int8 one that is useless, is an error and leaves nothing. With onnx and litert the folder is a
model itself: python script.py detect CLIP --model FOLDER judges with what was exported. Figures: docs/exports.md."""

FORMATS = ("onnx", "litert", "keras", "saved_model")
"""The names in `model.training.formats`, for `--help` without loading it."""

OUT = Path("outputs")
"""Where exports go unless told otherwise."""

_log = logging.getLogger(__name__)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command."""
    add = parser.add_argument
    add("clips", nargs="*", metavar="CLIP", help="recordings to prove it on (default: made sounds, no real clips)")
    add("--format", required=True, choices=FORMATS, help="what to write")
    add("--int8", action="store_true", help="weights of 8 bits (onnx and litert)")
    add_model(parser)
    add("--out", type=Path, metavar="DIR", help=f"folder for the export (default: {OUT}/export-NAME-FORMAT)")


def run(arguments: argparse.Namespace) -> int:
    """Export, prove, print what was found; return 0, or 1 when a clip could not be read.

    Raises
    ------
    UsageError
        For int8 where there is none, or a folder that holds something else.
    ModelError
        When there is no usable model, a package is missing, or the export is not the same network any more.
    """
    from model.bundle import find_bundle, read_bundle
    from model.training.exporting import GIVEN, MADE, export_bundle, export_name
    from model.training.proof import made_sounds

    bundle = read_bundle(find_bundle(arguments.model))
    name, int8 = arguments.format, arguments.int8
    out = arguments.out or OUT / export_name(bundle, name, int8=int8)
    unread: list[str] = []
    given = bool(arguments.clips)
    proof, size_bytes = export_bundle(
        bundle,
        out,
        name=name,
        int8=int8,
        recordings=_read(arguments.clips, unread) if given else made_sounds(bundle),
        source=GIVEN if given else MADE,
    )
    sizes = (size_bytes, bundle.onnx_path.stat().st_size)
    print(told(proof, sizes, label=f"{name}{', int8' if int8 else ''}", given=given), flush=True)
    _log.info("export: %s", out)
    return 1 if unread else 0


def _read(clips: Sequence[str], unread: list[str]) -> Iterator[Samples]:
    """Read clips one after the other; those that cannot be read are told, and noted in `unread`."""
    from audio.reading import read

    for clip in clips:
        try:
            yield read(clip)
        except AudioError as error:
            _log.error("error: %s", error)
            unread.append(clip)


def told(proof: Proof, sizes: tuple[int, int], *, label: str, given: bool) -> str:
    """Tell what a proof found: a table of size and speed beside the bundle's ONNX network, and the differences."""
    from audio.pages import Table, table_text

    rows = (
        (label, f"{sizes[0]:,}", f"{proof.ms_per_s:.2f}"),
        ("the bundle's ONNX", f"{sizes[1]:,}", f"{proof.onnx_ms_per_s:.2f}"),
    )
    clips = "clips" if given else "made sounds, no real clips"
    skipped = f" ({proof.not_compared} more are too short or hold no speech)" if proof.not_compared else ""
    return "\n".join(
        (
            table_text(Table(("network", "bytes", "ms per s of audio"), rows)),
            f"compared on {proof.clips} {clips}{skipped}, {proof.windows} windows, {proof.audio_s:.1f} s",
            f"largest difference: {proof.frame_difference:.2g} of a frame score ({proof.mean_frame_difference:.2g} on"
            f" average), {proof.probability_difference:.2g} of a clip's probability",
            f"verdicts changed: {proof.changed_verdicts} of {proof.clips}",
        )
    )
