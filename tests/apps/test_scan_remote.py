"""`script.py scan` of addresses: an object store on this machine (moto's server), memory and files by fsspec."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import fsspec
import numpy as np
import pytest
from moto import server
from scanning import rows_of, scan_with
from tiny_model import voice

from apps.cli import main as cli
from audio import remote
from audio.errors import AudioError, LimitError, ToolkitError, UsageError
from audio.listing import at
from audio.reading import write_wav
from model import Detector

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An object store, for as long as this module runs: its address."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    served = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    served.start()
    host, port = served.get_host_and_port()
    yield f"http://{host}:{port}"
    served.stop()


@pytest.fixture
def s3(store, monkeypatch):
    """A file system of the store, whose settings worker processes inherit."""
    for name, value in {
        "AWS_ENDPOINT_URL": store,
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    forget()
    yield fsspec.filesystem("s3", use_listings_cache=False)
    forget()


def forget() -> None:
    """Let connections be made anew."""
    remote._shared.cache_clear()
    fsspec.get_filesystem_class("s3").clear_instance_cache()


@pytest.fixture(scope="module")
def archive(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("remote") / "calls"
    for k, name in enumerate(("a.wav", "b.flac", "deeper/c.wav", "deeper-still/d.wav", "é #1?.wav")):
        write_wav(folder / name, voice(np.random.default_rng(k), 2, fake_s=[(0.5, 1.2)] if k == 1 else []))
    (folder / "text.wav").write_text("hello\n" * 50)
    (folder / "notes.txt").write_text("no recording")
    return folder


@pytest.fixture
def bucket(s3, archive) -> str:
    """The archive in a bucket of its own."""
    name = f"bucket-{uuid4()}"
    s3.mkdir(name)
    for path in archive.rglob("*.*"):
        s3.pipe_file(f"{name}/calls/{path.relative_to(archive).as_posix()}", path.read_bytes())
    s3.pipe_file(f"{name}/calls-of-others/x.wav", b"not ours")
    return f"s3://{name}"


@pytest.fixture
def run(tiny_bundle, capsys):
    return scan_with(tiny_bundle, capsys)


@pytest.fixture
def judged(monkeypatch) -> list[str]:
    """The files that are judged from now on, in this process."""
    found: list[str] = []
    real = Detector.detect
    monkeypatch.setattr(Detector, "detect", lambda self, path, **more: found.append(path) or real(self, path, **more))
    return found


def test_a_bucket_is_judged_as_the_same_files_here(run, archive, bucket, tmp_path, monkeypatch):
    """Catches another order, hash, size or verdict, messages about temporary files, and copies left behind."""
    (tmp_path / "temp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temp"))
    run(archive, "--out", tmp_path / "here.csv")
    status, said, _ = run(f"{bucket}/calls", "--out", tmp_path / "there.csv", workers=2)
    assert (status, said.split(" -> ")[0]) == (1, "real 4, fake 0, hybrid 1, not judged 0, failed 1")
    here = (tmp_path / "here.csv").read_text().replace(str(archive), f"{bucket}/calls")
    assert (tmp_path / "there.csv").read_text() == here
    assert list((tmp_path / "temp").glob(f"{remote.DESK}*")) == []


def test_patterns_and_lists_of_addresses(run, archive, bucket, tmp_path):
    """Catches a pattern that reaches into folders, a list that loses its order, and a bad object that ends it all."""
    run(f"{bucket}/calls/*.wav", f"{bucket}/calls/**/c.wav", "--out", tmp_path / "1.csv")
    names = [row["path"].removeprefix(f"{bucket}/calls/") for row in rows_of(tmp_path / "1.csv")]
    assert names == ["a.wav", "text.wav", "é #1?.wav", "deeper/c.wav"]
    asked = [f"{bucket}/calls/deeper/c.wav", f"{bucket}/gone.wav", "s3://no-such-bucket/x.wav", f"{bucket}/calls/a.wav"]
    (tmp_path / "list.txt").write_text("\n".join([*asked, asked[0], str(archive / "a.wav")]))
    status, _, _ = run(tmp_path / "list.txt", f"{bucket}/calls/a.wav", "--out", tmp_path / "2.csv")
    rows = rows_of(tmp_path / "2.csv")
    assert status == 1
    assert [row["path"] for row in rows] == [*asked, str(archive / "a.wav")]
    assert [row["row"] for row in rows] == ["file", "error", "error", "file", "file"]
    assert rows[1]["error"] == f"{bucket}/gone.wav: cannot be opened: No such file or directory"
    assert rows[3]["sha256"] == rows[4]["sha256"]


def test_only_what_changed_is_judged_again(run, bucket, s3, tmp_path, judged):
    """Catches objects that are copied and judged in every run, and one that was replaced by one of the same size."""
    out = tmp_path / "results.csv"
    run(f"{bucket}/calls", "--out", out)
    assert len(judged) == 6
    before = out.read_bytes()
    judged.clear()
    run(f"{bucket}/calls", "--out", out)
    assert (len(judged), out.read_bytes()) == (1, before)  # what failed is tried again
    judged.clear()
    changed = voice(np.random.default_rng(9), 2, fake_s=[(0.5, 1.2)])
    write_wav(tmp_path / "new.wav", changed)
    s3.pipe_file(f"{bucket}/calls/a.wav", (tmp_path / "new.wav").read_bytes())
    run(f"{bucket}/calls", "--out", out)
    assert len(judged) == 2
    assert rows_of(out)[0]["label"] == "hybrid"
    judged.clear()
    (tmp_path / "list.txt").write_text(f"{bucket}/calls/a.wav\n")
    run(tmp_path / "list.txt", "--out", out)
    assert judged == [], "a list knows an object by what a listing called it"


def test_more_than_one_page_is_listed(bucket, s3, monkeypatch):
    """Catches a listing that ends after the first thousand."""
    real, pages = type(s3).call_s3, []

    def paged(self: object, method: str, **more: object) -> object:
        pages.append(method)
        return real(self, method, MaxKeys=2, **more)

    monkeypatch.setattr(type(s3), "call_s3", paged)
    found = [item.path.removeprefix(f"{bucket}/calls/") for item in at(f"{bucket}/calls/")]
    assert found == ["a.wav", "b.flac", "deeper/c.wav", "deeper-still/d.wav", "text.wav", "é #1?.wav"]
    assert pages == ["list_objects_v2"] * 4


def test_copies_are_bounded_and_go(bucket, tmp_path):
    """Catches an object that fills the disk."""
    url = f"{bucket}/calls/a.wav"
    with remote.local_copy(url) as copy:
        assert copy.suffix == ".wav"
        assert copy.stat().st_size == remote.look(url).n_bytes > 1000
    assert not copy.parent.exists()
    with pytest.raises(LimitError, match="larger than the limit of 1000 bytes"), remote.local_copy(url, max_bytes=1000):
        pass
    with pytest.raises(AudioError, match="No such file"), remote.local_copy(f"{bucket}/calls"):
        pass


def test_what_killed_processes_left_is_swept(monkeypatch, tmp_path):
    """Catches people's voices that stay in /tmp, and a folder that is swept while somebody works in it."""
    from filelock import FileLock

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    for name in ("left", "used", "new"):
        (tmp_path / f"recording-{name}").mkdir()
        (tmp_path / f"recording-{name}" / "recording.wav").touch()
        (tmp_path / f"recording-{name}" / ".lock").touch()
    with FileLock(tmp_path / "recording-used" / ".lock"):
        for name in ("left", "used"):
            os.utime(tmp_path / f"recording-{name}" / ".lock", (0, 0))
        remote._sweep.cache_clear()
        remote._sweep()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["recording-new", "recording-used"]


def test_stores_that_do_not_answer_are_told_in_a_line(run, s3, tmp_path, monkeypatch):
    """Catches a traceback of somebody else's package."""
    s3.mkdir("quiet")
    for name, value, message in (
        ("AWS_ENDPOINT_URL", "http://127.0.0.1:9", "s3://quiet/calls: its store cannot be reached"),
        ("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"), "s3://quiet/calls: no credentials were found"),
    ):
        monkeypatch.setenv(name, value)
        if "CREDENTIALS" in name:
            monkeypatch.delenv("AWS_ACCESS_KEY_ID")
            monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
        forget()
        status, said, err = run("s3://quiet/calls", "--out", tmp_path / "x.csv")
        assert (status, said) == (1, "")
        assert err.startswith(f"error: {message}")
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("address", "kind", "message"),
    [
        ("s3://me:hidden@bucket/a.wav", UsageError, "s3://bucket/a.wav: expected an address without a password"),
        ("https://host/a.wav?key=hidden", UsageError, "https://host/a.wav: expected an address without a query"),
        ("nonsense://a", UsageError, "expected an address as fsspec knows them"),
        ("zip://a.wav", UsageError, "expected an address as fsspec knows them"),
        ("memory://nowhere", UsageError, "found none"),
        ("memory://nowhere/*.wav", UsageError, "found none"),
    ],
)
def test_addresses_that_are_none(run, tmp_path, address, kind, message):
    """Catches passwords in tables and messages, and addresses that reach where they should not."""
    (tmp_path / "list.txt").write_text(address)
    for source in (address,) if "nowhere" in address else (address, tmp_path / "list.txt"):
        status, said, err = run(source, "--out", tmp_path / "x.csv")
        assert (status, said) == (2, "")
        assert message in err
        assert "hidden" not in err
    assert [path.name for path in tmp_path.iterdir()] == ["list.txt"]


def test_missing_packages_are_named(monkeypatch):
    """Catches an archive of a million error rows because one package is missing."""
    monkeypatch.setitem(sys.modules, "gcsfs", None)
    with pytest.raises(ToolkitError, match="pip install gcsfs"):
        remote.check("gs://bucket/a.wav")
    monkeypatch.setitem(sys.modules, "fsspec", None)
    with pytest.raises(ToolkitError, match=r"pip install -e \.\[ray\]"):
        remote.check("s3://bucket/a.wav")


def test_errors_hold_no_passwords():
    said = remote._plain(ValueError("GET https://me:hidden@host/a?sig=hidden2 failed"))
    assert said == "cannot be read: GET https://host/a failed"
    assert remote._plain(PermissionError("Access Denied")) == "its store does not allow it with these credentials"


def test_files_and_memory_by_address(run, archive, tmp_path):
    """Catches a file of this machine that is copied, and a listing that forgets where it was."""
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/shelf/a.wav", (archive / "a.wav").read_bytes())
    run(f"{archive.as_uri()}/a.wav", "memory://shelf", f"{archive.as_uri()}/*.flac", "--out", tmp_path / "x.csv")
    rows = [row for row in rows_of(tmp_path / "x.csv") if row["row"] == "file"]
    addresses = [f"{archive.as_uri()}/a.wav", "memory://shelf/a.wav", f"{archive.as_uri()}/b.flac"]
    assert [row["path"] for row in rows] == addresses
    assert rows[0]["sha256"] == rows[1]["sha256"]
    with remote.local_copy(addresses[0]) as path:
        assert path == archive / "a.wav"


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_links_in_a_circle_are_not_followed(archive, tmp_path):
    (tmp_path / "a.wav").write_bytes((archive / "a.wav").read_bytes())
    (tmp_path / "again").symlink_to(tmp_path)
    assert [item.path for item in at(tmp_path.as_uri())] == [f"{tmp_path.as_uri()}/a.wav"]


def test_detect_still_refuses_addresses(capsys, tiny_bundle):
    assert cli.main(["detect", "s3://bucket/a.wav", "--model", str(tiny_bundle)]) == 1
    assert "expected a file, received a network address" in capsys.readouterr().err


LOADED = """
import sys
from apps.cli import main
status = main.main(sys.argv[1:])
print(status, *sorted({name.split(".")[0] for name in sys.modules} & {"fsspec", "pyarrow", "ray", "s3fs", "botocore"}))
"""


def test_local_files_need_none_of_it(archive, tmp_path, tiny_bundle):
    """Catches the weight of an object store's client in every scan."""
    command = ["scan", str(archive / "a.wav"), "--out", str(tmp_path / "x.csv"), "--model", str(tiny_bundle), "-j", "1"]
    python = [sys.executable, "-c", LOADED]
    done = subprocess.run([*python, *command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0"


def test_a_scan_on_ray_has_the_same_bytes(run, archive, bucket, tmp_path, tiny_bundle):
    """Catches workers of a cluster that judge otherwise, tell of other files, or in another order."""
    run(archive, f"{bucket}/calls/*.flac", "--out", tmp_path / "here.csv")
    command = [sys.executable, "script.py", "scan", str(archive), f"{bucket}/calls/*.flac"]
    more = ["--engine", "ray", "-j", "2", "--model", str(tiny_bundle), "--out", str(tmp_path / "ray.csv")]
    done = subprocess.run([*command, *more], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "ray.csv").read_bytes() == (tmp_path / "here.csv").read_bytes()
    assert len(rows_of(tmp_path / "ray.csv")) == 9
