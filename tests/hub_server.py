"""As much of a model hub as downloads ask for, on this machine; it counts what it sends."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

from mergecast.checkpoints.hub import described, fetched
from mergecast.checkpoints.hub_headers import _listed

COMMIT = "5c38ec7c405ec4b44b94cc5a9bb96e735b38267a"


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as a download asks for: one revision, called main, of some models."""

    models: ClassVar[dict[str, dict[str, bytes]]] = {}
    asked: ClassVar[list[str]] = []
    sent: ClassVar[list[int]] = []

    def do_GET(self):
        parts = self.path.strip("/").split("?")[0].split("/")
        if parts[0] == "api":
            name, revision = "/".join(parts[2:4]), parts[5]
            files = self.models.get(name)
            if files is None or revision not in ("main", COMMIT):
                code = "RepoNotFound" if files is None else "RevisionNotFound"
                return self._send(404, b"", {"X-Error-Code": code})
            tree = [
                {"type": "file", "path": path, "size": len(content), "oid": "0" * 40}
                for path, content in files.items()
            ]
            siblings = [{"rfilename": file} for file in files]
            info = {"id": name, "modelId": name, "sha": COMMIT, "siblings": siblings}
            return self._send(200, json.dumps(tree if parts[4] == "tree" else info).encode())
        content = self.models["/".join(parts[:2])]["/".join(parts[4:])]
        self.asked.append(parts[-1])
        headers = {"ETag": hashlib.sha256(content).hexdigest(), "X-Repo-Commit": COMMIT}
        first, dash, last = self.headers.get("Range", "").removeprefix("bytes=").partition("-")
        if dash:
            part = content[int(first) : int(last) + 1 if last else None]
            headers["Content-Range"] = f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}"
            return self._send(206, part, headers)
        return self._send(200, content, headers)

    do_HEAD = do_GET  # noqa: N815

    def _send(self, status, content, headers=None):
        self.send_response(status)
        for key, value in {"Content-Length": len(content), **(headers or {})}.items():
            self.send_header(key, str(value))
        self.end_headers()
        if self.command == "GET":
            self.sent.append(len(content))
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@contextmanager
def serving(models: Mapping[str, Mapping[str, bytes]], cache: Path, monkeypatch) -> Iterator:
    """A hub of these models (name to file to content), and an empty cache, for a while."""
    Hub.asked, Hub.sent = [], []
    for cached in (fetched, described, _listed):
        cached.cache_clear()
    Hub.models = {name: dict(files) for name, files in models.items()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for constant, value in (("ENDPOINT", endpoint), ("HF_HUB_CACHE", str(cache))):
        monkeypatch.setattr(f"huggingface_hub.constants.{constant}", value)
    template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", template)
    yield server
    server.shutdown()
    server.server_close()
