"""What holds for every test: Hypothesis sets no limit on wall-clock time, which a loaded machine would fail.

`make check` tries fewer examples (`--hypothesis-profile quick`).
"""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "no clock",
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.register_profile("quick", settings.get_profile("no clock"), max_examples=25)
settings.load_profile("no clock")
