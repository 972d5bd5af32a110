"""What a remote job asks for, as the agent is told: every key arrives, and what says nothing is not sent."""

import cbor2
from msgspec import to_builtins

from kala_es.domain.ids import Instant, JobId
from kala_es.domain.model import JobSpec, RemoteCall
from kala_es.domain.values import replace
from kala_es.executor import Order, Remote, Tls
from kala_es.link import Start
from kala_es.links.frames import encode
from kala_es.runtime.orders import remote_of_draft

CALL = RemoteCall(
    url="https://x",
    lenient=True,
    expected_body="ok",
    verify_tls=False,
    ca_file="/ca",
    client_certificate_file="/c",
    client_key_file="/k",
    debug=True,
)


def work(call: RemoteCall) -> Remote:
    return remote_of_draft(JobId("j"), JobSpec(name="n", kind="remote", remote=call), Instant(0))


def test_every_key_of_a_request_arrives() -> None:
    tls = Tls(verify=False, ca_file="/ca", client_certificate_file="/c", client_key_file="/k")
    assert work(CALL) == Remote(
        url="https://x", method="", body="", lenient=True, expected_body="ok", tls=tls, debug=True
    )


def test_codes_that_are_expected_leave_nothing_to_leniency() -> None:
    asked = work(replace(CALL, expected_codes=(204,)))
    assert (asked.expected_codes, asked.lenient) == ((204,), False)


def test_a_plain_request_is_told_as_before() -> None:
    asked = work(RemoteCall(url="http://x"))
    assert set(to_builtins(asked)) == {"type", "url", "method", "body", "expected_codes"}
    frame = encode(Start(Order(run="r", attempt=1, work=asked)))
    assert set(cbor2.loads(frame[4:])["order"]["work"]) == set(to_builtins(asked))
