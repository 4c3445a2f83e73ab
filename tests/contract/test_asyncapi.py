"""The generated AsyncAPI document against the official AsyncAPI 3.0 schema (npm ``@asyncapi/specs``)."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import pytest

HERE = Path(__file__).parent
DOCUMENT = HERE.parent.parent / "docs" / "events" / "asyncapi.json"
OFFICIAL = HERE / "node_modules" / "@asyncapi" / "specs" / "schemas" / "3.0.0-without-$id.json"


@pytest.fixture(scope="module")
def official_schema() -> dict[str, Any]:
    if not OFFICIAL.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("npm is missing: docs/events/asyncapi.json was NOT CHECKED against the official schema")
        subprocess.run([npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=HERE, check=True)
    schema: dict[str, Any] = json.loads(OFFICIAL.read_text())
    return schema


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DOCUMENT.read_text())
    return found


class TestAsyncApi:
    def test_the_document_is_valid(self, official_schema: dict[str, Any], document: dict[str, Any]) -> None:
        validator = jsonschema.Draft7Validator(official_schema)

        assert [error.message for error in validator.iter_errors(document)] == []

    def test_every_reference_leads_somewhere(self, document: dict[str, Any]) -> None:
        for reference in references(document):
            found: Any = document
            for part in reference.removeprefix("#/").split("/"):
                assert part in found, reference
                found = found[part]


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return here + [found for value in node.values() for found in references(value)]
    if isinstance(node, list):
        return [found for value in node for found in references(value)]
    return []
