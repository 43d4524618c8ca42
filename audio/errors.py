"""Everything that can go wrong in a way a person can act on: one root exception and its few children.

A message is one line that says what was wrong, what was expected and what was received. A command prints
that line and exits; it never shows a traceback for one of these.
"""

from __future__ import annotations


class ToolkitError(Exception):
    """Root of every error raised on purpose by this toolkit."""


class AudioError(ToolkitError):
    """A recording cannot be read or used."""


class LimitError(AudioError):
    """A recording is longer, or decodes to more, than whoever opened it allows."""


class ManifestError(ToolkitError):
    """A manifest, or a path inside it, is broken."""


class SegmentError(ToolkitError, ValueError):
    """A segment, or an operation on segments, breaks the rules of `audio.segments`."""


class EngineError(ToolkitError):
    """A synthesiser, codec or external program failed or is missing; the message says how to install it."""


class ModelError(ToolkitError):
    """A model bundle is missing or broken."""


class UsageError(ToolkitError):
    """Arguments that cannot go together; a command exits with status 2."""
