"""Values as plain maps and events as records: what is written is read back, equal, by this version and later ones."""

from collections.abc import Mapping
from types import NoneType
from typing import Any, Literal, NewType, get_args, get_origin, get_type_hints

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import NODEFAULT as MISSING
from msgspec.structs import FieldInfo, fields

from kala_es import codec
from kala_es.codec import NotUnderstood
from kala_es.domain import events as e
from kala_es.domain.ids import Instant, JobId, RunId
from kala_es.domain.model import Counters, Job, JobSpec, RemoteCall, Run
from kala_es.domain.notify import NoticeId
from kala_es.domain.reactions import Step, Tree
from kala_es.domain.trimming import BasePart, BaseTaken, RunRedacted, RunsForgotten, RunsTrimmed
from kala_es.domain.values import Value, from_plain, to_plain
from kala_es.event_log import NewRecord, Record
from kala_es.projections.runs import RunSummary

EVENTS = get_args(e.Event)
SIMPLE: Mapping[Any, st.SearchStrategy[Any]] = {
    str: st.text(max_size=20),
    int: st.integers(-(2**70), 2**70) | st.integers(0, 1),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    bytes: st.binary(max_size=40),
    NoneType: st.none(),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Any value of a type that events and states are made of."""
    if hint in SIMPLE:
        return SIMPLE[hint]
    if isinstance(hint, NewType):
        return values(hint.__supertype__)
    if isinstance(hint, type) and issubclass(hint, Value):
        return made(hint)
    options = get_args(hint)
    if get_origin(hint) is Literal:
        return st.sampled_from(options)
    if get_origin(hint) is tuple:
        if options[-1] is Ellipsis:
            return st.lists(values(options[0]), max_size=3).map(tuple)
        return st.tuples(*map(values, options))
    assert NoneType in options, f"no strategy for {hint}"
    return st.one_of(*map(values, options))


def made(kind: type[Any]) -> st.SearchStrategy[Any]:
    """Any instance of a kind of value, about half of whose fields have their defaults."""
    hints = get_type_hints(kind)
    return st.builds(kind, **{f.name: chosen(f, values(hints[f.name])) for f in fields(kind)})


def chosen(field: FieldInfo, value: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return value if default_of(field) is MISSING else st.just(default_of(field)) | value


def default_of(field: FieldInfo) -> Any:
    return field.default if field.default_factory is MISSING else field.default_factory()


def stored(record: NewRecord, *, position: int = 7, kind: str | None = None, newer: int = 0) -> Record:
    """The record as the log gives it back."""
    return Record(
        position,
        record.stream,
        kind or record.type,
        record.version + newer,
        record.time,
        record.principal,
        record.body,
    )


def through_cbor(value: Any) -> Any:
    return from_plain(type(value), cbor2.loads(cbor2.dumps(to_plain(value))))


# ---- records


@pytest.mark.parametrize("kind", EVENTS)
@settings(max_examples=40, deadline=None)
@given(data=st.data(), principal=st.text(max_size=10))
def test_an_event_is_read_back(kind: type[Any], data: st.DataObject, principal: str) -> None:
    event = data.draw(made(kind))
    record = codec.encode(event, principal)
    assert (record.type, record.time, record.principal) == (kind.__name__, event.at, principal)
    back = codec.decode(stored(record))
    assert back == event
    assert repr(back) == repr(event), "0 is not False, a list is not a tuple"
    assert hash(back) == hash(event)
    assert codec.encode(back, principal) == record


@pytest.mark.parametrize("kind", EVENTS)
@settings(max_examples=15, deadline=None)
@given(data=st.data())
def test_a_body_holds_what_is_not_default_and_not_the_time(kind: type[Any], data: st.DataObject) -> None:
    event = data.draw(made(kind))
    body = cbor2.loads(codec.encode(event).body)
    told = {f.name for f in fields(kind) if f.name != "at" and getattr(event, f.name) != default_of(f)}
    assert told <= set(body)
    assert all(body[name] == {} for name in set(body) - told), "a value of its own, equal to the default"


@pytest.mark.parametrize("kind", EVENTS)
@settings(max_examples=5, deadline=None)
@given(data=st.data(), newer=st.integers(1, 1000))
def test_what_a_later_version_wrote_is_refused(kind: type[Any], data: st.DataObject, newer: int) -> None:
    record = codec.encode(data.draw(made(kind)))
    with pytest.raises(NotUnderstood, match=f"position 7 holds a {kind.__name__} of version {record.version + newer},"):
        codec.decode(stored(record, newer=newer))
    with pytest.raises(NotUnderstood, match="position 7 holds a JobPostponed of version"):
        codec.decode(stored(record, kind="JobPostponed"))


def test_a_field_that_is_not_known_is_refused() -> None:
    record = NewRecord("job:j", "JobEnabled", 1, 0, "", cbor2.dumps({"job": "j", "why": "x"}))
    with pytest.raises(NotUnderstood, match="why"):
        codec.decode(stored(record))


@pytest.mark.parametrize("kind", EVENTS)
def test_events_go_to_their_streams(kind: type[Any]) -> None:
    hints = get_type_hints(kind)
    named = {"job": JobId("J"), "run": RunId("R"), "spec": JobSpec(name="n")}
    given_fields = {f.name: named.get(f.name, "x" if hints[f.name] is str else 0) for f in fields(kind)}
    event = kind(**{name: value for name, value in given_fields.items() if not _has_default(kind, name)})
    streams: dict[type[Any], str] = {
        e.OutputChunk: "run:R",
        e.RequestAnswered: "requests",
        e.NoticeDue: "notices",
        e.NoticeAttempted: "notices",
        e.OutputHandedOver: "processors",
        e.ProcessorFailed: "processors",
    }
    streams |= {e.ServerPaused: "server", e.ServerResumed: "server"}
    streams |= {RunsTrimmed: "history", RunsForgotten: "history", BasePart: "base:0", BaseTaken: "bases"}
    streams |= {RunRedacted: "redactions"}
    expected = streams.get(kind, "job:J")
    assert codec.stream_of(event) == codec.encode(event).stream == expected


def _has_default(kind: type[Any], name: str) -> bool:
    return any(f.name == name and default_of(f) is not MISSING for f in fields(kind))


# What the first release wrote stays readable: type, body as written -> the event.
JOB, RUN, NOW = JobId("j"), RunId("r"), Instant(5)
WRITTEN: list[tuple[dict[str, Any], e.Event]] = [
    ({"job": "j", "spec": {"name": "n"}}, e.JobCreated(job=JOB, at=NOW, spec=JobSpec(name="n"))),
    (
        {
            "job": "j",
            "spec": {
                "name": "n",
                "parents": ["p", "q"],
                "dependents": [],
                "kind": "remote",
                "remote": {"url": "u", "headers": [["A", ["x", "y"]], ["B", []]], "expected_codes": [200, 202]},
                "env": [["K", "V"]],
            },
            "disabled": True,
            "counters": {"error_count": 2, "last_error": 4},
        },
        e.JobCreated(
            job=JOB,
            at=NOW,
            spec=JobSpec(
                name="n",
                parents=(JobId("p"), JobId("q")),
                dependents=(),
                kind="remote",
                remote=RemoteCall(url="u", headers=(("A", ("x", "y")), ("B", ())), expected_codes=(200, 202)),
                env=(("K", "V"),),
            ),
            disabled=True,
            counters=Counters(error_count=2, last_error=Instant(4)),
        ),
    ),
    (
        {"job": "j", "run": "r", "cause": "schedule", "root": "r", "tick": 4},
        e.RunStarted(job=JOB, at=NOW, run=RUN, cause="schedule", root=RUN, tick=Instant(4)),
    ),
    (
        {"job": "j", "run": "r", "outcome": "failed", "attempts": 2, "root": "r", "exit_code": 0, "reason": "why"},
        e.RunFinished(job=JOB, at=NOW, run=RUN, outcome="failed", attempts=2, root=RUN, exit_code=0, reason="why"),
    ),
    (
        {"job": "j", "run": "r", "attempt": 1, "sequence": 1, "channel": "stdout", "offset": 0, "content": b"\xff\0"},
        e.OutputChunk(job=JOB, at=NOW, run=RUN, attempt=1, sequence=1, channel="stdout", offset=0, content=b"\xff\0"),
    ),
    (
        {"key": "k", "fingerprint": b"f", "status": 201, "headers": [["Location", "/x"]], "body": b"{}"},
        e.RequestAnswered(at=NOW, key="k", fingerprint=b"f", status=201, headers=(("Location", "/x"),), body=b"{}"),
    ),
    (
        {"notice": "i", "job": "j", "when": "failure", "to": "mailto:a@b", "about": {"name": "n", "run": "r"}},
        e.NoticeDue(
            notice=NoticeId("i"), job=JOB, at=NOW, when="failure", to="mailto:a@b", about=e.About(name="n", run=RUN)
        ),
    ),
    (
        {"notice": "i", "job": "j", "attempt": 1, "status": 500, "reason": "answered 500", "next_at": 9},
        e.NoticeAttempted(
            notice=NoticeId("i"), job=JOB, at=NOW, attempt=1, status=500, reason="answered 500", next_at=Instant(9)
        ),
    ),
]


@pytest.mark.parametrize(("body", "event"), WRITTEN)
def test_what_was_once_written_is_read_for_ever(body: dict[str, Any], event: e.Event) -> None:
    record = Record(1, "", type(event).__name__, 1, 5, "", cbor2.dumps(body))
    assert codec.decode(record) == event
    assert cbor2.loads(codec.encode(event).body) == body


# ---- plain values


@pytest.mark.parametrize("kind", [Job, JobSpec, Run, Counters, RunSummary, Step])
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_state_is_read_back(kind: type[Any], data: st.DataObject) -> None:
    value = data.draw(made(kind))
    back = through_cbor(value)
    assert back == value
    assert repr(back) == repr(value)


@pytest.mark.parametrize(
    "current",
    [
        None,
        pytest.param(Step(job=JOB, run=RUN, cause="parent", after=RunId("q"))),
    ],
)
@pytest.mark.parametrize("waiting", [0, 1, 2])
def test_a_tree_is_read_back(current: Step | None, waiting: int) -> None:
    step = Step(job=JobId("w"), run=RUN, cause="on-failure", after=None)
    tree = Tree(current=current, started=True, waiting=(step,) * waiting)
    assert through_cbor(tree) == tree


def test_defaults_are_left_out_at_every_depth() -> None:
    assert to_plain(JobSpec(name="n")) == {"name": "n"}
    assert to_plain(Counters()) == {}
    spec = JobSpec(name="n", remote=RemoteCall(url="u"), parents=(), dependents=None, retries=0)
    assert to_plain(spec) == {"name": "n", "parents": (), "remote": {"url": "u"}}
    run = Run(id=RUN, cause="manual", root=RUN, started=Instant(0))
    job = Job(id=JOB, spec=spec, born=NOW, planned=NOW, answered=NOW, next_tick=None, runs=(run,))
    plain = to_plain(job)
    assert plain["runs"] == ({"id": "r", "cause": "manual", "root": "r", "started": 0},)
    assert set(plain) == {"id", "spec", "born", "planned", "answered", "next_tick", "runs"}


def test_a_value_equal_to_another_fields_default_is_kept() -> None:
    assert to_plain(RemoteCall(expected_codes=(), headers=()))["expected_codes"] == ()
    event = e.RunFinished(job=JOB, at=NOW, run=RUN, outcome="lost", attempts=1, root=RUN, exit_code=0, signal=0)
    assert {"exit_code": 0, "signal": 0}.items() <= to_plain(event).items()


@pytest.mark.parametrize("plain", [{}, {"name": "n", "nickname": "m"}, {"name": "n", "remote": {"uri": "x"}}])
def test_a_map_that_does_not_fit_is_refused(plain: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="field"):
        from_plain(JobSpec, plain)


def test_reading_does_not_change_what_is_read() -> None:
    plain = {"name": "n", "parents": ["p"], "remote": {"url": "u"}}
    copy = {"name": "n", "parents": ["p"], "remote": {"url": "u"}}
    from_plain(JobSpec, plain)
    assert plain == copy
