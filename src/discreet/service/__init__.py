"""The assistant for many visitors: a line, one model, an HTTP interface."""

from discreet.service.engine import Engine, Show, Ticket
from discreet.service.visit import Visit

__all__ = [
    "Engine",
    "Show",
    "Ticket",
    "Visit",
]
