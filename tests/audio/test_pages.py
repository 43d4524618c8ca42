from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from audio.errors import ToolkitError
from audio.pages import Heading, Paragraph, Picture, Table, page_text, table_text, write_page

PNG = bytes.fromhex("89504e470d0a1a0a")
EVIL = "<script>alert('x')</script> & \"quoted\" {{ 7 * 7 }} {% raw %}"

BLOCKS = [
    Heading(EVIL),
    Paragraph(EVIL, alarm=True),
    Table((EVIL, "AUC", "says"), ((EVIL, "0.9", EVIL), ("b", "0.5", "")), frozenset({0}), frozenset({2}), EVIL),
    Picture(PNG, EVIL, EVIL),
]


class Seen(HTMLParser):
    """Elements with their attributes, and the text, as a browser would see them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_whatever_stands_in_a_block_stays_text() -> None:
    """Catches a template or an attribute without escapes: a manifest's text would run in the reader's browser."""
    seen = Seen(page_text(BLOCKS, title=EVIL))
    assert seen.open == []
    assert "script" not in {tag for tag, _ in seen.elements}
    assert seen.text.count(EVIL) == 9  # twice as title, heading, paragraph, four in the table, under the picture
    assert [attributes["alt"] for tag, attributes in seen.elements if tag == "img"] == [EVIL]


def test_the_page_needs_nothing_else() -> None:
    """Catches a font, a style sheet or a picture from elsewhere."""
    page = page_text(BLOCKS, title="t")
    seen = Seen(page)
    sources = [v for _, attributes in seen.elements for k, v in attributes.items() if k in ("src", "href")]
    assert sources == ["data:image/png;base64,iVBORw0KGgo="]
    assert not re.search(r"https?:|url\(|@import|//[a-z]", page)
    policy = next(a["content"] for tag, a in seen.elements if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")


def test_marked_rows_and_columns_of_text() -> None:
    rows = [a.get("class") for tag, a in Seen(page_text(BLOCKS, title="t")).elements if tag == "tr"]
    assert rows == [None, "marked", None]
    cells = [a.get("class") for tag, a in Seen(page_text(BLOCKS, title="t")).elements if tag == "td"]
    assert cells == [None, "words", None, "words"]


def test_written_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "page.html"
    write_page(path, BLOCKS, title="ünï")
    assert "<title>ünï</title>" in path.read_text("utf-8")
    assert [p.name for p in path.parent.iterdir()] == ["page.html"]
    (tmp_path / "file").touch()
    with pytest.raises(ToolkitError, match="cannot be written"):
        write_page(tmp_path / "file" / "page.html", BLOCKS, title="t")


def test_without_jinja_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ToolkitError, match="pip install jinja2"):
        page_text([], title="t")


def test_a_table_as_text() -> None:
    """Catches columns out of line, also under wide and combining characters, and a mark at the wrong row."""
    rows = (("语音", "0.5", ""), ("e\u0301", "10.25", "more"))
    table = Table(("fact", "AUC", "says"), rows, frozenset({1}), frozenset({2}))
    assert table_text(table).split("\n") == [
        "fact    AUC  says",
        "语音    0.5",
        "e\u0301     10.25  more *",
    ]


def test_a_table_with_a_crooked_row() -> None:
    with pytest.raises(ToolkitError, match="expected 2 cells, received 1"):
        Table(("a", "b"), (("1",),))
