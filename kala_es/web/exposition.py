"""The node's figures in Prometheus' text format 0.0.4, by the library that Prometheus' own people keep.

1. Nothing is registered with it: for each answer the figures are read, and handed over as a collector of their own.
   Its own registry and its servers stay unused.
2. Importing it takes as long as fifty answers: it is imported at the first one.
3. A label's values are words of this project, all of them from the beginning, at 0: so a first increase is seen. A
   job's name is never one.
"""

import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate
from typing import Final, TypeVar, get_args

from prometheus_client import ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from kala_es.domain.ids import SECOND
from kala_es.domain.model import Cause, MissReason, Outcome, SkipReason
from kala_es.projections.notices import NoticeState
from kala_es.runtime.meters import Histogram, Meters
from kala_es.runtime.scheduler import Scheduler
from kala_es.web.edge import Edge

_ENDS: Final[tuple[NoticeState, ...]] = ("delivered", "given-up")
Word = TypeVar("Word", bound=str)


class _Figures(Collector):
    """What is known of a node and its process at this moment."""

    def __init__(self, scheduler: Scheduler, edge: Edge) -> None:
        self._scheduler = scheduler
        self._edge = edge

    def collect(self) -> Iterable[Metric]:
        """All of it."""
        yield from _of_node(self._scheduler, self._edge)
        yield from _of_jobs(self._scheduler)
        yield _gauge("runs_in_flight", "Runs that have begun and are not over.", len(self._scheduler.folds.busy))
        yield from _of_runs(self._scheduler.meters)
        yield from _of_log(self._scheduler)
        yield from ProcessCollector(registry=None).collect()


def exposed(scheduler: Scheduler, edge: Edge) -> bytes:
    """The text."""
    return generate_latest(_Figures(scheduler, edge))


def _of_node(scheduler: Scheduler, edge: Edge) -> Iterator[Metric]:
    about = {"version": edge.version, "python": platform.python_version()}
    yield InfoMetricFamily("kala_es_build", "What runs here.", value=about)
    yield _gauge("ready", "1 when new work is taken, as /readyz says.", edge.ready())
    yield _gauge("paused", "1 while the server is paused.", scheduler.folds.server_pause is not None)
    yield _gauge("stream_readers", "Readers of live streams.", scheduler.broadcaster.readers)
    yield _gauge("notices_waiting", "Notices that are not delivered yet.", len(scheduler.folds.watch.waiting))
    notices = _counter("notices", "Notices that were delivered or given up.", labels=["state"])
    yield _filled(notices, scheduler.meters.notices, _ENDS)


def _of_jobs(scheduler: Scheduler) -> Iterator[Metric]:
    stats, first = scheduler.folds.stats, scheduler.first_tick()
    jobs = GaugeMetricFamily("kala_es_jobs", "Jobs, by whether they are enabled.", labels=["state"])
    jobs.add_metric(["enabled"], stats.jobs - stats.disabled_jobs)
    jobs.add_metric(["disabled"], stats.disabled_jobs)
    yield jobs
    yield _gauge("scheduled_jobs", "Enabled jobs that have a tick to come.", stats.scheduled_jobs)
    if first is not None:
        yield _gauge("next_due_timestamp_seconds", "When the next tick or attempt is due.", first / SECOND)


def _of_runs(meters: Meters) -> Iterator[Metric]:
    begun = _counter("runs_started", "Runs that began, by cause.", labels=["cause"])
    ended = _counter("runs_finished", "Runs that ended, by outcome.", labels=["outcome"])
    skipped = _counter("runs_skipped", "Ticks and asks that started nothing, by reason.", labels=["reason"])
    missed = _counter("ticks_missed", "Ticks that passed and started nothing, by reason.", labels=["reason"])
    failed = _counter("attempts_failed", "Attempts that ended badly, retried or not.", labels=["outcome"])
    yield _filled(begun, meters.started, get_args(Cause))
    yield _filled(ended, meters.ended, get_args(Outcome))
    yield _filled(skipped, meters.skipped, get_args(SkipReason))
    yield _filled(missed, meters.missed, get_args(MissReason))
    yield _filled(failed, meters.failed_attempts, [outcome for outcome in get_args(Outcome) if outcome != "succeeded"])
    yield _histogram("start_delay_seconds", "From a tick's moment until its run is recorded.", meters.delays)
    yield _histogram("run_duration_seconds", "From a run's start to its end, retries included.", meters.durations)


def _of_log(scheduler: Scheduler) -> Iterator[Metric]:
    meters = scheduler.meters
    size = meters.log_bytes()
    yield _histogram("commit_duration_seconds", "What a commit to the log took.", meters.commits)
    yield _gauge("appends_waiting", "Records on their way to the log.", meters.waiting())
    yield _gauge("log_position", "The log's last position.", scheduler.folds.position)
    if size is not None:
        yield _gauge("log_size_bytes", "What the log's file takes.", size)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"kala_es_{name}", about, value=value)


def _counter(name: str, about: str, *, labels: Sequence[str]) -> CounterMetricFamily:
    return CounterMetricFamily(f"kala_es_{name}", about, labels=labels)


def _filled(family: CounterMetricFamily, counts: Counter[Word], words: Sequence[Word]) -> Metric:
    for word in words:
        family.add_metric([word], counts[word])
    return family


def _histogram(name: str, about: str, histogram: Histogram) -> Metric:
    """In the format each bucket holds those before it as well."""
    bounds = [*map(floatToGoString, (*histogram.bounds, float("inf")))]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(f"kala_es_{name}", about, buckets=buckets, sum_value=histogram.total)
