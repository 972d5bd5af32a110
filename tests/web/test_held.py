"""What an answer holds while it is read counts until its end: moments of the past, archives on their way."""

from dataclasses import replace
from pathlib import Path

import pytest

from kala_es import limits
from kala_es.domain.errors import Invalid, Overloaded
from kala_es.runtime.archives import Archives
from kala_es.web.exchange import Parts, Request
from kala_es.web.job_list import list_jobs
from tests.replay.logs import fill
from tests.web.edges import Site, serving

AT = Request(method="GET", segments=("api", "v1", "job"), query={"at": "1"})


async def listed(site: Site, request: Request = AT) -> Parts:
    body = (await list_jobs(request, site.app._site)).body
    assert not isinstance(body, bytes)
    return body


async def read(parts: Parts) -> bytes:
    return b"".join([part async for part in parts])


async def test_a_moment_counts_until_its_list_is_read() -> None:
    async with serving() as site:
        await site.create("j")
        bodies = [await listed(site) for _ in range(limits.MAX_MOMENTS)]
        with pytest.raises(Overloaded, match="moments of the past are looked at already"):
            await listed(site)
        assert b'"j":{' in await read(bodies.pop())
        bodies.append(await listed(site, replace(AT, query={"at": "1", "limit": "1"})))
        with pytest.raises(Overloaded):
            await listed(site)
        bodies.clear()  # nobody has begun to read them: the client left
        bodies += [await listed(site) for _ in range(limits.MAX_MOMENTS)]


async def test_a_moment_that_cannot_be_shown_does_not_count() -> None:
    async with serving() as site:
        await site.create("j")
        for _ in range(2 * limits.MAX_MOMENTS):
            with pytest.raises(Invalid, match="the log ends at position 1"):
                await listed(site, replace(AT, query={"at": "99"}))
        assert await read(await listed(site))


async def test_an_archive_counts_until_it_is_sent(tmp_path: Path) -> None:
    await fill(tmp_path, 5)
    archives = Archives(tmp_path, tmp_path)
    files = [await archives.make(after=0, output=True) for _ in range(limits.MAX_EXPORTS)]
    with pytest.raises(Overloaded, match="are being made, or sent, already"):
        await archives.make(after=0, output=True)
    files.pop().close()
    with pytest.raises(Invalid, match="ends at position 5"):
        await archives.make(after=99, output=True)
    files.append(await archives.make(after=0, output=True))
    for file in files:
        file.close()
