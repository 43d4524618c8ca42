"""`script.py scan`: its tables as CSV or Parquet, whole or in parts, in the order of the files or as they are done."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from scanning import rows_of, scan_with
from tiny_model import voice

from audio import jobs
from audio.errors import ToolkitError, UsageError
from audio.listing import Item
from audio.reading import write_wav
from model.judging import tables
from model.judging.tables import COLUMNS, INTEGERS, TEXTS, WHOLE, Table, merge

parquet = pytest.importorskip("pyarrow.parquet")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    """Seven recordings, some with a fake second, and one that is none."""
    folder = tmp_path_factory.mktemp("scan") / "archive"
    for k in range(7):
        write_wav(folder / f"{k}.wav", voice(np.random.default_rng(k), 2, fake_s=[(0.5, 1.2)] if k % 3 == 1 else []))
    (folder / "text.wav").write_text("hello\n" * 50)
    return folder


@pytest.fixture
def run(tiny_bundle, capsys):
    return scan_with(tiny_bundle, capsys)


def as_text(rows: list[dict]) -> list[dict[str, str]]:
    """Rows of Parquet as CSV would have them."""
    return [{name: "" if value is None else str(value) for name, value in row.items()} for row in rows]


def parts_of(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name != WHOLE)


def test_parquet_says_the_same_as_csv(run, archive, tmp_path):
    """Catches a number that lost digits or became text, an empty cell that is not null, a column by another name."""
    run(archive, "--out", tmp_path / "a.csv")
    status, said, _ = run(archive, "--out", tmp_path / "a.parquet")
    assert (status, said.split(" -> ")[1]) == (1, f"{tmp_path / 'a.parquet'}\n")
    table = parquet.read_table(tmp_path / "a.parquet")
    assert as_text(table.to_pylist()) == rows_of(tmp_path / "a.csv")
    kinds = {name: str(table.schema.field(name).type) for name in table.schema.names}
    assert tuple(kinds) == COLUMNS
    assert kinds == {n: "string" if n in TEXTS else "int64" if n in INTEGERS else "double" for n in COLUMNS}
    assert all(table.schema.field(name).nullable for name in COLUMNS)


def test_a_table_without_files_has_its_columns(run, tmp_path):
    (tmp_path / "nothing").mkdir()
    run(tmp_path / "nothing", "--out", tmp_path / "a.parquet")
    run(tmp_path / "nothing", "--out", tmp_path / "parts", "--part-files", 5)
    assert tuple(parquet.read_table(tmp_path / "a.parquet").schema.names) == COLUMNS
    assert (tmp_path / "parts" / "part-00000.csv").read_text() == ",".join(COLUMNS) + "\n"


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_parts_are_the_table_cut(run, archive, tmp_path, kind):
    """Catches a file whose rows lie in two parts, and parts of an older, longer table among the new ones."""
    run(archive, "--out", tmp_path / "whole.csv")
    out = tmp_path / "parts"
    arguments = (archive, "--out", out, "--format", kind, "--part-files")
    run(*arguments, 2)
    assert [path.name for path in parts_of(out)] == [f"part-0000{k}.{kind}" for k in range(4)]
    run(*arguments, 3)
    assert [path.name for path in parts_of(out)] == [f"part-0000{k}.{kind}" for k in range(3)]
    assert (out / WHOLE).exists()
    read = rows_of if kind == "csv" else lambda path: as_text(parquet.read_table(path).to_pylist())
    found = [read(path) for path in parts_of(out)]
    assert [len({row["path"] for row in rows}) for rows in found] == [3, 3, 2]
    assert [row for rows in found for row in rows] == rows_of(tmp_path / "whole.csv")


def test_a_folder_of_other_things_is_left_alone(run, archive, tmp_path):
    """Catches photographs that give way to a table."""
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "cat.jpg").touch()
    for arguments, message in (
        (("--out", photos, "--part-files", 2), "expected an empty folder or parts of a table, received cat.jpg in it"),
        (("--out", photos), "expected a file, received a folder"),
        (("--out", archive / "0.wav", "--part-files", 2), "expected a folder for the parts, received a file"),
        (("--out", "."), "expected the name of a table"),
    ):
        status, said, err = run(archive, *arguments)
        assert (status, said) == (2, "")
        assert message in err
    assert [path.name for path in photos.iterdir()] == ["cat.jpg"]


def test_a_refused_scan_leaves_the_parts(run, archive, tmp_path):
    """Catches a table that is gone because another one could not be begun."""
    out = tmp_path / "parts"
    run(archive, "--out", out, "--part-files", 3)
    before = {path: path.read_bytes() for path in out.iterdir()}
    status, _, err = run(archive, "--out", out, "--part-files", 3, "--channels", "each")
    assert status == 1
    assert "begun with other settings" in err
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_unordered_tells_the_same_in_another_order(run, archive, tmp_path, monkeypatch):
    """Catches an option that is not passed on, and an error row that takes another file's place."""
    run(archive, "--out", tmp_path / "a.csv")
    asked, real_run = [], jobs.run
    monkeypatch.setattr(jobs, "run", lambda *args, **more: asked.append(more["ordered"]) or real_run(*args, **more))
    status, said, _ = run(archive, "--out", tmp_path / "b.csv", "--unordered", workers=2)
    assert status == 1
    assert said.startswith("real 5, fake 0, hybrid 2, not judged 0, failed 1")
    assert asked == [False]
    by_path = [sorted(map(str, rows_of(tmp_path / name))) for name in ("a.csv", "b.csv")]
    assert by_path[0] == by_path[1]


@pytest.mark.skipif(os.name == "nt", reason="Windows knows no SIGKILL")
def test_parts_after_a_kill_are_those_of_an_unbroken_scan(run, tmp_path, tiny_bundle):
    """Catches torn parts, files that are judged twice, and what the killed process left behind."""
    folder = tmp_path / "archive"
    for k in range(40):
        write_wav(folder / f"{k:02}.wav", voice(np.random.default_rng(k), 1.0, fake_s=[(0.2, 0.6)] if k % 3 else []))
    broken, journal = tmp_path / "broken", tmp_path / "broken.journal"
    arguments = ["scan", str(folder), "--model", str(tiny_bundle), "-j", "1", "--part-files", "6", "--out", str(broken)]
    with subprocess.Popen([sys.executable, "script.py", *arguments], cwd=ROOT, stdout=-3, stderr=-3) as process:
        while process.poll() is None and (not journal.exists() or journal.read_bytes().count(b"\n") < 16):
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
    assert not (broken / WHOLE).exists()
    whole_parts = [path for path in broken.iterdir() if path.suffix == ".csv"]
    assert whole_parts
    assert all(path.read_bytes().endswith(b",1\n") for path in whole_parts)
    assert run(folder, "--out", broken, "--part-files", 6)[0] == 0
    assert run(folder, "--out", tmp_path / "unbroken", "--part-files", 6)[0] == 0
    first, second = ({p.name: p.read_bytes() for p in (tmp_path / n).iterdir()} for n in ("broken", "unbroken"))
    assert first == second
    keys = [line.split('"rows"')[0] for line in journal.read_text().splitlines()[1:]]
    assert len(keys) == len(set(keys)) == 40


def test_tables_of_all_kinds_join(run, archive, tmp_path):
    """Catches a form that only one machine can read, and digits lost on the way from Parquet to CSV."""
    run(archive, "--out", tmp_path / "whole.csv")
    outs = (tmp_path / "1.csv", tmp_path / "2.parquet", tmp_path / "3")
    for k, out in enumerate(outs, 1):
        more = ("--format", "parquet", "--part-files", 2) if k == 3 else ()
        run(archive, "--out", out, "--shard", f"{k}/3", *more)
    assert run("--merge", *outs, "--out", tmp_path / "all.csv")[:2] == (0, f"8 files -> {tmp_path / 'all.csv'}\n")
    lines = [sorted((tmp_path / name).read_text().splitlines()) for name in ("whole.csv", "all.csv")]
    assert lines[0] == lines[1]
    merge([tmp_path / "all.csv"], Table(tmp_path / "parts", "parquet", 3))
    assert len(parts_of(tmp_path / "parts")) == 3
    merge([tmp_path / "parts"], Table(tmp_path / "again.csv"))
    assert (tmp_path / "again.csv").read_bytes() == (tmp_path / "all.csv").read_bytes()


def test_a_table_of_version_1_is_read(tmp_path):
    """Catches a promise that is broken."""
    frozen = ROOT / "tests" / "golden" / "scan_v1.csv"
    assert merge([frozen], Table(tmp_path / "again.csv")) == 4
    assert (tmp_path / "again.csv").read_bytes() == frozen.read_bytes()
    merge([frozen], Table(tmp_path / "a.parquet"))
    assert as_text(parquet.read_table(tmp_path / "a.parquet").to_pylist()) == rows_of(frozen)


def test_what_is_no_table_is_not_joined(run, archive, tmp_path):
    """Catches a folder that a kill left without its last parts, and one that is emptied before it is read."""
    run(archive, "--out", tmp_path / "parts", "--part-files", 3)
    with pytest.raises(UsageError, match="expected another folder than those that are joined"):
        merge([tmp_path / "parts"], Table(tmp_path / "parts", None, 2))
    (tmp_path / "parts" / WHOLE).unlink()
    (tmp_path / "torn.parquet").write_bytes(b"PAR1 and then nothing")
    parquet.write_table(pytest.importorskip("pyarrow").table({"a": [1]}), tmp_path / "other.parquet")
    for name, message in (
        ("parts", "received a folder without all of its parts"),
        ("torn.parquet", "cannot be read as Parquet"),
        ("other.parquet", "received other columns"),
    ):
        with pytest.raises(ToolkitError, match=message):
            merge([tmp_path / name], Table(tmp_path / "x.csv"))
        assert not (tmp_path / "x.csv").exists()


def test_groups_of_rows_are_bounded(tmp_path, monkeypatch):
    """Catches a writer that holds the whole table."""
    monkeypatch.setattr(tables, "GROUP_ROWS", 10)
    row = dict.fromkeys(COLUMNS, "") | {"row": "file", "path": "a.wav", "bytes": 3, "p_real": 0.25}
    with Table(tmp_path / "a.parquet").writing() as write:
        for _ in range(35):
            write([row])
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 4


def test_without_pyarrow_a_line_says_what_to_install(run, archive, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    status, said, err = run(archive, "--out", tmp_path / "a.parquet")
    assert (status, said) == (1, "")
    assert err == "error: Parquet: pyarrow is missing: install it with 'pip install -e .[ray]'\n"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_names_that_are_no_utf8(run, archive, tmp_path):
    """Catches one name that ends a scan of a million files."""
    name = os.fsdecode(b"caf\xe9.wav")
    folder = tmp_path / "names"
    folder.mkdir()
    (folder / name).write_bytes((archive / "0.wav").read_bytes())
    for out in ("a.csv", "a.parquet"):
        assert run(folder, "--out", tmp_path / out)[0] == 0
    (row,) = rows_of(tmp_path / "a.csv")
    assert row["path"] == str(folder / "caf\\udce9.wav")
    assert row["label"] == "real"
    assert as_text(parquet.read_table(tmp_path / "a.parquet").to_pylist()) == [row]
    before = (tmp_path / "a.csv").read_bytes()
    assert run(folder, "--out", tmp_path / "a.csv")[0] == 0
    assert (tmp_path / "a.csv").read_bytes() == before


def test_keys_of_old_journals_are_known(archive):
    """Catches an archive that is judged anew, for weeks, because a new version calls its files otherwise."""
    path = archive / "0.wav"
    os.utime(path, ns=(1, 1_700_000_000_123_456_789))
    assert Item.of(str(path)).key == f"{path.stat().st_size} 1700000000123456789 {path}"
    assert Item.of("missing.wav").key == "-1 0 missing.wav"
    assert Item.parse("-1 0 a  b.wav") == Item("a  b.wav", -1, "0")
