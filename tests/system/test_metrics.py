"""What a real server says of itself: figures that are those of its process and its file, and days that outlive it."""

from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.system.lives import Lives

pytestmark = pytest.mark.system


def figures(lives: Lives) -> dict[str, float]:
    """The samples that have no labels."""
    families = text_string_to_metric_families(lives.server.get("/metrics").body.decode())
    return {s.name: s.value for family in families for s in family.samples if not s.labels}


def ended(lives: Lives) -> tuple[int, int]:
    """How many runs succeeded and failed, today and (it may be midnight) yesterday."""
    days = lives.server.get("/v1/stats?days=2").json["stats"]
    return sum(day["success_count"] for day in days), sum(day["failed_count"] for day in days)


@pytest.mark.files("their size")
def test_figures_are_true_and_days_outlive_the_server(tmp_path: Path) -> None:
    with Lives(tmp_path / "server", cold=True) as lives:
        good, bad = lives.make(command="true"), lives.make(command="false")
        for job in (good, bad, good):
            lives.run_now(job)
        told = figures(lives)
        assert told["kala_es_log_size_bytes"] == (lives.data / "log" / "data.mdb").stat().st_size
        assert (told["kala_es_ready"], told["kala_es_run_duration_seconds_count"]) == (1, 3)
        assert told["kala_es_commit_duration_seconds_sum"] > 0
        assert told["process_open_fds"] > 5
        seen = lives.server.get("/debug/vars").json
        assert seen["cmdline"][1:4] == ["serve", "--port", "0"]
        assert "kala-es" in seen["cmdline"][0] or "kala_es" in seen["cmdline"][0]
        assert ended(lives) == (2, 1)
        lives.kill_and_restart()
        assert ended(lives) == (2, 1)
        lives.run_now(good)
        assert lives.server.stop() == 0
        lives.again()
        assert ended(lives) == (3, 1)
        assert figures(lives)["kala_es_run_duration_seconds_count"] == 0
