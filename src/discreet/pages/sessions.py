"""What Gradio itself remembers of an open page: how it looks, no word of it; once closed, nothing.

Gradio keeps the value of each part of a page for links into a conversation, which these pages have
not, and keeps a page for as long as ten thousand others do not need the room. It holds what was
sent last until something else is. It also keeps each copy of a part that it ever changed (6.31:
`Blocks.preprocess_data` finds the number of a copy unknown and adds it).
"""

from typing import Any

import gradio as gr
from fastapi import FastAPI
from gradio.blocks import Block
from gradio.queueing import Event, Queue
from gradio.state_holder import SessionState, StateHolder
from starlette.routing import Mount


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

    def __getitem__(self, session: str) -> SessionState:
        """Return what is known of a page; of a new one, how it looks."""
        if session not in self.session_data:
            self.session_data[session] = _Session(self.blocks)
        return super().__getitem__(session)

    def forget(self, session: str) -> None:
        """Drop a page that was closed."""
        self.session_data.pop(session, None)
        self.time_last_used.pop(session, None)


class _Queue(Queue):
    """What people do on a page, one after the other."""

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
    vars(mounted.app).update(state_holder=sessions)
    sessions.set_blocks(page)
