"""Reports as one HTML file that needs nothing else: no network, pictures and sound inside; and tables as plain text.

A report is a row of blocks; how they look is decided here alone. All text is escaped, so what stands in a stranger's
manifest cannot become markup. The page forbids the browser to load anything, and to run anything but the few lines that
play a span, which it knows by their hash; without players there is no script at all.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

from audio.atomic import replacing
from audio.errors import ToolkitError


@dataclass(frozen=True)
class Heading:
    """The title of what follows, up to the next heading."""

    text: str


@dataclass(frozen=True)
class Paragraph:
    """A few sentences; `alarm`: framed, because the reader must not miss them."""

    text: str
    alarm: bool = False


@dataclass(frozen=True)
class Table:
    """Rows under a header, all of the same length; the first column names the row, the others are its figures.

    `marked` are the numbers, from 0, of the rows that stand out: bold, not only coloured. `words` are the numbers of
    the columns with text in them, beside the first; the others are set to the right, as figures are.

    Raises
    ------
    ToolkitError
        When a row is not as long as the header.
    """

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    marked: frozenset[int] = frozenset()
    words: frozenset[int] = frozenset()
    caption: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.header):
                raise ToolkitError(f"table row: expected {len(self.header)} cells, received {len(row)}")

    def is_words(self, column: int) -> bool:
        """Tell whether a column, numbered from 0, is text."""
        return column == 0 or column in self.words


@dataclass(frozen=True)
class Picture:
    """A PNG; `alt` says in words what it shows, for those who do not see it."""

    png: bytes
    alt: str
    caption: str = ""

    @property
    def uri(self) -> str:
        """The picture itself as a `data:` address."""
        return "data:image/png;base64," + base64.b64encode(self.png).decode("ascii")


@dataclass(frozen=True)
class Mark:
    """A stretch of a recording that can be played alone, in seconds; `text` is what its button says."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True)
class Player:
    """A recording to listen to, and buttons for stretches of it; `media_type` as in "audio/flac"."""

    sound: bytes
    media_type: str
    marks: tuple[Mark, ...] = ()
    caption: str = ""

    @property
    def uri(self) -> str:
        """The sound itself as a `data:` address."""
        return f"data:{self.media_type};base64," + base64.b64encode(self.sound).decode("ascii")


Block = Heading | Paragraph | Table | Picture | Player


def write_page(path: str | os.PathLike[str], blocks: Sequence[Block], *, title: str) -> None:
    """Write a page, whole or not at all; its folder is made if needed.

    Raises
    ------
    ToolkitError
        When Jinja2 is missing or the file cannot be written.
    """
    page = page_text(blocks, title=title)
    try:
        with replacing(path) as beside:
            beside.write_text(page, encoding="utf-8", newline="\n")
    except OSError as error:
        raise ToolkitError(f"{path}: the page cannot be written: {error.strerror}") from None


def page_text(blocks: Sequence[Block], *, title: str) -> str:
    """Return the HTML of a page; raise `ToolkitError` when Jinja2 is missing."""
    try:
        from jinja2 import Environment, StrictUndefined
    except ImportError:
        raise ToolkitError("pages need Jinja2: install it with 'pip install jinja2'") from None
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    named = [(type(block).__name__, block) for block in blocks]
    plays = any(isinstance(block, Player) for block in blocks)
    script_hash = base64.b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode("ascii")
    allowed = f"; media-src data:; script-src 'sha256-{script_hash}'" if plays else ""
    template = environment.from_string(_TEMPLATE)
    return template.render(title=title, blocks=named, allowed=allowed, script=_SCRIPT if plays else "") + "\n"


def table_text(table: Table) -> str:
    """Return a table as lines of text in columns; marked rows end with an asterisk."""
    rows = [table.header, *table.rows]
    widths = [max(map(_width, column)) for column in zip(*rows, strict=True)]
    lines = []
    for number, row in enumerate(rows, -1):
        cells = [
            _padded(cell, width, left=table.is_words(column))
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).rstrip() + (" *" if number in table.marked else ""))
    return "\n".join(([table.caption] if table.caption else []) + lines)


def table_markdown(table: Table) -> str:
    """Return a table in Markdown: words to the left, figures to the right; "" without rows."""
    if not table.rows:
        return ""
    rule = [":--" if table.is_words(column) else "--:" for column in range(len(table.header))]
    lines = [table.header, rule, *([markdown_cell(cell) for cell in row] for row in table.rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def markdown_cell(text: str) -> str:
    """Make a text one cell: what stands in a stranger's set must not become markup."""
    return re.sub(r"([\\|<>`*_\[\]])", r"\\\1", " ".join(text.split()))


def _padded(cell: str, width: int, *, left: bool) -> str:
    blanks = " " * (width - _width(cell))
    return cell + blanks if left else blanks + cell


def _width(text: str) -> int:
    """Count the columns of a terminal that a text takes: two for wide characters, none for combining ones."""
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(unicodedata.combining(char) > 0 for char in text)


_SCRIPT = """
document.addEventListener("click", function (event) {
  const button = event.target.closest("button[data-start]");
  if (!button) return;
  const audio = button.closest("figure").querySelector("audio");
  const end = Number(button.dataset.end);
  audio.currentTime = Number(button.dataset.start);
  audio.ontimeupdate = function () {
    if (audio.currentTime >= end) { audio.pause(); audio.ontimeupdate = null; }
  };
  audio.play();
});
"""
"""Plays the stretch that a button stands for, and stops at its end."""

_TEMPLATE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'{{ allowed }}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{{ title }}</title>
<style>
:root { color-scheme: light dark;
  --ink: #1a1a1a; --paper: #ffffff; --faint: #5c5c5c; --line: #c8c8c8; --alarm: #a33b00 }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e6e6; --paper: #16181c; --faint: #a8a8a8; --line: #4a4d52; --alarm: #ffa366 }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 68rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.6rem; overflow-wrap: anywhere } h2 { font-size: 1.25rem; margin-top: 2.2rem }
p { max-width: 46rem; overflow-wrap: anywhere }
p.alarm { border-left: .3rem solid var(--alarm); padding-left: .8rem; font-weight: 600 }
div.table { overflow-x: auto; margin: 1rem 0 }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums }
caption, figcaption { text-align: left; color: var(--faint); font-size: .9rem }
th, td { padding: .2rem .7rem; border-bottom: 1px solid var(--line); text-align: right; white-space: nowrap }
th.words, td.words { text-align: left; font-weight: inherit; white-space: normal }
thead th, thead th.words { font-weight: 600 } tr.marked { font-weight: 700; color: var(--alarm) }
figure { margin: 1.2rem 0 } img { max-width: 100%; height: auto; background: #ffffff; border-radius: .2rem }
audio { width: 100% } button { font: inherit; margin: .2rem .4rem .2rem 0; padding: .1rem .6rem; cursor: pointer }
@media (max-width: 40rem) { th, td { padding: .2rem .35rem } }
@media print { body { margin: 0; max-width: none } figure, tr { break-inside: avoid } }
</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for kind, block in blocks %}
{% if kind == "Heading" %}
<h2>{{ block.text }}</h2>
{% elif kind == "Paragraph" %}
<p{% if block.alarm %} class="alarm"{% endif %}>{{ block.text }}</p>
{% elif kind == "Picture" %}
<figure><img src="{{ block.uri }}" alt="{{ block.alt }}">
{% if block.caption %}
<figcaption>{{ block.caption }}</figcaption>
{% endif %}
</figure>
{% elif kind == "Player" %}
<figure><audio controls preload="metadata" src="{{ block.uri }}"></audio>
{% if block.marks %}
<p>
{% for mark in block.marks %}
<button type="button" data-start="{{ mark.start_s }}" data-end="{{ mark.end_s }}">{{ mark.text }}</button>
{% endfor %}
</p>
{% endif %}
{% if block.caption %}
<figcaption>{{ block.caption }}</figcaption>
{% endif %}
</figure>
{% else %}
<div class="table"><table>
{% if block.caption %}
<caption>{{ block.caption }}</caption>
{% endif %}
<thead><tr>
{% for cell in block.header %}
<th scope="col"{% if block.is_words(loop.index0) %} class="words"{% endif %}>{{ cell }}</th>
{% endfor %}
</tr></thead>
<tbody>
{% for row in block.rows %}
<tr{% if loop.index0 in block.marked %} class="marked"{% endif %}>
{% for cell in row %}
{% if loop.first %}
<th scope="row" class="words">{{ cell }}</th>
{% else %}
<td{% if block.is_words(loop.index0) %} class="words"{% endif %}>{{ cell }}</td>
{% endif %}
{% endfor %}
</tr>
{% endfor %}
</tbody>
</table></div>
{% endif %}
{% endfor %}
{% if script %}
<script>{{ script | safe }}</script>
{% endif %}
</body>
</html>
"""
