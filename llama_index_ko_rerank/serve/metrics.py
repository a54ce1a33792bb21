"""What Prometheus reads of the service."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from llama_index_ko_rerank.limits import ConcurrencyLimiter

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """The figures of one service, in a registry of its own.

    Args:
        limiter: Whose counts are shown.
        paths: The paths that are counted by name; requests for any other are counted together.
    """

    def __init__(self, limiter: ConcurrencyLimiter, paths: frozenset[str]) -> None:
        self._registry = CollectorRegistry()
        self._paths = paths
        self._requests = Counter(
            "ko_rerank_requests", "Requests answered.", ("path", "status"), registry=self._registry
        )
        self._seconds = Histogram(
            "ko_rerank_request_seconds",
            "From the first line of a request to the end of its answer.",
            ("path",),
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._texts = Counter("ko_rerank_texts", "Texts scored, embedded or found.", ("path",), registry=self._registry)
        under_way = Gauge(
            "ko_rerank_requests_under_way", "Requests that are not answered yet.", registry=self._registry
        )
        under_way.set_function(lambda: limiter.under_way)
        waiting = Gauge("ko_rerank_requests_waiting", "Requests that wait for a place.", registry=self._registry)
        waiting.set_function(lambda: limiter.waiting)
        ProcessCollector(registry=self._registry)

    def answered(self, path: str, status: int, seconds: float, texts: int) -> None:
        """Count a request that was answered."""
        name = path if path in self._paths else "other"
        self._requests.labels(name, str(status)).inc()
        self._seconds.labels(name).observe(seconds)
        if texts:
            self._texts.labels(name).inc(texts)

    def exposition(self) -> bytes:
        """Return all figures in Prometheus's text format, whose type is `CONTENT_TYPE_LATEST`."""
        text: bytes = generate_latest(self._registry)
        return text
