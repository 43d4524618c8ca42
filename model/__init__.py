"""Learns to tell real, fake and hybrid speech apart, and judges recordings.

>>> from model import Detector
>>> result = Detector().detect("interview.wav")
>>> result.label, result.segments

Importing this package loads no TensorFlow: that lives in `model.networks` and `model.training`, which nothing here
imports.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from model.judging.detector import Detection, Detector
    from model.judging.live import Live

__all__ = ["Detection", "Detector", "Live"]


def __getattr__(name: str) -> Any:
    """Load the detector when it is first asked for (PEP 562), so that `import model.features` stays light."""
    if name in __all__:
        from model.judging import detector, live

        return getattr(live if name == "Live" else detector, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
