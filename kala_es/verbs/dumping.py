"""`kala-es dump`: a server's jobs in the form that `kala-es apply` reads."""

import argparse
import json
import sys
from typing import Any
from urllib.parse import quote

from kala_es import limits
from kala_es.dialects.kala_declared import without_children
from kala_es.verbs.asking import Failed, add_server, ask

_UNSAFE = ("\x85", "\u2028", "\u2029", "\ufeff")
"""What YAML writes plainly and reads back as something else."""


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("dump", help="write a server's jobs as a file for `apply`")
    parser.set_defaults(verb=_dump)
    parser.add_argument("--format", choices=("yaml", "json", "toml"), default="yaml", help="yaml if not given")
    add_server(parser)


def _dump(arguments: argparse.Namespace) -> int:
    try:
        jobs = without_children(all_jobs(arguments.server))
    except Failed as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    sys.stdout.buffer.write(written({"jobs": jobs}, arguments.format).encode())
    return 0


def all_jobs(server: str) -> dict[str, dict[str, Any]]:
    """Every job of a server, a page at a time, in order of id. Raises Failed."""
    jobs: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        page = ask(server, f"/api/v1/job/?limit={limits.MAX_PAGE}&after={quote(after, safe='')}")["jobs"]
        if page.keys() & jobs.keys():
            raise Failed(f"{server}: does not answer as kala_es does: it lists all jobs again and again")
        jobs |= page
        if len(page) < limits.MAX_PAGE:
            return jobs
        after = max(page)


def written(value: dict[str, Any], form: str) -> str:
    """The value as a text of this form."""
    if form == "json":
        return json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if form == "toml":
        import tomli_w

        return tomli_w.dumps(value)
    import yaml

    text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True)
    if any(ending in text for ending in _UNSAFE):
        text = yaml.safe_dump(value, sort_keys=False)
    return str(text)
