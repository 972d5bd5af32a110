"""Faults in files of jobs are told in so many words, whatever is in the files."""

import json
from pathlib import Path

from kala_es import limits
from kala_es.verbs.job_files import read_all, told


def test_a_fault_that_holds_a_large_value_is_cut_in_its_middle(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    file.write_text(json.dumps({"jobs": {"a": {"name": ["x" * 1_000_000]}, "b": {"name": "n", "k" * 1_000: 1}}}))
    (name, key), most = read_all([file])[1], limits.MAX_FAULT_CHARS + len(f"{file}:1:1000030:  ... ")
    assert name.startswith(f"{file}:1:25: jobs.a.name: ['xxx")
    assert name.endswith("xxx'] is not of type 'string'")
    assert key.endswith("kkk: there is no such key")
    assert max(len(name), len(key)) <= most
    found, _ = read_all([])
    assert len(found.fault("a", "name", "y" * 1_000_000)) <= most


def test_of_many_faults_the_first_are_shown_and_the_others_counted(tmp_path: Path) -> None:
    file = tmp_path / "jobs.json"
    many = limits.MAX_FAULTS + 1
    file.write_text(json.dumps({"jobs": {f"{i:03}": {"name": i} for i in range(many)}}))
    _, faults = read_all([file])
    assert len(faults) == many
    lines = told(faults).splitlines()
    assert (len(lines), lines[-1]) == (limits.MAX_FAULTS + 1, "... and 1 more")
    assert lines[:-1] == faults[:-1]
    assert told(faults[:-1]).splitlines() == faults[:-1]
