"""The segment labels of PartialSpoof: a pickled dictionary in a `.npy`, read without trusting it.

A pickle can run any program when it is loaded, so nothing but arrays, dictionaries, lists, texts and numbers is let
through: whatever else a file asks for is refused before it runs.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from audio.errors import ManifestError


def read_frame_labels(path: Path) -> dict[str, str]:
    """Read what `np.save(path, {name: array of text})` wrote.

    Returns
    -------
    one character a frame by utterance: 28 million frames of PartialSpoof's eval set must fit into memory.

    Raises
    ------
    ManifestError
        When the file cannot be read, asks for more than arrays and texts, or holds something else.
    """
    try:
        with path.open("rb") as file:
            _skip_header(file)
            held = _Unpickler(file).load()
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}") from None
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read: {error.strerror}") from None
    except Exception as error:
        # Broken pickles raise whatever the step they broke in raises.
        raise ManifestError(f"{path}: cannot be read as an array of labels: {error}") from None
    found = held.item() if isinstance(held, np.ndarray) and held.shape == () else held
    if not isinstance(found, dict):
        raise ManifestError(f"{path}: expected labels by utterance, received {type(found).__name__}")
    return {_name(path, name): _texts(f"{path}: {name}", labels) for name, labels in found.items()}


def _skip_header(file: BinaryIO) -> None:
    """Read up to the pickle; refuse arrays that are none."""
    version = np.lib.format.read_magic(file)
    header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    _, _, dtype = header(file)
    if not dtype.hasobject:
        raise ManifestError(f"expected labels by utterance, received an array of {dtype}")


def _name(path: Path, name: object) -> str:
    if not isinstance(name, str):
        raise ManifestError(f"{path}: expected the names of utterances, received {name!r}")
    return str(name)


def _texts(where: str, labels: object) -> str:
    listed = labels.tolist() if isinstance(labels, np.ndarray) else labels
    if isinstance(listed, (list, tuple)) and all(isinstance(label, (str, int)) for label in listed):
        text = "".join(map(str, listed))
        if len(text) == len(listed):
            return text
    raise ManifestError(f"{where}: expected a row of labels 0 and 1, received {str(listed)[:60]!r}")


def _latin1(text: str, encoding: str) -> bytes:
    """Stand in for `codecs.encode`, by which old pickles spell bytes; other codecs could blow a file up."""
    if encoding not in ("latin1", "latin-1"):
        raise ManifestError(f"expected bytes as latin1, received {encoding!r}")
    return text.encode("latin1")


# NumPy itself says which functions its pickles call, whatever its version calls the module they live in.
_ALLOWED: Mapping[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _latin1,
    ("multiarray", "_reconstruct"): np.empty(0).__reduce__()[0],  # type: ignore[dict-item]
    ("numeric", "_frombuffer"): np.empty(1).__reduce_ex__(5)[0],  # type: ignore[dict-item]
}
"""What a pickle may call, by module (without `numpy.core.` or `numpy._core.`) and name."""


class _Unpickler(pickle.Unpickler):
    """Refuse every global that is not allowed."""

    def find_class(self, module: str, name: str) -> Any:
        """Return what a pickle may call; raise `ManifestError` for anything else."""
        short = module.removeprefix("numpy.core.").removeprefix("numpy._core.")
        if (short, name) not in _ALLOWED:
            raise ManifestError(f"expected arrays and texts only, received a pickle that calls {module}.{name}")
        return _ALLOWED[short, name]
