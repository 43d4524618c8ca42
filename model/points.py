"""Operating points: those of a bundle by name, and a user's own, in a small file that travels.

    {"schema_version": 1, "kind": "operating point", "model": {"name": ..., "sha256": ...},
     "data": {"recordings": 240, "sha256": ...}, "point": {"name": "newsroom", "real_bias": 1.7, ...}}

A file belongs to one model: the bias is in units of its scores. Another model's is refused.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from audio.atomic import replacing
from audio.digest import file_sha256
from audio.errors import AudioError, ModelError
from model.bundle import CARD_NAME, Bundle, OperatingPoint

SCHEMA_VERSION = 1

KIND = "operating point"

SUFFIX = ".json"
"""What tells a file from a name."""


def point_of(bundle: Bundle, name: str | None) -> OperatingPoint:
    """Return the operating point that was asked for.

    Parameters
    ----------
    bundle
        The model.
    name
        One of its own, a file that ends in .json, or None for its default.

    Raises
    ------
    ModelError
        When there is no such point, or the file is none or of another model.
    """
    if name is None or not name.lower().endswith(SUFFIX):
        return bundle.operating_point(name)
    return read_point(Path(name), bundle)


def read_point(path: Path, bundle: Bundle) -> OperatingPoint:
    """Read a point's file; errors are those of `point_of`."""
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelError(f"{path}: expected an operating point: {error.strerror}") from None
    except ValueError:
        raise ModelError(f"{path}: expected an operating point, received no JSON") from None
    if not isinstance(facts, dict) or facts.get("kind") != KIND:
        raise ModelError(f"{path}: expected an operating point as script.py calibrate writes it")
    if facts.get("schema_version") != SCHEMA_VERSION:
        raise ModelError(f"{path}: expected schema_version {SCHEMA_VERSION}, received {facts.get('schema_version')!r}")
    try:
        model, point = facts["model"], OperatingPoint.from_json(facts["point"])
        if model["sha256"] != model_sha256(bundle):
            told = f"{bundle.name} in {bundle.path}, received one of another model, {model['name']}"
            raise ModelError(f"{path}: expected a point of {told}")
    except (KeyError, TypeError) as error:
        raise ModelError(f"{path}: not a complete operating point: {error}") from None
    return point


def write_point(path: Path, point: OperatingPoint, bundle: Bundle, data: dict[str, Any]) -> None:
    """Write a point's file, whole or not at all.

    Parameters
    ----------
    path
        Where to.
    point
        What was chosen.
    bundle
        For which model.
    data
        On what.

    Raises
    ------
    ModelError
        When the file cannot be written.
    """
    model = {"name": bundle.name, "sha256": model_sha256(bundle)}
    facts = {"schema_version": SCHEMA_VERSION, "kind": KIND, "model": model, "data": data, "point": point.to_json()}
    try:
        with replacing(path) as beside:
            beside.write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise ModelError(f"{path}: cannot be written: {error.strerror}") from None


def model_sha256(bundle: Bundle) -> str:
    """Return what identifies a model: the hash of its facts, which hold the hashes of its networks."""
    try:
        return file_sha256(bundle.path / CARD_NAME)
    except AudioError as error:
        raise ModelError(str(error)) from None
