"""Trace contexts: one trace id runs on, with and without an exporter, and garbage never breaks anything."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from kit import tracing

FORM = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class TestWithoutExporter:
    def test_the_trace_goes_on_inside_a_span(self) -> None:
        with tracing.span("work", PARENT):
            assert tracing.current_traceparent() == PARENT

    def test_outside_of_any_span_each_trace_is_new(self) -> None:
        first, second = tracing.current_traceparent(), tracing.current_traceparent()
        assert FORM.fullmatch(first)
        assert first.split("-")[1] != second.split("-")[1]

    def test_a_span_ends_with_its_block_also_by_an_error(self) -> None:
        with pytest.raises(ValueError, match="no"), tracing.span("work", PARENT):
            raise ValueError("no")
        assert tracing.current_traceparent() != PARENT

    def test_a_span_without_a_parent_begins_one_trace_for_all_in_it(self) -> None:
        with tracing.span("request", None):
            first, second = tracing.current_traceparent(), tracing.current_traceparent()
            with tracing.span("work", first):
                inner = tracing.current_traceparent()

        assert first.split("-")[1] == second.split("-")[1] == inner.split("-")[1]

    @given(
        st.none() | st.text() | st.from_regex(r"\A[0-9a-fA-F-]{0,70}\Z") | st.lists(st.text(), min_size=4).map("-".join)
    )
    @example("00-1-1-100")
    def test_garbage_makes_a_new_trace(self, garbage: str | None) -> None:
        with tracing.span("work", garbage):
            assert FORM.fullmatch(tracing.current_traceparent())


class TestWithExporter:
    @pytest.fixture
    def spans(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemorySpanExporter]:
        exporter, provider = InMemorySpanExporter(), TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        monkeypatch.setattr(tracing, "_tracer", provider.get_tracer("test"))
        yield exporter
        provider.shutdown()

    def test_spans_nest_under_the_trace_they_were_given(self, spans: InMemorySpanExporter) -> None:
        with tracing.span("request", PARENT, kind=SpanKind.SERVER, request_id="req_1"):
            passed_on = tracing.current_traceparent()
        with tracing.span("handle", passed_on):
            pass

        request, handle = spans.get_finished_spans()
        assert request.context.trace_id == handle.context.trace_id == int(PARENT.split("-")[1], 16)
        assert request.parent.span_id == int(PARENT.split("-")[2], 16)
        assert handle.parent.span_id == request.context.span_id
        assert request.attributes == {"request_id": "req_1"}

    def test_an_error_is_on_its_span(self, spans: InMemorySpanExporter) -> None:
        with pytest.raises(ValueError, match="no"), tracing.span("work", PARENT):
            raise ValueError("no")

        (span,) = spans.get_finished_spans()
        assert span.status.status_code is trace.StatusCode.ERROR
        assert [event.name for event in span.events] == ["exception"]

    def test_a_batch_has_many_traces_at_once(self, spans: InMemorySpanExporter) -> None:
        parents = [tracing.current_traceparent() for _ in range(3)]
        started = [tracing.start_span("handle", parent, kind=SpanKind.CONSUMER) for parent in parents]
        passed_on = [tracing.traceparent_of(span) for span in started]
        for span in started:
            span.end()

        assert [context.split("-")[1] for context in passed_on] == [parent.split("-")[1] for parent in parents]
        assert len(spans.get_finished_spans()) == 3
