"""Notices to a URL: one POST each. Any 2xx is "delivered".

1. Nothing of our environment takes part: no proxy, no .netrc, no certificate variable. No cookie is kept.
2. Redirects are not followed: what the headers hold is for the URL that the job names.
3. `Idempotency-Key` is the notice's id. Of the answer only the status is read.
4. httpx is imported, and its client made, at the first request and in a thread: both take long and much memory.
"""

from typing import TYPE_CHECKING

import trio

from kala_es.notifier import Message, Sent

if TYPE_CHECKING:
    import httpx


class WebhookNotifier:
    """The adapter."""

    def __init__(self) -> None:
        self._client: httpx.AsyncClient | None = None
        self._opening = trio.Lock()

    async def send(self, message: Message) -> Sent:
        """POST it, as the port says."""
        client = await self._opened()
        import httpx

        try:
            headers = [(name.encode(), value.encode()) for name, value in _headers(message)]
            request = client.build_request("POST", message.to, headers=headers, content=message.body.encode())
            response = await client.send(request, stream=True)
            await response.aclose()
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            return Sent(outcome="failed", reason=f"the request failed: {_said(error)}")
        if response.is_success:
            return Sent(outcome="delivered", status=response.status_code)
        redirect = ", and redirects are not followed" if response.is_redirect else ""
        return Sent(outcome="failed", status=response.status_code, reason=f"answered {response.status_code}{redirect}")

    async def _opened(self) -> "httpx.AsyncClient":
        async with self._opening:
            if self._client is None:
                self._client = await trio.to_thread.run_sync(_new_client)
            return self._client


def _headers(message: Message) -> tuple[tuple[str, str], ...]:
    given = {name.lower() for name, _ in message.headers}
    ours = (("Content-Type", "application/json"), ("Idempotency-Key", message.id))
    return (*message.headers, *(header for header in ours if header[0].lower() not in given))


def _said(error: Exception) -> str:
    """A sentence; httpx leaves some of its errors, a bad certificate's say, without a word of their own."""
    cause: BaseException = error
    while not str(cause) and (deeper := cause.__cause__ or cause.__context__):
        cause = deeper
    return str(cause) or type(error).__name__


def _new_client() -> "httpx.AsyncClient":
    from http.cookiejar import CookieJar, DefaultCookiePolicy

    import httpx

    return httpx.AsyncClient(
        headers={"User-Agent": "kala_es"},
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=None,
        follow_redirects=False,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=0),
        trust_env=False,
    )
