"""`kala-es import --from` against a real server, with lists recorded from the originals, each twice."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.databases import postgres
from tests.programs import needs
from tests.servers import Server, kala_es
from tests.system.originals import CONTRACT, dkron, nextkala, served

pytestmark = pytest.mark.system


def take(server: Server, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return kala_es("import", *arguments, "--server", server.url)


def is_uuid(text: str) -> bool:
    return re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", text) is not None


def test_a_list_of_nextkalas_is_taken_from_a_file_and_from_its_server(tmp_path: Path) -> None:
    file = CONTRACT / "kala-list.json"
    jobs = json.loads(file.read_bytes())["jobs"]
    with Server.start(tmp_path / "server") as server:
        shown = take(server, "--from", "nextkala", str(file), "--dry-run")
        assert server.get("/api/v1/job/").json == {"jobs": {}}
        first = take(server, "--from", "nextkala", str(file))
        assert first.returncode == 1, first.stderr
        assert first.stdout.replace("created", "to be created") == shown.stdout
        refused = [line for line in first.stdout.splitlines() if line.startswith("refused ")]
        taken = server.get("/api/v1/job/").json["jobs"]
        assert len(taken) + len(refused) == len(jobs)
        assert "refused 34710f61-a7a0-4bb1-475e-878b2d4c391f: parent_jobs: there is no job 'no-such-id'" in refused
        parent = "5633238a-6841-4619-4db1-49a9843541c0"
        kept = ("name", "command", "schedule", "parent_jobs")
        assert [taken[parent][key] for key in kept] == [jobs[parent][key] for key in kept]
        for key, value in jobs[parent]["metadata"].items():
            kept_value = taken[parent]["metadata"][key]
            assert kept_value == value or value.startswith(kept_value.removesuffix("Z"))  # microseconds, not finer
        children = [[each for each in listing[parent]["dependent_jobs"] if each in taken] for listing in (taken, jobs)]
        assert children[0] == children[1]
        assert taken["b4baa593-c0af-4bce-5ce6-0974bed18c5b"]["disabled"] is True
        assert server.get("/api/v1/stats/").json["Stats"]["error_count"] == sum(
            jobs[job]["metadata"]["error_count"] for job in taken
        )
        before = server.get("/api/v1/job/").body
        with served(nextkala(file.read_bytes(), [])) as original:
            again = take(server, "--from", "nextkala", original.url)
        last = [f"{len(taken)} unchanged, {len(refused)} refused", "runs: 0 taken, 0 known"]
        assert again.stdout.splitlines()[-2:] == last
        assert server.get("/api/v1/job/").body == before
        runs = [server.get(f"/api/v1/job/{job}/executions/").json["job_stats"] for job in taken if job.isascii()]
        assert not any(runs)


def test_a_list_of_dkrons_is_taken_from_its_server_and_from_a_file(tmp_path: Path) -> None:
    file = CONTRACT / "dkron-jobs.json"
    with Server.start(tmp_path / "server") as server:
        with served(dkron(file.read_bytes(), [])) as original:
            first = take(server, "--from", "dkron", original.url)
        assert "create j1\n" in first.stdout
        assert "note j1: tags: only a server that has them carries the job out; name them by --tag\n" in first.stdout
        assert "refused ci: executor: a job needs one: shell, http, or one that a package brings\n" in first.stdout
        taken = server.get("/api/v1/job/").json["jobs"]
        assert list(taken) == ["j1", "kid"]
        assert taken["kid"]["parent_jobs"] == ["j1"]
        assert taken["j1"]["metadata"]["success_count"] == 1
        again = take(server, "--from", "dkron", str(file))
        assert again.stdout.splitlines()[-1] == "2 unchanged, 2 refused"


def test_a_job_that_does_not_come_from_there_is_not_written_over(tmp_path: Path) -> None:
    with Server.start(tmp_path / "server") as server:
        mine = {"id": "kid", "name": "mine", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/P1D"}
        assert server.send("POST", "/api/v1/job/", mine).status == 201
        done = take(server, "--from", "dkron", str(CONTRACT / "dkron-jobs.json"))
        assert "refused kid: id: there is a job with this id that does not come from there" in done.stdout
        assert server.get("/api/v1/job/kid/").json["job"]["name"] == "mine"


def test_nextkalas_table_of_jobs_is_taken_twice_from_beside_the_log_and_the_password_is_nowhere(tmp_path: Path) -> None:
    jobs = {
        job: row for job, row in json.loads((CONTRACT / "kala-list.json").read_bytes())["jobs"].items() if is_uuid(job)
    }
    assert len(jobs) > 5
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"jobs": jobs}))
    with postgres() as database, Server.start(tmp_path / "server", "--log", database.url()) as server:
        database.execute("CREATE TABLE jobs (id uuid PRIMARY KEY, job jsonb)")
        database.execute("CREATE TABLE job_runs (id uuid PRIMARY KEY, job_id uuid NOT NULL, run jsonb)")
        nothing = take(server, "--from", "nextkala", database.url())
        assert (nothing.returncode, server.get("/api/v1/job/").json) == (0, {"jobs": {}}), nothing.stderr
        for job, row in jobs.items():
            database.execute(f"INSERT INTO jobs VALUES ('{job}', $job${json.dumps(row)}$job$)")
        shown = take(server, "--from", "nextkala", str(file), "--dry-run")
        first = take(server, "--from", "nextkala", database.url())
        assert sorted(first.stdout.splitlines()) == sorted(
            [*shown.stdout.replace("to be created", "created").splitlines(), "runs: 0 taken, 0 known"]
        )
        taken = server.get("/api/v1/job/").json["jobs"]
        assert len(taken) > 5
        place = f"127.0.0.1:{database.port}/postgres"
        take(server, "--from", "nextkala", f"postgresql://{place}?user=kala&password=se%20cret%2F%40")
        assert server.get("/api/v1/job/").json["jobs"] == taken
        assert database.execute("SELECT count(*) FROM jobs") == f"{len(jobs)}\n"
        for url, named in (
            (database.url("wr%6Fng"), f"postgresql://kala@{place}"),
            (f"postgres://kala@{place}?password=wr%6Fng", f"postgres://kala@{place}"),
        ):
            wrong = take(server, "--from", "nextkala", url)
            assert (wrong.returncode, "password authentication failed" in wrong.stderr) == (1, True), wrong.stderr
            assert (f"{named}: " in wrong.stderr, "wrong" in wrong.stderr, "%6F" in wrong.stderr) == (
                True,
                False,
                False,
            )


TELLING_PSQL = """#!/bin/sh
{ echo "$@"; echo "$PGPASSWORD"; /bin/cat "$PGSERVICEFILE"; echo "$PGSERVICEFILE"; } > "$0.told"
echo '{"jobs": {}}'
"""


def test_passwords_go_to_psql_where_nobody_else_reads_them(tmp_path: Path) -> None:
    psql = tmp_path / "psql"
    psql.write_text(TELLING_PSQL)
    psql.chmod(0o755)
    flags = ("import", "--dry-run", "--no-runs", "--from", "nextkala")
    url = "postgresql://a:old@h/x?password=o%70en&sslmode=require&sslpassword=sesame%20%23"
    with Server.start(tmp_path / "server") as server:
        done = kala_es(*flags, url, "--server", server.url, env={"PATH": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    arguments, password, *service, file = (tmp_path / "psql.told").read_text().splitlines()
    assert arguments.endswith(" postgresql://a@h/x?sslmode=require")
    assert (password, service) == ("open", ["[kala_es]", "sslpassword=sesame #"])
    assert not Path(file).exists()


def test_a_database_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    needs("psql", "postgresql")
    query = "postgresql://127.0.0.1:9/x?user=a"
    for url, path, reason in (
        ("postgresql://127.0.0.1:9/", str(tmp_path), "psql, which reads it, cannot be started: No such file"),
        ("postgres://a:sesame@[::1/", os.environ["PATH"], "a database's URL is postgresql://"),
        ("postgresql://a:sesame@127.0.0.1:9/x", os.environ["PATH"], "postgresql://a@127.0.0.1:9/x: "),
        ("postgresql://a:#sesame?@127.0.0.1:9/x", os.environ["PATH"], "postgresql://a@127.0.0.1:9/x: "),
        (f"{query}&password=sesame&sslpassword=sesame", os.environ["PATH"], f"{query}: "),
        (f"{query}&sslpassw%6Frd=sesame%0A", os.environ["PATH"], "sslpassword: holds a character"),
        (f"{query}&sslpassword=sesame&service=s", os.environ["PATH"], f"{query}&service=s: a sslpassword beside"),
    ):
        done = kala_es("import", "--from", "nextkala", url, env={"PATH": path})
        assert (done.returncode, reason in done.stderr, "sesame" in done.stderr) == (1, True, False), done.stderr


def test_what_cannot_be_read_is_said(tmp_path: Path) -> None:
    (tmp_path / "list.json").write_text("{}")
    for arguments, reason in (
        (["dkron", str(tmp_path / "none.json")], "No such file"),
        (["dkron", str(tmp_path / "list.json")], "Dkron's list of jobs is an array"),
        (["nextkala", str(tmp_path / "list.json")], "jobs: NextKala's list is an object"),
        (["nextkala", "mysql://127.0.0.1:9/"], "mysql: no such source of nextkala's jobs is known"),
        (["dkron", "postgresql://127.0.0.1:9/"], "an http or https URL, or a file"),
        (["nextkala", "http://127.0.0.1:9"], "http://127.0.0.1:9/api/v1/job/: "),
    ):
        done = kala_es("import", "--from", *arguments)
        assert (done.returncode, reason in done.stderr) == (1, True), done.stderr
