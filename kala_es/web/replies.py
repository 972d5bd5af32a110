"""Answers and parameters that many routes share, as their rows name them."""

from typing import Final

from kala_es import limits
from kala_es.web.table import Parameter, Reply

DONE: Final = Reply(status=204, about="Done, and durable.")
NO_JOB: Final = Reply(status=404, about="There is no such job.", schema="Error")
WRONG: Final = Reply(status=400, about="The request is wrong; the answer says where.", schema="Error")
FORBIDDEN: Final = Reply(status=403, about="A setting of this server, or the remote side, forbids it.", schema="Error")
NO_RUN: Final = Reply(status=404, about="There is no such run.", schema="Error")
LARGE: Final = Reply(status=413, about="The body is too large.", schema="Error")
KEY_USED: Final = Reply(status=422, about="The idempotency key was used for another request.", schema="Error")
BUSY: Final = Reply(status=503, about="A limit was reached, or the server is stopping; try again.", schema="Error")
FULL: Final = Reply(status=507, about="The disk has no room; nothing was recorded.", schema="Error")
KEY: Final = Parameter(
    name="Idempotency-Key", kind="string", about="Repeats of this request are given its first answer.", where="header"
)
LIMIT: Final = Parameter(
    name="limit", kind="integer", about=f"At most so many, 1 to {limits.MAX_PAGE}; the next page is in the Link header."
)
