"""A server on this machine that answers the Hugging Face Hub's client as far as an upload needs it."""

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Hub:
    """What was uploaded.

    Args:
        address: of the server.
        files: content by path.
        tags: of versions.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)

    def answer(self, path: str, body: bytes) -> dict:
        """What the Hub answers to a POST."""
        request, _, _ = path.partition("?")
        if request.endswith("/commit/main"):
            lines = [json.loads(line) for line in body.splitlines()]
            self.files |= {
                line["value"]["path"]: base64.b64decode(line["value"]["content"])
                for line in lines
                if line["key"] == "file"
            }
            oid = f"{len(self.files):040x}"
            return {"success": True, "commitOid": oid, "commitUrl": f"{self.address}/user/model/commit/{oid}"}
        if request.endswith("/preupload/main"):
            paths = [file["path"] for file in json.loads(body)["files"]]
            return {"files": [{"path": path, "uploadMode": "regular", "shouldIgnore": False} for path in paths]}
        if "/tag/" in request:
            self.tags.append(json.loads(body)["tag"])
        return {"url": f"{self.address}/user/model", "errors": [], "warnings": []}


@contextmanager
def model_hub() -> Iterator[Hub]:
    """A server that runs as long as the context."""
    hub = Hub()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self._send(200, hub.answer(self.path, body))

        def do_GET(self) -> None:
            self._send(404, {"error": "not found"})

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *arguments: object) -> None:
            """Nothing is printed."""

        def _send(self, status: int, content: dict) -> None:
            text = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
