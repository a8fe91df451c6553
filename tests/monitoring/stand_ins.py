"""Small HTTP servers in place of an exporter and of those who receive alerts."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Server:
    """Answers on a free port, from threads that end with it."""

    def __init__(self):
        owner = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                owner._answer(self, *owner.get(self.path))

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                owner._answer(self, *owner.post(self.path, body))

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.address = f"127.0.0.1:{self.server.server_port}"
        self.url = f"http://{self.address}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def get(self, _path):
        return 404, "text/plain", ""

    def post(self, _path, _body):
        return 404, "text/plain", ""

    def _answer(self, handler, status, kind, text):
        data = text.encode()
        handler.send_response(status)
        handler.send_header("content-type", kind)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)

    def stop(self):
        self.server.shutdown()
        self.server.server_close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Exporter(Server):
    """An exporter with two gateways, as far as Prometheus sees it. Its counters rise at each scrape."""

    def __init__(self):
        self.scrapes = 0
        self.up = {"gw-1": 1, "gw-2": 1}
        self.answering = True
        super().__init__()

    def get(self, path):
        if path == "/sd":
            return 200, "application/json", json.dumps([{"targets": [self.address], "labels": {}}])
        if path in ("/metrics", "/other") and self.answering:
            self.scrapes += 1
            return 200, "text/plain; version=0.0.4", self.exposition(self.scrapes)
        return 503, "text/plain", ""

    def exposition(self, scrapes):
        lines = [
            "# TYPE exporter_instance_up gauge",
            *(f'exporter_instance_up{{instance="{name}"}} {up}' for name, up in self.up.items()),
            "# TYPE exporter_instance_last_push_seconds gauge",
            *(f'exporter_instance_last_push_seconds{{instance="{name}"}} 1' for name in self.up),
            "# TYPE exporter_snapshots_total counter",
            f'exporter_snapshots_total{{outcome="accepted"}} {scrapes}',
            "# TYPE http_requests_total counter",
        ]
        for name, up in self.up.items():
            if up:
                labels = f'instance="{name}",method="POST",route="create_chat_completion"'
                lines.append(f'http_requests_total{{{labels},status="200"}} {100 * scrapes}')
        return "\n".join(lines) + "\n"


class Receiver(Server):
    """Keeps what Alertmanager sends, by path: /pager, /chat, /log."""

    def __init__(self):
        self.received = []
        super().__init__()

    def post(self, path, body):
        message = json.loads(body)
        for alert in message["alerts"]:
            self.received.append((path.strip("/"), alert["status"], alert["labels"], alert["annotations"]))
        return 200, "text/plain", ""

    def got(self, hook, status, **labels):
        """What came to a hook with this status and at least these labels."""
        return [
            (found, annotations)
            for path, state, found, annotations in list(self.received)
            if path == hook and state == status and labels.items() <= found.items()
        ]
