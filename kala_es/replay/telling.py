"""How long work tells how far it is: now and then it calls a function with how much is done, of how much in all.

Both are positions of a log, or bytes, or whatever the work is in. Less done than before: another pass has begun.
"""

from collections.abc import Callable

Tell = Callable[[int, int], None]


def nobody(done: int, total: int) -> None:
    """Nobody wants to know."""
