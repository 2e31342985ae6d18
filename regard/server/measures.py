"""What /metrics tells: requests, how long they took, queues, batches and tokens."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

TYPE = CONTENT_TYPE_PLAIN_0_0_4
SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
ROWS = (1, 2, 4, 8, 16, 32, 64, 128)


class Measures:
    """Counted for one server; two in a process do not mix."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._requests = Counter("regard_requests", "Requests answered", ["path", "status"], registry=self.registry)
        self._seconds = Histogram(
            "regard_request_seconds",
            "From a request to the end of its answer",
            ["path"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self._counted: dict[tuple[str, int], tuple[Counter, Histogram]] = {}
        self._queue = Gauge("regard_queue_lines", "Lines that wait", ["model"], registry=self.registry)
        self._rows = Histogram(
            "regard_batch_lines", "Lines said at once", ["model"], buckets=ROWS, registry=self.registry
        )
        self._spent = Counter("regard_batch_seconds", "Time spent saying them", ["model"], registry=self.registry)
        self._tokens = Counter("regard_tokens", "Output tokens, without the ends", ["model"], registry=self.registry)

    def request(self, path: str, status: int, seconds: float) -> None:
        # By the labels themselves: to look them up costs as much as to count.
        if (counted := self._counted.get((path, status))) is None:
            counted = self._requests.labels(path, str(status)), self._seconds.labels(path)
            self._counted[path, status] = counted
        counted[0].inc()
        counted[1].observe(seconds)

    def batch(self, model: str, rows: int, seconds: float) -> None:
        self._rows.labels(model).observe(rows)
        self._spent.labels(model).inc(seconds)

    def tokens(self, model: str, count: int) -> None:
        self._tokens.labels(model).inc(count)

    def watch(self, model: str, queue: Callable[[], int]) -> None:
        """Looks at a queue whenever somebody asks for the metrics."""
        self._queue.labels(model).set_function(queue)

    def text(self) -> bytes:
        return generate_latest(self.registry)
