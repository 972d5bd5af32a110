"""`kala-es import --from` takes the jobs' runs too: from servers and tables in the recorded shapes, each twice."""

import json
from pathlib import Path
from typing import Any

import pytest

from kala_es.domain.ids import JobId, run_imported
from tests.databases import postgres
from tests.servers import Server
from tests.system.originals import CONTRACT, HELLO, Execution, dkron, nextkala, recorded_executions, served
from tests.system.test_importing import is_uuid, take

pytestmark = pytest.mark.system
LIST = (CONTRACT / "kala-list.json").read_bytes()
DKRON = (CONTRACT / "dkron-jobs.json").read_bytes()


def runs_of(server: Server, job: str) -> list[dict[str, Any]]:
    runs: list[dict[str, Any]] = server.get(f"/api/v1/job/{job}/executions/").json["job_stats"]
    return runs


def counters(server: Server) -> dict[str, Any]:
    stats: dict[str, Any] = server.get("/api/v1/stats/").json["Stats"]
    return {key: value for key, value in stats.items() if key != "created"}  # when it was made


def past(job: str, name: str, second: int, **fields: Any) -> Execution:
    """An execution as NextKala has it."""
    ran_at = f"2020-01-01T00:{second // 60:02}:{second % 60:02}Z"
    usual = {"number_of_retries": 0, "status": "Success", "execution_duration": 1_000_000, "output": "x"}
    return {"id": name, "job_id": job, "ran_at": ran_at, **usual, **fields}


@pytest.mark.parametrize("of_all", [True, False])
def test_runs_of_a_nextkala_are_taken_once(tmp_path: Path, of_all: bool) -> None:
    executions = recorded_executions()
    with Server.start(tmp_path / "server") as server, served(nextkala(LIST, executions, of_all=of_all)) as original:
        shown = take(server, "--from", "nextkala", original.url, "--dry-run")
        assert shown.stdout.splitlines()[-1] == "runs: 9 to be taken, 0 known, 1 refused"
        original.asked.clear()
        first = take(server, "--from", "nextkala", original.url)
        assert len(original.asked) == 2 if of_all else len(original.asked) > 20, "its list of all jobs is read once"
        lines = first.stdout.splitlines()
        assert lines[-1] == "runs: 9 taken, 0 known, 1 refused"
        assert "runs b4baa593-c0af-4bce-5ce6-0974bed18c5b: 2 taken" in lines
        odd = "fc212ea1-98be-49d0-4744-a3a43b4cb6d0: executions.a07efdeb-54e7-45f8-602e-f22d2cc13f93.status"
        assert f"refused {odd}: '' does not say how it ended" in lines
        taken = server.get("/api/v1/job/").json["jobs"]
        counted = counters(server)
        for execution in executions:
            if execution["status"] and execution["job_id"] in taken:
                check_taken(execution, runs_of(server, execution["job_id"]))
        again = take(server, "--from", "nextkala", original.url)
        assert again.stdout.splitlines()[-1] == "runs: 0 taken, 9 known, 1 refused"
        assert server.get("/api/v1/job/").json["jobs"] == taken
        assert counters(server) == counted


def check_taken(execution: Execution, runs: list[dict[str, Any]]) -> None:
    """The run that an execution became says what it said."""
    (run,) = [run for run in runs if run["imported"]["id"] == execution["id"]]
    assert run["id"] == run_imported(JobId(execution["job_id"]), "nextkala", execution["id"])
    for key in ("status", "output", "number_of_retries", "job_id"):
        assert run[key] == execution[key]
    assert execution["ran_at"].startswith(run["ran_at"].removesuffix("Z"))
    assert run["execution_duration"] == execution["execution_duration"] // 1_000 * 1_000
    assert (run["cause"], run["imported"]["source"]) == ("imported", "nextkala")


def test_more_runs_than_one_request_has_and_the_rest_after_a_cut(tmp_path: Path) -> None:
    job = "5633238a-6841-4619-4db1-49a9843541c0"
    executions = [past(job, f"e{n}", n, output="y" * 3_000) for n in range(1_200)]
    running = [past(job, "r1", 1, status="Started"), past(job, "r2", 1, status="Running")]
    with Server.start(tmp_path / "server") as server:
        with served(nextkala(LIST, executions[:700])) as original:
            take(server, "--from", "nextkala", original.url)
        with served(nextkala(LIST, [*executions, *running])) as original:
            without = take(server, "--from", "nextkala", original.url, "--no-runs")
            assert "runs" not in without.stdout
            shown = take(server, "--from", "nextkala", original.url, "--dry-run")
            assert shown.stdout.splitlines()[-1] == "runs: 500 to be taken, 700 known"
            rest = take(server, "--from", "nextkala", original.url)
        assert f"runs {job}: 500 taken" in rest.stdout.splitlines()
        assert f"note {job}: executions: 2 not over there, left out" in rest.stdout.splitlines()
        runs = runs_of(server, job)
        assert [run["imported"]["id"] for run in runs] == [f"e{n}" for n in range(1_200)]
        assert {run["output"] for run in runs} == {"y" * 3_000}


def test_runs_of_a_dkron_are_taken_once(tmp_path: Path) -> None:
    kid = {**HELLO, "job_name": "kid", "output": "kid\n", "group": 1795244980537010379}
    failed = {**HELLO, "group": 7, "success": False, "started_at": "2026-11-20T00:00:00Z"}
    retried = {**failed, "success": True, "attempt": 2, "started_at": "2026-11-20T00:00:01Z"}
    running = {**HELLO, "group": 9, "finished_at": "0001-01-01T00:00:00Z", "success": False}
    odd = {**HELLO, "group": 10, "success": "yes"}
    foreign = {**HELLO, "job_name": "j12"}
    executions = [HELLO, kid, retried, failed, running, odd, foreign]
    with Server.start(tmp_path / "server") as server, served(dkron(DKRON, executions)) as original:
        first = take(server, "--from", "dkron", f"{original.url}/v1/jobs")
        lines = first.stdout.splitlines()
        assert lines[-1] == "runs: 3 taken, 0 known, 1 refused"
        assert "refused j1: executions.10-n1.success: must be true or false" in lines
        assert "note j1: executions: 1 not over there, left out" in lines
        told = [(run["status"], run["number_of_retries"], run["output"]) for run in runs_of(server, "j1")]
        assert told == [("Success", 1, "hello\nhello"), ("Success", 0, "hello")]
        assert [run["imported"] for run in runs_of(server, "kid")] == [
            {"source": "dkron", "id": "1795244980537010379-n1"}
        ]
        assert server.get("/api/v1/job/j1/").json["job"]["metadata"]["success_count"] == 1
        again = take(server, "--from", "dkron", original.url)
        assert again.stdout.splitlines()[-1] == "runs: 0 taken, 3 known, 1 refused"


def test_runs_that_cannot_be_had_lose_no_job(tmp_path: Path) -> None:
    def answer(path: str) -> bytes | None:
        return DKRON if path.endswith("/jobs") else b"{}" if "kid" in path else None

    with Server.start(tmp_path / "server") as server, served(answer) as original:
        done = take(server, "--from", "dkron", original.url)
        assert done.returncode == 1
        assert list(server.get("/api/v1/job/").json["jobs"]) == ["j1", "kid"]
        lines = done.stdout.splitlines()
        assert f"refused j1: executions: {original.url}/v1/jobs/j1/executions: HTTP Error 404: Not Found" in lines
        assert "refused kid: executions: Dkron's list of executions is an array" in lines
        assert lines[-1] == "runs: 0 taken, 0 known, 2 refused"
        original.asked.clear()
        file = take(server, "--from", "dkron", f"{original.url}/dump/jobs")
        assert (original.asked, "runs" in file.stdout) == (["/dump/jobs"], False), "that is a list, and no server"


def test_runs_in_nextkalas_table_are_taken_once(tmp_path: Path) -> None:
    jobs = {job: fields for job, fields in json.loads(LIST)["jobs"].items() if is_uuid(job)}
    executions = [each for each in recorded_executions() if each["job_id"] in jobs]
    one = next(each for each in executions if each["status"])
    job = one["job_id"]
    long = past(job, "b5f2a3f4-0000-4000-8000-000000000001", 5, output="line\n" * 50_000 + "'\\end é")
    with postgres() as database, Server.start(tmp_path / "server") as server:
        database.execute("CREATE TABLE jobs (id uuid PRIMARY KEY, job jsonb)")
        for name, fields in jobs.items():
            database.execute(f"INSERT INTO jobs VALUES ('{name}', $job${json.dumps(fields)}$job$)")
        without = take(server, "--from", "nextkala", database.url())
        assert (without.returncode, 'relation "job_runs" does not exist' in without.stderr) == (1, True)
        assert server.get("/api/v1/job/").json["jobs"], "the jobs are there all the same"
        database.execute(
            "CREATE TABLE job_runs (id uuid PRIMARY KEY, job_id uuid NOT NULL REFERENCES jobs (id), run jsonb)"
        )
        for each in (*executions, long):
            row = f"'{each['id']}', '{each['job_id']}', $run${json.dumps(each)}$run$"
            database.execute(f"INSERT INTO job_runs VALUES ({row})")
        database.execute(
            "INSERT INTO job_runs SELECT gen_random_uuid(), job_id, run || jsonb_build_object('id', 'c' || n) "
            f"FROM job_runs, generate_series(1, 300) n WHERE id = '{one['id']}'"
        )
        first = take(server, "--from", "nextkala", database.url())
        refused = sum(not each["status"] for each in executions)
        assert first.stdout.splitlines()[-1].startswith(f"runs: {len(executions) + 301 - refused} taken, 0 known")
        for each in executions:
            if each["status"]:
                check_taken(each, runs_of(server, each["job_id"]))
        (run,) = [run for run in runs_of(server, job) if run["imported"]["id"] == long["id"]]
        whole = server.get(f"/api/v1/job/{job}/executions/{run['id']}/output/").body
        assert whole.decode() == long["output"]
        again = take(server, "--from", "nextkala", database.url())
        assert again.stdout.splitlines()[-1].startswith(f"runs: 0 taken, {len(executions) + 301 - refused} known")
