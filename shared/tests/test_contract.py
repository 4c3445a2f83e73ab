"""Events: wire types come from classes, envelopes survive the wire, and what cannot be read says why."""

import traceback
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.contract import Envelope, Event, Topic, UndecodableError
from shared.events import EVENTS
from shared.ids import new_id
from shared.topics import TOPICS

LAMPS = Topic("shop.lamps", key="lamp_id")
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
OPTIONAL = st.none() | TEXT
MOMENTS = st.datetimes(
    timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30)), timezone(-timedelta(hours=8))])
)


class LampSwitchedOn(Event):
    topic: ClassVar[Topic] = LAMPS

    lamp_id: str
    watts: int = 5


class LampSwitchedOnV2(Event):
    topic: ClassVar[Topic] = LAMPS
    version: ClassVar[int] = 2

    lamp_id: str


ENVELOPES = st.builds(
    Envelope,
    id=TEXT,
    type=TEXT,
    source=TEXT,
    subject=TEXT,
    time=MOMENTS,
    correlation_id=OPTIONAL,
    causation_id=OPTIONAL,
    traceparent=OPTIONAL,
)


class TestWireTypes:
    def test_they_are_made_of_owner_name_and_version(self) -> None:
        assert LampSwitchedOn.wire_type == "atelier.shop.lamp-switched-on.v1"
        assert LampSwitchedOnV2.wire_type == "atelier.shop.lamp-switched-on.v2"

    def test_every_event_has_its_own(self) -> None:
        assert len({event.wire_type for event in EVENTS}) == len(EVENTS)

    def test_the_first_events_keep_the_names_they_were_published_under(self) -> None:
        names = {event.wire_type for event in EVENTS}
        assert {
            "atelier.gateway.job-requested.v1",
            "atelier.billing.credits-held.v1",
            "atelier.generation.artifact-produced.v1",
            "atelier.generation.job-succeeded.v1",
            "atelier.storage.asset-stored.v1",
            "atelier.publishing.delivery-succeeded.v1",
        } <= names

    @pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.__name__)
    def test_every_event_has_the_field_that_is_its_key_and_a_declared_topic(self, event: type[Event]) -> None:
        assert event.topic in TOPICS
        assert event.topic.key in event.model_fields
        assert event.__doc__
        assert event.model_config["frozen"]

    def test_topics_are_declared_once(self) -> None:
        assert len({topic.name for topic in TOPICS}) == len(TOPICS)
        assert {topic.partitions for topic in TOPICS} == {12}
        assert {topic.retention_days for topic in TOPICS} == {7}


class TestEnvelope:
    @given(ENVELOPES)
    def test_it_survives_the_wire(self, envelope: Envelope) -> None:
        assert Envelope.from_headers(envelope.headers()) == envelope

    @given(ENVELOPES, st.lists(st.tuples(TEXT.map("x-{}".format), st.binary() | st.none())))
    def test_headers_that_are_not_ours_may_hold_anything(self, envelope: Envelope, others: list[Any]) -> None:
        assert Envelope.from_headers([*others, *envelope.headers()]) == envelope

    def test_times_are_utc_on_the_wire(self) -> None:
        moment = datetime(2026, 11, 21, 12, 0, 0, 1, tzinfo=timezone(timedelta(hours=2)))
        envelope = LampSwitchedOn(lamp_id="a").stamp(now=moment).envelope
        assert dict(envelope.headers())["ce_time"] == b"2026-11-21T10:00:00.000001Z"

    @pytest.mark.parametrize("name", ["ce_id", "ce_type", "ce_source", "ce_time"])
    def test_a_required_header_that_is_missing_is_named(self, name: str) -> None:
        headers = [header for header in LampSwitchedOn(lamp_id="a").stamp().envelope.headers() if header[0] != name]
        with pytest.raises(UndecodableError, match=name):
            Envelope.from_headers(headers)

    @pytest.mark.parametrize("value", [b"\xff", b"yesterday", b"", None])
    def test_a_time_that_cannot_be_read_is_told(self, value: Any) -> None:
        headers = [*LampSwitchedOn(lamp_id="a").stamp().envelope.headers(), ("ce_time", value)]
        with pytest.raises(UndecodableError, match="cannot be read"):
            Envelope.from_headers(headers)

    @given(
        st.lists(
            st.tuples(
                st.sampled_from(["ce_id", "ce_type", "ce_source", "ce_time", "traceparent"]) | TEXT,
                st.binary() | st.none(),
            )
        )
    )
    def test_no_headers_do_worse_than_undecodable(self, headers: list[Any]) -> None:
        try:
            Envelope.from_headers(headers)
        except UndecodableError:
            return
        assert {"ce_id", "ce_type", "ce_source", "ce_time"} <= {name for name, _ in headers}


class TestEvent:
    @given(lamp_id=TEXT, watts=st.integers())
    def test_it_survives_the_wire(self, lamp_id: str, watts: int) -> None:
        event = LampSwitchedOn(lamp_id=lamp_id, watts=watts).stamp(causation_id="cause")

        read = LampSwitchedOn.decode(event.model_dump_json().encode(), Envelope.from_headers(event.envelope.headers()))

        assert read == event
        assert read.envelope == event.envelope
        assert read.key == lamp_id

    def test_a_stamp_says_what_and_who(self) -> None:
        envelope = LampSwitchedOn(lamp_id="a").stamp().envelope
        assert (envelope.source, envelope.subject, envelope.correlation_id) == ("/atelier/shop", "a", None)

    def test_an_event_of_a_job_is_correlated_by_it(self) -> None:
        class LampOrdered(Event):
            topic: ClassVar[Topic] = LAMPS
            lamp_id: str
            job_id: str

        job = new_id("job")
        assert LampOrdered(lamp_id="a", job_id=job).stamp().envelope.correlation_id == job

    def test_fields_that_are_newer_than_the_reader_are_ignored(self) -> None:
        envelope = LampSwitchedOn(lamp_id="a").stamp().envelope
        assert LampSwitchedOn.decode(b'{"lamp_id": "a", "colour": "red"}', envelope).watts == 5

    @pytest.mark.parametrize(
        "value", [b"", b"{", b"[]", b"null", b"\xff", b"{}", b'{"lamp_id": 5}', b'{"lamp_id":"\xed\xa0\x80"}']
    )
    def test_data_that_cannot_be_read_names_its_type(self, value: bytes) -> None:
        envelope = LampSwitchedOn(lamp_id="a").stamp().envelope
        with pytest.raises(UndecodableError, match=r"lamp-switched-on\.v1 cannot be read"):
            LampSwitchedOn.decode(value, envelope)

    def test_what_is_told_of_unreadable_data_names_the_field_and_not_its_value(self) -> None:
        data = b'{"lamp_id": "a", "watts": "ada@example.com"}'
        envelope = LampSwitchedOn(lamp_id="a").stamp().envelope
        with pytest.raises(UndecodableError, match=r"cannot be read: watts: .* integer") as caught:
            LampSwitchedOn.decode(data, envelope)
        assert "ada@example.com" not in "".join(traceback.format_exception(caught.value))

    def test_an_event_without_an_envelope_says_so(self) -> None:
        with pytest.raises(LookupError, match="neither emitted nor received"):
            _ = LampSwitchedOn(lamp_id="a").envelope

    def test_an_event_does_not_change(self) -> None:
        event: Any = LampSwitchedOn(lamp_id="a")
        with pytest.raises(ValueError, match="frozen"):
            event.watts = 6
