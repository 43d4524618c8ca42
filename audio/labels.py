"""What a recording can be: real, fake or hybrid, in one fixed order, and the rule to decide."""

from __future__ import annotations

from audio.errors import ToolkitError

REAL = "real"
FAKE = "fake"
HYBRID = "hybrid"

LABELS = (REAL, FAKE, HYBRID)
"""The order of every array that has one entry per label."""

FAKE_COVERAGE = 0.9
"""From this share of fake speech on a recording is fake, not hybrid: the definition this project chose."""


def label_index(label: str) -> int:
    """Return the position of `label` in `LABELS`; raise `ToolkitError` for any other text."""
    if label not in LABELS:
        raise ToolkitError(f"unknown label: expected one of {', '.join(LABELS)}, received {label!r}")
    return LABELS.index(label)


def label_of(fake_samples: int, speech_samples: int) -> str:
    """Name a recording from how much of its speech is fake.

    Parameters
    ----------
    fake_samples
        Number of samples of speech that are fake, 0 to `speech_samples`.
    speech_samples
        Number of samples of speech in the recording.

    Returns
    -------
    `REAL` without any fake sample, `FAKE` from `FAKE_COVERAGE` of the speech on, otherwise `HYBRID`.

    Raises
    ------
    ToolkitError
        When `fake_samples` is negative or larger than `speech_samples`.
    """
    if not 0 <= fake_samples <= speech_samples:
        raise ToolkitError(
            f"fake samples out of range: expected 0 to {speech_samples} (the speech), received {fake_samples}"
        )
    if fake_samples == 0:
        return REAL
    return FAKE if fake_samples >= FAKE_COVERAGE * speech_samples else HYBRID
