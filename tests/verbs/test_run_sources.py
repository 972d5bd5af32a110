"""Where the runs of another scheduler's jobs are read, and what is read once."""

import pytest

from kala_es import limits
from kala_es.verbs.run_sources import runs_of
from tests.system.originals import Original, served


def test_a_list_of_jobs_has_no_runs() -> None:
    for source in ("list.json", "http://127.0.0.1:9/dump/list.json", "https://127.0.0.1:9/v1/jobs"):
        assert runs_of("nextkala", source, ["j"]) is None


@pytest.mark.parametrize("path", ["", "/", "/api/v1/job", "/api/v1/job/?q=x", "/behind/a/proxy/api/v1/job/"])
def test_the_list_may_be_anywhere(path: str) -> None:
    with served(lambda _: b'{"job_stats": []}') as original:
        pages = runs_of("nextkala", original.url + path, ["a/b", "ü"])
        assert pages is not None
        assert [(page.job, page.runs, page.refused) for page in pages] == [("a/b", [], []), ("ü", [], [])]
        before = "/behind/a/proxy" if "proxy" in path else ""
        asked = [f"{before}/api/v1/job/{job}/executions/" for job in ("a%2Fb", "%C3%BC")]
        assert original.asked == asked


def refused(original: Original, jobs: str) -> list[str]:
    pages = runs_of("nextkala", original.url, jobs.split())
    assert pages is not None
    return [page.job for page in pages if page.refused]


def test_lists_that_are_too_large_are_not_asked_for_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_BULK_BODY_BYTES", 100)
    with served(lambda _: b"x" * 101) as original:
        assert refused(original, "a b c d") == ["a", "b", "c", "d"]
        assert len(original.asked) == 2
    with served(lambda path: b"x" * 101 if "big" in path else b'{"job_stats": []}') as original:
        assert refused(original, "big1 a big2 b") == ["big1", "big2"]
