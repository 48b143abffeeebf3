"""The assistant for many visitors: a line, one model, an HTTP interface."""

from discreet.service.access import add_key, read_keys
from discreet.service.connections import ImpatientProtocol
from discreet.service.engine import Engine, Show, Ticket
from discreet.service.events import names_of
from discreet.service.pictures import open_data_uri
from discreet.service.told import require_told
from discreet.service.visit import Visit
from discreet.service.web import PER_MINUTE, build_app, serve

__all__ = [
    "PER_MINUTE",
    "Engine",
    "ImpatientProtocol",
    "Show",
    "Ticket",
    "Visit",
    "add_key",
    "build_app",
    "names_of",
    "open_data_uri",
    "read_keys",
    "require_told",
    "serve",
]
