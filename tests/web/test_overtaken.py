"""Two who edit one job at a time: the one who is slower is told, and nothing is lost."""

import pytest

from tests.web.edges import API, draft, serving

JOB = f"{API}/job/j/"


async def test_a_job_is_replaced_only_if_it_has_the_definition_that_was_read() -> None:
    async with serving() as site:
        await site.create("j", name="first")
        read = (await site.http.get(JOB)).headers["Job-Definition"]
        theirs = await site.http.put(JOB, json=draft(name="theirs"), headers={"If-Match": read})
        assert theirs.status_code == 200
        mine = await site.http.put(JOB, json=draft(name="mine"), headers={"If-Match": read})
        assert mine.status_code == 412
        assert "changed meanwhile" in mine.json()["error"]
        now = await site.http.get(JOB)
        assert (now.json()["job"]["name"], now.headers["Job-Definition"]) == (
            "theirs",
            theirs.headers["Job-Definition"],
        )
        both = {"If-Match": f'"other", {now.headers["Job-Definition"]}'}
        assert (await site.http.put(JOB, json=draft(name="mine"), headers=both)).status_code == 200


async def test_what_a_job_does_leaves_its_tag_and_what_is_done_to_it_does_not() -> None:
    async with serving() as site:
        await site.create("j")
        tag = (await site.http.get(JOB)).headers["Job-Definition"]
        await site.run_whole("j")
        assert (await site.http.get(JOB)).headers["Job-Definition"] == tag
        await site.http.post(f"{API}/job/disable/j/")
        assert (await site.http.get(JOB)).headers["Job-Definition"] != tag
        assert (await site.http.put(JOB, json=draft(name="x"), headers={"If-Match": tag})).status_code == 412


async def test_without_a_condition_it_is_replaced_as_ever() -> None:
    async with serving() as site:
        await site.create("j")
        for headers in ({}, {"If-Match": "*"}):
            assert (await site.http.put(JOB, json=draft(name="new"), headers=headers)).status_code == 200


@pytest.mark.parametrize("text", ["", "tag", 'W/"tag"', '""', '"a",'])
async def test_a_condition_that_names_no_tag_is_refused(text: str) -> None:
    async with serving() as site:
        await site.create("j", name="first")
        answer = await site.http.put(JOB, json=draft(name="x"), headers={"If-Match": text})
        assert (answer.status_code, answer.json()["field"]) == (400, "If-Match")
        assert (await site.http.get(JOB)).json()["job"]["name"] == "first"


async def test_a_job_that_must_be_new_replaces_none() -> None:
    async with serving() as site:
        new = {"If-None-Match": "*"}
        made = await site.http.post(f"{API}/job/", json=draft(id="j", name="first"), headers=new)
        assert made.status_code == 201
        again = await site.http.post(f"{API}/job/", json=draft(id="j", name="second"), headers=new)
        assert (again.status_code, "there is a job 'j' already" in again.json()["error"]) == (412, True)
        assert (await site.http.get(JOB)).json()["job"]["name"] == "first"
        await site.http.delete(JOB)
        assert (await site.http.post(f"{API}/job/", json=draft(id="j"), headers=new)).status_code == 201
        wrong = await site.http.post(f"{API}/job/", json=draft(id="k"), headers={"If-None-Match": '"tag"'})
        assert (wrong.status_code, wrong.json()["field"]) == (400, "If-None-Match")


@pytest.mark.parametrize("job", [".", ".."])
async def test_an_id_that_no_address_can_mean_is_refused(job: str) -> None:
    async with serving() as site:
        answer = await site.http.post(f"{API}/job/", json=draft(id=job))
        assert (answer.status_code, answer.json()["field"]) == (400, "id")


async def test_a_job_is_reverted_only_if_it_has_the_definition_that_was_read() -> None:
    async with serving() as site:
        await site.create("j", name="first")
        position = site.node.scheduler.folds.position
        await site.http.put(JOB, json=draft(name="second"))
        read = {"If-Match": (await site.http.get(JOB)).headers["Job-Definition"]}
        await site.http.put(JOB, json=draft(name="third"))
        late = await site.http.post(f"{JOB}revert/", json={"position": position}, headers=read)
        assert (late.status_code, (await site.http.get(JOB)).json()["job"]["name"]) == (412, "third")
        read = {"If-Match": (await site.http.get(JOB)).headers["Job-Definition"]}
        assert (await site.http.post(f"{JOB}revert/", json={"position": position}, headers=read)).status_code == 200
        await site.http.delete(JOB)
        gone = await site.http.post(f"{JOB}revert/", json={"position": position}, headers=read)
        assert (gone.status_code, gone.json()["error"]) == (412, "the job was deleted meanwhile")
