"""The page: `python -m apps.web` serves it to a browser on this machine. Usage statistics are off."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).with_name("viewing") / "page.py"

NEEDED = "the page needs Streamlit: install it with 'pip install -e .[web]'"

OK, FAILED = 0, 1

MAX_MB = 200
"""Largest file that is taken, in MB."""


def main(argv: Sequence[str] | None = None) -> int:
    """Serve the page until Ctrl-C; return the exit status."""
    arguments = _parser().parse_args(argv)
    try:
        from streamlit.web import bootstrap
    except ImportError:
        print(f"error: {NEEDED}", file=sys.stderr)
        return FAILED
    options = {
        "server.address": arguments.host,
        "server.port": arguments.port,
        "server.headless": True,
        "server.maxUploadSize": MAX_MB,
        "server.fileWatcherType": "none",
        "browser.gatherUsageStats": False,
        "client.showErrorDetails": "none",
        "client.toolbarMode": "viewer",
        "global.developmentMode": False,
    }
    bootstrap.load_config_options(options)
    # The page runs in this process and finds its settings here.
    given = [] if arguments.model is None else ["--model", os.fspath(arguments.model)]
    bootstrap.run(str(PAGE), False, given, options)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m apps.web", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1", help="address to listen at (default: %(default)s)")
    add("--port", type=int, default=8501, help="port to listen at (default: %(default)s)")
    add("--model", type=Path, metavar="BUNDLE", help="folder of a model (default: the shipped one)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
