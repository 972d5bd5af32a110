"""What holds for every test: Hypothesis sets no limit on wall-clock time, which a loaded machine would fail.

`make check` tries fewer examples (`--hypothesis-profile quick`). What Python has compiled is kept, whatever the
environment says: the suite starts hundreds of servers, and each would compile itself anew, which takes longer than all
else that a start does.
"""

import os
import sys

from hypothesis import HealthCheck, settings

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

settings.register_profile(
    "no clock",
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("no clock"), max_examples=25)
settings.load_profile("no clock")
