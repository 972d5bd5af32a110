"""Files that declare jobs: `jobs:`, a map from id to definition, in YAML, JSON or TOML; one file, or a folder of them.

All files are read as one. What is wrong is said with file, line, column, job and key, all of it at once: at most
`MAX_FAULTS`, none of them longer than `MAX_FAULT_CHARS` after its place.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from kala_es import limits
from kala_es.verbs.asking import Failed, read_file
from kala_es.verbs.places import Placed, Spot, Trail, Unreadable, read
from kala_es.web.file_schema import jobs_file

FORMS: Final = {".yaml": "yaml", ".yml": "yaml", ".json": "json", ".toml": "toml"}
_STEP: Final = re.compile(r"[^.\[\]]+")


@dataclass(slots=True)
class JobFiles:
    """The jobs of all files, and the file of each."""

    jobs: dict[str, Any] = field(default_factory=dict)
    sources: dict[str, tuple[Path, Placed]] = field(default_factory=dict)

    def fault(self, job: str, key: str, reason: str) -> str:
        """A line for what is wrong about a job's key, such as `remote_properties.url` or `notify[0].to`."""
        where = f"jobs.{job}.{key}".rstrip(".")
        if job not in self.sources:
            return _bounded(f"{where}: {reason}")
        file, placed = self.sources[job]
        steps = [int(step) if step.isdecimal() else step for step in _STEP.findall(key)]
        return _line(file, placed.spot(("jobs", job, *steps)), f"{where}: {reason}")


def told(faults: Sequence[str]) -> str:
    """The faults as lines, as many as are shown."""
    more = len(faults) - limits.MAX_FAULTS
    return "\n".join([*faults[: limits.MAX_FAULTS], *([f"... and {more} more"] if more > 0 else [])])


def _line(file: Path, spot: Spot, what: str) -> str:
    return f"{file}:{spot[0]}:{spot[1]}: {_bounded(what)}"


def _bounded(what: str) -> str:
    """A reason may hold all of a value: how it begins and how it ends says enough."""
    half = limits.MAX_FAULT_CHARS // 2
    return what if len(what) <= 2 * half else f"{what[:half]} ... {what[-half:]}"


def read_all(paths: Sequence[Path]) -> tuple[JobFiles, list[str]]:
    """The jobs of files and folders, and a line for each fault. Raises Failed when there is nothing to read."""
    found, faults, left = JobFiles(), list[str](), limits.MAX_BULK_BODY_BYTES
    validator = Draft202012Validator(jobs_file())
    for file in _files(paths):
        content = read_file(str(file))
        left -= len(content)
        if left < 0:
            raise Failed(f"{file}: the files are more than {limits.MAX_BULK_BODY_BYTES} bytes together")
        try:
            placed = read(content.decode(), FORMS[file.suffix.lower()])
        except UnicodeDecodeError:
            faults.append(_line(file, (1, 1), "not UTF-8"))
        except Unreadable as error:
            faults.append(_line(file, error.spot, str(error)))
        else:
            wrong = list(_faults(file, placed, validator))
            faults += wrong or _take(found, file, placed)
    return found, faults


def _files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            inside = sorted(file for file in path.rglob("*") if file.suffix.lower() in FORMS and file.is_file())
            if not inside:
                raise Failed(f"{path}: no file in it ends in {', '.join(FORMS)}")
            yield from inside
        elif path.suffix.lower() in FORMS:
            yield path
        else:
            raise Failed(f"{path}: does not end in {', '.join(FORMS)}")


def _faults(file: Path, placed: Placed, validator: Draft202012Validator) -> Iterator[str]:
    """In the order in which they stand."""
    found = [fault for error in validator.iter_errors(placed.value) for fault in _told(error, placed)]
    for spot, path, reason in sorted(found, key=lambda fault: fault[0]):
        where = ".".join(map(str, path))
        yield _line(file, spot, f"{where}: {reason}" if where else reason)


def _told(error: ValidationError, placed: Placed) -> Iterator[tuple[Spot, Trail, str]]:
    path = tuple(error.absolute_path)
    if error.validator == "additionalProperties" and isinstance(error.instance, dict):
        schema = error.schema
        known = schema["properties"] if isinstance(schema, Mapping) else {}
        for key in [key for key in error.instance if key not in known]:
            yield placed.key_spot((*path, key)), (*path, key), "there is no such key"
    else:
        yield placed.spot(path), path, error.message


def _take(found: JobFiles, file: Path, placed: Placed) -> list[str]:
    faults: list[str] = []
    for job, value in placed.value["jobs"].items():
        if job in found.sources:
            spot = placed.key_spot(("jobs", job))
            faults.append(_line(file, spot, f"jobs.{job}: is in {found.sources[job][0]} already"))
        found.jobs[job], found.sources[job] = value, (file, placed)
    return faults
