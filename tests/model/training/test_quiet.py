"""Asides are kept, errors are not."""

from __future__ import annotations

import os

import pytest

from model.training.quiet import quiet_stderr


def test_what_is_written_past_python_is_kept(capfd):
    with quiet_stderr():
        os.write(2, b"aside")
    os.write(2, b"after")
    assert capfd.readouterr().err == "after"


def test_it_is_shown_when_something_fails(capfd):
    @quiet_stderr()
    def fail():
        os.write(2, b"why")
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        fail()
    assert capfd.readouterr().err == "why"
