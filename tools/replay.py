"""`python tools/replay.py ...` is `kala-es replay ...`: it looks into a log, and writes nothing."""

import sys

from kala_es.cli import main

if __name__ == "__main__":
    sys.exit(main(["replay", *sys.argv[1:]]))
