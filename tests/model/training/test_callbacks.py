"""Ctrl-C during training, where Python would lose it."""

from __future__ import annotations

import signal
import sys
import threading

import pytest

from model.training.callbacks import Interrupt


class Swallows:
    """Its destructor is where a Ctrl-C falls: Python drops what is raised there."""

    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def _as_from_a_terminal(monkeypatch):
    """A shell that runs the tests in the background makes them deaf to Ctrl-C."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    monkeypatch.setattr(sys, "unraisablehook", lambda _: None)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_swallowed_ctrl_c_ends_the_training_after_the_batch():
    """Catches training that goes on for hours, and then exports, after somebody stopped it."""
    with Interrupt() as interrupt:
        interrupt.on_train_batch_end(0)
        swallows = Swallows()
        del swallows
        with pytest.raises(KeyboardInterrupt):
            interrupt.on_train_batch_end(1)


def test_an_ordinary_ctrl_c_does_not_wait_for_the_batch():
    with Interrupt(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_nothing_is_left_behind():
    """Catches a handler that outlives the training."""
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_of_somebody_else_stays():
    """Catches a service's own shutdown taken from it."""

    def own(number: int, frame: object) -> None:
        pass

    signal.signal(signal.SIGINT, own)
    with Interrupt():
        assert signal.getsignal(signal.SIGINT) is own
    assert signal.getsignal(signal.SIGINT) is own


def test_other_threads_train_without_it():
    """Catches `signal only works in main thread`."""
    failed = []

    def train() -> None:
        try:
            with Interrupt() as interrupt:
                interrupt.on_train_batch_end(0)
        except ValueError as error:
            failed.append(error)

    thread = threading.Thread(target=train)
    thread.start()
    thread.join()
    assert not failed
