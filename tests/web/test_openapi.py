"""The API's description is valid, and says what the routes really do."""

import json

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from kala_es.web.openapi import describe
from kala_es.web.routes import ROUTES
from tests.nodes import FAILS
from tests.web.edges import API, draft, serving, writes

DOCUMENT = json.loads(describe(ROUTES, "1.2.3"))


def check(body: bytes, schema: str) -> None:
    """The body is as the component says."""
    Draft202012Validator({**DOCUMENT, "$ref": f"#/components/schemas/{schema}"}).validate(json.loads(body))


async def test_it_is_valid_and_served():
    validate(DOCUMENT, cls=OpenAPIV31SpecValidator)
    async with serving(version="1.2.3") as site:
        assert (await site.http.get(f"{API}/openapi.json")).json() == DOCUMENT


def test_every_route_is_described():
    described = {(method.upper(), path) for path, item in DOCUMENT["paths"].items() for method in item}
    assert described == {(row.method, row.pattern) for row in ROUTES}
    ids = [operation["operationId"] for item in DOCUMENT["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))


def test_every_schema_is_used():
    used = json.dumps(DOCUMENT)
    for name in DOCUMENT["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in used, name


async def test_answers_are_as_the_schemas_say():
    async with serving({"w": writes(("stdout", b"x")), "f": FAILS}) as site:
        created = await site.http.post(f"{API}/job/", json=draft(id="w", command="w", env={"A": "1"}))
        check(created.content, "Created")
        call = {"url": "http://example.org", "headers": {"A": ["1"]}, "expected_body": "ok", "verify_tls": False}
        await site.create("r", type=1, remote_properties=call)
        await site.create("f", "f", parent_jobs=["w"], schedule="")
        bulk = await site.http.post(f"{API}/job/bulk/", json=[draft()])
        check(bulk.content, "CreatedJobs")
        await site.run_whole("w")
        run = await site.run_whole("f")
        for path, schema in (
            ("/job/", "Jobs"),
            ("/job/w/", "WrappedJob"),
            ("/job/r/", "WrappedJob"),
            ("/job/w/executions/", "Runs"),
            (f"/job/f/executions/{run}/", "WrappedRun"),
            ("/job/stats/w/", "LegacyStats"),
            ("/job/w/next/", "Next"),
            ("/stats/", "Stats"),
            ("/job/none/", "Error"),
            ("/job/?limit=x", "Error"),
        ):
            check((await site.http.get(API + path)).content, schema)
        for path, schema in (
            ("/healthz", "Health"),
            ("/readyz", "Health"),
            ("/v1/stats", "DayStats"),
            ("/debug/vars", "DebugVars"),
        ):
            check((await site.http.get(path)).content, schema)


@pytest.mark.parametrize("name", ["Job", "Run", "Stats", "Error"])
def test_a_schema_refuses_what_lacks_a_field(name):
    schema = DOCUMENT["components"]["schemas"][name]
    assert not Draft202012Validator({**DOCUMENT, **schema}).is_valid({})
