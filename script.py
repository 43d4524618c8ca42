"""Judge recordings: real, fake, or hybrid with its fake spans. Try `python script.py --help`."""

import sys

from apps.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
