"""The TLS of one request: whom it trusts and whom it claims to be, from files that are read for it.

To be called in a thread: files may be slow, and the usual authorities are many.
"""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from kala_es.executor import Tls


class TlsUnusable(Exception):
    """A file is not what it should be; the sentence names its key and says why."""


def context_for(tls: Tls) -> ssl.SSLContext:
    """Raises TlsUnusable. Without `verify` any certificate will do."""
    context = _trusting(tls)
    certificate, key = tls.client_certificate_file, tls.client_key_file
    if certificate:
        _check_readable("client_certificate_file", certificate)
    if key:
        _check_readable("client_key_file", key)
    if certificate:
        with _blaming(f"client_certificate_file {certificate} with its key"):
            # Without a password OpenSSL would ask for one, on the terminal.
            context.load_cert_chain(certificate, key or None, password="")
    return context


def _trusting(tls: Tls) -> ssl.SSLContext:
    import httpx

    if not tls.verify or not tls.ca_file:
        return httpx.create_ssl_context(verify=tls.verify, trust_env=False)
    _check_readable("ca_file", tls.ca_file)
    with _blaming(f"ca_file {tls.ca_file}"):
        return ssl.create_default_context(cafile=tls.ca_file)


def _check_readable(key: str, path: str) -> None:
    """OpenSSL does not say which file it means."""
    try:
        with open(path, "rb"):
            return
    except OSError as error:
        raise TlsUnusable(f"{key} {path} cannot be read ({error.strerror})") from error


@contextmanager
def _blaming(what: str) -> Iterator[None]:
    try:
        yield
    except ssl.SSLError as error:
        said = error.reason.lower().replace("_", " ") if error.reason else "no PEM, or a key with a password"
        raise TlsUnusable(f"{what} cannot be used ({said})") from error
    except OSError as error:
        raise TlsUnusable(f"{what} cannot be read ({error.strerror})") from error
