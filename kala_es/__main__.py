"""`python -m kala_es` is `kala-es`. Ctrl-C ends it without a word also while it is loaded, which takes a moment."""

import sys


def main() -> int:
    """Carry out what the arguments say; the exit code."""
    try:
        from kala_es.cli import main as carry_out
    except KeyboardInterrupt:
        return 130
    return carry_out()


if __name__ == "__main__":
    sys.exit(main())
