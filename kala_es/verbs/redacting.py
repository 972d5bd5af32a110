"""`kala-es redact`: erase what a run printed, such as a secret, and leave who asked for it, when and why."""

import argparse
import os
import sys
from urllib.parse import quote

from kala_es.verbs.asking import Failed, add_server, ask


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("redact", help="erase what a run printed")
    parser.set_defaults(verb=_redact)
    parser.add_argument("--run", required=True, metavar="ID", help="the run, which must be over")
    parser.add_argument(
        "--reason", required=True, metavar="TEXT", help="why; it is kept, so it must not say the secret"
    )
    add_server(parser)


def _redact(arguments: argparse.Namespace) -> int:
    try:
        run = quote(os.fsencode(arguments.run), safe="")
        ask(arguments.server, f"/api/v1/job/-/executions/{run}/redact/", {"reason": arguments.reason})
    except Failed as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return 1
    print(f"kala-es: the output of {arguments.run} is erased")
    return 0
