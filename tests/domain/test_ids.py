"""Ids that are derived from their cause."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from kala_es.domain.ids import Instant, JobId, run_for_tick

NAMESPACE = UUID("6f1e1f0a-52f5-4c36-9c6e-3a2f1f0e5a01")


@given(st.text(), st.integers(0, 2**53), st.integers(0, 2**53))
def test_an_id_is_the_uuid5_of_its_cause_as_it_always_was(job: str, planned: int, tick: int) -> None:
    """Logs that were written with `uuid.uuid5` name the same runs."""
    run = run_for_tick(JobId(job), Instant(planned), Instant(tick))
    assert run == str(uuid5(NAMESPACE, f"tick {planned} {tick} {job}"))
