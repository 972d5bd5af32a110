"""Every exchange that was recorded from a running NextKala, replayed against a real server of ours.

Where ours answers otherwise, `EXCEPTIONS` says how and why; "section 0" is the first section of the contract, Bn the
original's defects in its last one. Each group of the recordings begins on an empty server.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final

import pytest

from tests.contract.replay import Exchange, Ours, Replay, load, own_runs, setting
from tests.servers import Server

pytestmark = pytest.mark.system

RECORDED_AT: Final = datetime(2026, 11, 21, 7, 10, 58, 805731, tzinfo=UTC)
"""When the one schedule was written that is meant relative to its moment."""
OVER_1_MIB: Final = b"x" * (1 << 20)
EXCHANGES: Final = load(
    Path(__file__).with_name("kala-exchanges.jsonl"),
    {
        "create.bad_utf8": lambda text: text.encode().replace("\ufffd".encode(), b"\xff"),
        "create.body_over_1MiB": lambda text: text.encode() + OVER_1_MIB + b'","command":"true"}',
    },
)
BY_CASE: Final = {exchange.case: exchange for exchange in EXCHANGES}

DIRECT = "section 0: a path without its trailing slash is served directly, not redirected"
DOUBLED = (
    "section 1: the original cleans double slashes with a redirect; as with the missing slash, ours serves directly"
)
METHODS = "section 0: HEAD and OPTIONS work"
ORIGIN = "this server answers no page of a foreign origin; the original had no protection from one"
UI = "the pages are others here, and so are their files"
LEADS = "this address leads to the web UI"
STRICT = "section 0: the schedule grammar is strict, the documented forms and nothing around them"
ISODATE = "section 0: the interval is what isodate parses, fractions too"
DKRON = "Dkron's API has this path"
CRON = "cron expressions are schedules here; NextKala has none, so none of its own texts changes its meaning"
TEMPLATE = "section 0: a template that does not parse is refused with 400 when the job is created"
REFUSED_BEFORE = "it was refused when it was created"
OWN_RUNS = "section 0: executions are those of the job, newest last by start (B8)"
KEPT = "B3: a refused edit deletes the job that it was to edit"
COUNTERS = "B3: a replacement resets the counters"
LAST_PARENT = "section 0: a child with several parents runs when the last of them has succeeded in the same round"
DONE = "is_done follows from what the job has done and has yet to do; a client cannot say it"

RAN: Final = "2026-11-21T07:11:00Z"
NOT_RUN: Final = BY_CASE["get"].answer["job"]["metadata"]


def runs_of_its_own(case: str) -> Callable[[Any], Any]:
    return lambda answer: own_runs(answer, BY_CASE[case].path.split("/")[4])


def without_orphan(answer: Any) -> Any:
    answer["jobs"] = {job: state for job, state in answer["jobs"].items() if state["name"] != "orphan"}
    return answer


EXCEPTIONS: Final[dict[str, Ours]] = {
    # routing
    "list.no_trailing_slash": Ours(reason=DIRECT, like="list.empty"),
    "create.no_trailing_slash": Ours(reason=DIRECT, like="create.minimal_scheduled", undo=True),
    "stats.no_trailing_slash": Ours(reason=DIRECT, like="stats.empty"),
    "double_slash": Ours(reason=DOUBLED, like="list.empty"),
    "double_slash_post": Ours(reason=DOUBLED, like="create.minimal_scheduled", undo=True),
    "head.list": Ours(reason=METHODS, status=200),
    "options.list": Ours(reason=METHODS, status=204),
    "cors.preflight": Ours(reason=ORIGIN, status=403),
    "cors.get_with_origin": Ours(reason=ORIGIN, status=403),
    "health_path": Ours(reason=DKRON, status=200),
    "metrics_path": Ours(reason="there are metrics here", status=200),
    "root": Ours(reason=LEADS, status=302),
    "webui.no_slash": Ours(reason=DIRECT, status=200),
    "webui.index": Ours(reason=UI, status=404),
    "webui.js": Ours(reason=UI, status=404),
    "webui.dir_listing": Ours(reason=UI, status=404),
    # unknown_id
    "unknown.get_no_slash": Ours(reason=DIRECT, status=404),
    # create_errors
    "create.parent_unknown_then_list": Ours(
        reason="section 8: the original stores a creation that it rejects", amend=without_orphan
    ),
    "create.body_over_1MiB": Ours(reason="the original cuts the body and calls it bad JSON", status=413),
    # crud
    "get.no_trailing_slash": Ours(reason=DIRECT, like="get"),
    "get.every_field": Ours(reason=DONE, amend=setting(job__is_done=False)),
    "get.same_id_again": Ours(
        reason=COUNTERS,
        amend=setting(job__metadata=BY_CASE["get.every_field"].answer["job"]["metadata"]),
    ),
    "get.id_with_slash": Ours(
        reason="section 2: such a job is unreachable in the original; ours cuts the path before it unquotes",
        status=200,
        like="get",
        amend=setting(job__name="slash", job__id="a/b"),
    ),
    "create.bad_template_delims": Ours(reason=TEMPLATE, status=400),
    "put.no_slash": Ours(
        reason=DIRECT,
        like="put.id_in_body_ignored",
        amend=setting(job__name="x"),
    ),
    "put.victim_get_after": Ours(
        reason=KEPT, status=200, like="get.tdsnake", amend=setting(job__name="victim", job__id="victim")
    ),
    "put.victim2_get_after": Ours(
        reason=KEPT, status=200, like="get.tdsnake", amend=setting(job__name="victim", job__id="victim2")
    ),
    "post.victim3_get_after": Ours(
        reason=KEPT, status=200, like="get.tdsnake", amend=setting(job__name="victim", job__id="victim3")
    ),
    "put.keeps_metadata_put": Ours(
        reason=COUNTERS,
        amend=setting(job__metadata=BY_CASE["put.keeps_metadata_get1"].answer["job"]["metadata"]),
    ),
    "disable.get": Ours(reason="put.no_slash was carried out", amend=setting(job__name="x")),
    "disable.no_slash": Ours(reason=DIRECT, status=204),
    "stats.with_disabled": Ours(
        reason="the victims (B3) are still there, with the counters (B3) that tell of runs; tdbad was refused",
        amend=setting(
            Stats__active_jobs=10,
            Stats__jobs=11,
            Stats__error_count=2,
            Stats__success_count=8,
            Stats__last_attempted_run=RAN,
        ),
    ),
    "enable.get": Ours(reason="put.no_slash was carried out", amend=setting(job__name="x")),
    "disable.start_while_disabled_3": Ours(
        reason=f"put.no_slash was carried out; {DONE}: its ticks are to come",
        amend=setting(job__name="x", job__is_done=False),
    ),
    "disable.start_while_disabled_4": Ours(reason=OWN_RUNS, amend=runs_of_its_own("disable.start_while_disabled_4")),
    "delete.no_slash": Ours(reason=f"{DIRECT}; tdbad: {REFUSED_BEFORE}", status=404),
    # runs
    "run.executions_no_slash": Ours(reason=DIRECT, like="run.no_schedule_executions"),
    "run.delete_one": Ours(reason="DELETE cancels a run; this one is over", status=409),
    "run.executions_of_first_after_second": Ours(
        reason=OWN_RUNS, amend=runs_of_its_own("run.executions_of_first_after_second")
    ),
    "run.never_run_job_executions": Ours(reason=OWN_RUNS, amend=runs_of_its_own("run.never_run_job_executions")),
    "start.no_slash": Ours(reason=DIRECT, status=204),
    "start.R0_get": Ours(reason="B1: the tick is still to come, there too", amend=setting(job__is_done=False)),
    "start.R0_get_again": Ours(reason="B1: the tick is still to come, there too", amend=setting(job__is_done=False)),
    "fail.executions": Ours(reason=OWN_RUNS, amend=runs_of_its_own("fail.executions")),
    "fail.bad_template": Ours(reason=TEMPLATE, status=400),
    "fail.bad_template_get": Ours(reason=REFUSED_BEFORE, status=404),
    "shell.env_in_single_quotes.result": Ours(
        reason="section 0: $VAR is expanded outside single quotes",
        amend=lambda answer: {**answer, "runs": [{**answer["runs"][0], "output": "$HOME"}]},
    ),
    "stats.after_runs": Ours(
        reason="start.no_slash has run its job once more; the job with the bad template was refused",
        amend=setting(Stats__active_jobs=27, Stats__jobs=27, Stats__error_count=7, Stats__success_count=23),
    ),
    # dependent
    "dep.executions": Ours(reason=OWN_RUNS, amend=runs_of_its_own("dep.executions")),
    "dep.two_parents_child": Ours(reason=LAST_PARENT, amend=setting(job__metadata=NOT_RUN, job__is_done=False)),
    "dep.after_delete_k": Ours(reason=LAST_PARENT, amend=setting(job__metadata=NOT_RUN, job__is_done=False)),
    "dep.p2_after_child_delete": Ours(
        reason="section 0: null for an empty list", amend=setting(job__dependent_jobs=None)
    ),
    "delete_all.cleanup4": Ours(reason="B6: deleting all jobs stops half-way when some have children", status=204),
    # schedules
    "schedule.bad.dur_frac": Ours(reason=ISODATE, like="schedule.maybe.R0", status=201),
    "schedule.bad.cron": Ours(reason=CRON, like="schedule.maybe.R0", status=201),
    "schedule.maybe.R_minus5": Ours(reason=STRICT, status=400),
    "schedule.maybe.R_minus5.get": Ours(reason=REFUSED_BEFORE, status=404),
    "schedule.maybe.suffix_R": Ours(reason=STRICT, status=400),
    "schedule.maybe.suffix_R.get": Ours(reason=REFUSED_BEFORE, status=404),
    "schedule.maybe.year_2400.get": Ours(
        reason="section 3: years from 2262 overflow and the job runs at once; ours is due then",
        amend=setting(job__next_run_at="2400-01-01T00:00:00Z"),
    ),
    "schedule.maybe.dur_neg_outer": Ours(reason=STRICT, status=400),
    "schedule.maybe.dur_neg_outer.get": Ours(reason=REFUSED_BEFORE, status=404),
    "schedule.maybe.dur_day_then_garbage": Ours(reason=STRICT, status=400),
    "schedule.maybe.dur_day_then_garbage.get": Ours(reason=REFUSED_BEFORE, status=404),
    "delete_all.no_slash": Ours(reason=DIRECT, status=204),
}


def faults_of(replay: Replay, exchange: Exchange) -> list[str]:
    """A broken answer is a fault of its case, and the replay goes on."""
    try:
        return replay.play(exchange, EXCEPTIONS.get(exchange.case), RECORDED_AT)
    except (OSError, HTTPException, ValueError, LookupError) as error:
        return [repr(error)]


@pytest.mark.parametrize("group", dict.fromkeys(exchange.group for exchange in EXCHANGES))
def test_the_recorded_exchanges(tmp_path: Path, group: str):
    with Server.start(tmp_path, env={"HOME": "/root"}) as server:
        replay = Replay(server, BY_CASE, {"/srv": str(tmp_path)})
        faults = {one.case: faults_of(replay, one) for one in EXCHANGES if one.group == group}
    assert {case: found for case, found in faults.items() if found} == {}


def test_every_exception_was_recorded():
    assert [case for case in EXCEPTIONS if case not in BY_CASE] == []


def test_every_exception_has_its_reason():
    assert all(ours.reason for ours in EXCEPTIONS.values())


def test_the_recordings_are_all_there():
    assert len(BY_CASE) == len(EXCHANGES) == 312
    assert {type(exchange) for exchange in EXCHANGES} == {Exchange}
