"""Twenty visitors at once, five hundred turns, and an end on demand; each over the real thing."""

import gc
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from discreet.assistant import Assistant
from discreet.service import Engine, Visit
from tests.service.conftest import MARKERS, Kept
from tests.service.test_pictures import uri


@pytest.fixture
def http(address: str, key: str) -> Iterator[httpx.Client]:
    head = {"Authorization": f"Bearer {key}"}
    limits = httpx.Limits(max_connections=32)
    with httpx.Client(base_url=address, headers=head, timeout=60, limits=limits) as http:
        yield http


def asked(word: str, colour: tuple[int, int, int]) -> dict[str, Any]:
    stream = BytesIO()
    Image.new("RGB", (64, 64), colour).save(stream, "PNG")
    parts = [
        {"type": "text", "text": f"What helps against {word}?"},
        {"type": "image_url", "image_url": {"url": uri(stream.getvalue())}},
    ]
    return {"model": "base", "messages": [{"role": "user", "content": parts}]}


def test_twenty_visitors_at_once_each_get_their_own(http: httpx.Client) -> None:
    """Whole and streamed, each with a picture and a word of its own."""

    def visitor(number: int) -> str:
        body = {**asked(MARKERS[number], (number, 0, 0)), "stream": bool(number % 2)}
        reply = http.post("/v1/chat/completions", json=body)
        assert reply.status_code == 200
        return reply.text

    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(visitor, range(20)))
    for number, text in enumerate(replies):
        assert set(re.findall(r"marker\d\d", text)) == {MARKERS[number]}


def test_pictures_of_visitors_do_not_cross(assistant: Assistant, kept: Kept) -> None:
    """Each picture is of a colour of its own, and who looks says which one it was."""
    seen: dict[str, int] = {}
    here = threading.local()

    class Eyes:
        def perceive(self, image: Image.Image, attributes: object) -> Any:
            seen[here.word] = image.getpixel((0, 0))[0]  # type: ignore[index]
            return None

    with Engine(replace(assistant, perceiver=Eyes()), at_once=4) as engine:  # type: ignore[arg-type]
        talk = engine.assistants["en"]
        visits = [Visit(engine, consents=kept.consents, journal=kept.journal) for _ in MARKERS]
        for visit in visits:
            visit.give(["inform/age_band"])

        def tells(visit: Visit, word: str) -> None:
            ask = visit._conversation.ask

            def told(*given: Any, **more: Any) -> Any:
                here.word = word
                return ask(*given, **more)

            visit._conversation.ask = told  # type: ignore[method-assign]

        tickets = []
        for number, (visit, word) in enumerate(zip(visits, MARKERS, strict=True)):
            tells(visit, word)
            picture = Image.new("RGB", (64, 64), (number, 0, 0))
            tickets.append(visit.ask(f"What helps against {word}?", picture))
        replies = [ticket.result(60).reply.text for ticket in tickets]
    assert talk.vlm is assistant.vlm
    assert seen == {word: number for number, word in enumerate(MARKERS)}
    assert all(word in text for word, text in zip(MARKERS, replies, strict=True))


def test_visitors_are_answered_in_the_order_in_which_they_came(
    assistant: Assistant, kept: Kept
) -> None:
    """Nobody is passed by more than those who are answered together."""
    order: list[int] = []
    with Engine(assistant, at_once=4) as engine:
        visits = [Visit(engine, consents=kept.consents, journal=kept.journal) for _ in MARKERS]
        tickets = [
            visit.ask(f"What helps against {word}?")
            for visit, word in zip(visits, MARKERS, strict=True)
        ]
        waiting = set(range(len(tickets)))
        while waiting:
            ended = {number for number in waiting if tickets[number].done}
            order += sorted(ended)
            waiting -= ended
            time.sleep(0.005)
    assert all(abs(place - number) < 2 * 4 for place, number in enumerate(order))


def memory_bytes() -> int:
    gc.collect()
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.slow
def test_five_hundred_turns_take_no_more_memory_than_a_few(http: httpx.Client) -> None:
    def turns(count: int) -> None:
        for number in range(count):
            word = MARKERS[number % len(MARKERS)]
            body = asked(word, (number % 256, 0, 0))
            assert http.post("/v1/chat/completions", json=body).status_code == 200

    turns(100)
    before = memory_bytes()
    turns(500)
    assert memory_bytes() - before < 8 * 2**20


def test_the_service_ends_within_five_seconds_while_somebody_is_answered(tmp_path: Path) -> None:
    made = [sys.executable, "-m", "discreet", "serve", "--folder", str(tmp_path / "service")]
    key = subprocess.run([*made, "--new-key", "robot"], capture_output=True, text=True).stdout
    options = ["--adapter", "none", "--base", "tiny", "--find", "words", "--port", "18431"]
    with subprocess.Popen([*made, *options], stderr=subprocess.PIPE, text=True) as process:
        where, head = "http://127.0.0.1:18431", {"Authorization": f"Bearer {key.strip()}"}
        for _ in range(600):
            try:
                assert httpx.get(f"{where}/health").status_code == 200
                break
            except httpx.TransportError:
                time.sleep(0.1)
        question = "Why do I sleep badly after coffee?"
        body = {"model": "base", "messages": [{"role": "user", "content": question}]}
        with httpx.stream(
            "POST", f"{where}/v1/chat/completions", json={**body, "stream": True}, headers=head
        ) as reply:
            next(reply.iter_lines())
            begun = time.perf_counter()
            process.send_signal(signal.SIGTERM)
            process.wait(10)
        assert time.perf_counter() - begun < 5
        assert process.stderr is not None
        said = process.stderr.read()
    assert "Traceback" not in said
    assert question not in said
