"""One trace id runs from the request through every service, across outboxes and Kafka."""

import secrets

from kit.testing import eventually

SERVICES = {"gateway", "billing", "generation", "storage", "publishing"}


class TestTraces:
    async def test_the_trace_of_a_request_has_spans_of_all_five_services(self, system, customer, spans) -> None:
        trace_id = secrets.token_hex(16)
        body = {
            "kind": "image",
            "input": {"prompt": "a compass"},
            "deliver": {"webhook": {"url": f"{system.twins}/hooks/traces"}},
        }

        answer = await customer.http.post(
            "/v1/jobs", json=body, headers={"traceparent": f"00-{trace_id}-{secrets.token_hex(8)}-01"}
        )
        await customer.finished(answer.json()["id"])

        expected = {"POST /v1/jobs", "handle JobRequested", "handle CreditsHeld", "handle JobSucceeded"}
        await eventually(lambda: {name for _, trace, name in spans if trace == trace_id} >= expected)
        await eventually(lambda: {service for service, trace, _ in spans if trace == trace_id} >= SERVICES)
