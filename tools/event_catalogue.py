"""Writes ``docs/events``: JSON Schemas, an AsyncAPI 3 document and the topic table.

Everything comes from the event classes in ``shared`` and from the subscriptions in each service's ``app.py``, so the
documents cannot drift: ``python tools/event_catalogue.py --check`` exits 1 when what is committed differs.
"""

import argparse
import importlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic.json_schema import models_json_schema

from kit.service import Service
from kit.settings import ServiceSettings
from shared.contract import CONTENT_TYPE, Event
from shared.events import EVENTS
from shared.topics import TOPICS

ROOT = Path(__file__).resolve().parent.parent
OUT = ROOT / "docs" / "events"
SERVICES = ("gateway", "billing", "generation", "storage", "publishing")
CLOUDEVENTS_HEADERS = {
    "type": "object",
    "required": ["ce_specversion", "ce_id", "ce_type", "ce_source", "ce_time", "content-type"],
    "properties": {
        "ce_specversion": {"const": "1.0"},
        "ce_id": {"type": "string", "format": "uuid", "description": "UUIDv7, unique per event."},
        "ce_type": {"type": "string"},
        "ce_source": {"type": "string", "description": "The service that wrote it."},
        "ce_subject": {"type": "string", "description": "The id of the thing it is about."},
        "ce_time": {"type": "string", "format": "date-time"},
        "ce_correlationid": {"type": "string", "description": "The job."},
        "ce_causationid": {"type": "string", "description": "The id of the event that led here."},
        "traceparent": {"type": "string", "description": "W3C trace context."},
        "content-type": {"const": CONTENT_TYPE},
    },
}


def example_environment() -> Mapping[str, str]:
    """The variables of ``.env.example``."""
    lines = (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value.strip().strip('"') for name, _, value in pairs}


def build(name: str) -> Service:
    """A service as its composition root builds it; nothing is connected."""
    module = importlib.import_module(f"{name}.settings")
    (settings_class,) = (
        found
        for found in vars(module).values()
        if isinstance(found, type) and issubclass(found, ServiceSettings) and found.__module__ == module.__name__
    )
    prefix = settings_class.model_config["env_prefix"]
    values = {
        variable.removeprefix(prefix).lower(): value
        for variable, value in example_environment().items()
        if variable.startswith(prefix)
    }
    service: Service = importlib.import_module(f"{name}.app").build(settings_class.model_validate(values))
    return service


def readers() -> dict[str, list[str]]:
    """Wire type -> the services that subscribe to it."""
    found: dict[str, list[str]] = {event.wire_type: [] for event in EVENTS}
    for name in SERVICES:
        for subscription in build(name).subscriptions:
            found[subscription.event.wire_type].append(name)
    return found


def schemas() -> dict[str, Any]:
    """JSON Schema of every event's data, by wire type; shared definitions are inlined per event."""
    return {
        event.wire_type: {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema_of(event)}
        for event in EVENTS
    }


def schema_of(event: type[Event]) -> dict[str, Any]:
    """The schema of one event as a consumer sees it."""
    return event.model_json_schema(mode="serialization")


def asyncapi(read_by: Mapping[str, list[str]]) -> dict[str, Any]:
    """The AsyncAPI 3 document of all topics."""
    _, definitions = models_json_schema(
        [(event, "serialization") for event in EVENTS], ref_template="#/components/schemas/{model}"
    )
    channels, operations, messages = {}, {}, {}
    for topic in TOPICS:
        events = [event for event in EVENTS if event.topic == topic]
        channel = _name(topic.name)
        channels[channel] = {
            "address": topic.name,
            "description": f"Written by {topic.owner} alone; the key is `{topic.key}`.",
            "messages": {event.__name__: {"$ref": f"#/components/messages/{event.__name__}"} for event in events},
            "bindings": {
                "kafka": {
                    "topic": topic.name,
                    "partitions": topic.partitions,
                    "topicConfiguration": {"retention.ms": topic.retention_days * 86_400_000},
                    "bindingVersion": "0.5.0",
                }
            },
        }
        operations[f"{topic.owner}_sends_{channel}"] = _operation("send", channel, events)
        for service in SERVICES:
            heard = [event for event in events if service in read_by[event.wire_type]]
            if heard:
                operations[f"{service}_receives_{channel}"] = _operation("receive", channel, heard)
    for event in EVENTS:
        messages[event.__name__] = {
            "name": event.wire_type,
            "summary": _first_line(event),
            "contentType": CONTENT_TYPE,
            "headers": {"$ref": "#/components/schemas/CloudEventsHeaders"},
            "payload": {"$ref": f"#/components/schemas/{event.__name__}"},
            "bindings": {"kafka": {"key": {"type": "string"}, "bindingVersion": "0.5.0"}},
        }
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Atelier events",
            "version": "1.0.0",
            "description": "CloudEvents 1.0 in Kafka binary mode: attributes in `ce_*` headers, the data in the value.",
        },
        "defaultContentType": CONTENT_TYPE,
        "channels": channels,
        "operations": operations,
        "components": {
            "messages": messages,
            "schemas": {"CloudEventsHeaders": CLOUDEVENTS_HEADERS, **definitions["$defs"]},
        },
    }


def table(read_by: Mapping[str, list[str]]) -> str:
    """The catalogue as Markdown: topics, their events, and who listens."""
    lines = [
        "# Events",
        "",
        "Generated by `make events` from the classes in `shared/shared/events` and the subscriptions in each `app.py`.",
        "Every record is a CloudEvent 1.0 in Kafka binary mode. [asyncapi.json](asyncapi.json) describes all topics;",
        "[schemas/](schemas) has one JSON Schema per event.",
        "",
    ]
    for topic in TOPICS:
        lines += [
            f"## `{topic.name}`",
            "",
            f"Key `{topic.key}`, {topic.partitions} partitions, kept {topic.retention_days} days.",
            "",
            "| event | wire type | read by | what happened |",
            "|---|---|---|---|",
        ]
        for event in EVENTS:
            if event.topic == topic:
                heard = ", ".join(read_by[event.wire_type]) or "-"
                schema = f"[`{event.wire_type}`](schemas/{event.wire_type}.json)"
                lines.append(f"| {event.__name__} | {schema} | {heard} | {_first_line(event)} |")
        lines.append("")
    return "\n".join(lines)


def documents() -> dict[Path, str]:
    """Every generated file and its content."""
    read_by = readers()
    files = {OUT / "README.md": table(read_by), OUT / "asyncapi.json": _json(asyncapi(read_by))}
    files |= {OUT / "schemas" / f"{wire_type}.json": _json(schema) for wire_type, schema in schemas().items()}
    return files


def _operation(action: str, channel: str, events: list[type[Event]]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "messages": [{"$ref": f"#/channels/{channel}/messages/{event.__name__}"} for event in events],
    }


def _name(topic: str) -> str:
    return topic.replace(".", "_")


def _first_line(event: type[Event]) -> str:
    return (event.__doc__ or "").strip().splitlines()[0]


def _json(document: Any) -> str:
    return json.dumps(document, indent=2) + "\n"


def main() -> int:
    """Write the documents, or compare them with what is committed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="only compare")
    check = parser.parse_args().check
    files = documents()
    present = {path for path in OUT.rglob("*") if path.suffix in {".md", ".json"} and path.is_file()}
    stale = sorted(present - set(files)) + [
        path for path, text in files.items() if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if check:
        for path in stale:
            print(f"{path.relative_to(ROOT)} is not what `make events` writes")
        return 1 if stale else 0
    for path in present - set(files):
        path.unlink()
    for path, text in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    print(f"wrote {len(files)} files to {OUT.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
