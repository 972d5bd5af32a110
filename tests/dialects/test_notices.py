"""What a notice says, to people and to programs."""

import json
from typing import Final

import pytest

from kala_es.dialects.notices import message_of
from kala_es.domain import events as e
from kala_es.domain.ids import SECOND, Instant, JobId, RunId
from kala_es.domain.notify import NoticeId, Occasion
from kala_es.domain.template import TemplateError
from kala_es.domain.values import replace

T: Final = Instant(1_900_000_000 * SECOND)
RUN: Final = e.About(
    name="nightly backup",
    owner="ops@example.com",
    run=RunId("r"),
    cause="schedule",
    tick=T,
    started=Instant(T + 8_000),
    ended=Instant(T + 12_345_678),
    outcome="failed",
    attempts=3,
    exit_code=2,
    reason="exit status 2",
)
TICKS: Final = e.About(name="n", first=T, last=Instant(T + 60 * SECOND), count=2, reason="the server was down")
LETTER: Final = """\
Job nightly backup failed.

Job:       nightly backup (j)
Run:       r
Cause:     schedule
Due:       2030-03-17T17:46:40Z
Began:     2030-03-17T17:46:40.008Z
Ended:     2030-03-17T17:46:52.345678Z
Took:      12.3 s
Outcome:   failed
Attempts:  3
Exit code: 2
Reason:    exit status 2

The last of its output:

no space left

--\x20
Sent to ops@example.com, to be told of: first-failure. Notice id.
"""
MISSED: Final = """\
Job n missed 2 ticks.

Job:       n (j)
Reason:    the server was down
Missed:    2, 2030-03-17T17:46:40Z to 2030-03-17T17:47:40Z

--\x20
Sent to ops@example.com, to be told of: missed. Notice id.
"""


def notice(when: Occasion, about: e.About, to: str = "mailto:ops@example.com", template: str = "") -> e.NoticeDue:
    return e.NoticeDue(notice=NoticeId("id"), job=JobId("j"), at=T, when=when, to=to, about=about, template=template)


def test_a_letter_tells_the_facts_that_there_are() -> None:
    assert message_of(notice("first-failure", RUN), "no space left\n\n", cut=True).body == LETTER
    assert message_of(notice("missed", TICKS), "", cut=False).body == MISSED


@pytest.mark.parametrize(
    ("when", "about", "subject"),
    [
        ("failure", RUN, "kala_es: job nightly backup failed"),
        ("first-failure", replace(RUN, outcome="timed-out"), "kala_es: job nightly backup timed out"),
        ("failure", replace(RUN, outcome="lost"), "kala_es: job nightly backup was lost"),
        ("recovery", replace(RUN, outcome="succeeded"), "kala_es: job nightly backup succeeded again"),
        ("missed", TICKS, "kala_es: job n missed 2 ticks"),
        ("missed", replace(TICKS, count=1), "kala_es: job n missed a tick"),
        ("overdue", replace(RUN, expected_duration="PT5M"), "kala_es: job nightly backup takes longer than PT5M"),
        ("failure", replace(RUN, name="a\r\nBcc: b\u2028c"), "kala_es: job a Bcc: b c failed"),
    ],
)
def test_a_subject_is_one_line(when: Occasion, about: e.About, subject: str) -> None:
    assert message_of(notice(when, about), "", cut=False).subject == subject


def test_a_program_gets_every_key_each_time() -> None:
    texts = [
        message_of(notice("failure", RUN, "https://x"), "out\n", cut=False).body,
        message_of(notice("missed", TICKS, "https://x"), "", cut=False).body,
    ]
    run, ticks = map(json.loads, texts)
    assert list(run) == list(ticks)
    assert (run["output"], run["first_missed"], run["missed"]) == ("out\n", None, 0)
    assert (ticks["run_id"], ticks["outcome"], ticks["exit_code"], ticks["missed"]) == (None, None, None, 2)


def test_a_template_knows_every_key_by_its_go_name() -> None:
    keys = json.loads(message_of(notice("failure", RUN, "https://x"), "", cut=False).body)
    template = " ".join("{{." + key.title().replace("_", "") + "}}" for key in keys)
    filled = message_of(notice("failure", RUN, template=template), "", cut=False).body
    assert filled.startswith(
        "id failure job nightly backup failed 2030-03-17T17:46:40Z j nightly backup ops@example.com"
    )
    with pytest.raises(TemplateError):
        message_of(notice("failure", RUN, template="{{.Nothing}}"), "", cut=False)
