"""The form for a job as the server writes it: every key of a job has a field, and each says what it is."""

from typing import Any

import pytest

from kala_es.dialects.kala_declared import definition
from kala_es.domain.ids import JobId
from kala_es.domain.model import JobDraft
from kala_es.web.pages.job_fields import FIELDS, KEPT, shown, written
from kala_es.web.schemas import SCHEMAS
from tests.web.edges import API, FAR, draft, serving
from tests.web.elements import Element, read

EVERYTHING: dict[str, Any] = draft(
    id="every",
    owner="ann@example.com",
    disabled=True,
    dependent_jobs=["later"],
    on_failure_job="mourner",
    schedule="0 9 * * 1-5",
    timezone="Asia/Tokyo",
    retries=3,
    epsilon="PT1H",
    resume_at_next_scheduled_time=True,
    shell=True,
    env={"A": "1\n2", "B": ""},
    cwd="/tmp",
    stdin="in",
    timeout="PT1M",
    retry_delay="PT1S",
    retry_backoff=2,
    retry_max_delay="PT1M",
    retry_jitter=0.5,
    nice=5,
    umask="027",
    memory_limit="256M",
    cpu_limit=10,
    open_files_limit=64,
    success_codes=[0, 3],
    max_output="10M",
    on_max_output="kill",
    overlap="queue",
    catch_up="all",
    catch_up_window="P1D",
    jitter="PT5M",
    starting_deadline="PT1H",
    dst_gap="skip",
    dst_fold="both",
    notify=[{"to": "mail", "when": ["failure", "overdue"], "template": "{{.Text}}"}],
    expected_duration="PT5M",
    keep_runs=7,
    keep_for="P30D",
    keep_output_bytes=1000000,
    labels={"team": "blue"},
    node_tags={"dc": "eu"},
    starts_at="2099-01-01T00:00:00Z",
    expires_at="2100-01-01T00:00:00Z",
    managed_by="files",
    TemplateDelimiters="{{ }}",
)


async def form(site: Any, path: str) -> Element:
    answer = await site.http.get(f"/webui/{path}")
    assert answer.status_code == 200, answer.text
    return read(answer.text)


async def begun(site: Any, job: str, purpose: str = "edit") -> Any:
    """What a form begins with."""
    address = (await form(site, f"jobs/{job}/{purpose}")).one("form")["data-declaration"]
    return (await site.http.get(address)).json()["job"]


def test_every_key_of_a_job_has_a_field():
    keys = set(SCHEMAS["Job"]["properties"]) - KEPT
    remote = SCHEMAS["Job"]["properties"]["remote_properties"]["properties"]
    keys = keys - {"remote_properties"} | {f"remote_properties.{key}" for key in remote}
    assert set(FIELDS) == keys


def test_choices_are_those_of_the_api():
    properties = SCHEMAS["Job"]["properties"]
    for key, field in FIELDS.items():
        known = properties.get(key, {}).get("enum")
        if known is not None:
            assert {word for word, _ in field.choices if word} == {str(each) for each in known}, key


@pytest.mark.parametrize("path", ["new-job", "jobs/every/edit", "jobs/every/duplicate"])
async def test_every_input_has_a_label_and_a_place_for_what_is_wrong(path: str):
    async with serving() as site:
        await site.create("mourner")
        answer = await site.http.post(f"{API}/job/", json=EVERYTHING)
        assert answer.status_code == 201, answer.text
        root = await form(site, path)
        ids = {each["id"] for each in root.walk() if "id" in each.attributes}
        labels = {each.attributes.get("for") for each in root.all("label")}
        for control in (*root.all("input"), *root.all("select"), *root.all("textarea")):
            named = control.attributes.get("id") in labels or control.within("label")
            assert named or control.attributes.get("aria-label"), control.attributes
        for each in root.walk():
            for attribute in "aria-describedby", "aria-labelledby", "for":
                assert set(each.attributes.get(attribute, "").split()) <= ids, each.attributes
        fields = {each["data-field"] for each in root.walk() if "data-field" in each.attributes}
        assert fields == set(FIELDS)
        assert all(f"wrong-{field.slug}" in ids for field in FIELDS.values())


async def test_what_the_form_begins_with_is_the_job():
    async with serving() as site:
        await site.create("mourner")
        answer = await site.http.post(f"{API}/job/", json=EVERYTHING)
        assert answer.status_code == 201, answer.text
        await site.create("child", schedule="", parent_jobs=["every"])
        said = await begun(site, "every")
        assert said["dependent_jobs"] == ["later"]  # the child is not among them
        before = site.node.scheduler.job(JobId("every"))
        assert (await site.http.put(f"{API}/job/every/", json=said)).status_code == 200
        assert site.node.scheduler.job(JobId("every")).spec == before.spec
        assert site.node.scheduler.job(JobId("every")).disabled


async def test_both_forms_begin_with_what_the_owner_gave():
    async with serving() as site:
        await site.create("j", name="first", managed_by="files", retries=2)
        said = {"name": "first", "command": "succeeds", "schedule": FAR, "retries": 2, "managed_by": "files", "id": "j"}
        assert await begun(site, "j") == said
        assert await begun(site, "j", "duplicate") == said


async def test_a_large_definition_is_no_part_of_the_form():
    async with serving() as site:
        await site.create("j", env={f"V{i}": "x" * 10_000 for i in range(40)})
        answer = await site.http.get("/webui/jobs/j/edit")
        assert len(answer.content) < 100_000
        assert len((await begun(site, "j"))["env"]) == 40


async def test_a_job_that_is_gone_is_said_to_the_form():
    async with serving() as site:
        answer = await site.http.get("/webui/jobs/gone/edit/declaration")
        assert answer.status_code == 404
        assert "gone" in answer.json()["error"]


async def test_a_new_job_has_the_usual_owner():
    async with serving(default_owner="ops@example.com") as site:
        assert (await form(site, "new-job")).one("form")["data-owner"] == "ops@example.com"


async def test_everything_that_is_set_is_shown():
    async with serving() as site:
        await site.create("mourner")
        answer = await site.http.post(f"{API}/job/", json=EVERYTHING)
        assert answer.status_code == 201, answer.text
        job = site.node.scheduler.job(JobId("every"))
        said = definition(JobDraft(id=job.id, spec=job.spec, disabled=job.disabled))
        root = await form(site, "jobs/every/")
        terms = {term.text for term in root.all("dt")}
        assert {FIELDS[key].label for key in said} <= terms


def test_values_as_people_read_them():
    assert written({"a": "b", "c": ["d"]}) == 'a: b\nc: ["d"]'
    assert written([1, "x"]) == "1\nx"
    assert (written(True), written(False), written(None), written(1.5)) == ("yes", "no", "", "1.5")
    assert written("x" * 3000) == "x" * 2000 + " … and 1000 characters more"
    assert shown(FIELDS["notify"], []) == "nobody"
    assert shown(FIELDS["overlap"], "skip") == "skip: is skipped"
