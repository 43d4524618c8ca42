"""Genuine voices for everybody: the telephone prompts that Debian packages, five languages, four speakers.

apt-get downloads without root when all its folders are private ones. Everything happens in a hidden folder
beside the wanted one, which appears under its name when it is complete; a second attempt goes on with what
the first one downloaded.
"""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from audio.errors import EngineError
from audio.labels import REAL
from audio.manifest import Clip, write_manifest
from audio.reading import write_wav
from audio.segments import SAMPLE_RATE
from synth.codecs import decode
from synth.pcm import Samples, rms_dbfs
from synth.voices import MANIFEST

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Language:
    """One package of prompts: its two-letter language code, the folder it unpacks to, and who speaks."""

    code: str
    folder: str
    speaker: str

    @property
    def package(self) -> str:
        """Name of the Debian package."""
        return f"asterisk-core-sounds-{self.code}-g722"


LANGUAGES = (
    Language("en", "en_US_f_Allison", "allison"),
    Language("es", "es_MX_f_Allison", "allison"),
    Language("fr", "fr_CA_f_June", "june"),
    Language("it", "it_IT_m_Carlo", "carlo"),
    Language("ru", "ru_RU_f_IvrvoiceRU", "ivrvoice"),
)
"""Speakers as the folders and the CREDITS of the packages name them; English and Spanish are one person."""

SOUNDS = Path("usr", "share", "asterisk", "sounds")
DOCS = Path("usr", "share", "doc")

CODEC = "g722"
"""What all prompts are packaged in, and so what every fake made from them passes too."""

NOT_SPEECH = ("silence/*", "*-2tone.*", "beep*", "tt-monkeys.*")
"""Patterns of relative paths that hold silence, tones and monkeys."""

MIN_SAMPLES = int(0.3 * SAMPLE_RATE)
"""Shorter prompts are left out: nothing can be spliced into 0.3 s."""

MIN_LEVEL_DBFS = -50.0
"""Quieter prompts are left out as silent; speech in the packages lies above -35 dBFS."""

OWN_RECORDINGS = "or give your own recordings with --real DIR (one subfolder per speaker)"


def fetch_prompts(out: str | Path) -> Path:
    """Download, unpack and decode the prompts into `out`, unless they are there already.

    Parameters
    ----------
    out
        The folder to make: `SPEAKER/LANGUAGE/NAME.wav`, `manifest.jsonl` and `ATTRIBUTION.txt`.

    Returns
    -------
    `out`, for `voices_from_folder`.

    Raises
    ------
    EngineError
        Where apt-get or dpkg-deb is missing or fails, or `out` holds something else.
    """
    out = Path(out)
    if (out / MANIFEST).exists():
        return out
    if out.exists() and any(out.iterdir()):
        raise EngineError(f"{out}: expected an empty or absent folder, found other files: choose another one")
    private = out.absolute().with_name(f".{out.name}.part")
    unpacked = _unpack(_download(private), private / "unpacked")
    decode_prompts(unpacked, private / "decoded")
    if out.exists():
        out.rmdir()
    os.replace(private / "decoded", out)
    shutil.rmtree(private)
    return out


def decode_prompts(unpacked: Path, out: Path) -> None:
    """Decode the spoken prompts of unpacked packages to WAV, with their manifest and attribution.

    Parameters
    ----------
    unpacked
        The root that the packages were unpacked to: `usr/share/...`.
    out
        The folder to make; an older one is replaced.

    Raises
    ------
    EngineError
        When there is no prompt in `unpacked`, or ffmpeg is missing or fails.
    """
    shutil.rmtree(out, ignore_errors=True)
    clips = [clip for language in LANGUAGES for clip in _decode_language(unpacked, language, out)]
    if not clips:
        raise EngineError(f"{unpacked / SOUNDS}: expected prompts in G.722, found none")
    (out / "ATTRIBUTION.txt").write_text(_attribution(unpacked), encoding="utf-8", newline="\n")
    write_manifest(out / MANIFEST, sorted(clips, key=lambda clip: clip.path))


def _decode_language(unpacked: Path, language: Language, out: Path) -> list[Clip]:
    root = unpacked / SOUNDS / language.folder
    sources = [path for path in sorted(root.rglob(f"*.{CODEC}")) if _is_speech(path.relative_to(root))]
    with tempfile.TemporaryDirectory(prefix="prompts-") as folder:
        recordings = decode(sources, [CODEC] * len(sources), folder=Path(folder))
    clips = []
    for source, samples in zip(sources, recordings, strict=True):
        name = source.relative_to(root).with_suffix(".wav").as_posix()
        clip = _clip(f"{language.speaker}/{language.code}/{name}", language, samples)
        if samples.size >= MIN_SAMPLES and rms_dbfs(samples) >= MIN_LEVEL_DBFS:
            write_wav(out / clip.path, samples)
            clips.append(clip)
    return clips


def _clip(path: str, language: Language, samples: Samples) -> Clip:
    return Clip(
        path,
        REAL,
        n_samples=samples.size,
        speaker=language.speaker,
        language=language.code,
        codec=CODEC,
    )


def _is_speech(path: Path) -> bool:
    return not any(path.match(pattern) for pattern in NOT_SPEECH)


def _attribution(unpacked: Path) -> str:
    """Join the packages' copyright files under a line that says what was changed, as the licences ask."""
    notices = [(language.package, unpacked / DOCS / language.package / "copyright") for language in LANGUAGES]
    parts = [f"==== {package} ====\n\n{path.read_text('utf-8')}" for package, path in notices if path.exists()]
    changes = "Voice prompts from Debian packages, decoded from G.722 to WAV and otherwise unchanged."
    return "\n".join([f"{changes}\n", *parts])


def _download(private: Path) -> list[Path]:
    """Bring the packages into `private`; those that are there already are not fetched again."""
    for program in ("apt-get", "dpkg-deb"):
        if shutil.which(program) is None:
            raise EngineError(
                f"{program} was not found, and the voice prompts are Debian packages: "
                f"use Debian or Ubuntu, {OWN_RECORDINGS}"
            )
    packages = private / "packages"
    packages.mkdir(parents=True, exist_ok=True)
    if missing := [lang.package for lang in LANGUAGES if not _package_files(packages, lang)]:
        LOG.info("downloading %d packages of voice prompts, about 55 MB", len(missing))
        options = _private_options(private)
        _run(["apt-get", *options, "update"], cwd=packages)
        _run(["apt-get", *options, "download", *missing], cwd=packages)
    return [path for language in LANGUAGES for path in _package_files(packages, language)]


def _package_files(packages: Path, language: Language) -> list[Path]:
    return sorted(packages.glob(f"{language.package}_*.deb"))


def _private_options(private: Path) -> list[str]:
    """Return the apt-get options that keep it inside `private`, readable by us and nobody's root."""
    for folder in ("lists/partial", "cache/archives/partial"):
        (private / folder).mkdir(parents=True, exist_ok=True)
    settings = {
        "Dir::State::lists": private / "lists",
        "Dir::Cache": private / "cache",
        "APT::Sandbox::User": "",
        "Debug::NoLocking": "true",
        "Acquire::Languages": "none",
    }
    return ["-q", *(word for name, value in settings.items() for word in ("-o", f"{name}={value}"))]


def _unpack(packages: list[Path], out: Path) -> Path:
    for package in packages:
        _run(["dpkg-deb", "-x", str(package), str(out)], cwd=package.parent)
    return out


def _run(command: list[str], *, cwd: Path) -> None:
    """Run a program of the system; raise `EngineError` with the last line it said when it fails."""
    try:
        subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
    except OSError as error:
        raise EngineError(f"{command[0]} does not run: {error.strerror}") from None
    except subprocess.CalledProcessError as error:
        said = (error.stderr.strip() or error.stdout.strip() or "no reason given").splitlines()[-1]
        advice = f"run again when the network is there, {OWN_RECORDINGS}"
        raise EngineError(f"{command[0]} failed: {said}: {advice}") from None
