"""What several rooms' tests share."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# How long a machine takes says nothing about what is tested.
settings.register_profile("house", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("house")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Shells start what runs in the background so, and programs that tests interrupt would inherit it and never end.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle whose network takes noise above 6 kHz for fake; see `tiny_model`."""
    from tiny_model import write_tiny_bundle

    return write_tiny_bundle(tmp_path_factory.mktemp("tiny") / "bundle")
