"""A real client of Dkron's, django-dkron, against a server of ours: jobs are created, changed, found, run and deleted.

It needs an environment of its own, and a server that runs:

    python3 -m venv /tmp/client && /tmp/client/bin/pip install django-dkron
    /tmp/client/bin/python bench/django_dkron.py http://127.0.0.1:8000

Prints a line for each step; ends with 1 at the first that is not as the client has it with Dkron.
"""

import sys
import time
from typing import Any

import django
import requests
from django.conf import settings
from django.core.management import call_command


def main(server: str) -> None:
    """All steps, with jobs of our own prefix: others on the server are left alone."""
    _configure(server)
    from dkron import models, utils

    def there(path: str = "jobs", **query: Any) -> Any:
        answer = requests.get(f"{server}/v1/{path}", params=query, timeout=10)
        answer.raise_for_status()
        return answer.json()

    def executions(job: str) -> list[dict[str, Any]]:
        return wait_for(lambda: there(f"jobs/{utils.add_namespace(job)}/executions"))

    def names() -> list[str]:
        listed = there(**{"metadata[cron]": "auto"})
        return sorted(name for job in listed if (name := utils.trim_namespace(job["name"])))

    models.Job.objects.create(name="parent", schedule="@every 1h", command="echo it ran", use_shell=True)
    models.Job.objects.create(name="child", schedule="@parent parent", command="true", retries=2)
    models.Job.objects.create(name="off", schedule="0 30 2 * * *", command="true", enabled=False)
    check("three jobs are created", [step[2] for step in utils.resync_jobs()], [None] * 3)
    check("they are found by their metadata", names(), ["child", "off", "parent"])

    models.Job.objects.filter(name="off").update(command="false")
    check("and changed", [step[2] for step in utils.resync_jobs()], [None] * 3)
    config = there(f"jobs/{utils.add_namespace('off')}")["executor_config"]
    check("so that the command is the new one", config["command"], "false")

    name, _ = utils.run_async("check", "--deploy")
    started = requests.post(f"{server}/v1/jobs/{utils.add_namespace('parent')}", timeout=10)
    check("a job is run at once", started.status_code, 200)
    (execution,) = executions("parent")
    check("its output is there", (execution["success"], execution["output"]), (True, "it ran\n"))
    check("its child has run", len(executions("child")), 1)
    check("what was to run on creation has run", len(executions(name)), 1)

    utils.delete_job(name)
    models.Job.objects.exclude(name="parent").delete()
    check("two are deleted", sorted(step[1:] for step in utils.resync_jobs()), [("d", None)] * 2 + [("u", None)])
    check("one is left", names(), ["parent"])
    utils.delete_job("parent")
    check("none is left", names(), [])


def _configure(server: str) -> None:
    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"}},
        INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "notifications", "dkron"],
        DKRON_URL=server,
        DKRON_PATH="/",
        DKRON_NAMESPACE=f"bench{int(time.time())}",
        USE_TZ=True,
    )
    django.setup()
    call_command("migrate", verbosity=0)


def wait_for(read: Any) -> list[dict[str, Any]]:
    """What is read, once there is something that has ended."""
    for _ in range(100):
        found = [each for each in read() if not each["finished_at"].startswith("0001")]
        if found:
            return found
        time.sleep(0.1)
    return []


def check(what: str, found: Any, expected: Any) -> None:
    """Say that it is so, or end."""
    if found != expected:
        sys.exit(f"{what}: {found!r}, not {expected!r}")
    print(f"ok: {what}")


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
