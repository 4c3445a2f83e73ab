"""Test support: services on fresh databases against real servers, events as Kafka records, conditions to wait for."""

from kit.testing.events import FakeRecord, emitted, records
from kit.testing.identity import IDENTITY, client
from kit.testing.stack import Stack, fresh_database, service
from kit.testing.waiting import eventually

__all__ = ["IDENTITY", "FakeRecord", "Stack", "client", "emitted", "eventually", "fresh_database", "records", "service"]
