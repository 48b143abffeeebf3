"""The healthcare and the tutoring page: a visit that somebody can see, hear and touch.

What may be known, asked and kept is decided by a visit (`discreet.service`); this room shows it and
passes on what people do. It needs the `demo` extra (Gradio), whose settings a program makes before
it imports this room: `discreet demo` does.
"""

from discreet.pages.app import build_app, serve
from discreet.pages.models import BASE, Model

__all__ = ["BASE", "Model", "build_app", "serve"]
