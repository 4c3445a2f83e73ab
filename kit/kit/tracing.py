"""OpenTelemetry traces: one trace id runs through HTTP, outbox, Kafka and leased work.

Without an OTLP endpoint nothing is recorded, but W3C trace contexts are still made and passed on, so logs and
timelines of one request share a trace id.
"""

import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager

from opentelemetry import context, trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import NonRecordingSpan, Span, SpanContext, SpanKind, TraceFlags

_tracer = trace.get_tracer("atelier")
# https://www.w3.org/TR/trace-context/#traceparent-header
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})")


def configure(service: str, endpoint: str | None) -> None:
    """Export spans of this process to ``endpoint`` (OTLP over HTTP), if there is one."""
    if endpoint is None:
        return
    provider = TracerProvider(resource=Resource.create({"service.name": service}))
    provider.add_span_processor(
        BatchSpanProcessor(OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces"), schedule_delay_millis=500)
    )
    trace.set_tracer_provider(provider)


def exporting() -> bool:
    """Whether spans are recorded at all."""
    return isinstance(trace.get_tracer_provider(), TracerProvider)


def shutdown() -> None:
    """Send what is buffered."""
    provider = trace.get_tracer_provider()
    if isinstance(provider, TracerProvider):
        provider.shutdown()


def current_traceparent() -> str:
    """The W3C ``traceparent`` of the current span, or of a new trace."""
    return _format(trace.get_current_span().get_span_context())


@contextmanager
def span(
    name: str, traceparent: str | None, *, kind: SpanKind = SpanKind.INTERNAL, **attributes: str
) -> Iterator[Span]:
    """A span under ``traceparent``; without an exporter only the context is passed on."""
    parent = trace.set_span_in_context(NonRecordingSpan(_parent(traceparent)))
    child = _tracer.start_span(name, context=parent, kind=kind, attributes=attributes)
    token = context.attach(trace.set_span_in_context(child))
    try:
        yield child
    except BaseException as error:
        child.record_exception(error)
        child.set_status(trace.StatusCode.ERROR)
        raise
    finally:
        context.detach(token)
        child.end()


def start_span(name: str, traceparent: str | None, *, kind: SpanKind, **attributes: str) -> Span:
    """A span that the caller ends; for batches, where many traces are worked on at once."""
    parent = trace.set_span_in_context(NonRecordingSpan(_parent(traceparent)))
    return _tracer.start_span(name, context=parent, kind=kind, attributes=attributes)


def traceparent_of(span: Span) -> str:
    """The W3C ``traceparent`` that continues under ``span``."""
    return _format(span.get_span_context())


def _parent(traceparent: str | None) -> SpanContext:
    """The context to continue; where none came and no exporter begins a trace, a new one."""
    parent = _parse(traceparent)
    if parent.is_valid or exporting():
        return parent
    sampled = TraceFlags(TraceFlags.SAMPLED)
    return SpanContext(secrets.randbits(128), secrets.randbits(64), is_remote=False, trace_flags=sampled)


def _format(span_context: SpanContext) -> str:
    if span_context.is_valid:
        return f"00-{span_context.trace_id:032x}-{span_context.span_id:016x}-{span_context.trace_flags:02x}"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def _parse(traceparent: str | None) -> SpanContext:
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return trace.INVALID_SPAN_CONTEXT
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    return SpanContext(trace_id, span_id, is_remote=True, trace_flags=TraceFlags(flags))
