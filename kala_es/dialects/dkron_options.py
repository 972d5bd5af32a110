"""What Dkron's own executors publish of their `executor_config`: `shell` and `http`, as their readers take it.

A pattern says what a value looks like; whether it can be (a user that there is, a header that is one) the readers and
the rules say (dkron_work.py).
"""

from typing import Final

from kala_es.options import Option

_FLAG: Final = "|[01]|[tT]|[fF]|[tT][rR][uU][eE]|[fF][aA][lL][sS][eE]"
_PATH: Final = "|/.*"
_CODES: Final = " *(?:(?:[1-9][0-9]{2})? *, *)*(?:[1-9][0-9]{2})? *"
_DURATION: Final = r"|\+?(?:[0-9]*\.?[0-9]+(?:h|ms|m|s|us|µs|ns))+"
_SIZE: Final = r"\s*|\s*[0-9]{1,15}\s?[kKmMgGtT]?(?:[iI]?[bB])?\s*"
_BASE64: Final = "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"

SHELL: Final = (
    Option(key="command", about="what is run: split into words, or with `shell` a line of /bin/sh", required=True),
    Option(key="shell", about='"true": by `/bin/sh -c`', pattern=_FLAG),
    Option(key="env", about="`A=1,B=2`; a piece without = belongs to the value before it", pattern="|[^,]*=.*"),
    Option(key="cwd", about="the directory it runs in"),
    Option(key="su", about="`user[:group]` that it runs as"),
    Option(key="payload", about="base64 of what its stdin is", pattern=_BASE64),
    Option(key="timeout", about="how long an attempt may take, `1h30m`", pattern=_DURATION),
    Option(key="mem_limit", about="how much memory it may take, `256M`", pattern=_SIZE),
)
HTTP: Final = (
    Option(key="url", about="what is requested", required=True),
    Option(key="method", about="GET without"),
    Option(key="headers", about='a JSON array of `"Name: value"`'),
    Option(key="body", about="what is sent"),
    Option(key="timeout", about="seconds for the whole of it", pattern="[0-9]{0,9}"),
    Option(key="expectCode", about="`200,206`; without it any answer below 500 is a success", pattern=_CODES),
    Option(key="expectBody", about="a regular expression that has to be found in the answer's body"),
    Option(key="debug", about='"true": the output begins with the lines of request and answer', pattern=_FLAG),
    Option(key="tlsNoVerifyPeer", about='"true": any certificate will do', pattern=_FLAG),
    Option(key="tlsCertificateFile", about="the certificate to show: an absolute path on the server", pattern=_PATH),
    Option(key="tlsCertificateKeyFile", about="its key, if that is in another file", pattern=_PATH),
    Option(key="tlsRootCAsFile", about="the certificates to trust: an absolute path on the server", pattern=_PATH),
)
