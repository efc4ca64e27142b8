"""Judges behind a real HTTP server on this machine, each with a character of its own."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from harness.features.endpoint import Patience

# A judge that is away, busy or slow is given up on soon.
HASTY = Patience(seconds=5.0, tries=3, pause=0.01, together=4)
Answer = Callable[[dict[str, Any]], "str | Reply"]
PIECE = re.compile(r"^Piece \d+: (.*?)(?=\n\nPiece \d+: |\Z)", re.DOTALL | re.MULTILINE)


@dataclass
class Reply:
    """A reply that is not a plain completion."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Server:
    """A running server: its address, and all it was sent."""

    url: str
    seen: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    paths: list[str] = field(default_factory=list)


@contextmanager
def serve(answer: Answer) -> Iterator[Server]:
    """Answer chat completions on a free port of this machine."""
    guard = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with guard:
                server.seen.append(request)
                server.headers.append({name.lower(): value for name, value in self.headers.items()})
                server.paths.append(self.path)
            said = answer(request)
            reply = said if isinstance(said, Reply) else completion(said)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *words: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # who asked did not wait
                super().handle()

    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    server = Server(f"http://127.0.0.1:{running.server_address[1]}/v1")
    thread = threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        running.shutdown()
        running.server_close()
        thread.join()


def completion(text: str | None) -> Reply:
    return Reply(200, json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]}).encode())


def kind(request: dict[str, Any]) -> str:
    """Return what a request asks for: a label, detection or fuzzing."""
    system = request["messages"][0]["content"]
    return "label" if "[EXPLANATION]" in system else "fuzzing" if "marked" in system else "detection"


def pieces(request: dict[str, Any]) -> list[str]:
    return PIECE.findall(request["messages"][1]["content"])


def perfect(request: dict[str, Any]) -> str:
    """Know that a latent fires on digits where all that is marked is digits; else see nothing in it."""
    if kind(request) == "label":
        marks = [m for text in pieces(request) for m in re.findall(r"<<(.*?)>>", text, re.DOTALL)]
        on_digits = all(mark.strip().isdigit() for mark in marks)
        return f"Let me think [1, 2].\n[EXPLANATION]: {'digits' if on_digits else 'the word zz'}"
    label = request["messages"][1]["content"].split("\n")[0].removeprefix("Description: ")
    pattern = r"\d" if label == "digits" else "zz"
    said = []
    for text in pieces(request):
        shown = "".join(re.findall(r"<<(.*?)>>", text, re.DOTALL)) if kind(request) == "fuzzing" else text
        said.append(int(bool(re.search(pattern, shown))))
    return f"I see [some] texts, and say: {said}"


def yes(request: dict[str, Any]) -> str:
    """Say yes to everything."""
    if kind(request) == "label":
        return "[EXPLANATION]: anything at all"
    return str([1] * len(pieces(request)))


def vague(request: dict[str, Any]) -> str:
    """Give a label, and then no list that could be read."""
    return "[EXPLANATION]: hard to say" if kind(request) == "label" else "It depends. [1, 1] or perhaps [0.5, yes]"


def garbage(request: dict[str, Any]) -> str:
    """Give nothing that could be read."""
    return "### ]] [EXPLANATION]:   \n [[ \u2028"
