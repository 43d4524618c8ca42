"""`script.py scan`: archives, kills, changed files, shards, and a table that stays the same."""

from __future__ import annotations

import io
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scanning import rows_of, scan_with
from tiny_model import RATE, voice

from apps.cli import scan
from audio.errors import UsageError
from audio.locking import alone_at
from audio.reading import write_wav
from model import Detector
from model.judging.scan import COLUMNS

ROOT = Path(__file__).parents[2]


@pytest.fixture
def archive(tmp_path) -> Path:
    """Five recordings, one of them with a fake second, and two files that are none."""
    folder = tmp_path / "archive"
    for k, name in enumerate(("a.wav", "b.wav", "deeper/c.wav", 'd, "e".wav', "f.wav")):
        write_wav(folder / name, voice(np.random.default_rng(k), 3, fake_s=[(1, 2)] if k == 1 else []))
    (folder / "text.wav").write_text("hello\n" * 50)
    (folder / "empty.flac").write_bytes(b"")
    return folder


@pytest.fixture
def run(tiny_bundle, capsys):
    return scan_with(tiny_bundle, capsys)


def test_a_table_of_files_spans_and_errors(run, archive, tmp_path, tiny_bundle):
    out = tmp_path / "results.csv"
    status, said, err = run(archive, "--out", out)
    assert status == 1
    assert said == f"real 4, fake 0, hybrid 1, not judged 0, failed 2 -> {out}\n"
    assert err.endswith(" s\n")
    rows = rows_of(out)
    assert tuple(rows[0]) == COLUMNS
    files = [row for row in rows if row["row"] != "span"]
    assert [Path(row["path"]).name for row in files] == [
        "a.wav", "b.wav", "d, \"e\".wav", "c.wav", "empty.flac", "f.wav", "text.wav",
    ]  # fmt: skip
    found = Detector(tiny_bundle).detect(archive / "b.wav")
    hybrid, (span,) = next(row for row in files if row["label"] == "hybrid"), [r for r in rows if r["row"] == "span"]
    assert float(hybrid["p_hybrid"]) == pytest.approx(found.probabilities["hybrid"], abs=1e-4)
    assert (float(span["start_s"]), float(span["end_s"])) == (found.segments[0].start_s, found.segments[0].end_s)
    assert float(span["start_low_s"]) <= float(span["start_s"]) <= float(span["start_high_s"])
    assert len(hybrid["sha256"]) == 64
    errors = [row for row in rows if row["row"] == "error"]
    assert all(row["error"] and not row["label"] for row in errors)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["archive", "results.csv", "results.csv.journal"]


def test_workers_change_nothing(run, archive, tmp_path):
    run(archive, "--out", tmp_path / "1.csv")
    run(archive, "--out", tmp_path / "2.csv", workers=2)
    assert (tmp_path / "1.csv").read_bytes() == (tmp_path / "2.csv").read_bytes()


def test_only_what_is_new_or_changed_is_judged_again(run, archive, tmp_path, monkeypatch):
    """Catches work done twice, a changed file that keeps its old verdict, and a file that is gone but still told of."""
    out, judged = tmp_path / "results.csv", []
    run(archive, "--out", out)
    before = rows_of(out)
    real_detect = Detector.detect
    monkeypatch.setattr(
        Detector, "detect", lambda self, path, **more: judged.append(path) or real_detect(self, path, **more)
    )
    run(archive, "--out", out)
    bad = ["empty.flac", "text.wav"]  # what failed is tried again
    assert ([Path(path).name for path in judged], rows_of(out)) == (bad, before)
    judged.clear()
    write_wav(archive / "a.wav", voice(np.random.default_rng(9), 4, fake_s=[(1, 3)]))
    write_wav(archive / "new.wav", voice(np.random.default_rng(8), 3))
    (archive / "f.wav").unlink()
    run(archive, "--out", out)
    assert sorted(Path(path).name for path in judged) == ["a.wav", "empty.flac", "new.wav", "text.wav"]
    after = {Path(row["path"]).name: row["label"] for row in rows_of(out) if row["row"] == "file"}
    assert (after["a.wav"], after["new.wav"], "f.wav" in after) == ("hybrid", "real", False)


def test_another_model_or_point_is_not_mixed_in(run, archive, tmp_path):
    out = tmp_path / "results.csv"
    run(archive, "--out", out)
    status, said, err = run(archive, "--out", out, "--channels", "each")
    assert (status, said) == (1, "")
    assert "begun with other settings" in err


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_killed_at_random_and_started_again(tmp_path, tiny_bundle):
    """Every file judged once, and the same bytes as from an unbroken run."""
    folder = tmp_path / "archive"
    for k in range(60):
        write_wav(
            folder / f"{k:03}.wav", voice(np.random.default_rng(k), 1.0, fake_s=[(0.2, 0.6)] if k % 3 == 0 else [])
        )
    command = [sys.executable, "script.py", "scan", str(folder), "--model", str(tiny_bundle), "-j", "1"]
    rng, kills = random.Random(5), 0
    while True:
        process = subprocess.Popen([*command, "--out", str(tmp_path / "broken.csv")], cwd=ROOT, stdout=-3, stderr=-3)
        journal, before = tmp_path / "broken.csv.journal", _n_lines(tmp_path / "broken.csv.journal")
        wanted = before + rng.randint(3, 12)
        while process.poll() is None and _n_lines(journal) < wanted:
            time.sleep(0.002)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    assert process.returncode == 0
    assert kills >= 3
    keys = [line.split('"rows"')[0] for line in journal.read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 60
    subprocess.run([*command, "--out", str(tmp_path / "whole.csv")], cwd=ROOT, check=True, capture_output=True)
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def _n_lines(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.exists() else 0


def test_shards_fall_apart_and_join_again(run, archive, tmp_path):
    """Every file falls to one machine, whatever machine asks; joined, the tables are the whole one, order aside."""
    run(archive, "--out", tmp_path / "whole.csv")
    tables = [tmp_path / f"{k}.csv" for k in (1, 2, 3)]
    for k, table in enumerate(tables, 1):
        run(archive, "--out", table, "--shard", f"{k}/3")
    status, said, _ = run("--merge", *tables, "--out", tmp_path / "all.csv")
    assert (status, said) == (0, f"7 files -> {tmp_path / 'all.csv'}\n")
    whole, joined = (sorted((tmp_path / name).read_text().splitlines()) for name in ("whole.csv", "all.csv"))
    assert joined == whole
    some = max(tables, key=lambda table: len(rows_of(table)))  # files fall by their paths: one may be empty
    status, said, err = run("--merge", some, tmp_path / "whole.csv", "--out", tmp_path / "twice.csv")
    assert (status, said) == (2, "")
    assert "expected each file in one table" in err
    assert not list(tmp_path.glob("twice*"))


def test_tables_of_two_models_or_of_none_are_not_joined(run, archive, tmp_path):
    run(archive / "a.wav", "--out", tmp_path / "1.csv")
    text = (tmp_path / "1.csv").read_text().replace("a.wav", "z.wav").replace(",tiny,", ",other,")
    (tmp_path / "2.csv").write_text(text)
    assert (
        "expected tables of one model"
        in run("--merge", tmp_path / "1.csv", tmp_path / "2.csv", "--out", tmp_path / "x")[2]
    )
    (tmp_path / "3.csv").write_text("a,b\n")
    assert "received other columns" in run("--merge", tmp_path / "3.csv", "--out", tmp_path / "x")[2]
    assert "No such file" in run("--merge", tmp_path / "none.csv", "--out", tmp_path / "x")[2]


def test_what_can_be_listed(archive, tmp_path, monkeypatch):
    listing = tmp_path / "list.txt"
    listing.write_text(f"# calls\n{archive / 'b.wav'}\n\nmissing.wav\n", encoding="utf-8")
    assert listed(listing) == [str(archive / "b.wav"), "missing.wav"]
    assert [Path(p).name for p in listed(archive / "[ab].wav")] == ["a.wav", "b.wav"]
    assert len(listed(archive / "**" / "*.wav")) == 6
    assert listed(archive / "a.wav") == [str(archive / "a.wav")]
    monkeypatch.setattr("sys.stdin", io.StringIO("x.wav\n\ny.wav\n"))
    assert listed("-") == ["x.wav", "y.wav"]
    for nothing in ("nowhere", archive / "*.mp3"):
        with pytest.raises(UsageError, match="expected a folder, a list, a pattern or a file"):
            listed(nothing)


def listed(source: object) -> list[str]:
    return [item.path for item in scan.listed(str(source))]


def test_missing_files_of_a_list_are_rows(run, tmp_path):
    (tmp_path / "list.txt").write_text("missing.wav\nmissing.wav\n")
    status, said, _ = run(tmp_path / "list.txt", "--out", tmp_path / "out.csv")
    (row,) = rows_of(tmp_path / "out.csv")
    assert (status, row["row"]) == (1, "error")
    assert "missing.wav: cannot be opened: No such file or directory" in row["error"]
    assert "failed 1" in said


def test_each_side_of_a_call(run, tmp_path):
    import soundfile

    sides = np.stack([voice(np.random.default_rng(0), 3), voice(np.random.default_rng(1), 3, fake_s=[(1, 2)])], axis=1)
    soundfile.write(tmp_path / "call.wav", sides, RATE)
    run(tmp_path / "call.wav", "--out", tmp_path / "out.csv", "--channels", "each")
    found = [(row["channel"], row["label"]) for row in rows_of(tmp_path / "out.csv") if row["row"] == "file"]
    assert found == [("0", "real"), ("1", "hybrid")]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((), "expected a folder, a list or a pattern, received none"),
        (("x", "--merge", "y.csv"), "expected files or --merge, received both"),
        (("x", "--shard", "3/2"), "expected K/N"),
        (("x", "-j", "0"), "expected a folder"),
        (("x", "--part-files", "0"), "expected a number from 1"),
        (("x", "--out", "s3://bucket/x.csv"), "expected a path of this machine"),
    ],
)
def test_wrong_usage_is_told(run, tmp_path, arguments, message, capsys):
    try:
        status, _, err = run("--out", tmp_path / "out.csv", *arguments)
    except SystemExit as stop:
        status, err = stop.code, capsys.readouterr().err
    assert status == 2
    assert message in err


def test_two_scans_do_not_write_one_table(run, archive, tmp_path):
    """Catches tables that two processes mix; and a lock that outlives its holder."""
    out = tmp_path / "results.csv"
    with alone_at(out):
        status, said, err = run(archive, "--out", out)
    assert (status, said) == (2, "")
    assert err == f"error: {out}: another process is writing this file: wait, or choose another\n"
    assert not out.exists()
    assert run(archive, "--out", out)[0] == 1, "two files are none, the rest is judged"
