"""The merged OpenAPI document and the page that shows it."""

import asyncio
import itertools

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from gateway import openapi
from gateway.docs import ASSETS
from kit.identity import CallerDep
from kit.pagination import Page
from shared.ids import AssetId


class Item(BaseModel):
    """Has the name of one of gateway's schemas, and another form."""

    weight: int


class Asset(BaseModel):
    """A picture."""

    items: list[Item]


def storage():
    """A service with public routes, one of its own, and one nobody shall know."""
    router = APIRouter(prefix="/v1", tags=["assets"])

    @router.get("/assets")
    async def list_assets(caller: CallerDep, limit: int = 1) -> Page[Asset]:
        raise NotImplementedError

    @router.get("/assets/{asset_id}", responses={410: {"description": "Gone."}})
    async def read_me(asset_id: AssetId, caller: CallerDep) -> Asset:
        raise NotImplementedError

    @router.get("/internal")
    async def internal() -> None:
        raise NotImplementedError

    app = FastAPI()
    app.include_router(router)
    return app


@pytest.fixture
async def overrides(serve):
    async with serve(storage()) as url:
        yield {"storage_url": url}


def operations(document):
    return {(method, path): operation for path, item in document["paths"].items() for method, operation in item.items()}


def references(node):
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


class TestOpenApi:
    @pytest.fixture
    async def document(self, http):
        return (await http.get("/openapi.json")).json()

    async def test_it_has_gateways_routes_and_the_owners_public_ones(self, document):
        assert {"/v1/jobs", "/v1/jobs/{job_id}/events", "/v1/me", "/v1/assets", "/v1/assets/{asset_id}"} <= set(
            document["paths"]
        )
        assert all(path.startswith("/v1/") for path in document["paths"])
        assert "/v1/internal" not in document["paths"]

    async def test_every_reference_leads_somewhere_and_names_do_not_collide(self, document):
        schemas = document["components"]["schemas"]

        assert {reference.rpartition("/")[2] for reference in references(document)} <= set(schemas)
        assert "weight" not in schemas["Item"]["properties"]
        assert "weight" in schemas["StorageItem"]["properties"]
        assert "HTTPValidationError" not in schemas

    async def test_operation_ids_are_short_and_unique(self, document):
        ids = [operation["operationId"] for operation in operations(document).values()]

        assert len(ids) == len(set(ids))
        assert {"create_job", "list_assets", "storage_read_me"} <= set(ids)

    async def test_every_operation_tells_credentials_and_problems(self, document):
        for (_, path), operation in operations(document).items():
            assert operation["security"] == [{"apiKey": []}, {"session": []}], path
            assert {"401", "403", "429", "503"} <= set(operation["responses"])
            for status, response in operation["responses"].items():
                if status >= "400":
                    assert list(response["content"]) == ["application/problem+json"], (path, status)

    async def test_what_needs_the_scope_manage_says_so(self, document):
        told = operations(document)

        for needs in (("post", "/v1/api-keys"), ("delete", "/v1/api-keys/{key_id}")):
            assert told[needs]["responses"]["403"]["description"] == openapi.NEEDS_MANAGE
        for needs_not in (("get", "/v1/api-keys"), ("post", "/v1/jobs")):
            assert told[needs_not]["responses"]["403"]["description"] != openapi.NEEDS_MANAGE

    async def test_the_input_of_a_job_is_described(self, document):
        schema = document["components"]["schemas"]["NewJob"]["properties"]

        assert schema["kind"]["enum"] == ["image"]
        assert schema["input"]["anyOf"][0]["properties"]["prompt"]["maxLength"] == 1_000

    async def test_no_parameter_can_be_null(self, document):
        schemas = [
            parameter["schema"]
            for operation in operations(document).values()
            for parameter in operation.get("parameters", [])
        ]

        assert schemas
        assert not any("null" in str(schema) for schema in schemas)


class TestAway:
    @pytest.fixture
    def overrides(self):
        return {}

    async def test_the_document_is_given_without_the_routes_of_who_is_away(self, http):
        answer = await http.get("/openapi.json")

        assert answer.status_code == 200
        assert "/v1/assets" not in answer.json()["paths"]


class TestEndless:
    @pytest.fixture
    async def overrides(self, serve):
        owner = FastAPI(openapi_url=None)
        owner.add_api_route("/openapi.json", lambda: StreamingResponse(itertools.repeat(b" ")))
        async with serve(owner) as url:
            yield {"storage_url": url}

    async def test_the_document_is_given_without_the_routes_of_who_never_ends(self, http, monkeypatch):
        monkeypatch.setattr(openapi, "FETCH_TIMEOUT_SECONDS", 0.5)

        async with asyncio.timeout(5):
            answer = await http.get("/openapi.json")

        assert "/v1/jobs" in answer.json()["paths"]
        assert "/v1/assets" not in answer.json()["paths"]


class TestDocs:
    async def test_the_page_loads_nothing_from_elsewhere(self, http):
        answer = await http.get("/docs")

        assert answer.status_code == 200
        assert "http:" not in answer.text
        assert "https:" not in answer.text
        assert "script-src 'self';" in answer.headers["Content-Security-Policy"]

    @pytest.mark.parametrize("name", [*ASSETS, "start.js"])
    async def test_its_files_are_served_here(self, http, name):
        answer = await http.get(f"/docs/{name}")

        assert answer.status_code == 200
        assert answer.content

    async def test_no_other_file_is(self, http):
        assert (await http.get("/docs/core.py")).status_code == 404


class TestMethods:
    async def test_what_is_allowed_on_a_path_is_told(self, customer):
        answer = await customer.http.put("/v1/api-keys")

        assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")
        assert answer.headers["Allow"] == "GET, POST"


class TestHeaders:
    async def test_answers_are_data_to_a_browser(self, http):
        answer = await http.get("/v1/jobs")

        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")
