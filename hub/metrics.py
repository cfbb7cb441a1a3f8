"""What the hub counts for Prometheus, in a registry of its own.

Counts of units and clusters are read from the view when somebody scrapes, so that they are never out of step with
the API; everything else is counted where it happens. Names follow the Prometheus conventions (base units, `_total`).
"""

from __future__ import annotations

import platform
from collections import Counter as Tallied
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from hub.domain.status import STATES
from hub.view import View

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
CONNECTIONS = ("connected", "stale", "waiting")


class Metrics:
    """All of the hub's metrics. Attributes are used where things happen: `metrics.renders.labels("ok").inc()`."""

    def __init__(self, view: View, version: str) -> None:
        registry = self.registry = CollectorRegistry(auto_describe=False)
        registry.register(_Fleet(view))
        build = Gauge("yardarm_build_info", "Always 1; what runs here.", ["version", "python"], registry=registry)
        build.labels(version, platform.python_version()).set(1)
        self.renders = Counter(
            "yardarm_renders_total", "Renders by result: ok, error, cached.", ["result"], registry=registry
        )
        self.render_seconds = Histogram(
            "yardarm_render_seconds", "Time to render one variant.", buckets=SECONDS, registry=registry
        )
        self.plan_seconds = Histogram(
            "yardarm_plan_seconds", "Time to evaluate the fleet after a change.", buckets=SECONDS, registry=registry
        )
        self.published = Counter(
            "yardarm_publish_assignments_total", "Assignments published, by what they do: assign, remove.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self.published_bytes = Counter("yardarm_publish_bytes_total", "Bytes published.", registry=registry)
        self.publish_seconds = Histogram(
            "yardarm_publish_seconds", "Time to publish one batch.", buckets=SECONDS, registry=registry
        )
        self.git_fetches = Counter(
            "yardarm_git_fetches_total", "Git fetches by result: changed, unchanged, error.", ["result"],
            registry=registry,
        )  # fmt: skip
        self.git_fetch_seconds = Histogram(
            "yardarm_git_fetch_seconds", "Time of a Git fetch.", buckets=SECONDS, registry=registry
        )
        self.webhooks = Counter(
            "yardarm_webhooks_total", "Webhooks by provider and result: accepted, refused.", ["provider", "result"],
            registry=registry,
        )  # fmt: skip
        self.reports = Counter(
            "yardarm_reports_total", "Reports by what became of them: new, old, invalid.", ["result"], registry=registry
        )
        self.heartbeats = Counter("yardarm_heartbeats_total", "Heartbeats received.", registry=registry)
        self.events = Counter("yardarm_events_total", "Events by severity.", ["severity"], registry=registry)
        self.nudges = Counter(
            "yardarm_report_requests_total", "Clusters asked to send all reports again.", registry=registry
        )
        self.audited = Counter(
            "yardarm_audit_entries_total", "Audit entries by result: ok, refused, failed, lost.", ["result"],
            registry=registry,
        )  # fmt: skip
        self.leading = Gauge("yardarm_leading", "1 while this hub leads.", registry=registry)
        self.sse_clients = Gauge("yardarm_sse_clients", "Open event streams.", registry=registry)
        self.requests = Counter(
            "yardarm_http_requests_total", "Requests to the API.", ["method", "route", "status"], registry=registry
        )
        self.request_seconds = Histogram(
            "yardarm_http_request_seconds", "Time to answer a request, streams excepted.", ["route"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip

    def exposition(self) -> bytes:
        """The text that Prometheus scrapes."""
        return bytes(generate_latest(self.registry))


class _Fleet(Collector):
    """The view's own counters at the moment of the scrape."""

    def __init__(self, view: View) -> None:
        self._view = view

    def collect(self) -> Iterator[Metric]:
        """One sample per state."""
        tally = self._view.tally()
        units = GaugeMetricFamily("yardarm_units", "Units by shown state.", labels=["state"])
        for state, count in zip(STATES, tally.states, strict=True):
            units.add_metric([state], count)
        yield units
        yield GaugeMetricFamily("yardarm_units_drifted", "Units with standing drift.", value=tally.drifted)
        connections = Tallied(record.connection for record in self._view.clusters.values())
        clusters = GaugeMetricFamily("yardarm_clusters", "Clusters by how their agent is heard.", labels=["state"])
        for connection in CONNECTIONS:
            clusters.add_metric([connection], connections[connection])
        yield clusters
        yield GaugeMetricFamily("yardarm_applications", "Applications.", value=len(self._view.applications))
