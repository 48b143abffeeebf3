"""What Gradio itself remembers of an open page: how it looks, no word of it; once closed, nothing.

Gradio keeps the value of each part of a page for links into a conversation, which these pages have
not, and keeps a page for as long as ten thousand others do not need the room. It holds what was
sent last until something else is. It also keeps each copy of a part that it ever changed (6.31:
`Blocks.preprocess_data` finds the number of a copy unknown and adds it).
"""

import re
from itertools import chain
from typing import Any, cast

import gradio as gr
from fastapi import FastAPI
from gradio.blocks import Block
from gradio.data_classes import PredictBodyInternal
from gradio.queueing import Event, Queue
from gradio.state_holder import SessionState, StateHolder
from gradio.utils import LRUCache
from starlette.routing import Mount

from discreet.pages.guests import MOST_ENDED, MOST_GUESTS

_SESSION = re.compile("[a-z0-9]{1,32}")


class _Session(SessionState):
    """The parts of one open page, without what they show."""

    def __setitem__(self, key: int, value: Any) -> None:
        """Put a changed part in the place of the part it is a copy of, under its number."""
        if isinstance(value, Block):
            value._id = key
        super().__setitem__(key, value)

    def _update_value_in_config(self, key: int, value: Any) -> None:
        """Keep nothing of what is shown."""


class Sessions(StateHolder):
    """The open pages of one demo in one language."""

    queue: "_Queue | None" = None
    """What people do on them, once the page was mounted."""

    def __getitem__(self, session: str) -> SessionState:
        """Return what is known of a page; of a new one, how it looks."""
        if session not in self.session_data:
            self.session_data[session] = _Session(self.blocks)
        return super().__getitem__(session)

    def set_blocks(self, blocks: gr.Blocks) -> None:
        """Hold pages of these blocks, no more of them than there are visits."""
        super().set_blocks(blocks)
        self.capacity = MOST_GUESTS

    def forget(self, session: str) -> None:
        """Drop a page that was closed, and what still waits to be shown on it."""
        if self.queue is not None:
            self.queue.forget(session)
        self.session_data.pop(session, None)
        self.time_last_used.pop(session, None)


class _Queue(Queue):
    """What people do on a page, one after the other."""

    async def push(
        self, body: PredictBodyInternal, *more: Any, **named: Any
    ) -> tuple[bool, Any, Any]:
        """Take what somebody does, of a page that names itself as Gradio's script does."""
        if not _SESSION.fullmatch(body.session_hash or ""):
            return False, "Expected the short name that a page gives itself, got another.", "error"
        return await super().push(body, *more, **named)

    def forget(self, session: str) -> None:
        """Let go of what was done on a page that is closed and what it was to be told."""
        waiting = [queue.queue for queue in self.event_queue_per_concurrency_id.values()]
        for event in chain.from_iterable([*waiting, *(job or () for job in self.active_jobs)]):
            if event.session_hash == session:
                event.alive = False
        self.pending_messages_per_session.pop(session, None)
        self.pending_event_ids_session.pop(session, None)

    async def process_events(self, events: list[Event], *more: Any, **named: Any) -> None:
        """Do it, and let go of what was sent with it: the last one lives on until the next."""
        try:
            await super().process_events(events, *more, **named)
        finally:
            for event in events:
                vars(event).update(data=None, request=None)


def remember_little(app: FastAPI, page: gr.Blocks, sessions: Sessions) -> None:
    """Let the page that was mounted last on an application keep no word of what is done on it."""
    mounted = app.routes[-1]
    if not isinstance(mounted, Mount):
        raise TypeError("Expected the page to be mounted last, got another route.")
    page._queue.__class__ = _Queue
    sessions.queue = cast("_Queue", page._queue)
    page._queue.pending_event_ids_session = LRUCache(MOST_ENDED)
    vars(mounted.app).update(state_holder=sessions)
    sessions.set_blocks(page)
