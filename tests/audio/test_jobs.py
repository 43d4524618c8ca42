from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from audio import jobs
from audio.crew import WINDOW
from audio.errors import AudioError, ToolkitError, UsageError
from audio.jobs import run

ITEMS = list(range(12))


def square(item: int) -> list[dict]:
    return [{"item": item, "square": item**2, "pid": os.getpid()}]


def noted(log: Path, item: int) -> list[dict]:
    """Leave a mark of having run, then give two rows; items 3 and 7 are bad while `bad` lies beside the log."""
    with log.open("a") as file:
        file.write(f"{item}\n")
    if item in (3, 7) and (log.parent / "bad").exists():
        raise AudioError(f"{item}: cannot be read")
    return [{"item": item, "pair": (1, 2)}, {"item": item, "text": "ü"}]


def broken(item: int) -> list[dict]:
    if item == 5:
        raise ZeroDivisionError("a bug")
    return []


def killed(item: int) -> list[dict]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def ran(log: Path) -> list[int]:
    found = [int(line) for line in log.read_text().split()] if log.exists() else []
    log.unlink(missing_ok=True)
    return found


@pytest.mark.parametrize("workers", [1, 2])
def test_rows_come_in_item_order(workers: int) -> None:
    """Catches rows in the order in which workers happen to finish, and workers that are none."""
    rows = [row for batch in run(square, ITEMS, key=str, workers=workers) for row in batch]
    assert [row["square"] for row in rows] == [i**2 for i in ITEMS]
    assert (os.getpid() in {row["pid"] for row in rows}) == (workers == 1)


def test_no_items() -> None:
    assert list(run(square, [], key=str, workers=2)) == []


def test_journal_remembers(tmp_path: Path) -> None:
    """Catches finished work that runs again, and resumed rows that differ from fresh ones (tuples, say)."""
    log, journal = tmp_path / "log", tmp_path / "out" / "journal.jsonl"
    work = partial(run, partial(noted, log), ITEMS, key=str, journal=journal, settings="seed 1")
    first = list(work())
    assert ran(log) == ITEMS
    assert list(work()) == first
    assert ran(log) == []
    assert list(run(partial(noted, log), ITEMS, key=str)) == first


def test_stopped_run_goes_on_where_it_stopped(tmp_path: Path) -> None:
    log, journal = tmp_path / "log", tmp_path / "journal.jsonl"
    rows = run(partial(noted, log), ITEMS, key=str, journal=journal)
    some = [next(rows) for _ in range(4)]
    rows.close()  # type: ignore[attr-defined]
    assert ran(log) == [0, 1, 2, 3]
    everything = list(run(partial(noted, log), ITEMS, key=str, journal=journal))
    assert everything[:4] == some
    assert ran(log) == ITEMS[4:]


def test_torn_journal_at_every_byte(tmp_path: Path) -> None:
    """Catches a crash, a lost item or a corrupt journal after power fails in the middle of any write."""
    log, journal = tmp_path / "log", tmp_path / "journal.jsonl"
    work = partial(run, partial(noted, log), ITEMS[:2], key=str, journal=journal)
    expected = list(work())
    whole = journal.read_bytes()
    for n_bytes in range(len(whole) + 1):
        journal.write_bytes(whole[:n_bytes])
        assert list(work()) == expected
        assert journal.read_bytes() == whole


def test_journal_of_other_settings_is_refused(tmp_path: Path) -> None:
    """Catches a set that is half of one recipe and half of another."""
    journal = tmp_path / "journal.jsonl"
    list(run(square, ITEMS, key=str, journal=journal, settings="seed 1"))
    with pytest.raises(ToolkitError, match="begun with other settings; choose another output folder"):
        list(run(square, ITEMS, key=str, journal=journal, settings="seed 2"))


@pytest.mark.parametrize("text", ["hello", "hello\n", "{}\n", '{"key": "1", "rows": []}\n'])
def test_foreign_file_is_not_overwritten(tmp_path: Path, text: str) -> None:
    journal = tmp_path / "journal.jsonl"
    journal.write_text(text)
    with pytest.raises(ToolkitError, match=r"journal\.jsonl:1: no line of a journal"):
        list(run(square, ITEMS, key=str, journal=journal))
    assert journal.read_text() == text


@pytest.mark.parametrize("workers", [1, 2])
def test_bad_item_is_a_row_and_is_tried_again(tmp_path: Path, workers: int) -> None:
    """Catches a batch that dies of one bad file, and an error that is remembered as done."""
    log, journal, bad = tmp_path / "log", tmp_path / "journal.jsonl", tmp_path / "bad"
    work = partial(run, partial(noted, log), ITEMS, key=str, workers=workers, journal=journal)
    bad.touch()
    rows = list(work())
    assert rows[3] == [{"error": "3: cannot be read", "key": "3"}]
    assert sorted(ran(log)) == ITEMS
    bad.unlink()
    assert all("error" not in batch[0] for batch in work())
    assert sorted(ran(log)) == [3, 7]


@pytest.mark.parametrize("workers", [1, 2])
def test_bug_names_its_item(workers: int) -> None:
    """Catches bugs that are swallowed as bad files, or that do not say where."""
    with pytest.raises(ZeroDivisionError) as caught:
        list(run(broken, ITEMS, key="item {}".format, workers=workers))
    assert "while processing 'item 5'" in caught.value.__notes__


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_dead_worker_is_one_clear_line() -> None:
    with pytest.raises(ToolkitError, match="a worker process died"):
        list(run(killed, ITEMS, key=str, workers=2))


def test_bad_arguments_are_refused() -> None:
    with pytest.raises(ToolkitError, match="received '1' twice"):
        list(run(square, [1, 2, 1], key=str))
    with pytest.raises(UsageError, match="workers: expected at least 1, received 0"):
        run(square, ITEMS, key=str, workers=0)


def test_work_in_flight_is_bounded(tmp_path: Path) -> None:
    """Catches a run that computes everything before its first row is taken."""
    log = tmp_path / "log"
    rows = run(partial(noted, log), range(200), key=str, workers=2)
    next(rows)
    rows.close()  # type: ignore[attr-defined]
    assert len(ran(log)) <= 2 * WINDOW


def test_silent_without_a_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    list(run(square, ITEMS, key=str, title="squares"))
    assert capfd.readouterr() == ("", "")


KILLED_SCRIPT = """
import os, signal, sys
from pathlib import Path
from audio.jobs import run

def process(item):
    with open("ran.txt", "a") as file:
        file.write(f"{item}\\n")
    if item == 5 and len(sys.argv) > 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return [{"item": item}]

print([rows[0]["item"] for rows in run(process, range(8), key=str, journal=Path("journal.jsonl"))])
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_sigkill_loses_only_what_was_under_way(tmp_path: Path) -> None:
    """Catches lines that wait in a buffer."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    script = [sys.executable, "-c", KILLED_SCRIPT]
    first = subprocess.run([*script, "die"], cwd=tmp_path, env=environment, capture_output=True)
    assert first.returncode == -signal.SIGKILL
    done = [json.loads(line)["key"] for line in (tmp_path / "journal.jsonl").read_text().splitlines()[1:]]
    assert done == ["0", "1", "2", "3", "4"]
    second = subprocess.run(script, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert second.stdout.strip() == "[0, 1, 2, 3, 4, 5, 6, 7]"
    assert ran(tmp_path / "ran.txt") == [0, 1, 2, 3, 4, 5, 5, 6, 7]


def test_a_journal_is_read_row_by_row(tmp_path: Path) -> None:
    """Catches a reader that takes the header for an item, loses the last one, or a torn line for a whole one."""
    journal = tmp_path / "journal"
    rows = list(run(partial(noted, tmp_path / "log"), ITEMS, key=str, journal=journal))
    assert list(jobs.read_journal(journal)) == rows
    journal.write_bytes(journal.read_bytes()[:-9])
    with pytest.raises(ToolkitError, match=f"{len(ITEMS) + 1}: no line of a journal"):
        list(jobs.read_journal(journal))
    with pytest.raises(ToolkitError, match="cannot be read"):
        list(jobs.read_journal(tmp_path / "none"))


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback when the journal has no room left."""

    class Full:
        def write(self, _: bytes) -> None:
            raise OSError(28, "No space left on device")

    memory = jobs._Journal(tmp_path / "journal", "")
    memory._file = Full()  # type: ignore[assignment]
    with pytest.raises(ToolkitError, match="journal: cannot be written: No space left on device"):
        memory.append("{}")
