"""`kala-es replay`: what a log knows of the past, and what its jobs will do. Nothing is written."""

import argparse

from kala_es.verbs import simulating


def add(verbs: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the verb, and its own."""
    parser = verbs.add_parser("replay", help="look into a log: what happened, what would come; read-only")
    inner = parser.add_subparsers(metavar="WHAT", required=True)
    for verb in (simulating,):
        verb.add(inner)
