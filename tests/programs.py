"""Programs and rights that some tests need, and not every machine has: without them such a test is skipped.

CI is to have all of them: with `CI=true`, as the usual services set it, what is missing there is a failure.
"""

import os
import shutil
from pathlib import Path
from typing import Final, NoReturn

import pytest

_VERSIONS: Final = Path("/usr/lib")
"""Where Debian has the programs of a package of which several versions may be installed: PACKAGE/VERSION/bin."""


def needs(program: str, package: str) -> str:
    """Where a program is, of a package of Debian's."""
    beside = sorted(_VERSIONS.glob(f"{package}/*/bin/{program}"))
    return shutil.which(program) or next(map(str, beside), None) or lacks(f"{program} (Debian: {package})")


def lacks(what: str) -> NoReturn:
    """There is none of what the test needs."""
    if in_ci():
        pytest.fail(f"CI needs {what}")
    pytest.skip(f"needs {what}")


def in_ci() -> bool:
    """Whether everything is to be here."""
    return os.environ.get("CI") == "true"
