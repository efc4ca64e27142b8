"""Questions to a language model behind an OpenAI-compatible endpoint; every answer is kept, so none is paid twice."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.api import Progress
from harness.errors import UserError
from harness.store.files import sha256_text, write_text

if TYPE_CHECKING:
    import requests

KEY_VARIABLE = "HARNESS_JUDGE_KEY"
_PATH = "/chat/completions"
_BUSY = (408, 429, 500, 502, 503, 504)
_QUOTED = 200

Messages = Sequence[Mapping[str, str]]


class EndpointError(Exception):
    """The endpoint cannot be reached, stays busy, or does not speak the protocol; answers so far are kept."""


@dataclass(frozen=True)
class Patience:
    """How long an endpoint is waited for.

    Attributes:
        seconds: for a connection, and between two bytes of an answer.
        tries: of one question, the first included, while the endpoint is away, busy or slow.
        pause: seconds before the second try; each further pause is twice as long, at most a minute.
        together: questions on their way at the same time.
    """

    seconds: float = 120.0
    tries: int = 6
    pause: float = 1.0
    together: int = 8


def check_url(url: str) -> str:
    """Return where questions are posted to; raises ``UserError`` for what is no plain http or https address."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise UserError(f"--judge: this is no URL: {error}") from None
    if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
        # Not quoted back: what stands there is most likely a secret.
        raise UserError(f"--judge: give an address without user, query and fragment; a key goes into {KEY_VARIABLE}")
    if parts.scheme not in ("http", "https") or not host or any(c.isspace() for c in url):
        raise UserError(f"--judge: give a URL such as http://localhost:8000/v1, got '{url}'")
    plain = url.rstrip("/")
    return plain if plain.endswith(_PATH) else plain + _PATH


def key_given() -> str | None:
    """Return the API key of the environment; raises ``UserError`` for one that no header can carry."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    if not all("!" <= c <= "~" for c in key):
        raise UserError(f"{KEY_VARIABLE} holds characters that no API key has.")
    return key or None


class Endpoint:
    """Asks one model, several questions at a time, and remembers its answers under ``folder``.

    An answer is found again by model, settings and question; the address is no part of it.
    """

    def __init__(
        self, url: str, body: Mapping[str, Any], folder: Path, key: str | None = None, patience: Patience | None = None
    ) -> None:
        self._url, self._body, self._folder, self._key = url, dict(body), folder, key
        self._patience = patience or Patience()
        self._own = threading.local()

    def ask(self, questions: Sequence[Messages], progress: Progress, label: str) -> list[str]:
        """Return the answer to every question, asking what is not known yet; equal questions are asked once.

        Raises:
            EndpointError: the endpoint is away or does not answer as it should; what came before is kept.
            UserError: it refuses the key, the model or the request.
        """
        requests = [{**self._body, "messages": list(messages)} for messages in questions]
        names = [sha256_text(json.dumps(request, sort_keys=True)) for request in requests]
        known = {name: self._known(name, request) for name, request in zip(names, requests, strict=True)}
        todo = {name: request for name, request in zip(names, requests, strict=True) if known[name] is None}
        if known:
            progress(label, len(known) - len(todo), len(known))
        if todo:
            self._ask(todo, known, lambda: progress(label, sum(a is not None for a in known.values()), len(known)))
        return [known[name] or "" for name in names]

    def _ask(self, todo: Mapping[str, Any], known: dict[str, str | None], tell: Any) -> None:
        pool = ThreadPoolExecutor(self._patience.together, thread_name_prefix="judge")
        try:
            asked: dict[Future[str], str] = {pool.submit(self._one, name, todo[name]): name for name in todo}
            for done in as_completed(asked):
                known[asked[done]] = done.result()
                tell()
        finally:
            # After an error or Ctrl-C nothing new is asked; what is on its way is still paid for, so it is kept.
            pool.shutdown(wait=True, cancel_futures=True)

    def _path(self, name: str) -> Path:
        return self._folder / name[:2] / f"{name}.json"

    def _known(self, name: str, request: Mapping[str, Any]) -> str | None:
        try:
            held = json.loads(self._path(name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        answer = held.get("answer") if isinstance(held, dict) and held.get("request") == request else None
        return answer if isinstance(answer, str) else None

    def _one(self, name: str, request: Mapping[str, Any]) -> str:
        answer = self._post(request)
        # Letters beyond ASCII are escaped: an answer may hold half a pair, which UTF-8 cannot.
        write_text(self._path(name), json.dumps({"request": request, "answer": answer}) + "\n")
        return answer

    def _post(self, request: Mapping[str, Any]) -> str:
        import requests

        try:
            reply = self._session().post(self._url, json=request, timeout=self._patience.seconds, allow_redirects=False)
        except requests.RequestException as error:
            raise EndpointError(f"{self._place} gives no answer: {self._shown(_cause(error))}") from None
        if reply.status_code in _BUSY:
            raise EndpointError(f"{self._place} stays busy: HTTP {reply.status_code}, {self._shown(reply.text)}")
        if reply.status_code != 200:
            raise UserError(
                f"--judge: {self._place} refuses the request: HTTP {reply.status_code}, {self._shown(reply.text)}"
            )
        return self._content(reply)

    def _content(self, reply: requests.Response) -> str:
        """Return the text of a chat completion; an answer without text is an empty one."""
        try:
            content = reply.json()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            raise EndpointError(f"{self._place} does not answer as a chat model: {self._shown(reply.text)}") from None
        return content if isinstance(content, str) else ""

    @property
    def _place(self) -> str:
        return urlsplit(self._url).netloc

    def _shown(self, text: str) -> str:
        """Return a server's words on one line, shortened, without the key."""
        plain = " ".join(text.split())
        if self._key:
            plain = plain.replace(self._key, "***")
        return f"'{plain[:_QUOTED]}'" if plain else "no message"

    def _session(self) -> requests.Session:
        """Return this thread's connection, which waits and tries again by itself."""
        if not hasattr(self._own, "session"):
            self._own.session = _session(self._patience, self._key)
        session: requests.Session = self._own.session
        return session


def _session(patience: Patience, key: str | None) -> requests.Session:
    import requests
    from requests.adapters import HTTPAdapter
    from urllib3 import Retry

    retry = Retry(
        patience.tries - 1, status_forcelist=_BUSY, allowed_methods=None, backoff_factor=patience.pause,
        backoff_max=60.0, retry_after_max=60, raise_on_status=False,
    )  # fmt: skip
    session = requests.Session()
    for scheme in ("http://", "https://"):
        session.mount(scheme, HTTPAdapter(max_retries=retry))

    def carry(request: requests.PreparedRequest) -> requests.PreparedRequest:
        if key:
            request.headers["Authorization"] = f"Bearer {key}"
        return request

    # Set even without a key: else a password of ~/.netrc would be sent.
    session.auth = carry
    return session


def _cause(error: BaseException) -> str:
    """Return what lies at the bottom of an error of a connection."""
    reason = getattr(error.args[0], "reason", None) if error.args else None
    return str(reason or error)
