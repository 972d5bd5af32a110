"""A remote job from its definition to its run, by a real server, its agent, and another server that is asked."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.system.lives import JOB, Lives

pytestmark = pytest.mark.system


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[Lives]:
    with Lives(tmp_path) as living:
        yield living


@pytest.fixture
def url() -> Iterator[str]:
    """A server that takes every job and answers every run 404 and a sentence."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            asks = self.path.endswith("/validate")
            content = b"true" if asks else b"nothing is here\n"
            self.send_response(200 if asks else 404)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=listener.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.server_port}"
    listener.shutdown()
    listener.server_close()
    thread.join()


def test_a_run_is_judged_by_what_its_job_expects(lives: Lives, url: str) -> None:
    call = {"url": url, "method": "post", "lenient": True, "expected_body": "is (here|there)$", "debug": True}
    made = lives.make(command="", type=1, remote_properties={**call, "headers": {"Cookie": ["a=secret"]}})
    lives.run_now(made)
    kept = lives.job(made)["remote_properties"]
    assert {key: kept[key] for key in call} == call
    call["expected_body"] = "is there$"
    changed = {**lives.job(made), "remote_properties": call}
    assert lives.call("PUT", f"{JOB}{made}/", changed)[0] == 200
    lives.run_now(made)
    lives.kill_and_restart()
    good, bad = lives.runs(made)
    assert (good["outcome"], good["reason"]) == ("succeeded", "")
    assert good["output"].startswith("> POST / HTTP/1.1\n")
    assert "> Cookie: (not shown)\n" in good["output"]
    assert good["output"].endswith("< \nnothing is here")
    assert (bad["outcome"], bad["reason"]) == ("failed", "expected_body was not found in the body of the answer")


@pytest.mark.parametrize(
    ("call", "field"),
    [
        ({"expected_body": "("}, "remote_properties.expected_body"),
        ({"ca_file": "ca.pem"}, "remote_properties.ca_file"),
        ({"client_key_file": "/key.pem"}, "remote_properties.client_key_file"),
    ],
)
def test_what_no_request_may_ask_for_is_refused_by_its_name(
    lives: Lives, url: str, call: dict[str, str], field: str
) -> None:
    body = {"name": "r", "type": 1, "remote_properties": {"url": url, **call}}
    status, answer = lives.call("POST", JOB, body)
    assert (status, answer["field"]) == (400, field)
