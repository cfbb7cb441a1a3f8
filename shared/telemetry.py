"""Logs as JSON lines and OpenTelemetry spans, both carrying the commit's trace id.

Spans leave the process only when an OTLP endpoint is configured; without one the API package's no-op tracer is used
and the SDK is not even imported. `yardarm trace` does not depend on it: it reads the hub's own store.
"""

from __future__ import annotations

import json
import logging
import secrets
import sys
from typing import TYPE_CHECKING, Any

import orjson
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.sdk.trace import TracerProvider

_PROPAGATOR = TraceContextTextMapPropagator()
_STANDARD = frozenset(logging.LogRecord("", 0, "", 0, "", (), None).__dict__) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """One JSON object per record: time, level, logger, message, the fields of `extra`, trace id, traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        entry: dict[str, Any] = {
            "time": self.formatTime(record, "%Y-%m-%dT%H:%M:%S") + f".{int(record.msecs):03d}",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        entry |= {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        span = trace.get_current_span().get_span_context()
        if span.is_valid and "trace" not in entry:
            entry["trace"] = f"{span.trace_id:032x}"
        if record.exc_info:
            entry["traceback"] = self.formatException(record.exc_info)
        try:
            return orjson.dumps(entry, default=str).decode()
        except orjson.JSONEncodeError:  # a file name that is no text, a number beyond 64 bits
            return json.dumps(entry, default=str)


class TextFormatter(logging.Formatter):
    """For people at a terminal: time, level, message, then the fields of `extra`."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        fields = {name: value for name, value in record.__dict__.items() if name not in _STANDARD}
        tail = "".join(f" {name}={_one_line(value)}" for name, value in fields.items())
        line = f"{self.formatTime(record, '%H:%M:%S')} {record.levelname.lower():7} {record.getMessage()}{tail}"
        return line + (f"\n{self.formatException(record.exc_info)}" if record.exc_info else "")


def _one_line(value: object) -> str:
    """Without what would begin a line or steer a terminal: much of what is logged are other people's words."""
    text = str(value)
    return text if text.isprintable() else "".join(each if each.isprintable() else " " for each in text)


def configure_logging(*, level: str = "info", style: str = "json") -> None:
    """Sends all logs to standard error, as `json` lines or `text`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("nats", "aiohttp.access", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def configure_tracing(
    service: str, endpoint: str, attributes: Mapping[str, str] | None = None
) -> TracerProvider | None:
    """Exports spans over OTLP/HTTP to `endpoint`; does nothing when it is empty. Call `shutdown()` on the result."""
    if not endpoint:
        return None
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    provider = TracerProvider(resource=Resource.create({"service.name": service} | dict(attributes or {})))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")))
    trace.set_tracer_provider(provider)
    return provider


def begin_trace(name: str, start: float, end: float, attributes: Mapping[str, Any] | None = None) -> str:
    """Records the root span of a trace and returns its W3C `traceparent`; without an exporter, a random one."""
    span = trace.get_tracer("yardarm").start_span(
        name, start_time=int(start * 1e9), attributes=dict(attributes or {}), context=Context()
    )
    span.end(end_time=int(end * 1e9))
    made = span.get_span_context()
    if made.is_valid:
        return f"00-{made.trace_id:032x}-{made.span_id:016x}-01"
    return f"00-{secrets.token_hex(16)}-{secrets.token_hex(8)}-01"


def trace_id(traceparent: str) -> str:
    """The 32 hex digits of the trace, empty when there is none."""
    parts = traceparent.split("-")
    return parts[1] if len(parts) == 4 else ""


def context_of(traceparent: str) -> Context:
    """The context under which spans of this trace are started."""
    return _PROPAGATOR.extract({"traceparent": traceparent})


def record_span(
    name: str, traceparent: str, start: float, end: float, attributes: Mapping[str, Any] | None = None, error: str = ""
) -> None:
    """Records something that has already happened, between two unix times in seconds."""
    if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return  # nobody listens: finding the context alone costs more than a small pass saves
    tracer = trace.get_tracer("yardarm")
    span = tracer.start_span(
        name, context=context_of(traceparent), start_time=int(start * 1e9), attributes=dict(attributes or {})
    )
    if error:
        span.set_status(trace.StatusCode.ERROR, error)
    span.end(end_time=int(end * 1e9))
