"""The real command with a country: what its pages say of danger to life."""

from collections.abc import Callable

import httpx
import pytest

from discreet.assistant import emergency_text
from tests.pages.conftest import TINY, Demo
from tests.pages.guest import Guest
from tests.pages.test_app import Client

DANGER = "My son drank bleach"


def test_a_demo_says_the_numbers_of_its_country(begin: Callable[..., Demo]) -> None:
    pytest.importorskip("gradio")
    demo = begin("healthcare", *TINY, "--country", "be")
    with httpx.Client(base_url=demo.address, timeout=60) as http:
        for language, line in (("en", "call 112."), ("fr", "appelez le 112.")):
            config = http.get(f"/{language}/config").json()
            parts = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
            assert parts["person"]["value"].endswith(f"{line}</p>")
        guest = Guest(http)
        guest.act("ask", "click", DANGER, "")
        guest.act("hand-over", "click", [])
        heard = "".join(guest.heard)
    assert "070 245 245" in emergency_text("en", "BE", DANGER)
    assert "070 245 245" in heard
    assert "If life is in danger, call 112." in heard


def test_french_pages_suppose_no_country_but_for_the_age_they_ask_by() -> None:
    config = Client().get("/fr/config").json()
    parts = {part["props"].get("elem_id"): part["props"] for part in config["components"]}
    assert "appelez le numéro d&#39;urgence." in parts["person"]["value"]
    assert "moins de 15 ans" in str(config).lower()
