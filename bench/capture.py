"""A run that prints a lot: how fast its output is captured, and how late other jobs start meanwhile. One JSON line."""

import argparse
import json
import time
from datetime import datetime

from bench.harness import FAR, JOB, ask, instant, percentile, server


def seconds(text: str) -> float:
    """RFC 3339 as seconds since the epoch."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def measure(mebibytes: int, others: int) -> dict[str, float]:
    """MiB a second, and the lateness of the others' starts in milliseconds."""
    with server() as target:
        connection = target.connect()

        def make(command: str, schedule: str) -> str:
            body = {"name": "bench", "command": command, "schedule": schedule}
            status, answer = ask(connection, "POST", JOB, json.dumps(body).encode())
            assert status == 201, answer
            return str(json.loads(answer)["id"])

        def runs(job: str) -> list[dict[str, str]]:
            return list(json.loads(ask(connection, "GET", f"{JOB}{job}/executions/")[1])["job_stats"])

        loud = make(f"head -c {mebibytes * 1024 * 1024} /dev/zero", FAR)
        due = time.time() + 1
        quiet = [make("true", f"R9/{instant(due + i * 0.2 / others)}/PT0.2S") for i in range(others)]
        time.sleep(max(0.0, due - time.time()))
        began = time.perf_counter()
        ask(connection, "POST", f"{JOB}start/{loud}/")
        elapsed = time.perf_counter() - began
        time.sleep(max(0.0, due + 3 - time.time()))
        late = [1e3 * (seconds(r["ran_at"]) - seconds(r["tick"])) for job in quiet for r in runs(job)]
        return {
            "mib_per_second": mebibytes / elapsed,
            "others_late_p50_ms": percentile(late, 0.5),
            "others_late_p99_ms": percentile(late, 0.99),
        }


def main() -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=200)
    parser.add_argument("--others", type=int, default=20)
    arguments = parser.parse_args()
    figures = measure(arguments.mib, arguments.others)
    print(json.dumps({"bench": "capture", "mib": arguments.mib} | {k: round(v, 1) for k, v in figures.items()}))


if __name__ == "__main__":
    main()
