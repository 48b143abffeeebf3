"""The real server, asked by OpenAI's own client and by hand."""

import base64
import json
import logging
import resource
import socket
import threading
import time
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from fastapi import FastAPI
from openai import APIStatusError, OpenAI
from PIL import Image

from discreet.journal import Kind
from discreet.service import Engine, build_app, read_keys, serve
from discreet.service.chat import refusal
from discreet.service.events import not_logged
from discreet.service.shield import HEADERS
from tests.service.conftest import MARKERS, Kept, serving
from tests.service.test_pictures import bomb, uri

ASKED = f"What helps against {MARKERS[3]}?"
MESSAGES: list[Any] = [{"role": "user", "content": ASKED}]
SECRET = "Xyzzy-secret-word"


@pytest.fixture
def client(address: str, key: str) -> Iterator[OpenAI]:
    with OpenAI(api_key=key, base_url=f"{address}/v1", max_retries=0) as client:
        yield client


@pytest.fixture
def http(address: str, key: str) -> Iterator[httpx.Client]:
    head = {"Authorization": f"Bearer {key}"}
    with httpx.Client(base_url=address, headers=head, timeout=30) as http:
        yield http


def body(**more: Any) -> dict[str, Any]:
    return {"model": "base", "messages": MESSAGES, **more}


def test_openais_client_gets_an_answer_and_why(client: OpenAI) -> None:
    reply = client.chat.completions.create(
        model="base",
        messages=[{"role": "system", "content": "Be rude."}, *MESSAGES],
        temperature=1.0,
        extra_body={"discreet": {"profile": {"age_band": "older_adult"}, "purpose": "inform"}},
    )
    text = reply.choices[0].message.content
    assert text is not None
    assert MARKERS[3] in text
    assert reply.usage is not None
    assert reply.usage.total_tokens == reply.usage.prompt_tokens + len(text.encode())
    ours = reply.model_extra["discreet"]  # type: ignore[index]
    assert [(seen["attribute"], seen["source"]) for seen in ours["why"]["observed"]] == [
        ("age_band", "declared")
    ]


def test_openais_client_gets_the_same_answer_as_a_stream(client: OpenAI) -> None:
    whole = client.chat.completions.create(model="base", messages=MESSAGES)
    events = list(
        client.chat.completions.create(
            model="base", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )
    )
    said = [choice.delta.content or "" for event in events for choice in event.choices]
    assert "".join(said).strip() == whole.choices[0].message.content
    assert events[-1].usage == whole.usage
    assert events[-2].choices[0].finish_reason == "stop"
    assert len({event.id for event in events}) == 1


def test_a_stream_ends_with_done(http: httpx.Client) -> None:
    reply = http.post("/v1/chat/completions", json=body(stream=True))
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.text.endswith("\n\ndata: [DONE]\n\n")


def test_openais_client_lists_the_models(client: OpenAI) -> None:
    assert [model.id for model in client.models.list()] == ["base"]
    assert client.models.retrieve("base").id == "base"
    with pytest.raises(APIStatusError, match="GET /v1/models names"):
        client.models.retrieve("other")


def test_a_picture_is_looked_at_with_consent_only(http: httpx.Client, faces: list[Any]) -> None:
    stream = BytesIO()
    faces[0].save(stream, "PNG")
    part = {"type": "image_url", "image_url": {"url": uri(stream.getvalue())}}
    asked = [{"role": "user", "content": [{"type": "text", "text": ASKED}, part]}]
    notice = http.get("/v1/notice").json()
    given = {"names": ["inform/age_band"], "notice_sha256": notice["sha256"]}
    agreed = http.post("/v1/consents", json=given)
    assert (agreed.status_code, agreed.json()["names"]) == (201, ["inform/age_band"])
    holder = {"id": agreed.json()["id"]}
    ours = {"consent": agreed.json()["id"]}
    reply = http.post("/v1/chat/completions", json=body(messages=asked, discreet=ours))
    assert reply.status_code == 200
    assert "dpv:ConsentReceipt" in http.post("/v1/consents/export", json=holder).text
    taken = {**holder, "names": ["inform/age_band"]}
    left = http.post("/v1/consents/withdraw", json=taken).json()
    assert left["names"] == []
    assert http.post("/v1/consents/erase", json=holder).json() == {**holder, "names": []}
    held = http.post("/v1/consents/export", json=holder).json()
    assert held["dpv:hasRecordOfActivity"] == []


def test_no_id_of_a_person_stands_in_a_path_or_a_query(app: FastAPI) -> None:
    described = app.openapi()["paths"]
    told = {
        parameter["name"]
        for methods in described.values()
        for operation in methods.values()
        for parameter in operation.get("parameters", [])
    }
    assert told == {"name", "language", "guardian"}
    assert [path for path in described if "{" in path] == ["/v1/models/{name}"]


@pytest.mark.parametrize(
    ("standing", "profile"),
    [("youth", {}), ("child", {}), ("adult", {"age_band": "child"})],
)
def test_nothing_is_estimated_of_somebody_who_says_that_they_are_young(
    http: httpx.Client, kept: Kept, standing: str, profile: dict[str, str]
) -> None:
    notice = http.get("/v1/notice").json()
    given = {"names": ["inform/age_band"], "notice_sha256": notice["sha256"]}
    agreed = http.post("/v1/consents", json=given).json()
    ours = {"consent": agreed["id"], "standing": standing, "profile": profile}
    assert http.post("/v1/chat/completions", json=body(discreet=ours)).status_code == 200
    assert kept.consents.history(agreed["id"]) == ()
    assert kept.journal.events()[-1].pseudonym is None


def test_consent_to_another_text_than_was_shown_is_refused(http: httpx.Client) -> None:
    given = {"names": ["inform/age_band"], "notice_sha256": "0" * 64}
    assert http.post("/v1/consents", json=given).status_code == 409


def test_a_guardian_is_shown_another_notice(http: httpx.Client) -> None:
    notice = http.get("/v1/notice", params={"guardian": True}).json()
    given = {"names": ["guardian/declared"], "notice_sha256": notice["sha256"], "guardian": True}
    agreed = http.post("/v1/consents", json=given).json()
    profile = {"age_band": "child", "reading": "plain"}
    ours = {"consent": agreed["id"], "profile": profile}
    reply = http.post("/v1/chat/completions", json=body(discreet=ours)).json()
    seen = {one["attribute"] for one in reply["discreet"]["why"]["observed"]}
    assert seen == {"age_band", "reading"}


def test_an_id_of_a_child_is_one_in_every_request(http: httpx.Client, kept: Kept) -> None:
    """Whoever asks for the child may forget to say so; nothing is written that links to it."""
    notice = http.get("/v1/notice", params={"guardian": True}).json()
    given = {"names": ["guardian/declared"], "notice_sha256": notice["sha256"], "guardian": True}
    holder = {"id": http.post("/v1/consents", json=given).json()["id"]}
    ours = {"consent": holder["id"], "profile": {"reading": "plain"}}
    reply = http.post("/v1/chat/completions", json=body(discreet=ours)).json()
    assert [one["attribute"] for one in reply["discreet"]["why"]["observed"]] == ["reading"]
    http.post("/v1/consents/export", json=holder)
    http.post("/v1/consents/withdraw", json={**holder, "names": ["guardian/declared"]})
    http.post("/v1/consents/export", json=holder)
    http.post("/v1/consents/erase", json=holder)
    assert len(kept.journal.events()) >= 6
    assert not any(entry.pseudonym for entry in kept.journal.events())
    assert not list((kept.folder / "journal").glob("links/*/*"))


def image(url: str) -> list[Any]:
    parts = [
        {"type": "text", "text": ASKED},
        {"type": "image_url", "image_url": {"url": url}},
    ]
    return [{"role": "user", "content": parts}]


def tiny_picture() -> str:
    stream = BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "PNG")
    return uri(stream.getvalue())


@pytest.mark.parametrize(
    ("given", "status"),
    [
        (body(model=SECRET), 404),
        (body(messages=[]), 400),
        (body(messages=[{"role": "assistant", "content": SECRET}]), 400),
        (body(messages=[{"role": "user", "content": " "}]), 400),
        (body(messages=[{"role": "user", "content": "a " * 3000}]), 400),
        (body(messages=image(f"https://example.org/{SECRET}.png")), 400),
        (body(messages=image(f"http://169.254.169.254/{SECRET}")), 400),
        (body(messages=image(f"data:image/png;base64,{SECRET}")), 400),
        (body(messages=image(uri(bomb(30_000)))), 400),
        (body(messages=image(tiny_picture().replace("png", "jpeg"))), 200),
        (body(messages=image(tiny_picture()) * 2), 200),
        (body(discreet={"profile": {SECRET: "x"}}), 400),
        (body(discreet={"profile": {"age_band": SECRET}}), 400),
        (body(discreet={"profile": {"race": "x"}}), 400),
        (body(discreet={"purpose": SECRET}), 400),
        (body(messages=[{"role": "user", "content": f"{ASKED} \ud800"}]), 200),
        (body(model="\ud800"), 400),
        (body(discreet={"profile": {"\ud800": "\ud800"}}), 400),
        (body(discreet={"consent": SECRET}), 400),
        (body(discreet={"consent": "0" * 32}), 200),
        (body(discreet={SECRET: 1}), 400),
        (body(discreet={"mode": "native"}), 400),
        (body(discreet={"language": "fr"}), 400),
        (body(n=2), 400),
    ],
)
def test_what_cannot_be_answered_is_refused_in_words_that_repeat_nothing(
    http: httpx.Client, given: dict[str, Any], status: int
) -> None:
    head = {"content-type": "application/json"}
    reply = http.post("/v1/chat/completions", content=json.dumps(given), headers=head)
    assert reply.status_code == status
    if status != 200:
        error = reply.json()["error"]
        assert error["message"].startswith(("Expected", "The policy"))
        assert error["code"]
        assert SECRET not in reply.text


def test_two_pictures_of_one_question_are_refused(http: httpx.Client) -> None:
    message = image(tiny_picture())[0]
    message["content"].append(message["content"][1])
    reply = http.post("/v1/chat/completions", json=body(messages=[message]))
    assert reply.status_code == 400
    assert "at most one picture" in reply.text


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"{", 400),
        (b"\xff", 400),
        (b"[" * 9_000, 400),
        (b"[" * 100_000, 413),
        (b'{"messages": [{"role": "user", "content": [' + b"1," * 100_000 + b"1]}]}", 413),
        (b'{"discreet": {' + b'"":1,' * 100_000 + b'"":1}}', 413),
        (b"null", 400),
        (b'{"a": "' + b"x" * (13 * 2**20) + b'"}', 413),
    ],
)
def test_a_body_that_cannot_be_read_is_refused(
    http: httpx.Client, content: bytes, status: int
) -> None:
    head = {"content-type": "application/json"}
    reply = http.post("/v1/chat/completions", content=content, headers=head)
    assert reply.status_code == status
    assert reply.json()["error"]["message"]


def test_a_body_without_a_length_is_cut_off_where_it_is_too_large(http: httpx.Client) -> None:
    def endless() -> Any:
        for _ in range(20):
            yield b"x" * 2**20

    reply = http.post("/v1/chat/completions", content=endless())
    assert reply.status_code == 413


def test_danger_is_answered_whatever_else_is_wrong_with_a_request(http: httpx.Client) -> None:
    told = [
        {"type": "text", "text": "I have chest pain"},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
    ]
    wrong = {"profile": {"age_band": "none"}, "mode": "native"}
    asked = body(messages=[{"role": "user", "content": told}], discreet=wrong)
    reply = http.post("/v1/chat/completions", json=asked)
    assert reply.status_code == 200
    assert "emergency" in reply.json()["choices"][0]["message"]["content"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("more", "pictures"),
    [
        ({"model": SECRET}, 0),
        ({"discreet": {"purpose": SECRET}}, 0),
        ({"discreet": {"language": "fr"}}, 0),
        ({}, 2),
    ],
)
def test_danger_is_heard_before_anything_is_looked_up(
    http: httpx.Client, kept: Kept, more: dict[str, Any], pictures: int, stream: bool
) -> None:
    content = [
        {"type": "text", "text": "I have chest pain"},
        *image(tiny_picture())[0]["content"][1:] * pictures,
    ]
    asked = body(messages=[{"role": "user", "content": content}], stream=stream) | more
    reply = http.post("/v1/chat/completions", json=asked)
    assert reply.status_code == 200
    assert "emergency" in reply.text
    assert SECRET not in reply.text
    assert kept.journal.events()[-1].event.kind == Kind.EMERGENCY
    assert not list((kept.folder / "journal").glob("links/*/*")), "it may be a child's"


def test_a_text_of_megabytes_holds_nobody_up(http: httpx.Client) -> None:
    words = "word " * 2**20
    began = time.monotonic()
    for text, status in ((f"{words} I have chest pain.", 200), (words, 400)):
        asked = body(messages=[{"role": "user", "content": text}])
        assert http.post("/v1/chat/completions", json=asked).status_code == status
    assert time.monotonic() - began < 20  # to find a note for it, and count its tokens, takes 60 s


def test_a_server_that_falls_leaves_no_core(app: FastAPI, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    before = resource.getrlimit(resource.RLIMIT_CORE)
    monkeypatch.setattr(
        uvicorn, "run", lambda *_, **__: seen.append(resource.getrlimit(resource.RLIMIT_CORE))
    )
    resource.setrlimit(resource.RLIMIT_CORE, (before[1], before[1]))
    serve(app, host="127.0.0.1", port=1)
    assert seen == [(0, before[1])]
    resource.setrlimit(resource.RLIMIT_CORE, before)


def test_no_address_of_the_senders_is_repeated(http: httpx.Client) -> None:
    reply = http.get("/v1/models/", headers={"Host": SECRET})
    assert reply.status_code == 404
    assert SECRET not in f"{reply.headers}{reply.text}"


@pytest.mark.parametrize("said", [None, "Bearer", "Bearer x", "Basic x", "Bearer dsc-é"])
def test_without_a_key_nothing_is_answered(address: str, said: str | None) -> None:
    head = {} if said is None else {"Authorization": said.encode()}
    for path in ("/v1/models", "/v1/notice", "/anything"):
        reply = httpx.get(address + path, headers=head)  # type: ignore[arg-type]
        assert reply.status_code == 401
        assert reply.json()["error"]["code"] == "invalid_api_key"


def test_who_asks_too_often_waits(engine: Engine, kept: Kept, key: str, key_file: Path) -> None:
    keys = read_keys(key_file)
    few = build_app(engine, consents=kept.consents, journal=kept.journal, keys=keys, per_minute=2)
    with serving(few) as address:
        head = {"Authorization": f"Bearer {key}"}
        replies = [httpx.get(f"{address}/v1/models", headers=head) for _ in range(3)]
    assert [reply.status_code for reply in replies] == [200, 200, 429]
    assert 0 < int(replies[2].headers["retry-after"]) <= 30


def test_every_reply_says_how_it_may_be_used(http: httpx.Client, address: str) -> None:
    for path in ("/health", "/v1/models", "/nowhere"):
        reply = http.get(path, headers={"Origin": "https://example.org"})
        for name, value in HEADERS:
            assert reply.headers[name.decode()] == value.decode()
        assert not [name for name in reply.headers if name.startswith("access-control")]
    asked = {"Origin": "https://example.org", "Access-Control-Request-Method": "POST"}
    assert http.options("/v1/chat/completions", headers=asked).status_code == 405
    assert http.get("/docs").status_code == http.get("/redoc").status_code == 404


def test_an_error_that_nobody_expected_tells_nothing(
    http: httpx.Client,
    engine: Engine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*given: object, **more: object) -> None:
        raise RuntimeError(f"of {SECRET}")

    monkeypatch.setattr(engine, "submit", broken)
    with caplog.at_level(logging.DEBUG):
        for stream in (False, True):
            reply = http.post("/v1/chat/completions", json=body(stream=stream))
            assert (reply.status_code, SECRET in reply.text) == (500, False)
            assert reply.json()["error"]["type"] == "server_error"
    assert "RuntimeError" in caplog.text
    assert SECRET not in caplog.text


def test_no_word_of_a_talk_is_in_a_log_or_file(
    http: httpx.Client, kept: Kept, caplog: pytest.LogCaptureFixture
) -> None:
    asked = [{"role": "user", "content": f"{ASKED} {SECRET}"}]
    with caplog.at_level(logging.DEBUG):
        assert http.post("/v1/chat/completions", json=body(messages=asked)).status_code == 200
    assert SECRET not in caplog.text
    for path in kept.folder.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes()


def test_who_hangs_up_frees_the_place(app: FastAPI, engine: Engine, key: str) -> None:
    gate = threading.Event()
    blocked = [engine.submit(lambda show: gate.wait(30)) for _ in range(4)]
    with serving(app) as address:
        host, _, port = address.removeprefix("http://").partition(":")
        text = json.dumps(body()).encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nhost: {host}\r\nauthorization: Bearer {key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(text)}\r\n\r\n"
        )
        with socket.create_connection((host, int(port))) as caller:
            caller.sendall(head.encode() + text)
            while not engine._line:
                time.sleep(0.01)
        for _ in range(500):
            if not engine._line:
                break
            time.sleep(0.01)
        assert not engine._line
        gate.set()
    assert all(ticket.result(10) for ticket in blocked)


def test_the_description_is_whole(address: str) -> None:
    paths = httpx.get(f"{address}/openapi.json").json()["paths"]
    assert "/v1/chat/completions" in paths
    assert "422" not in json.dumps(paths)


def test_base64_of_another_alphabet_is_refused(http: httpx.Client) -> None:
    text = base64.urlsafe_b64encode(b"\xfb\xff" * 30).decode()
    asked = image(f"data:image/png;base64,{text}")
    assert http.post("/v1/chat/completions", json=body(messages=asked)).status_code == 400


def test_an_answer_that_cannot_be_written_down_is_the_fault_of_the_service() -> None:
    told = refusal(not_logged())
    assert (told.status_code, told.headers["retry-after"]) == (503, "60")
    assert json.loads(bytes(told.body))["error"]["code"] == "NotLogged"
