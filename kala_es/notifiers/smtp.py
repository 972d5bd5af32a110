"""Notices by mail: one connection each, by the standard library's client on a thread.

1. Port 465 speaks TLS from the beginning; any other must offer STARTTLS. With `skip_verify` (the original's
   `mailer.skipVerify`) certificates are not checked, and a server without STARTTLS is spoken to in the clear.
2. The password is in no record, message or reason.
3. What the server refuses for good (5xx for the recipient or the text) is "refused"; all else may go better later.
"""

import smtplib
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import formatdate
from functools import partial
from typing import Final

import trio

from kala_es import limits
from kala_es.notifier import Message, Sent
from kala_es.settings import Settings

_TLS_PORT: Final = 465
_THREADS: Final = 4
"""One that was left to itself, because its server said nothing, ends by its own time limit."""
_FOR_GOOD: Final = 500
_MAILTO: Final = "mailto:"
_NO_SERVER: Final = "no mail server is set (--mailer-host)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mailer:
    """The mail server, and who writes."""

    host: str = ""
    port: int = 587
    username: str = ""
    password: str = field(default="", repr=False)
    from_address: str = ""
    skip_verify: bool = False


def mailer_of(settings: Settings) -> Mailer:
    """The mail server that the settings name. Raises OSError when the password's file cannot be read."""
    password = settings.mailer_password
    if settings.mailer_password_file is not None:
        password = settings.mailer_password_file.read_text("utf-8", "replace").removesuffix("\n")
    return Mailer(
        host=settings.mailer_host,
        port=settings.mailer_port,
        username=settings.mailer_username,
        password=password,
        from_address=settings.mailer_from_address or f"kala_es@{socket.gethostname()}",
        skip_verify=settings.mailer_skip_verify,
    )


class SmtpNotifier:
    """The adapter. Without a host it refuses."""

    def __init__(self, mailer: Mailer | None = None) -> None:
        self._mailer = mailer or Mailer()
        self._threads = trio.CapacityLimiter(_THREADS)

    async def send(self, message: Message) -> Sent:
        """Mail it, as the port says."""
        if not self._mailer.host:
            return Sent(outcome="refused", reason=_NO_SERVER)
        mail = partial(_mail, self._mailer, message)
        return await trio.to_thread.run_sync(mail, abandon_on_cancel=True, limiter=self._threads)


class _Unsafe(Exception):
    """The server offers no TLS."""


def _mail(mailer: Mailer, message: Message) -> Sent:
    address = message.to.removeprefix(_MAILTO)
    try:
        server = _connected(mailer)
        try:
            _secure(server, mailer)
            if mailer.username:
                server.login(mailer.username, mailer.password)
            server.send_message(_written(mailer, message, address), mailer.from_address, [address])
        except BaseException:
            server.close()
            raise
    except smtplib.SMTPRecipientsRefused as error:
        return _refused(*next(iter(error.recipients.values()), (_FOR_GOOD, b"the recipient was refused")))
    except smtplib.SMTPDataError as error:
        return _refused(error.smtp_code, error.smtp_error)
    except smtplib.SMTPResponseException as error:
        return Sent(outcome="failed", status=error.smtp_code, reason=_text(error.smtp_error))
    except (smtplib.SMTPException, OSError, ValueError, _Unsafe) as error:
        return Sent(outcome="failed", reason=f"the mail failed: {error or type(error).__name__}")
    with suppress(smtplib.SMTPException, OSError):  # it was taken; how the server says goodbye does not matter
        server.quit()
    server.close()
    return Sent(outcome="delivered", status=250)


def _connected(mailer: Mailer) -> smtplib.SMTP:
    name, seconds = socket.gethostname(), limits.NOTICE_SECONDS
    if mailer.port == _TLS_PORT:
        return smtplib.SMTP_SSL(mailer.host, mailer.port, name, context=_context(mailer), timeout=seconds)
    return smtplib.SMTP(mailer.host, mailer.port, name, timeout=seconds)


def _secure(server: smtplib.SMTP, mailer: Mailer) -> None:
    if isinstance(server, smtplib.SMTP_SSL):
        return
    server.ehlo_or_helo_if_needed()
    if server.has_extn("starttls"):
        server.starttls(context=_context(mailer))
    elif not mailer.skip_verify:
        raise _Unsafe("the server offers no STARTTLS; --mailer-skip-verify would speak to it in the clear")


def _context(mailer: Mailer) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if mailer.skip_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _written(mailer: Mailer, message: Message, address: str) -> EmailMessage:
    mail = EmailMessage(policy=SMTP)
    mail["From"] = mailer.from_address
    mail["To"] = address
    mail["Subject"] = message.subject
    mail["Date"] = formatdate()
    mail["Message-ID"] = f"<{message.id}@kala-es>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.body)
    return mail


def _refused(code: int, reason: bytes | str) -> Sent:
    return Sent(outcome="refused" if code >= _FOR_GOOD else "failed", status=code, reason=_text(reason))


def _text(reason: bytes | str) -> str:
    return reason.decode("utf-8", "replace") if isinstance(reason, bytes) else reason
