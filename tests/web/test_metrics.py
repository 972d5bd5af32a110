"""GET /metrics, read by the parser of the library that Prometheus' own people keep."""

import platform
import re
import time
from typing import get_args

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from kala_es.domain.model import Cause, MissReason, Outcome, SkipReason
from tests.nodes import FAILS, HANGS
from tests.web.edges import API, Site, serving, streaming

SCRIPTS = {"fails": FAILS, "hangs": HANGS}
UNITS = ("_seconds", "_bytes", "_info", "_fds")


async def scraped(site: Site) -> dict[str, Metric]:
    """The families by name."""
    answer = await site.http.get("/metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return {family.name: family for family in text_string_to_metric_families(answer.text)}


def value(families: dict[str, Metric], name: str, **labels: str) -> float:
    """A sample's value, by its whole name."""
    found = [s.value for f in families.values() for s in f.samples if (s.name, s.labels) == (name, labels)]
    assert len(found) == 1, (name, labels, found)
    return found[0]


async def test_everything_is_there_from_the_beginning():
    async with serving() as site:
        families = await scraped(site)
        for name, label, words in (
            ("kala_es_runs_started", "cause", get_args(Cause)),
            ("kala_es_runs_finished", "outcome", get_args(Outcome)),
            ("kala_es_runs_skipped", "reason", get_args(SkipReason)),
            ("kala_es_ticks_missed", "reason", get_args(MissReason)),
            ("kala_es_attempts_failed", "outcome", set(get_args(Outcome)) - {"succeeded"}),
            ("kala_es_notices", "state", ("delivered", "given-up")),
        ):
            assert families[name].type == "counter"
            assert {s.labels[label]: s.value for s in families[name].samples} == dict.fromkeys(words, 0), name
        for name in ("start_delay", "run_duration", "commit_duration"):
            assert families[f"kala_es_{name}_seconds"].type == "histogram"
        for name in ("jobs", "scheduled_jobs", "runs_in_flight", "stream_readers", "notices_waiting", "paused"):
            assert (families[f"kala_es_{name}"].type, families[f"kala_es_{name}"].samples[0].value) == ("gauge", 0)
        assert value(families, "kala_es_ready") == 1
        about = {"version": "0.1.0", "python": platform.python_version()}
        assert value(families, "kala_es_build_info", **about) == 1


async def test_names_are_as_prometheus_wants_them_and_no_label_is_a_jobs():
    async with serving(SCRIPTS) as site:
        await site.create("a-job-of-mine")
        await site.run_whole("a-job-of-mine")
        families = await scraped(site)
        for family in families.values():
            assert re.fullmatch(r"(kala_es|process)_[a-z_]+", family.name)
            assert family.documentation.endswith(".")
            for sample in family.samples:
                assert sample.name.endswith("_total") is (family.type == "counter")
                assert "a-job-of-mine" not in sample.labels.values()
        assert {name for name in families if name.endswith(UNITS)} >= {
            "kala_es_commit_duration_seconds",
            "kala_es_build_info",
            "process_resident_memory_bytes",
            "process_start_time_seconds",
        }


async def test_it_says_what_happened():
    async with serving(SCRIPTS) as site:
        await site.create("works")
        await site.create("fails", "fails", retries=1)
        await site.create("hangs", "hangs")
        await site.create("off", disabled=True)
        for job in ("works", "fails", "works"):
            await site.run_whole(job)
        await site.start("hangs")
        await site.http.post(f"{API}/pause/", json={"reason": "a holiday"})
        families = await scraped(site)
        assert value(families, "kala_es_jobs", state="enabled") == 3
        assert value(families, "kala_es_jobs", state="disabled") == 1
        assert value(families, "kala_es_scheduled_jobs") == 3
        assert value(families, "kala_es_next_due_timestamp_seconds") == 4_070_908_800
        assert value(families, "kala_es_runs_started_total", cause="manual") == 4
        assert value(families, "kala_es_runs_finished_total", outcome="succeeded") == 2
        assert value(families, "kala_es_runs_finished_total", outcome="failed") == 1
        assert value(families, "kala_es_attempts_failed_total", outcome="failed") == 2
        assert value(families, "kala_es_runs_in_flight") == 1
        assert value(families, "kala_es_run_duration_seconds_count") == 3
        assert value(families, "kala_es_paused") == 1
        assert value(families, "kala_es_log_position") == site.node.node.folds.position
        assert "kala_es_log_size_bytes" not in families, "the log is in memory"


async def test_buckets_hold_what_is_in_those_before_them():
    async with serving(SCRIPTS) as site:
        await site.create("works")
        await site.run_whole("works")
        site.node.node.meters.commits.add(0.02)
        site.node.node.meters.commits.add(99.0)
        families = await scraped(site)
        histogram = families["kala_es_commit_duration_seconds"]
        buckets = {s.labels["le"]: s.value for s in histogram.samples if s.name.endswith("_bucket")}
        bounds = [float(bound) for bound in buckets]
        assert bounds == sorted(bounds)
        assert list(buckets.values()) == sorted(buckets.values())
        commits = len(site.node.log.appends) + 2
        assert (buckets["+Inf"], buckets["10.0"]) == (commits, commits - 1)
        assert value(families, "kala_es_commit_duration_seconds_count") == commits
        assert value(families, "kala_es_commit_duration_seconds_sum") == pytest.approx(99.02, abs=1)


async def test_those_who_follow_are_counted_and_readiness_is_told():
    async with serving(SCRIPTS, ready=lambda: False) as site, streaming(site, f"{API}/events/"):
        families = await scraped(site)
        assert value(families, "kala_es_stream_readers") == 1
        assert value(families, "kala_es_ready") == 0


async def test_the_process_is_told_of():
    async with serving() as site:
        first = await scraped(site)
        started = value(first, "process_start_time_seconds")
        assert started < time.time()
        assert value(first, "process_resident_memory_bytes") > 10_000_000
        burnt = time.process_time()
        while time.process_time() < burnt + 0.05:
            pass
        second = await scraped(site)
        assert value(second, "process_cpu_seconds_total") > value(first, "process_cpu_seconds_total")
        assert 0 < value(second, "process_open_fds") < value(second, "process_max_fds")


async def test_a_scrape_changes_nothing_and_is_always_the_same():
    async with serving(SCRIPTS) as site:
        await site.create("works")
        await site.run_whole("works")
        mine = [
            [line for line in (await site.http.get("/metrics")).text.splitlines() if "kala_es" in line] for _ in "ab"
        ]
        assert mine[0] == mine[1]
