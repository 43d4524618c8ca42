"""What all readers of data sets share: the folder listed once, what a reader is, and the checks of what it read."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

from audio.corpora.lines import LineForm, labelled_lines
from audio.errors import ManifestError
from audio.manifest import AUDIO_SUFFIXES, Clip

PARTIAL_HINT = "partial (--partial) takes what is there"
"""Said behind every complaint about something that is not there."""


@dataclass(frozen=True)
class Count:
    """How many clips of some kind were published.

    `facts` are fields or traits of a clip and what they must be; `labels`, unless empty, are the labels it may have.
    `if_any`: not held against a folder that has none of them, for what people download apart.
    """

    n: int
    facts: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    if_any: bool = False

    def fits(self, clip: Clip) -> bool:
        """Tell whether a clip is of this kind."""
        named = all(_fact(clip, name) == value for name, value in self.facts.items())
        return named and (not self.labels or clip.label in self.labels)

    def __str__(self) -> str:
        said = ", ".join(f"{name} {value}" for name, value in self.facts.items())
        return f"{self.n} {' or '.join(self.labels) or 'clips'}" + (f" ({said})" if said else "")


@dataclass(frozen=True)
class Labelled:
    """A clip and where its label stands, `file:line` wherever there are lines."""

    clip: Clip
    where: str


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """A known data set.

    `read` yields its clips from a `Folder`, with the paths at which they were found, or else expected; it opens no
    audio. It raises `ManifestError` for labels that it does not understand.
    """

    name: str
    title: str
    url: str
    """Where it comes from: a download page or a paper."""
    layout: str
    """How its folder looks, for people."""
    read: Callable[[Folder], Iterator[Labelled]]
    counts: tuple[Count, ...] = ()
    """What was published, as far as it is certain."""


@dataclass(frozen=True)
class Reading:
    """The clips of a data set, in the order of its labels, and what was noticed on the way, for people."""

    clips: tuple[Clip, ...]
    notes: tuple[str, ...]


class Folder:
    """A data set's folder, listed once: recordings are found by name wherever below it they lie.

    So it does not matter whether people point at the folder that an archive made or at the one around it. Hidden
    files and folders behind symbolic links are not looked at.

    Parameters
    ----------
    root
        The folder.
    partial
        Whether label files may be missing.

    Raises
    ------
    ManifestError
        When there is no such folder.
    """

    def __init__(self, root: str | os.PathLike[str], *, partial: bool = False) -> None:
        self.root = Path(root)
        self.partial = partial
        self.notes: list[str] = []
        self._name = self.root.resolve().name
        self.recordings: dict[str, None] = {}
        """Paths of all recordings, relative to the folder, sorted."""
        self._by_stem: dict[str, list[str]] = {}
        self.others: list[str] = []
        """Paths of all other files, likewise."""
        if not self.root.is_dir():
            raise ManifestError(f"{self.root}: expected the folder of a data set, received none")
        for path in sorted(_files_below(self.root)):
            self._add(path)

    def _add(self, path: str) -> None:
        stem, _, suffix = path.rpartition("/")[2].rpartition(".")
        if f".{suffix.lower()}" in AUDIO_SUFFIXES:
            self.recordings[path] = None
            self._by_stem.setdefault(stem, []).append(path)
        else:
            self.others.append(path)

    def files(self, ending: str) -> list[str]:
        """Return the relative paths, sorted, of the files whose path ends with `ending`, cut at slashes."""
        wanted = PurePosixPath(ending).parts
        return [path for path in self.others if tuple(path.split("/")[-len(wanted) :]) == wanted]

    def file(self, *endings: str) -> Path | None:
        """Return the one file whose path ends with the first of `endings` that any does.

        Returns
        -------
        its path; None when there is none and the folder may be `partial`, which is noted.

        Raises
        ------
        ManifestError
            When there is none, or more than one.
        """
        found = next((files for ending in endings if (files := self.files(ending))), [])
        if len(found) > 1:
            raise ManifestError(f"{self.root}: expected one {endings[0]}, received {' and '.join(found[:3])}")
        if found:
            return self.root / found[0]
        message = f"expected {endings[0]}, received none"
        if not self.partial:
            raise ManifestError(f"{self.root}: {message}; {PARTIAL_HINT}")
        self.notes.append(message)
        return None

    def recording(self, stem: str, *, below: str = "", suffix: str = ".wav") -> str:
        """Return the relative path of the recording of that name in a folder `below`, at any depth.

        Parameters
        ----------
        stem
            Its name without the suffix, which may be any.
        below
            The folder, or several with slashes between, that the path must pass through.
        suffix
            That of the path which is returned when no such recording is there.

        Raises
        ------
        ManifestError
            When there are several.
        """
        found = [path for path in self._by_stem.get(stem, ()) if self._is_below(path, below)]
        if len(found) > 1:
            raise ManifestError(f"recording {stem!r}: expected one, received {' and '.join(found[:3])}")
        return found[0] if found else str(PurePosixPath(below, stem + suffix))

    def _is_below(self, path: str, below: str) -> bool:
        return not below or f"/{below}/" in f"/{'/'.join(self.parts(path)[:-1])}/"

    def parts(self, path: str) -> list[str]:
        """Cut a relative path at its slashes, behind the folder's own name: people point at any level of a data set."""
        return [self._name, *path.split("/")]

    def lines(self, path: Path, form: LineForm, *, suffix: str, below: str = "", **facts: Any) -> Iterator[Labelled]:
        """Yield the clips of a file of label lines, with the paths of their recordings and more `facts`."""
        for where, clip in labelled_lines(path, form.parse):
            yield self.placed(clip, where, suffix=suffix, below=below, **facts)

    def placed(self, clip: Clip, where: str, *, suffix: str, below: str = "", **facts: Any) -> Labelled:
        """Give a clip whose path is an id the path of its recording; the length, known only roughly, goes.

        Raises
        ------
        ManifestError
            Naming `where`, when there are several recordings of that name.
        """
        try:
            path = self.recording(without_suffix(clip.path), below=below, suffix=suffix)
        except ManifestError as error:
            raise ManifestError(f"{where}: {error}") from None
        return Labelled(replace(clip, path=path, n_samples=0, **facts), where)


def read_folder(corpus: Corpus, root: str | os.PathLike[str], *, partial: bool = False) -> Reading:
    """Read a data set and check it: every label has its recording, once, and the published counts are there.

    Parameters
    ----------
    corpus
        What it is.
    root
        Its folder.
    partial
        Take the clips that are there, and say in a note how many are missing.

    Raises
    ------
    ManifestError
        As the reader of the corpus; for a folder without any clip; for a recording that is missing, has two labels, or
        a count that disagrees, unless `partial`.
    """
    folder = Folder(root, partial=partial)
    labelled = _unique(corpus.read(folder))
    missing = [item for path, item in labelled.items() if path not in folder.recordings]
    clips = tuple(item.clip for path, item in labelled.items() if path in folder.recordings)
    if missing and not partial:
        raise ManifestError(_missing_text(missing))
    if not clips:
        layout = " ".join(corpus.layout.split())
        raise ManifestError(f"{root}: expected {corpus.title}, received no clip of it; it should look so: {layout}")
    if not partial:
        _check_counts(corpus, clips, root=folder.root)
    return Reading(clips, (*folder.notes, *_counted(missing, n_others=len(folder.recordings) - len(clips))))


def without_suffix(name: str) -> str:
    """Return the last part of a name, without the suffix of a recording if it has one."""
    last = PurePosixPath(name)
    return last.stem if last.suffix.lower() in AUDIO_SUFFIXES else last.name


def _files_below(root: Path) -> Iterator[str]:
    """Yield the relative paths, with forward slashes, of all files that are not hidden."""
    for parent, folders, names in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = os.path.relpath(parent, root).replace(os.sep, "/")
        prefix = "" if inside == "." else f"{inside}/"
        yield from (prefix + name for name in names if not name.startswith("."))


def _unique(items: Iterable[Labelled]) -> dict[str, Labelled]:
    found: dict[str, Labelled] = {}
    for item in items:
        first = found.setdefault(item.clip.path, item)
        if first is not item:
            raise ManifestError(f"{item.where}: expected {item.clip.path} once, received it also at {first.where}")
    return found


def _missing_text(missing: list[Labelled]) -> str:
    first = missing[0]
    others = f" (and {len(missing) - 1} more are missing)" if len(missing) > 1 else ""
    return f"{first.where}: expected the recording {first.clip.path}, received none{others}; {PARTIAL_HINT}"


def _counted(missing: list[Labelled], *, n_others: int) -> Iterator[str]:
    if missing:
        yield f"{len(missing)} labelled recordings are missing, the first is {missing[0].clip.path}"
    if n_others:
        yield f"{n_others} recordings in the folder have no label and are left out"


def _check_counts(corpus: Corpus, clips: tuple[Clip, ...], *, root: Path) -> None:
    for count in corpus.counts:
        received = sum(map(count.fits, clips))
        if received != count.n and (received or not count.if_any):
            raise ManifestError(f"{root}: expected {count} as published, received {received}; {PARTIAL_HINT}")


_FIELDS = frozenset(Clip.__dataclass_fields__)


def _fact(clip: Clip, name: str) -> str:
    return str(getattr(clip, name)) if name in _FIELDS else clip.traits.get(name, "")
