"""Remote work: the executor that asks another server, and the question whether that server takes the job.

1. A request's timeout covers all of it, from the look-up of the name to the last byte of the answer.
2. Nothing of our environment takes part: no proxy, no .netrc, no certificate variable. No cookie is kept.
3. The answer's body is the attempt's stdout, byte for byte as it was sent, up to `limits.MAX_REMOTE_OUTPUT_BYTES`. Of a
   request that is to be debugged the lines of its exchange come before it.
4. httpx is imported, and its client made, at the first request and in a thread: both take long and much memory. One
   whose TLS is its own has a client of its own.
5. Every request has a connection of its own: one kept from before may be closed by the other side just when it is
   used again, and the attempt would have failed for nothing.
"""

import math
from functools import partial
from typing import TYPE_CHECKING

import trio
from msgspec.structs import replace

from kala_es import limits
from kala_es.executor import USUAL_TLS, AttemptEnd, Channel, Emit, Executor, Order, Remote, Tls
from kala_es.executors.body_search import BodySearch
from kala_es.executors.exchange_lines import answer_lines, request_lines
from kala_es.executors.tls import TlsUnusable, context_for

if TYPE_CHECKING:
    import httpx

_MAX_REDIRECTS = 10
_MAX_VALIDATION_BYTES = 1024
"""More than the answer `true` ever takes."""


class HttpExecutor:
    """The executor for `Remote` work. Call `aclose` when it is no longer needed.

    `processes` is for the searches of bodies; without it there is an executor of our own.
    """

    def __init__(self, processes: Executor | None = None) -> None:
        self._client: httpx.AsyncClient | None = None
        self._opening = trio.Lock()
        self._search = BodySearch(processes)
        self._threads = trio.CapacityLimiter(limits.TLS_FILES_AT_ONCE)
        """For files that may hang, as on a lost disk: the usual threads are everybody's."""

    async def execute(self, order: Order, emit: Emit) -> AttemptEnd:
        """Carry out the attempt, as the port says. The shorter of the order's and the work's timeout counts."""
        work = order.work
        if order.refused or not isinstance(work, Remote):
            return AttemptEnd(outcome="failed", reason=order.refused or "this is no work for another server")
        seconds = min(work.timeout, math.inf if order.timeout is None else order.timeout)
        answer = _Answer(emit, limits.MAX_REMOTE_OUTPUT_BYTES, limits.SEARCHED_BODY_BYTES if work.expected_body else 0)
        with trio.move_on_after(seconds) as limit:
            await self._ask(work, answer)
        if limit.cancelled_caught:
            reason = f"there was no whole answer within {seconds:g} s"
            return AttemptEnd(outcome="timed-out", http_status=answer.status, reason=reason)
        reason = answer.fault or _unexpected(work, answer.status)
        if work.expected_body and not reason:
            reason = await self._search.fault(work.expected_body, answer.first)
        if reason:
            return AttemptEnd(outcome="failed", http_status=answer.status, reason=reason)
        cut = f"only the first {limits.MAX_REMOTE_OUTPUT_BYTES} bytes of the answer were kept" if answer.cut else ""
        return AttemptEnd(outcome="succeeded", http_status=answer.status, reason=cut)

    async def validate(self, remote: Remote) -> str:
        """Ask the other server whether it takes this job: "" when it does, else a sentence that says why not."""
        content = bytearray()

        async def collect(_: Channel, piece: bytes) -> None:
            content.extend(piece)

        answer = _Answer(collect, _MAX_VALIDATION_BYTES)
        with trio.move_on_after(remote.timeout):
            await self._ask(replace(remote, method="POST", url=remote.url + "/validate", debug=False), answer)
            if answer.fault:
                return f"/validate: {answer.fault}"
            if answer.status != 200:
                return f"/validate answered {answer.status}, expected 200"
            return "" if content.strip() == b"true" and not answer.cut else "/validate did not answer `true`"
        return f"/validate did not answer within {remote.timeout} s"

    async def aclose(self) -> None:
        """Close what is open. A request after this opens it again."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def _ask(self, remote: Remote, answer: "_Answer") -> None:
        """Fill in the answer; what went wrong is its `fault`."""
        if remote.tls == USUAL_TLS:
            return await _exchange(await self._opened(), remote, answer)
        try:
            make = partial(_new_client, remote.tls)
            client = await trio.to_thread.run_sync(make, abandon_on_cancel=True, limiter=self._threads)
        except TlsUnusable as error:
            answer.fault = str(error)
            return
        try:
            await _exchange(client, remote, answer)
        finally:
            await client.aclose()

    async def _opened(self) -> "httpx.AsyncClient":
        async with self._opening:
            if self._client is None:
                self._client = await trio.to_thread.run_sync(_new_client)
            return self._client


class _Answer:
    """An answer as it comes in: its status, None before it is known, and its body, of which `room` bytes are kept, and
    the first of them, `to_search`, in `first` too."""

    def __init__(self, emit: Emit, room: int, to_search: int = 0) -> None:
        self.status: int | None = None
        self.fault = ""
        """What broke it off."""
        self.cut = False
        self._emit = emit
        self._room = room
        self._pending = b""
        self._to_search = to_search
        self.first = b""

    async def begin_with(self, lines: bytes) -> None:
        """Pass on what comes before the body, in any case."""
        self._pending += lines
        with trio.CancelScope(shield=True):
            await self._flush()

    async def read(self, response: "httpx.Response") -> None:
        """Pass the body on, in chunks that are full or old enough; what has come in leaves in any case."""
        send, receive = trio.open_memory_channel[bytes](0)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._fetch, response, send)
            try:
                with receive:
                    await self._pass_on(receive)
            finally:
                with trio.CancelScope(shield=True):
                    await self._flush()

    async def _fetch(self, response: "httpx.Response", send: trio.MemorySendChannel[bytes]) -> None:
        import httpx

        with send, trio.CancelScope() as enough:
            try:
                async for piece in response.aiter_raw():
                    # To be cancelled here would leave httpx's generators half-way; in their own waits they unwind.
                    with trio.CancelScope(shield=True):
                        try:
                            await send.send(piece)
                        except trio.BrokenResourceError:
                            enough.cancel()
            except httpx.HTTPError as error:
                self.fault = _said(error)

    async def _pass_on(self, pieces: trio.MemoryReceiveChannel[bytes]) -> None:
        due = math.inf
        while not self.cut:
            with trio.move_on_at(due) as pause:
                try:
                    piece = await pieces.receive()
                except trio.EndOfChannel:
                    return
            if pause.cancelled_caught:
                await self._flush()
            else:
                due = min(due, trio.current_time() + limits.CHUNK_SECONDS)
                await self._add(piece)
            if not self._pending:
                due = math.inf

    async def _add(self, piece: bytes) -> None:
        self.cut = len(piece) > self._room
        self._pending += piece[: self._room]
        self.first += piece[: min(self._room, self._to_search - len(self.first))]
        self._room -= min(len(piece), self._room)
        while len(self._pending) >= limits.CHUNK_BYTES:
            await self._let_one_go()

    async def _flush(self) -> None:
        while self._pending:
            await self._let_one_go()

    async def _let_one_go(self) -> None:
        chunk = self._pending[: limits.CHUNK_BYTES]
        await self._emit("stdout", chunk)
        self._pending = self._pending[len(chunk) :]


async def _exchange(client: "httpx.AsyncClient", remote: Remote, answer: _Answer) -> None:
    import httpx

    try:
        request = _request(client, remote)
        if remote.debug:
            await answer.begin_with(request_lines(request))
        response = await client.send(request, stream=True)
        try:
            answer.status = response.status_code
            if remote.debug:
                await answer.begin_with(answer_lines(response))
            await answer.read(response)
        finally:
            await response.aclose()
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
        answer.fault = _said(error)


def _unexpected(work: Remote, status: int | None) -> str:
    """Why this status is a failure; "" when it is none."""
    if work.lenient:
        return "" if status is not None and status < 500 else f"answered {status}, expected less than 500"
    expected = work.expected_codes or (200,)
    return "" if status in expected else f"answered {status}, expected {' or '.join(map(str, expected))}"


def _said(error: Exception) -> str:
    """A sentence; httpx leaves some of its errors, a bad certificate's say, without a word of their own."""
    cause: BaseException = error
    while not str(cause) and (deeper := cause.__cause__ or cause.__context__):
        cause = deeper
    return f"the request failed: {str(cause) or type(error).__name__}"


def _request(client: "httpx.AsyncClient", remote: Remote) -> "httpx.Request":
    """UnicodeError, httpx.InvalidURL when there is no such request."""
    headers = [(name.encode(), value.encode()) for name, value in remote.headers]
    if not any(name.lower() == b"content-type" for name, _ in headers):
        headers.append((b"Content-Type", b"application/json"))
    method = remote.method.upper() or "GET"
    return client.build_request(method, remote.url, headers=headers, content=remote.body.encode())


def _new_client(tls: Tls = USUAL_TLS) -> "httpx.AsyncClient":
    """Raises TlsUnusable."""
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    return httpx.AsyncClient(
        headers={"Accept-Encoding": "identity", "User-Agent": "kala_es"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=None,
        follow_redirects=True,
        max_redirects=_MAX_REDIRECTS,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
        verify=context_for(tls),
    )
