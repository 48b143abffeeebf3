"""The shipped assistant on its page: one question, two readers, each in their own form."""

from collections.abc import Callable
from typing import Any

import pytest

from discreet.model.base import CACHE_DIR
from discreet.readers import fits_reader
from tests.pages.conftest import Demo, Tab
from tests.pages.stage import LISTEN

SHIPPED = ("--adapter", "reference", "--find", "words", "--cache", str(CACHE_DIR))
QUESTION = "How does a vaccine work?"


@pytest.mark.slow
def test_a_declared_child_and_an_older_adult_get_answers_inside_their_bands(
    chromium: Any, begin: Callable[..., Demo]
) -> None:
    demo = begin("healthcare", *SHIPPED)
    page = chromium.new_context().new_page()
    page.set_default_timeout(120_000)
    page.add_init_script(LISTEN)
    page.goto(f"{demo.address}/en/")
    page.locator(".suggestions").wait_for()
    tab = Tab(page=page, demo=demo)

    def answer_for(band: str) -> str:
        tab.do(page.locator(f'#age-band input[value="{band}"]').check)
        tab.ask(QUESTION)
        lines = page.locator(".talk > li:last-child .answered > p:not(.fitted, .aside)")
        return "\n".join(lines.all_inner_texts())

    child, older = answer_for("child"), answer_for("older_adult")
    page.context.close()
    assert fits_reader(child, "child", "en"), child
    assert fits_reader(older, "older_adult", "en"), older
    assert not fits_reader(child, "older_adult", "en")
    assert not fits_reader(older, "child", "en")
