"""Tiny data sets, each laid out as its download unpacks, and what must be read from them.

Recordings are empty files: readers open none. Ids are invented; the layouts are those of the data sets.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from audio.labels import FAKE, HYBRID, REAL
from audio.manifest import Clip
from audio.segments import SAMPLE_RATE, Segment

Files = dict[str, str | bytes]
"""Content by path; recordings are empty."""

Edit = Callable[[Files], Files]


@dataclass(frozen=True)
class Tree:
    """A tiny data set.

    `missing`: a recording that its labels promise, with where they do, or None where the folder is the label.
    `unknown` makes a label mean nothing, `twice` labels one recording twice, where the data set has such labels.
    """

    files: Files
    clips: tuple[Clip, ...]
    missing: tuple[str, str] | None = None
    unknown: tuple[Edit, str] | None = None
    twice: tuple[Edit, str] | None = None

    def write(self, folder: Path, files: Files | None = None) -> Path:
        for name, content in (self.files if files is None else files).items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder


def recordings(*paths: str) -> Files:
    return dict.fromkeys(paths, b"")


def edited(path: str, old: str, new: str) -> Edit:
    """Replace text in one file."""

    def edit(files: Files) -> Files:
        text = files[path]
        assert isinstance(text, str)
        assert old in text
        return {**files, path: text.replace(old, new, 1)}

    return edit


def doubled(path: str) -> Edit:
    """Put the last line of a file there once more."""

    def edit(files: Files) -> Files:
        text = files[path]
        assert isinstance(text, str)
        return {**files, path: text + text.splitlines()[-1] + "\n"}

    return edit


def renamed(old: str, new: str) -> Edit:
    return lambda files: {path.replace(old, new): content for path, content in files.items()}


def spans(*items: tuple[float, float, str]) -> tuple[Segment, ...]:
    return tuple(Segment(round(a * SAMPLE_RATE), round(b * SAMPLE_RATE), label) for a, b, label in items)


def frames_file(frames: dict[str, str]) -> bytes:
    """A segment label file of PartialSpoof: a pickled dictionary of arrays of text."""
    held = io.BytesIO()
    np.save(held, {name: np.array(list(labels)) for name, labels in frames.items()}, allow_pickle=True)
    return held.getvalue()


def asvspoof_2019() -> Tree:
    folder = "LA/ASVspoof2019_LA_cm_protocols"
    train = f"{folder}/ASVspoof2019.LA.cm.train.trn.txt"
    files = {
        train: "LA_0079 LA_T_0000001 - - bonafide\nLA_0080 LA_T_0000002 - A01 spoof\n",
        f"{folder}/ASVspoof2019.LA.cm.dev.trl.txt": (
            "LA_0069 LA_D_0000001 - - bonafide\nLA_0070 LA_D_0000002 - A02 spoof\n"
        ),
        f"{folder}/ASVspoof2019.LA.cm.eval.trl.txt": (
            "LA_0039 LA_E_0000001 - A11 spoof\nLA_0030 LA_E_0000002 - - bonafide\n"
        ),
        **recordings(*(f"LA/ASVspoof2019_LA_train/flac/LA_T_000000{n}.flac" for n in (1, 2))),
        **recordings(*(f"LA/ASVspoof2019_LA_dev/flac/LA_D_000000{n}.flac" for n in (1, 2))),
        **recordings(*(f"LA/ASVspoof2019_LA_eval/flac/LA_E_000000{n}.flac" for n in (1, 2))),
    }

    def clip(part: str, n: int, label: str, speaker: str, generator: str = "") -> Clip:
        path = f"LA/ASVspoof2019_LA_{part}/flac/LA_{part[0].upper()}_000000{n}.flac"
        split = {"eval": "test"}.get(part, part)
        return Clip(path, label, speaker=speaker, generator=generator, split=split, language="en")

    clips = (
        clip("train", 1, REAL, "LA_0079"),
        clip("train", 2, FAKE, "LA_0080", "A01"),
        clip("dev", 1, REAL, "LA_0069"),
        clip("dev", 2, FAKE, "LA_0070", "A02"),
        clip("eval", 1, FAKE, "LA_0039", "A11"),
        clip("eval", 2, REAL, "LA_0030"),
    )
    missing = ("LA/ASVspoof2019_LA_train/flac/LA_T_0000002.flac", f"{train}:2")
    return Tree(
        files,
        clips,
        missing=missing,
        unknown=(edited(train, "A01 spoof", "A01 fraud"), f"{train}:2"),
        twice=(doubled(train), f"{train}:3"),
    )


def asvspoof_2021_la() -> Tree:
    key = "keys/LA/CM/trial_metadata.txt"
    files = {
        key: (
            "LA_0009 LA_E_0000001 alaw ita_tx A07 spoof notrim eval\n"
            "LA_0010 LA_E_0000002 none - bonafide bonafide trim hidden\n"
        ),
        "keys/LA/ASV/trial_metadata.txt": "LA_0007 LA_E_0000009 alaw ita_tx bonafide nontarget notrim eval\n",
        **recordings(*(f"ASVspoof2021_LA_eval/flac/LA_E_000000{n}.flac" for n in (1, 2))),
    }
    clips = (
        Clip(
            "ASVspoof2021_LA_eval/flac/LA_E_0000001.flac",
            FAKE,
            speaker="LA_0009",
            generator="A07",
            codec="alaw",
            split="test",
            traits={"transmission": "ita_tx", "trim": "notrim", "phase": "eval"},
        ),
        Clip(
            "ASVspoof2021_LA_eval/flac/LA_E_0000002.flac",
            REAL,
            speaker="LA_0010",
            split="test",
            traits={"trim": "trim", "phase": "hidden"},
        ),
    )
    return Tree(
        files,
        clips,
        missing=(clips[1].path, f"{key}:2"),
        unknown=(edited(key, "A07 spoof", "A07 -"), f"{key}:1"),
        twice=(doubled(key), f"{key}:3"),
    )


def asvspoof_2021_df() -> Tree:
    key = "keys/DF/CM/trial_metadata.txt"
    files = {
        key: (
            "LA_0023 DF_E_2000011 nocodec asvspoof A14 spoof notrim progress traditional_vocoder - - - -\n"
            "TGF1 DF_E_2000024 mp3m4a vcc2020 Task2-team12 spoof notrim eval traditional_vocoder Task2 team12 FF G\n"
            "LA_0024 DF_E_2000025 low_mp3 asvspoof - bonafide notrim eval bonafide - - - -\n"
        ),
        **recordings(*(f"ASVspoof2021_DF_eval/flac/DF_E_20000{n}.flac" for n in (11, 24, 25))),
    }
    folder = "ASVspoof2021_DF_eval/flac"
    vocoder = {"trim": "notrim", "vocoder": "traditional_vocoder"}
    clips = (
        Clip(
            f"{folder}/DF_E_2000011.flac",
            FAKE,
            speaker="LA_0023",
            generator="A14",
            split="test",
            traits={"source": "asvspoof", "phase": "progress", **vocoder},
        ),
        Clip(
            f"{folder}/DF_E_2000024.flac",
            FAKE,
            speaker="TGF1",
            generator="Task2-team12",
            codec="mp3m4a",
            language="de",
            split="test",
            traits={"source": "vcc2020", "phase": "eval", "task": "Task2", "team": "team12", "sexes": "FF", **vocoder},
        ),
        Clip(
            f"{folder}/DF_E_2000025.flac",
            REAL,
            speaker="LA_0024",
            codec="low_mp3",
            split="test",
            traits={"source": "asvspoof", "trim": "notrim", "phase": "eval"},
        ),
    )
    return Tree(
        files,
        clips,
        missing=(clips[0].path, f"{key}:1"),
        unknown=(edited(key, "- bonafide notrim", "- human notrim"), f"{key}:3"),
        twice=(doubled(key), f"{key}:4"),
    )


def asvspoof_5() -> Tree:
    train = "ASVspoof5.train.tsv"
    spoof, bonafide = "- - - AC1 A05 spoof -", "- - - - bonafide bonafide -"
    files = {
        train: f"T_4850 T_0000000001 F {spoof}\nT_4851 T_0000000002 M {bonafide}\n",
        "ASVspoof5.dev.track_1.tsv": f"D_4461 D_0000000001 F {spoof}\nD_0461 D_0000000002 M {bonafide}\n",
        "ASVspoof5.eval.track_1.tsv": f"E_1 E_0000000001 F C05 3 7 AC2 A20 spoof -\nE_2 E_0000000002 M {bonafide}\n",
        **recordings(*(f"flac_{part}/{part[0]}_000000000{n}.flac" for part in ("T", "D", "E_eval") for n in (1, 2))),
    }

    def two(part: str, split: str, speakers: tuple[str, str]) -> tuple[Clip, Clip]:
        start = f"flac_{part}/{part[0]}_000000000"
        fake = {"generator": "A05", "traits": {"sex": "female", "attack_tag": "AC1"}}
        return (
            Clip(f"{start}1.flac", FAKE, speaker=speakers[0], split=split, language="en", **fake),
            Clip(f"{start}2.flac", REAL, speaker=speakers[1], split=split, language="en", traits={"sex": "male"}),
        )

    evaluation = two("E_eval", "test", ("E_1", "E_2"))
    traits = {"sex": "female", "codec_quality": "3", "codec_seed": "7", "attack_tag": "AC2"}
    coded = replace(evaluation[0], generator="A20", codec="C05", traits=traits)
    clips = (
        *two("T", "train", ("T_4850", "T_4851")),
        *two("D", "dev", ("D_4461", "D_0461")),
        coded,
        evaluation[1],
    )
    return Tree(
        files,
        clips,
        missing=("flac_T/T_0000000001.flac", f"{train}:1"),
        unknown=(edited(train, "A05 spoof", "A05 A05"), f"{train}:1"),
        twice=(doubled(train), f"{train}:3"),
    )


PROTOCOLS = "protocols/PartialSpoof_LA_cm_protocols"


def partial_spoof() -> Tree:
    files: Files = {}
    clips: list[Clip] = []
    for part, letter in (("train", "T"), ("dev", "D"), ("eval", "E")):
        files[f"{PROTOCOLS}/PartialSpoof.LA.cm.{part}.trl.txt"] = (
            f"LA_0079 LA_{letter}_0000001 - - bonafide\n"
            f"LA_0080 CON_{letter}_0000001 - CON spoof\n"
            f"LA_0080 CON_{letter}_0000002 - CON spoof\n"
        )
        names = (f"LA_{letter}_0000001", f"CON_{letter}_0000001", f"CON_{letter}_0000002")
        fine = frames_file(dict(zip(names, ("1111", "1100", "000"), strict=True)))
        coarse = frames_file(dict(zip(names, ("1", "0", "0"), strict=True)))
        files |= {f"segment_labels/{part}_seglab_0.01.npy": fine, f"segment_labels/{part}_seglab_0.64.npy": coarse}
        files |= recordings(*(f"{part}/con_wav/{name}.wav" for name in names))
        split = {"eval": "test"}.get(part, part)
        truths = ((REAL, "LA_0079", 4, 0), (HYBRID, "LA_0080", 2, 2), (FAKE, "LA_0080", 0, 3))
        for name, (label, speaker, n_real, n_fake) in zip(names, truths, strict=True):
            path = f"{part}/con_wav/{name}.wav"
            found = [(0, n_real / 100, REAL), (n_real / 100, (n_real + n_fake) / 100, FAKE)]
            segments = spans(*(item for item in found if item[0] < item[1]))
            clips.append(Clip(path, label, segments, speaker=speaker, split=split, language="en"))
    files = {f"database/{path}": content for path, content in files.items()}
    clips = [replace(clip, path=f"database/{clip.path}") for clip in clips]
    train = f"database/{PROTOCOLS}/PartialSpoof.LA.cm.train.trl.txt"
    return Tree(
        files,
        tuple(clips),
        missing=(clips[1].path, f"{train}:2"),
        unknown=(edited(train, "CON spoof", "CON partial"), f"{train}:2"),
        twice=(doubled(train), f"{train}:4"),
    )


def llama_partial_spoof() -> Tree:
    first, second = "label_R01TTS.0.a.txt", "label_R01TTS.0.b.txt"
    real = "dev-clean_174_168635_000014_000000"
    full = "dev01-cosyvoice-full_174_168635_000014_000000"
    crossfade = "dev01-cosyvoice-partial-cf_84_168635_000014_000000"
    pasted = "dev01-your-tts-partial-cp_84_168635_000015_000000"
    files = {
        first: (
            f"{real} 2.500 bonafide 0.000-2.500-bonafide\n"
            f"{full} 2.000 spoof 0.000-2.000-spoof\n"
            f"{crossfade} 3.000 spoof 0.000-1.000-bonafide 1.000-1.500-spoof 1.500-3.000-bonafide\n"
        ),
        second: f"{pasted} 1.000 spoof 0.000-0.500-spoof 0.500-1.000-bonafide\n",
        "split/train.utt": f"{full}\n",
        "split/test.utt": f"{real}\n",
        **recordings(*(f"R01TTS.0.a/{name}.wav" for name in (real, full, crossfade)), f"R01TTS.0.b/{pasted}.wav"),
    }
    a, b = {"subset": "R01TTS.0.a"}, {"subset": "R01TTS.0.b"}
    clips = (
        Clip(f"R01TTS.0.a/{real}.wav", REAL, spans((0, 2.5, REAL)), speaker="174", split="test", traits=a),
        Clip(
            f"R01TTS.0.a/{full}.wav",
            FAKE,
            spans((0, 2, FAKE)),
            speaker="174",
            generator="cosyvoice",
            split="train",
            traits={**a, "kind": "full"},
        ),
        Clip(
            f"R01TTS.0.a/{crossfade}.wav",
            HYBRID,
            spans((0, 1, REAL), (1, 1.5, FAKE), (1.5, 3, REAL)),
            speaker="84",
            generator="cosyvoice",
            traits={**a, "kind": "partial", "join": "crossfade"},
        ),
        Clip(
            f"R01TTS.0.b/{pasted}.wav",
            HYBRID,
            spans((0, 0.5, FAKE), (0.5, 1, REAL)),
            speaker="84",
            generator="your-tts",
            traits={**b, "kind": "partial", "join": "cut and paste"},
        ),
    )
    return Tree(
        files,
        tuple(replace(clip, language="en") for clip in clips),
        missing=(clips[2].path, f"{first}:3"),
        unknown=(edited(first, "1.000-1.500-spoof", "1.000-1.500-machine"), f"{first}:3"),
        twice=(doubled(first), f"{first}:4"),
    )


def half_truth() -> Tree:
    files: Files = {}
    clips: list[Clip] = []
    for part in ("train", "dev", "test"):
        stem, inner = f"HAD_{part}", "test" if part == "test" else "conbine"
        files[f"HAD/{stem}/{stem}_label.txt"] = (
            f"{stem}_real_00000001 0-3.20-T 1\n{stem}_fake_00000001 0.00-1.00-T/1.00-1.50-F/1.50-2.00-T 0\n"
        )
        paths = [f"HAD/{stem}/{inner}/{stem}_{kind}_00000001.wav" for kind in ("real", "fake")]
        files |= recordings(*paths)
        hybrid = spans((0, 1, REAL), (1, 1.5, FAKE), (1.5, 2, REAL))
        clips.append(Clip(paths[0], REAL, spans((0, 3.2, REAL)), split=part, language="zh"))
        clips.append(Clip(paths[1], HYBRID, hybrid, split=part, language="zh"))
    label = "HAD/HAD_train/HAD_train_label.txt"
    return Tree(
        files,
        tuple(clips),
        missing=(clips[1].path, f"{label}:2"),
        unknown=(edited(label, "1.50-F", "1.50-X"), f"{label}:2"),
        twice=(doubled(label), f"{label}:3"),
    )


def add_2023() -> Tree:
    train, dev, test = "ADD2023_Track2_train", "ADD2023_Track2_dev", "ADD2023_Track2_test"
    files = {
        f"{train}/label.txt": (
            "ADD2023_T2_T_00000001 0.00-4.72-T 1\nADD2023_T2_T_00000002 0.00-1.50-T/1.50-2.50-F 0\n"
        ),
        f"{dev}/label.txt": "ADD2023_T2_D_00000001 0.00-2.00-F 0\n",
        f"{test}/label.txt": "ADD2023_T2_E_00000001 0.00-2.00-T 1\n",
        "ADD2023_Track1/label.txt": "ADD2023_T1.2R2_E_00000003.wav genuine\n",
        **recordings(*(f"{train}/wav/ADD2023_T2_T_0000000{n}.wav" for n in (1, 2))),
        **recordings(f"{dev}/wav/ADD2023_T2_D_00000001.wav", f"{test}/wav/ADD2023_T2_E_00000001.wav"),
    }
    half = spans((0, 1.5, REAL), (1.5, 2.5, FAKE))
    clips = (
        Clip(f"{dev}/wav/ADD2023_T2_D_00000001.wav", FAKE, spans((0, 2, FAKE)), split="dev"),
        Clip(f"{test}/wav/ADD2023_T2_E_00000001.wav", REAL, spans((0, 2, REAL)), split="test"),
        Clip(f"{train}/wav/ADD2023_T2_T_00000001.wav", REAL, spans((0, 4.72, REAL)), split="train"),
        Clip(f"{train}/wav/ADD2023_T2_T_00000002.wav", HYBRID, half, split="train"),
    )
    label = f"{train}/label.txt"
    return Tree(
        files,
        tuple(replace(clip, language="zh") for clip in clips),
        missing=(clips[3].path, f"{label}:2"),
        unknown=(edited(label, "4.72-T 1", "4.72-T 0"), f"{label}:1"),  # line 2 says that 0 is fake
        twice=(doubled(label), f"{label}:3"),
    )


def in_the_wild() -> Tree:
    meta = "release_in_the_wild/meta.csv"
    files = {
        meta: "file,speaker,label\n0.wav,Ada Example,spoof\n1.wav,Ada Example,bona-fide\n",
        **recordings("release_in_the_wild/0.wav", "release_in_the_wild/1.wav"),
    }
    clips = (
        Clip("release_in_the_wild/0.wav", FAKE, speaker="Ada Example", language="en"),
        Clip("release_in_the_wild/1.wav", REAL, speaker="Ada Example", language="en"),
    )
    return Tree(
        files,
        clips,
        missing=(clips[1].path, f"{meta}:3"),
        unknown=(edited(meta, ",spoof", ",1"), f"{meta}:2"),
        twice=(doubled(meta), f"{meta}:4"),
    )


def fake_or_real() -> Tree:
    paths = [
        "for-norm/testing/fake/file1.wav",
        "for-norm/testing/real/file1.wav",
        "for-norm/training/fake/file2.mp3.wav_16k.wav_norm.wav",
        "for-norm/validation/real/file3.wav",
    ]
    splits = {"testing": "test", "training": "train", "validation": "dev"}
    clips = tuple(
        Clip(path, path.split("/")[2], split=splits[path.split("/")[1]], language="en", traits={"subset": "for-norm"})
        for path in paths
    )
    return Tree(recordings(*paths), clips, unknown=(renamed("testing/fake", "testing/synthetic"), "for-norm/testing"))


def wave_fake() -> Tree:
    vocoders = ["melgan", "melgan_large", "multi_band_melgan", "full_band_melgan", "parallel_wavegan", "waveglow"]
    tts = "common_voices_prompts_from_conformer_fastspeech2_pwg_ljspeech"
    clips = [
        Clip("LJSpeech-1.1/wavs/LJ001-0001.wav", REAL, speaker="ljspeech", language="en"),
        Clip(
            f"generated_audio/{tts}/gen_0.wav",
            FAKE,
            speaker="ljspeech",
            generator="conformer_fastspeech2_pwg",
            language="en",
            traits={"kind": "tts", "subset": tts},
        ),
        Clip("jsut_ver1.1/basic5000/wav/BASIC5000_0001.wav", REAL, speaker="jsut", language="ja"),
    ]
    twins = {"ljspeech": ("LJ001-0001_gen", clips[0].path), "jsut": ("BASIC5000_0001_gen", clips[2].path)}
    names = [f"ljspeech_{name}" for name in (*vocoders, "hifiGAN")] + [
        "jsut_multi_band_melgan",
        "jsut_parallel_wavegan",
    ]
    for name in names:
        voice, _, generator = name.partition("_")
        clips.append(
            Clip(
                f"generated_audio/{name}/{twins[voice][0]}.wav",
                FAKE,
                speaker=voice,
                generator=generator,
                language={"ljspeech": "en", "jsut": "ja"}[voice],
                source_clip=twins[voice][1],
                traits={"kind": "vocoder", "subset": name},
            )
        )
    again = f"generated_audio/{tts}/generated/gen_0.wav"
    return Tree(
        recordings(*(clip.path for clip in clips), again, "jsut_ver1.1/onomatopee300/wav/ONOMATOPEE300_001.wav"),
        tuple(sorted(clips, key=lambda clip: clip.path)),
        unknown=(renamed("ljspeech_waveglow", "blizzard_waveglow"), "generated_audio"),
    )


def deep_voice() -> Tree:
    folder = "KAGGLE/AUDIO"
    real = Clip(f"{folder}/REAL/obama-original.wav", REAL, speaker="obama", language="en")
    fake = Clip(
        f"{folder}/FAKE/Obama-to-Biden.wav",
        FAKE,
        speaker="biden",
        generator="rvc",
        language="en",
        traits={"kind": "vc", "source_speaker": "obama"},
    )
    others = ("KAGGLE/DEMONSTRATION/DEMONSTRATION/linus-to-musk-DEMO.mp3",)
    return Tree(
        recordings(real.path, fake.path, *others),
        (fake, real),
        unknown=(renamed("AUDIO/FAKE", "AUDIO/CLONED"), "KAGGLE/AUDIO"),
    )


def mlaad() -> Tree:
    named, plain = "fake/de/tts_models_de_thorsten_vits", "fake/zh-cn/bark"
    header = (
        "path|original_file|language|is_original_language|duration|training_data|model_name|architecture|transcript"
    )
    book = "de_DE/by_book/female/eva_k/grune_haus/wavs/grune_haus_01_f000001.wav"
    files = {
        f"{named}/meta.csv": (
            f"{header}\n"
            f'./{named}/a.wav|de_DE/by_book/x.wav|de|True|2.1|thorsten|vits|vits|Er sagte "ja\n'
            f"b.wav|de_DE/by_book/y.wav|de|True|2.1|thorsten|vits|vits|Nein\n"
        ),
        **recordings(f"{named}/a.wav", f"{named}/b.wav", f"{plain}/c.wav", book),
        **recordings("de_DE/by_book/mix/buch/wavs/z.wav"),
    }
    traits = {"kind": "tts", "training_data": "thorsten", "architecture": "vits"}
    generator = "tts_models_de_thorsten_vits"
    clips = (
        Clip(f"{named}/a.wav", FAKE, generator=generator, language="de", text='Er sagte "ja', traits=traits),
        Clip(f"{named}/b.wav", FAKE, generator=generator, language="de", text="Nein", traits=traits),
        Clip(book, REAL, speaker="eva_k", language="de", traits={"sex": "female"}),
        Clip("de_DE/by_book/mix/buch/wavs/z.wav", REAL, language="de"),
        Clip(f"{plain}/c.wav", FAKE, generator="bark", language="zh", traits={"kind": "tts"}),
    )
    meta = f"{named}/meta.csv"
    return Tree(files, clips, missing=(f"{named}/b.wav", f"{meta}:3"), twice=(doubled(meta), f"{meta}:4"))


def fake_av_celeb() -> Tree:
    root, meta = "FakeAVCeleb_v1.2", "FakeAVCeleb_v1.2/meta_data.csv"
    kinds = ("RealVideo-RealAudio", "FakeVideo-RealAudio", "RealVideo-FakeAudio", "FakeVideo-FakeAudio")
    methods = ("real", "faceswap", "rtvc", "wav2lip")
    lines = ["source,target1,target2,method,category,type,race,gender,path,"]
    clips = []
    for kind, method in zip(kinds, methods, strict=True):
        inside = f"{kind}/Asian-East/women/id00001"
        lines.append(f"id00001,-,-,{method},A,{kind},Asian (East),women,00109_{method}.mp4,FakeAVCeleb/{inside}")
        fake = kind.endswith("FakeAudio")
        traits = {"type": kind, "method": method, "race": "Asian (East)", "sex": "female"}
        clips.append(
            Clip(
                f"{root}/{inside}/00109_{method}.mp4",
                FAKE if fake else REAL,
                speaker="id00001",
                generator="sv2tts" if fake else "",
                language="en",
                traits=traits | ({"kind": "tts"} if fake else {}),
            )
        )
    files = {meta: "\n".join(lines) + "\n", **recordings(*(clip.path for clip in clips))}
    return Tree(
        files,
        tuple(clips),
        missing=(clips[2].path, f"{meta}:4"),
        unknown=(edited(meta, "A,FakeVideo-FakeAudio", "A,FakeVideo"), f"{meta}:5"),
        twice=(doubled(meta), f"{meta}:6"),
    )


def json_edit(path: str, change: Callable[[list], None]) -> Edit:
    def edit(files: Files) -> Files:
        items = json.loads(files[path])
        change(items)
        return {**files, path: json.dumps(items)}

    return edit


def lav_df() -> Tree:
    meta = "LAV-DF/metadata.min.json"

    def entry(path: str, audio: bool, video: bool, periods: list) -> dict:
        facts = {"file": path, "n_fakes": len(periods), "fake_periods": periods, "duration": 2.1, "original": None}
        facts["audio_frames"] = 32_000
        return facts | {"modify_video": video, "modify_audio": audio, "split": path.split("/")[0]}

    entries = [
        entry("train/000001.mp4", False, False, []),
        entry("train/000002.mp4", True, True, [[0.5, 1.0]]),
        entry("dev/000003.mp4", False, True, [[0.5, 1.0]]),
        entry("test/000004.mp4", True, False, [[0.0, 0.25], [1.75, 2.0]]),
    ]
    files = {meta: json.dumps(entries), **recordings(*(f"LAV-DF/{item['file']}" for item in entries))}
    middle = spans((0, 0.5, REAL), (0.5, 1, FAKE), (1, 2, REAL))
    ends = spans((0, 0.25, FAKE), (0.25, 1.75, REAL), (1.75, 2, FAKE))
    face, both, sound = {"modify_video": "true"}, {"modify_video": "true", "kind": "tts"}, {"modify_video": "false"}
    clips = (
        Clip("LAV-DF/train/000001.mp4", REAL, split="train", traits=sound),
        Clip("LAV-DF/train/000002.mp4", HYBRID, middle, split="train", traits=both),
        Clip("LAV-DF/dev/000003.mp4", REAL, split="dev", traits=face),
        Clip("LAV-DF/test/000004.mp4", HYBRID, ends, split="test", traits={**sound, "kind": "tts"}),
    )
    return Tree(
        files,
        tuple(replace(clip, language="en") for clip in clips),
        missing=(clips[2].path, f"{meta}: entry 3"),
        unknown=(json_edit(meta, lambda items: items[1].update(modify_audio="yes")), f"{meta}: entry 2"),
        twice=(json_edit(meta, lambda items: items.append(items[0])), f"{meta}: entry 5"),
    )


def av_deepfake() -> Tree:
    def entry(path: str, modified: str, periods: list) -> dict:
        facts = {"file": path, "original": None, "modify_type": modified, "audio_model": "yourtts", "split": "x"}
        return facts | {"audio_fake_segments": periods, "fake_segments": periods, "audio_frames": 32_000}

    train = [
        entry("id00012/abc/00001/real.mp4", "real", []),
        entry("id00012/abc/00001/fake_video_fake_audio.mp4", "both_modified", [[1.0, 1.5]]),
    ]
    lists = {
        "train": train,
        "val": [entry("id00013/abc/00001/fake_video_real_audio.mp4", "visual_modified", [])],
        "test": [entry("id00014/abc/00001/real_video_fake_audio.mp4", "audio_modified", [[0.0, 2.0]])],
    }
    files: Files = {f"{part}_metadata.json": json.dumps(items) for part, items in lists.items()}
    files |= recordings(*(f"{part}/{item['file']}" for part, items in lists.items() for item in items))
    half = spans((0, 1, REAL), (1, 1.5, FAKE), (1.5, 2, REAL))
    clips = (
        Clip(f"train/{train[0]['file']}", REAL, speaker="id00012", split="train", traits={"modify_type": "real"}),
        Clip(
            f"train/{train[1]['file']}",
            HYBRID,
            half,
            speaker="id00012",
            generator="yourtts",
            split="train",
            traits={"modify_type": "both_modified"},
        ),
        Clip(
            f"val/{lists['val'][0]['file']}",
            REAL,
            speaker="id00013",
            split="dev",
            traits={"modify_type": "visual_modified"},
        ),
        Clip(
            f"test/{lists['test'][0]['file']}",
            FAKE,
            spans((0, 2, FAKE)),
            speaker="id00014",
            generator="yourtts",
            split="test",
            traits={"modify_type": "audio_modified"},
        ),
    )
    meta = "train_metadata.json"
    return Tree(
        files,
        tuple(replace(clip, language="en") for clip in clips),
        missing=(clips[1].path, f"{meta}: entry 2"),
        unknown=(json_edit(meta, lambda items: items[0].update(modify_type="both-modified")), f"{meta}: entry 1"),
        twice=(json_edit(meta, lambda items: items.append(items[0])), f"{meta}: entry 3"),
    )


def folders() -> Tree:
    paths = ("fake/a.wav", "hybrid/deep/b.flac", "real/c.mp3")
    return Tree(recordings(*paths), tuple(Clip(path, path.split("/")[0]) for path in paths))


def table() -> Tree:
    name = "manifest.csv"
    files = {
        name: 'path,label,segments,speaker,room\na.wav,real,,ann,hall\nb.wav,hybrid,"[[0.5, 1, ""fake""]]",bob,\n',
        **recordings("a.wav", "b.wav"),
    }
    clips = (
        Clip("a.wav", REAL, speaker="ann", traits={"room": "hall"}),
        Clip("b.wav", HYBRID, spans((0.5, 1, FAKE)), speaker="bob"),
    )
    return Tree(
        files,
        clips,
        missing=("b.wav", name),
        unknown=(edited(name, "hybrid", "mixed"), f"{name}:3"),
        twice=(doubled(name), f"{name}:4"),
    )


TREES: dict[str, Callable[[], Tree]] = {
    "asvspoof2019-la": asvspoof_2019,
    "asvspoof2021-la": asvspoof_2021_la,
    "asvspoof2021-df": asvspoof_2021_df,
    "asvspoof5": asvspoof_5,
    "partialspoof": partial_spoof,
    "llamapartialspoof": llama_partial_spoof,
    "had": half_truth,
    "add2023-track2": add_2023,
    "in-the-wild": in_the_wild,
    "for": fake_or_real,
    "wavefake": wave_fake,
    "deep-voice": deep_voice,
    "mlaad": mlaad,
    "fakeavceleb": fake_av_celeb,
    "lav-df": lav_df,
    "av-deepfake1m": av_deepfake,
    "folders": folders,
    "table": table,
}
"""A tree for every reader: one without fails the contract test."""
