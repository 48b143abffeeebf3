"""What schemathesis makes of the description of the interface: nothing breaks it."""

import json

import pytest
import schemathesis
from fastapi import FastAPI
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
"""What an answer has to be, whatever was asked."""


def ask(app: FastAPI, key: str, examples: int) -> dict[int, int]:
    """Ask every operation so many things, some right and some wrong, and count the answers."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app)
    found: dict[int, int] = {}
    head = {"Authorization": f"Bearer {key}"}
    for result in schema.get_all_operations():
        operation = result.ok()
        strategy = st.one_of(
            operation.as_strategy(generation_mode=mode)
            for mode in schemathesis.GenerationMode.all()
        )

        @given(case=strategy)
        @settings(
            max_examples=examples,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
            deadline=None,
        )
        def asked(case: schemathesis.Case) -> None:
            reply = case.call(headers=head)
            case.validate_response(reply, checks=CHECKS)
            assert b"Traceback" not in reply.content
            assert reply.status_code < 400 or json.loads(reply.content)["error"]["message"]
            found[reply.status_code] = found.get(reply.status_code, 0) + 1

        asked()
    return found


def test_nothing_that_is_sent_breaks_it(app: FastAPI, key: str) -> None:
    found = ask(app, key, 10)
    assert 200 in found
    assert 400 in found


@pytest.mark.slow
def test_a_thousand_examples_do_not_break_it(app: FastAPI, key: str) -> None:
    found = ask(app, key, 120)
    assert sum(found.values()) >= 1000
    assert max(found) < 500
