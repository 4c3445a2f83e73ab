"""The form of problem details, on its own."""

import pytest
from fastapi.exceptions import RequestValidationError
from starlette.requests import Request

from kit import problems
from kit.problems import Problem


def request(path: str = "/v1/jobs") -> Request:
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": [], "server": ("test", 80)}
    return Request(scope)


def test_standard_members_stand_beside_extra_ones() -> None:
    answer = problems.response(request(), Problem(402, "insufficient_credits", "Too little.", needed=8, available=3))

    assert answer.status_code == 402
    assert answer.media_type == "application/problem+json"
    assert answer.body == (
        b'{"type":"urn:atelier:problem:insufficient_credits","title":"Insufficient credits","status":402,'
        b'"code":"insufficient_credits","detail":"Too little.","instance":"/v1/jobs","request_id":null,'
        b'"needed":8,"available":3}'
    )


@pytest.mark.parametrize(
    ("location", "field"),
    [
        (("body", "size"), "size"),
        (("query", "limit"), "limit"),
        (("body", "items", 0, "n"), "items.0.n"),
        (("body",), ""),
    ],
)
def test_a_fault_names_its_field_as_the_client_knows_it(location: tuple[str | int, ...], field: str) -> None:
    problem = problems.invalid([{"type": "missing", "loc": location, "msg": "Field required", "input": "s3cret"}])

    assert problem.extra["errors"] == [{"field": field, "message": "Field required", "code": "missing"}]
    assert problem.detail == f"{field or 'body'}: Field required"


def test_json_that_cannot_be_read_is_one_plain_problem() -> None:
    error = RequestValidationError([{"type": "json_invalid", "loc": ("body", 1), "msg": "JSON decode error"}])

    problem = problems.invalid(error.errors())

    assert (problem.status, problem.code) == (400, "invalid_json")
