"""The ground floor: what a recording is, how it is read, and how its truth is written down.

Nothing here knows the other rooms. Importing the package loads only the words everybody shares; take the rest
from its modules, for example `from audio.reading import read`.
"""

from audio.errors import (
    AudioError,
    EngineError,
    LimitError,
    ManifestError,
    ModelError,
    SegmentError,
    ToolkitError,
    UsageError,
)
from audio.labels import FAKE, HYBRID, LABELS, REAL

__all__ = [
    "FAKE",
    "HYBRID",
    "LABELS",
    "REAL",
    "AudioError",
    "EngineError",
    "LimitError",
    "ManifestError",
    "ModelError",
    "SegmentError",
    "ToolkitError",
    "UsageError",
]
