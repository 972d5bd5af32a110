"""What holds for every test: Hypothesis sets no limit on wall-clock time, which a loaded machine would fail."""

from hypothesis import HealthCheck, settings

settings.register_profile(
    "no clock",
    deadline=None,
    suppress_health_check=[*settings().suppress_health_check, HealthCheck.too_slow],
)
settings.load_profile("no clock")
