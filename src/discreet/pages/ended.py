"""What an act does on a page whose visit has ended: nothing but show a page as it is when opened.

Gradio says that a page was closed when its heartbeat breaks, as it does where a network changes,
and takes acts of that page all the same. Done by somebody new, they would be done without what the
page still shows: an age that protects, a switch that is off.
"""

import inspect
from collections.abc import AsyncIterator, Callable
from functools import wraps
from typing import Any

import gradio as gr

from discreet.assistant import is_emergency

Anew = Callable[[gr.Request], dict[Any, Any] | None]
"""Returns a fresh page where the visit of this one has ended, and None where it goes on."""


def unless_ended(act: Callable[..., Any], anew: Anew) -> Callable[..., Any]:
    """Return an act that shows a fresh page instead where its visit has ended.

    Danger to life is answered on a page that has ended, too.
    """
    if inspect.isasyncgenfunction(act):

        @wraps(act)
        async def follow(*given: Any) -> AsyncIterator[dict[Any, Any]]:
            fresh = _fresh(given, anew)
            if fresh is not None:
                yield fresh
            else:
                async for shown in act(*given):
                    yield shown

        return follow

    @wraps(act)
    def do(*given: Any) -> Any:
        fresh = _fresh(given, anew)
        return act(*given) if fresh is None else fresh

    return do


def _fresh(given: tuple[Any, ...], anew: Anew) -> dict[Any, Any] | None:
    question, *_ = given
    if isinstance(question, str) and is_emergency(question):
        return None
    (request,) = (one for one in given if isinstance(one, gr.Request))
    return anew(request)
