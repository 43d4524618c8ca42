"""Engines that speak: espeak-ng, flite and festival. CI installs them (.ci/run); elsewhere they may be missing."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from audio.errors import EngineError
from synth.engines import ENGINES, engine, espeak, espeak_klatt, festival, flite
from synth.pcm import Samples, rms_dbfs
from synth.texts import SENTENCES

SPEAKERS = tuple(name for name in ENGINES if not engine(name).makes_twins)


def installed(name: str) -> str:
    """Return `name`, or skip where it is not installed; CI must have it."""
    try:
        engine(name).version()
    except EngineError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    return name


def speak(name: str, text: str, *, language: str = "en", seed: int = 0) -> Samples:
    return engine(name).render(None, text=text, language=language, rng=np.random.default_rng(seed))


@pytest.mark.parametrize("name", SPEAKERS)
def test_speakers_speak(name: str) -> None:
    """Catches a sampling rate taken for another (espeak-ng has 22,050 Hz): a sentence takes 2 to 8 s."""
    spoken = speak(installed(name), SENTENCES["en"][0])
    assert spoken.dtype == np.float32
    assert 2 * 16_000 < spoken.size < 8 * 16_000
    assert rms_dbfs(spoken) > -40
    assert np.array_equal(speak(name, SENTENCES["en"][0]), spoken)
    assert not np.array_equal(speak(name, SENTENCES["en"][0], seed=1), spoken)


@pytest.mark.parametrize("language", sorted(SENTENCES))
def test_espeak_speaks_every_language_that_has_sentences(language: str) -> None:
    """Catches a language that the program knows under another name (Chinese is cmn)."""
    assert speak(installed("espeak"), SENTENCES[language][0], language=language).size > 16_000


@pytest.mark.parametrize("name", SPEAKERS)
@pytest.mark.parametrize("text", ['-w /dev/null "hello"; (quit) $(ls) & <b>', "one\ntwo"])
def test_texts_are_only_spoken(name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches a text that is taken for an option, a file's name, markup or a command."""
    monkeypatch.chdir(tmp_path)
    assert speak(installed(name), text).size > 4_000
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", SPEAKERS)
@pytest.mark.parametrize("text", ["", " \n", "a\0b"])
def test_there_must_be_a_text(name: str, text: str) -> None:
    """Catches a clip of silence that is called fake speech."""
    with pytest.raises(EngineError, match=f"{name}: expected a text to speak"):
        speak(installed(name), text)


@pytest.mark.parametrize("name", ["flite", "festival"])
def test_english_voices_refuse_other_languages(name: str) -> None:
    """Catches Russian letters read by a voice that knows none; needs no program."""
    with pytest.raises(EngineError, match=f"{name}: expected a text in en, received 'ru'"):
        speak(name, SENTENCES["ru"][0], language="ru")


@pytest.mark.parametrize("language", ["xx", "../en", "-h", "variant"])
def test_espeak_refuses_languages_that_are_none(language: str) -> None:
    with pytest.raises(EngineError, match="espeak: expected a language that espeak-ng speaks"):
        speak(installed("espeak"), "hello", language=language)


def test_espeaks_synthesisers_share_no_variant() -> None:
    """Catches Klatt voices under other names (adam, announcer) in the engine that should not have them."""
    installed("espeak")
    own, klatt = (espeak._variants("espeak")[by_klatt] for by_klatt in (False, True))
    assert not set(own) & set(klatt)
    assert {"klatt", "klatt4", "adam"} <= set(klatt)
    assert {"f3", "m1", "croak", "whisper", "Mr serious"} <= set(own)
    rng = np.random.default_rng(0)
    drawn = {espeak.ENGINE.draw_voice("en", rng) for _ in range(200)}
    assert {voice.partition("+")[0] for voice in drawn} == {*espeak._accents("espeak", "en")}
    assert {voice.partition("+")[2] for voice in drawn} - {""} < set(own)
    assert {espeak_klatt.ENGINE.draw_voice("de", rng).partition("+")[2] for _ in range(200)} == set(klatt)


def test_espeak_reads_the_programs_lists(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Catches mbrola's voices, which need another program, neighbours of a language, and file names with a space."""
    lists = {
        "--voices=zh": (
            "Pty Language       Age/Gender VoiceName          File                 Other Languages\n"
            " 5  cmn             --/M      Chinese_(Mandarin)  sit/cmn              (zh-cmn 5)(zh 5)\n"
            " 5  cmn-latn-pinyin --/M      Chinese_(Pinyin)    sit/cmn-Latn-pinyin  (zh-cmn 5)(zh 5)\n"
            " 5  zh              --/M      chinese-mb-cn1      mb/mb-cn1            \n"
            " 5  yue             --/M      Chinese_(Cantonese) sit/yue              (zh-yue 5)(zh 8)\n"
        ),
        "--voices=variant": (
            "Pty Language       Age/Gender VoiceName          File                 Other Languages\n"
            " 5  variant         --/M      Mr_Serious         !v/Mr serious        \n"
            " 5  variant         --/M      Storm              !v/Storm             (en-us 5)\n"
            " 5  variant         --/M      klatt              !v/klatt             \n"
        ),
        "--version": f"eSpeak NG text-to-speech: 1.52.0  Data at: {tmp_path}\n",
    }
    monkeypatch.setattr("synth.engines.programs.Program.run", lambda program, arguments, **_: lists[arguments[0]])
    (tmp_path / "voices" / "!v").mkdir(parents=True)
    (tmp_path / "voices" / "!v" / "Storm").write_text("language variant\nname klattish\nklatt 4\n")
    (tmp_path / "voices" / "!v" / "Mr serious").write_text("language variant\n")
    assert espeak._accents.__wrapped__("espeak", "zh") == ("sit/cmn",)
    assert espeak._variants.__wrapped__("espeak") == {False: ("Mr serious",), True: ("Storm", "klatt")}


@pytest.mark.parametrize(
    ("name", "text"), [("flite", "install flite"), ("festival", "install festival"), ("espeak", "install espeak-ng")]
)
def test_missing_programs_name_their_install_command(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches an error that names the program and not what to do about it; the caches must not hide it."""
    for cached in (espeak._accents, espeak._variants, flite._voices, festival._voices):
        cached.cache_clear()
    monkeypatch.setattr("shutil.which", lambda program: None)
    with pytest.raises(EngineError, match=f"{name}: the program .* was not found: sudo apt-get {text}"):
        speak(name, "hello")


def test_a_festival_without_voices_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    """Catches `voice_None`, and Italian voices that read English."""
    festival._voices.cache_clear()
    monkeypatch.setattr("synth.engines.programs.Program.run", lambda *_, **__: "(lp_diphone el_diphone)\n")
    with pytest.raises(EngineError, match="festival: it has no English voice: sudo apt-get install festival"):
        festival._voices()
