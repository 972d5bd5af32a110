"""`kala-es apply`: make the jobs of a server as files declare them; the difference is shown, then applied whole."""

import argparse
import sys
from pathlib import Path
from typing import Any

from kala_es.verbs import plans
from kala_es.verbs.asking import Failed, add_server, ask

_FAILED = 1


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb."""
    parser = verbs.add_parser("apply", help="make a server's jobs as files declare them")
    parser.set_defaults(verb=_apply)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="a YAML, JSON or TOML file, or a folder")
    parser.add_argument("--prune", action="store_true", help="delete jobs that were applied before and are not there")
    parser.add_argument("--dry-run", action="store_true", help="only show the difference")
    parser.add_argument(
        "--managed-by", metavar="NAME", default="apply", help="marks these jobs, and whose --prune deletes; apply"
    )
    add_server(parser)


def _apply(arguments: argparse.Namespace) -> int:
    from kala_es.verbs.job_files import read_all

    try:
        files, faults = read_all(arguments.paths)
        if faults:
            return _refuse(faults)
        request = {"jobs": files.jobs, "prune": arguments.prune, "managed_by": arguments.managed_by}
        plan = ask(arguments.server, plans.APPLY, {**request, "dry_run": True})
        refused = [row for row in plan["plan"] if row["action"] == "refused"]
        if refused:
            return _refuse([files.fault(row["id"], row["field"], row["reason"]) for row in refused])
        show(plan)
        if plans.changes(plan) and not arguments.dry_run:
            print(plans.summary(ask(arguments.server, plans.APPLY, request)))
    except Failed as error:
        print(f"kala-es: {error}", file=sys.stderr)
        return _FAILED
    return 0


def _refuse(faults: list[str]) -> int:
    from kala_es.verbs.job_files import told

    print(told(faults), file=sys.stderr)
    print(f"kala-es: nothing was applied: {len(faults)} fault{'s' if len(faults) > 1 else ''}", file=sys.stderr)
    return _FAILED


def show(plan: dict[str, Any]) -> None:
    """Print the plan, and how many jobs it is about."""
    for line in plans.lines(plan):
        print(line)
    print(plans.summary(plan))
