"""Compatibility of events: what was emitted once can be read for as long as its version lives.

``golden/<wire type>.json`` is one record of each event as it was first released: headers, key and data. A sample is
written once and never changed; an incompatible change of an event is a new version with a sample of its own.
"""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from shared.contract import Envelope, Event
from shared.events import EVENTS

GOLDEN = Path(__file__).parent / "golden"


def sample(event: type[Event]) -> dict[str, Any]:
    path = GOLDEN / f"{event.wire_type}.json"
    assert path.exists(), f"add {path.name}: one record of {event.__name__}, headers and data"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
class TestGolden:
    def test_a_released_record_can_be_read(self, event: type[Event]) -> None:
        golden = sample(event)
        headers = [(name, value.encode()) for name, value in golden["headers"].items()]

        read = event.decode(json.dumps(golden["data"]).encode(), Envelope.from_headers(headers))

        assert read.envelope.type == event.wire_type
        assert read.envelope.headers() == headers
        assert read.key == golden["key"]
        assert json.loads(read.model_dump_json(exclude_unset=True)) == golden["data"]

    def test_no_field_was_taken_away_or_made_required_since(self, event: type[Event]) -> None:
        golden = sample(event)
        schema = event.model_json_schema(mode="validation")

        assert set(golden["data"]) <= set(schema["properties"])
        assert set(schema.get("required", [])) <= set(golden["data"])

    def test_the_sample_matches_the_published_schema(self, event: type[Event]) -> None:
        jsonschema.Draft202012Validator(event.model_json_schema(mode="serialization")).validate(sample(event)["data"])

    def test_only_the_declared_fields_hold_personal_data(self, event: type[Event]) -> None:
        personal = {
            (event.__name__, name)
            for name, field in event.model_json_schema()["properties"].items()
            if field.get("x-personal-data")
        }

        assert personal <= {("JobRequested", "input"), ("AccountRegistered", "email")}
