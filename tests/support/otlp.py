"""A collector for tests: real HTTP on a free port of the loopback, bodies decoded with ``opentelemetry-proto``.

    with OtlpReceiver() as collector:
        ...                                 # send to collector.endpoint
        collector.stop()                    # nobody listens there any more
        collector.start()                   # the same port again
        collector.plan(Answer(503, retry_after=1))  # of the next request, then as usual

What it counts and keeps survives ``stop`` and ``start``.
"""

from __future__ import annotations

import gzip
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATH = "/v1/traces"
PROTOBUF = "application/x-protobuf"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a request is answered with; with ``rejected`` above 0, a 200 that says so many spans were not taken."""

    status: int = 200
    retry_after: int | str | None = None
    rejected: int = 0
    keep: bool = False  # the spans were taken although the status says otherwise: an answer that was lost


@dataclass(frozen=True, slots=True)
class Received:
    """One span with the resource and the name of the scope it came under."""

    span: Span
    resource: dict[str, object]
    scope: str
    request: int  # number of the request it came in, from 1

    @property
    def attributes(self) -> dict[str, object]:
        """The span's own attributes."""
        return values(self.span.attributes)


def values(attributes: object) -> dict[str, object]:
    """Return attributes as a dictionary; a list as a list."""
    found: dict[str, object] = {}
    for pair in attributes:  # type: ignore[attr-defined]
        assert isinstance(pair, KeyValue)
        kind = pair.value.WhichOneof("value")
        value = getattr(pair.value, kind) if kind else None
        if kind == "array_value":
            value = [getattr(item, item.WhichOneof("value")) for item in value.values]
        assert pair.key not in found, f"the attribute {pair.key} occurs twice"
        found[pair.key] = value
    return found


@dataclass(slots=True)
class OtlpReceiver:
    """Takes what is exported to it; ``bad`` names spans for which a whole request is answered with 400."""

    bad: Callable[[Span], bool] = lambda _span: False
    partly: bool = False  # bad spans are left out and counted (partial success) instead of answered with 400
    requests: int = 0
    statuses: list[int] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    _planned: deque[Answer] = field(default_factory=deque)
    _always: Answer | None = None
    _port: int = 0
    _server: ThreadingHTTPServer | None = None
    _thread: threading.Thread | None = None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def endpoint(self) -> str:
        """The address to export to; the same after ``stop`` and ``start``."""
        assert self._port, "start it first"
        return f"http://127.0.0.1:{self._port}{PATH}"

    @property
    def spans(self) -> list[Span]:
        """Every span that was taken, in the order of arrival."""
        return [one.span for one in self.received]

    def start(self) -> None:
        """Listen: on a free port, afterwards always on that one."""
        assert self._server is None, "it listens already"
        handler = type("Handler", (_Handler,), {"receiver": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", self._port), handler)
        self._server.daemon_threads = True
        self._port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more, after the requests at hand; again does nothing."""
        if self._server is None or self._thread is None:
            return
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server = self._thread = None

    def plan(self, *answers: Answer) -> None:
        """Answer the next requests so, one after the other."""
        self._planned.extend(answers)

    def always(self, answer: Answer | None) -> None:
        """Answer every request so from now on (after what is planned); None: as usual again."""
        self._always = answer

    def wait(self, enough: Callable[[OtlpReceiver], bool], seconds: float = 30) -> None:
        """Return once ``enough`` of this receiver holds; raises AssertionError after ``seconds``."""
        with self._changed:
            assert self._changed.wait_for(lambda: enough(self), seconds), (
                f"after {seconds} s: {self.requests} requests {self.statuses[-5:]}, {len(self.received)} spans"
            )

    def take(self, body: bytes, headers: dict[str, str]) -> tuple[Answer, bytes]:
        """Decode and keep one request; returns its answer and body."""
        with self._changed:
            self.requests += 1
            self.bodies.append(body)
            self.headers.append(headers)
            answer, content = self._judge(body, headers)
            self.statuses.append(answer.status)
            self._changed.notify_all()
        return answer, content

    def _judge(self, body: bytes, headers: dict[str, str]) -> tuple[Answer, bytes]:
        if headers.get("content-type") != PROTOBUF:
            return Answer(415), b""
        try:
            message = ExportTraceServiceRequest.FromString(body)
        except DecodeError:
            return Answer(400), b""
        answer = self._planned.popleft() if self._planned else self._always or Answer()
        found = [
            Received(span, values(group.resource.attributes), scope.scope.name, self.requests)
            for group in message.resource_spans
            for scope in group.scope_spans
            for span in scope.spans
        ]
        bad = sum(map(self.bad, (one.span for one in found)))
        if answer.status == 200 and bad and not self.partly:
            return Answer(400), b""
        if answer.status == 200 or answer.keep:
            self.received += [one for one in found if not self.bad(one.span)]
        response = ExportTraceServiceResponse()
        if rejected := answer.rejected + bad * self.partly:
            response.partial_success.rejected_spans = rejected
            response.partial_success.error_message = "some spans were not taken"
        return answer, response.SerializeToString() if answer.status == 200 else b""


class _Handler(BaseHTTPRequestHandler):
    """One connection; HTTP/1.1, so that exporters may keep it."""

    receiver: OtlpReceiver
    protocol_version = "HTTP/1.1"
    timeout = 10

    def do_POST(self) -> None:
        """Take one export."""
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        headers = {name.lower(): value for name, value in self.headers.items()}
        if self.path != PATH:
            self._respond(Answer(404), b"")
            return
        self._respond(*self.receiver.take(body, headers))

    def _respond(self, answer: Answer, content: bytes) -> None:
        self.send_response(answer.status)
        if answer.retry_after is not None:
            self.send_header("Retry-After", str(answer.retry_after))
        self.send_header("Content-Type", PROTOBUF)
        self.send_header("Content-Length", str(len(content)))
        # A kept connection would outlive ``stop`` in a thread of its own.
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002  (its name there)
        """Say nothing on the terminal."""
