"""`script.py export` as a function: a bundle in another format, proved on recordings before it gets its name.

    bundle -> network in another format -> both judge the same recordings -> folder, or an error and nothing

A format that judging can run gives a whole bundle, which `--model` takes; the others the network alone. `export.json`
says what was made, from what, with what, and what the proof found.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from audio.digest import file_sha256
from audio.errors import ModelError, ToolkitError, UsageError
from model.bundle import CARD_NAME, KERAS_NAME, ONNX_NAME, Bundle, write_bundle
from model.judging.detector import Samples
from model.judging.runtime import EXPORTED, Network
from model.judging.sessions import INPUT, OUTPUTS
from model.training.formats import FORMATS, Format
from model.training.proof import Proof, prove

SCHEMA_VERSION = 1
"""Version of `export.json`."""

REPORT_NAME = "export.json"

PACKAGES = ("ai-edge-litert", "keras", "numpy", "onnx", "onnxruntime", "tensorflow", "tf2onnx")
"""Whose versions the report names, where they are installed."""

MADE, GIVEN = "made", "given"
"""Where the compared recordings come from: sounds that the proof made itself, or recordings that somebody gave."""


def export_bundle(
    bundle: Bundle, out: Path, *, name: str, int8: bool, recordings: Iterable[Samples], source: str = GIVEN
) -> tuple[Proof, int]:
    """Write a bundle's network in another format, prove it on recordings, and leave it in a folder of its own.

    Parameters
    ----------
    bundle
        What to export.
    out
        The folder; an earlier export in it is replaced.
    name
        One of `FORMATS`.
    int8
        Whether weights become 8-bit integers.
    recordings
        float32 (n,) at 16 kHz each.
    source
        `MADE` or `GIVEN`, for the report.

    Returns
    -------
    what the proof found, and the size of the artefact in bytes

    Raises
    ------
    UsageError
        For an unknown format, int8 where there is none, a folder that holds something else, or a model that is no
        network.
    ModelError
        When the network cannot be written in this format, a package is missing, or the proof fails.
    """
    made = _checked(bundle, out, name=name, int8=int8)
    with _replacing_folder(out) as folder:
        artefact = folder / made.artefact
        made.write(bundle, artefact, int8)
        proof = prove(bundle, Network(artefact, made.open), recordings)
        if objection := proof.objection(int8=int8):
            raise ModelError(f"{made.artefact}: {objection}")
        if made.is_runtime:
            _complete(bundle, folder, made, int8=int8)
        size_bytes = _size_bytes(artefact)
        report = {
            **_facts(bundle, folder, made, int8=int8),
            "size_bytes": size_bytes,
            "onnx_size_bytes": _size_bytes(bundle.onnx_path),
            "proof": {"recordings": source, **proof.to_json()},
        }
        (folder / REPORT_NAME).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return proof, size_bytes


def export_name(bundle: Bundle, name: str, *, int8: bool) -> str:
    """Name the folder of an export: format and source, so that two exports do not replace each other."""
    source = re.sub(r"[^\w.-]", "_", bundle.name)  # a bundle is somebody's data: its name leads to no other folder
    return f"export-{source}-{name}{'-int8' if int8 else ''}"


def _checked(bundle: Bundle, out: Path, *, name: str, int8: bool) -> Format:
    """Refuse, before anything slow, what cannot be done."""
    if name not in FORMATS:
        raise UsageError(f"--format: expected one of {', '.join(FORMATS)}, received {name!r}")
    bundle.require_network("export")
    made = FORMATS[name]
    if int8 and not made.is_runtime:
        able = " or ".join(other.name for other in FORMATS.values() if other.is_runtime)
        raise UsageError(f"--int8: expected --format {able}, received {name}")
    if _is_taken(out):
        raise UsageError(f"--out: expected a new folder, or one of an earlier export, received {out}")
    earlier = bundle.training.get(EXPORTED)
    if isinstance(earlier, dict) and earlier.get("int8"):
        raise ModelError(f"{bundle.path}: it is int8 already: expected the bundle that it was made from")
    return made


def _is_taken(out: Path) -> bool:
    """Whether a path holds something that is no export."""
    if not out.is_dir():
        return out.exists()
    return any(out.iterdir()) and not (out / REPORT_NAME).is_file()


def _complete(bundle: Bundle, folder: Path, made: Format, *, int8: bool) -> None:
    """Make a folder with an artefact in it a whole bundle, which says what is exported and knows its hash."""
    for name in (ONNX_NAME, KERAS_NAME):
        if name != made.artefact:
            shutil.copyfile(bundle.path / name, folder / name)
    exported = {
        "format": made.name,
        "int8": int8,
        "artefact": made.artefact,
        "sha256": file_sha256(folder / made.artefact),
        "source": bundle.name,
    }
    write_bundle(
        replace(
            bundle,
            path=folder,
            name=f"{bundle.name}{'-int8' if int8 else ''}",
            training={**bundle.training, EXPORTED: exported},
        )
    )


def _facts(bundle: Bundle, folder: Path, made: Format, *, int8: bool) -> dict[str, Any]:
    """Say what a program needs that runs the network without this toolkit, and what it was made with."""
    return {
        "schema_version": SCHEMA_VERSION,
        "format": made.name,
        "int8": int8,
        "artefact": made.artefact,
        "sha256": _hashes(folder / made.artefact),
        "input": INPUT,
        "outputs": list(OUTPUTS),
        # Windows, features, labels, thresholds, calibration, and the hashes of the source.
        "bundle": json.loads((bundle.path / CARD_NAME).read_text(encoding="utf-8")),
        "versions": {"python": platform.python_version(), **_versions()},
    }


def _hashes(artefact: Path) -> dict[str, str]:
    return {path.relative_to(artefact.parent).as_posix(): file_sha256(path) for path in _files(artefact)}


def _files(artefact: Path) -> list[Path]:
    return sorted(path for path in artefact.rglob("*") if path.is_file()) if artefact.is_dir() else [artefact]


def _size_bytes(artefact: Path) -> int:
    return sum(path.stat().st_size for path in _files(artefact))


def _versions() -> dict[str, str]:
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@contextmanager
def _replacing_folder(out: Path) -> Iterator[Path]:
    """Lend a folder beside `out`, which takes its place at the end; when the body raises, it goes."""
    beside, old = (out.with_name(f".{out.name}.{os.getpid()}.{end}") for end in ("part", "old"))
    try:
        beside.mkdir(parents=True)
        yield beside
        _put(beside, out, old)
    except OSError as error:
        raise ToolkitError(f"{out}: the export cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _put(folder: Path, out: Path, old: Path) -> None:
    """Move a folder to where an earlier one may be; that one goes last, and comes back when the move fails."""
    if not out.exists():
        os.replace(folder, out)
        return
    os.replace(out, old)
    try:
        os.replace(folder, out)
    except OSError:
        os.replace(old, out)
        raise
    shutil.rmtree(old, ignore_errors=True)
