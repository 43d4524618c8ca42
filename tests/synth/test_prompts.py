from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from babbling import babble

from audio.errors import EngineError
from audio.manifest import read_manifest
from audio.reading import read
from synth import codecs
from synth.pcm import Samples
from synth.prompts import LANGUAGES, SOUNDS, decode_prompts, fetch_prompts
from synth.voices import voices_from_folder

PROMPTS = {
    "en_US_f_Allison/hello.g722": 0.9,
    "en_US_f_Allison/digits/1.g722": 0.5,
    "en_US_f_Allison/at-tone-time-exactly.g722": 0.8,
    "en_US_f_Allison/silence/1.g722": 1.0,
    "en_US_f_Allison/beeperr.g722": 0.7,
    "en_US_f_Allison/ascending-2tone.g722": 0.7,
    "en_US_f_Allison/tt-monkeys.g722": 0.7,
    "es_MX_f_Allison/hello.g722": 0.9,
    "it_IT_m_Carlo/hello.g722": 0.9,
    "it_IT_m_Carlo/short.g722": 0.2,
}


def write_g722(path: Path, samples: Samples) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    coding = [codecs.fixed_coding("g722")]
    codecs._encode(codecs.find_ffmpeg(), [samples], codings=coding, folder=path.parent)[0].replace(path)
    (path.parent / "0.pcm").unlink()


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    root = tmp_path / "unpacked"
    for k, (name, seconds) in enumerate(PROMPTS.items()):
        # the encoder adds its tail, a quarter of a second: without it "short" would be too long
        write_g722(root / SOUNDS / name, babble(k, seconds=seconds)[: -codecs.TAIL_SAMPLES or None])
    notice = root / "usr" / "share" / "doc" / LANGUAGES[0].package / "copyright"
    notice.parent.mkdir(parents=True)
    notice.write_text("License: CC-BY-SA-3.0, Copyright: Ada Lovelace ©", encoding="utf-8")
    return root


def test_decodes_speech_by_speaker_and_leaves_out_the_rest(unpacked: Path, tmp_path: Path) -> None:
    """Catches beeps and silence taken for voices, and one person taken for two speakers."""
    out = tmp_path / "voices"
    decode_prompts(unpacked, out)
    clips = {clip.path: clip for clip in read_manifest(out / "manifest.jsonl")}
    assert sorted(clips) == [
        "allison/en/at-tone-time-exactly.wav",
        "allison/en/digits/1.wav",
        "allison/en/hello.wav",
        "allison/es/hello.wav",
        "carlo/it/hello.wav",
    ]
    hello = clips["allison/es/hello.wav"]
    assert (hello.speaker, hello.language, hello.codec) == ("allison", "es", "g722")
    samples = read(out / hello.path)
    assert samples.size == hello.n_samples == 14_400
    assert np.corrcoef(samples[22:10_022], babble(7, seconds=0.9)[:10_000])[0, 1] > 0.95
    assert "Ada Lovelace ©" in (out / "ATTRIBUTION.txt").read_text(encoding="utf-8")
    assert len(voices_from_folder(out)) == 5


def test_nothing_to_decode(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match=r"expected prompts in G\.722, found none"):
        decode_prompts(tmp_path, tmp_path / "out")


def test_what_is_there_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "manifest.jsonl").write_text("")
    monkeypatch.setattr("synth.prompts._download", lambda _: pytest.fail("went to the network"))
    assert fetch_prompts(tmp_path) == tmp_path


@pytest.mark.parametrize("missing", ["apt-get", "dpkg-deb"])
def test_no_debian(missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda name: None if name == missing else f"/usr/bin/{name}")
    with pytest.raises(EngineError, match=f"{missing} was not found.*--real DIR"):
        fetch_prompts(tmp_path / "voices")
    assert not (tmp_path / "voices").exists()


def test_other_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("words")
    with pytest.raises(EngineError, match="found other files"):
        fetch_prompts(tmp_path)


def test_failing_program_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a traceback without network: apt-get is stood in for by a program that fails as it does."""
    apt = tmp_path / "bin" / "apt-get"
    apt.parent.mkdir()
    apt.write_text("#!/bin/sh\necho 'E: Failed to fetch' >&2\nexit 100\n")
    apt.chmod(0o755)
    (tmp_path / "bin" / "dpkg-deb").symlink_to(apt)
    monkeypatch.setenv("PATH", f"{apt.parent}:/bin:/usr/bin")
    with pytest.raises(EngineError, match="apt-get failed: E: Failed to fetch: run again when the network is there"):
        fetch_prompts(tmp_path / "voices")
