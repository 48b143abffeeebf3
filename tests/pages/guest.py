"""A visitor without a browser: asks the pages as a browser's script does, by the same addresses."""

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx


@dataclass
class Guest:
    """Somebody on a page; everything that comes for them goes into `heard`."""

    http: httpx.Client
    """With the address of the demo."""
    language: str = "en"
    session: str = field(default_factory=lambda: secrets.token_hex(6))
    heard: list[str] = field(default_factory=list)
    news: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        config = self.http.get(f"/{self.language}/config").json()
        names = {part["id"]: part["props"].get("elem_id") for part in config["components"]}
        self._acts = {
            (names.get(target), event): act["id"]
            for act in config["dependencies"]
            for target, event in act["targets"]
        }
        load = next(event for event in self._acts if event[1] == "load")
        self.act(*load)

    def act(self, element: str, event: str, *data: Any, said: Any = None) -> None:
        """Do something on the page, and return once all that follows from it was heard."""
        self.begin(element, event, *data, said=said)
        self.hear()

    def begin(self, element: str, event: str, *data: Any, said: Any = None) -> None:
        """Do something on the page; `said` is what a part of it says of what was done."""
        body = {
            "data": data,
            "fn_index": self._acts[element, event],
            "session_hash": self.session,
            "event_data": said,
        }
        self.http.post(f"/{self.language}/gradio_api/queue/join", json=body).raise_for_status()

    def hear(self) -> None:
        """Listen until the first of what was begun has ended."""
        for line in self._lines():
            if '"process_completed"' in line:
                assert json.loads(line.removeprefix("data: "))["success"]
                return

    def hear_all(self) -> None:
        """Listen until all that was begun has ended."""
        for _ in self._lines():
            pass

    def _lines(self) -> Iterator[str]:
        where = f"/{self.language}/gradio_api/queue/data"
        with self.http.stream("GET", where, params={"session_hash": self.session}) as reply:
            for line in reply.iter_lines():
                with self.news:
                    self.heard.append(line)
                    self.news.notify_all()
                yield line

    def wait_for(self, text: str) -> None:
        """Wait until something was heard."""
        with self.news:
            assert self.news.wait_for(lambda: text in "".join(self.heard), 60), text
