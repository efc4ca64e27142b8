"""Questions to an endpoint: asked once, asked again while it is busy, and every trouble said plainly."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from judges import HASTY, Reply, completion, serve

from harness.errors import UserError
from harness.features.asking import check_judge
from harness.features.endpoint import Endpoint, EndpointError, Messages, Patience, check_url
from harness.store.files import write_text

BODY = {"model": "some/judge", "temperature": 0.0}


def ask(url: str, folder: Path, *texts: str, key: str | None = None, patience: Patience = HASTY) -> list[str]:
    questions: list[Messages] = [[{"role": "user", "content": text}] for text in texts]
    return Endpoint(check_url(url), BODY, folder, key, patience).ask(questions, lambda *_: None, "asking")


def echo(request: Mapping[str, Any]) -> str:
    return f"you said {request['messages'][0]['content']}"


def test_answers_come_back_in_order_and_are_never_asked_for_twice(tmp_path: Path) -> None:
    with serve(echo) as server:
        words = [f"word {i % 7}" for i in range(20)]
        assert ask(server.url, tmp_path, *words) == [f"you said {word}" for word in words]
        assert len(server.seen) == 7
        assert server.seen[0]["model"] == "some/judge"
        assert set(server.paths) == {"/v1/chat/completions"}
        assert ask(server.url, tmp_path, *words, "one more")[-1] == "you said one more"
        assert len(server.seen) == 8
        assert len(list(tmp_path.rglob("*.json"))) == 8


def test_the_same_answer_serves_at_another_address_but_not_for_another_model(tmp_path: Path) -> None:
    with serve(echo) as server:
        ask(server.url, tmp_path, "a")
    assert ask("http://127.0.0.1:9/v1", tmp_path, "a") == ["you said a"]
    with serve(lambda request: "other") as server:
        other = Endpoint(check_url(server.url), {**BODY, "model": "other"}, tmp_path, None, HASTY)
        assert other.ask([[{"role": "user", "content": "a"}]], lambda *_: None, "") == ["other"]


def test_a_damaged_answer_is_asked_for_again(tmp_path: Path) -> None:
    with serve(echo) as server:
        ask(server.url, tmp_path, "a", "b")
        torn, swapped = sorted(tmp_path.rglob("*.json"))
        write_text(swapped, json.dumps({"request": {"messages": []}, "answer": "of another question"}))
        write_text(torn, torn.read_text()[:20])
        assert ask(server.url, tmp_path, "a", "b") == ["you said a", "you said b"]
        assert len(server.seen) == 4


def test_a_busy_endpoint_is_asked_again(tmp_path: Path) -> None:
    replies = iter([Reply(429, b"slow down", {"Retry-After": "0"}), Reply(503, b""), completion("at last")])
    with serve(lambda request: next(replies)) as server:
        assert ask(server.url, tmp_path, "a") == ["at last"]
        assert len(server.seen) == 3


def test_one_that_stays_busy_is_left_and_what_was_answered_is_kept(tmp_path: Path) -> None:
    def answer(request: Mapping[str, Any]) -> str | Reply:
        return Reply(500, b"out of\nmemory") if "bad" in str(request["messages"]) else echo(request)

    with serve(answer) as server:
        with pytest.raises(EndpointError, match=r"127\.0\.0\.1:\d+ stays busy: HTTP 500, 'out of memory'"):
            ask(server.url, tmp_path, "good", "bad", patience=Patience(5, 2, 0.01, together=1))
        assert ask("http://127.0.0.1:9/v1", tmp_path, "good") == ["you said good"]
        assert sum("bad" in str(request) for request in server.seen) == 2


def test_a_slow_endpoint_is_given_up_on(tmp_path: Path) -> None:
    wake = threading.Event()

    def answer(request: Mapping[str, Any]) -> str:
        wake.wait(10)
        return "too late"

    with serve(answer) as server:
        with pytest.raises(EndpointError, match=r"gives no answer: .*timed out"):
            ask(server.url, tmp_path, "a", patience=Patience(0.1, 2, 0.01))
        wake.set()


def test_one_that_is_slow_once_is_waited_for(tmp_path: Path) -> None:
    tries: list[int] = []
    again = threading.Event()

    def answer(request: Mapping[str, Any]) -> str:
        tries.append(1)
        if len(tries) == 1:
            again.wait(20)  # until it is asked a second time, and so given up on once
        again.set()
        return "here"

    with serve(answer) as server:
        assert ask(server.url, tmp_path, "a", patience=Patience(0.5, 6, 0.01)) == ["here"]
        assert len(server.seen) >= 2


def test_one_that_is_not_there_is_named(tmp_path: Path) -> None:
    with serve(echo) as server:
        gone = server.url
    with pytest.raises(EndpointError, match=r"127\.0\.0\.1:\d+ gives no answer: .*refused"):
        ask(gone, tmp_path, "a")


@pytest.mark.parametrize(
    "body", [b'{"choices": [', b"<html>hello</html>", b'{"choices": []}', b"[]", b'{"choices": [{"text": "x"}]}']
)
def test_what_is_no_completion_is_an_error_and_is_not_kept(body: bytes, tmp_path: Path) -> None:
    said = "does not answer as a chat model"
    with serve(lambda request: Reply(200, body)) as server, pytest.raises(EndpointError, match=said):
        ask(server.url, tmp_path, "a")
    assert list(tmp_path.rglob("*.json")) == []


def test_an_answer_without_text_is_an_empty_answer(tmp_path: Path) -> None:
    with serve(lambda request: completion(None)) as server:
        assert ask(server.url, tmp_path, "a") == [""]
        assert ask(server.url, tmp_path, "a") == [""]
        assert len(server.seen) == 1


def test_the_key_is_sent_and_is_nowhere_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text("machine 127.0.0.1 login me password of-netrc\n")
    monkeypatch.setenv("HOME", str(home))
    with serve(echo) as server:
        ask(server.url, tmp_path / "a", "a", key="sk-secret")
        ask(server.url, tmp_path / "b", "a")
        assert [headers.get("authorization") for headers in server.headers] == ["Bearer sk-secret", None]
    assert not any("secret" in path.read_text() for path in (tmp_path / "a").rglob("*.json"))
    with serve(lambda request: Reply(401, b"no such key: sk-secret")) as server:
        with pytest.raises(UserError, match=r"refuses the request: HTTP 401, 'no such key: \*\*\*'"):
            ask(server.url, tmp_path / "c", "a", key="sk-secret")
        assert len(server.seen) == 1


def test_nobody_is_sent_elsewhere(tmp_path: Path) -> None:
    with serve(echo) as other:
        away = Reply(307, b"", {"Location": f"{other.url}/chat/completions"})
        with serve(lambda request: away) as server, pytest.raises(UserError, match="HTTP 307"):
            ask(server.url, tmp_path, "a", key="sk-secret")
        assert other.seen == []


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000/v1", "give a URL such as"),
        ("ftp://host/v1", "got 'ftp://host/v1'"),
        ("http://", "give a URL such as"),
        ("http://host:port/v1", "this is no URL"),
        ("http://[::1/v1", "this is no URL"),
        ("http://a host/v1", "give a URL such as"),
        ("http://me:hidden@host/v1", "without user, query and fragment; a key goes into HARNESS_JUDGE_KEY"),
        ("http://host/v1?key=hidden", "without user, query and fragment"),
    ],
)
def test_what_is_no_address_is_said_and_no_secret_is_repeated(url: str, said: str) -> None:
    with pytest.raises(UserError) as found:
        check_judge(url, "m", 5, ())
    assert said in str(found.value)
    assert "hidden" not in str(found.value)


def test_a_call_of_a_judge_is_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    assert check_judge(None, None, 50, ()) is None
    for url, model in (("http://host/v1/", "m"), ("http://host/v1/chat/completions", " m ")):
        found = check_judge(url, model, 5, (3, 3, 1))
        assert found is not None
        assert (found.url, found.model, found.also) == ("http://host/v1/chat/completions", "m", (3, 1))
    with pytest.raises(UserError, match="--judge-model NAME is needed"):
        check_judge("http://host/v1", None, 5, ())
    with pytest.raises(UserError, match="need --judge URL"):
        check_judge(None, "m", 5, ())
    monkeypatch.setenv("HARNESS_JUDGE_KEY", "two words")
    with pytest.raises(UserError, match="HARNESS_JUDGE_KEY holds characters") as shown:
        check_judge("http://host/v1", "m", 5, ())
    assert "two words" not in str(shown.value)
