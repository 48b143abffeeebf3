"""`discreet fields` as a person types it."""

import json
import tomllib
from dataclasses import fields

from discreet.federated import TrainConfig
from tests.cli.conftest import Run


def test_what_is_told_is_the_default_plan_as_toml(discreet: Run) -> None:
    status, out, err = discreet("fields")
    assert status == 0, err
    assert tomllib.loads(out) == TrainConfig().as_mapping()
    assert all(f"{field.name} = " in out for field in fields(TrainConfig))


def test_fields_are_found_by_a_part_of_their_name(discreet: Run) -> None:
    status, out, err = discreet("fields", "NORM", "wire", "--json")
    assert status == 0, err
    found = {field["name"]: field for field in json.loads(out)}
    assert set(found) == {"max_grad_norm", "max_update_norm", "wire", "wire_down"}
    assert found["wire_down"]["choices"] == ["float32", "bfloat16", "float16", "int8"]
    assert found["max_update_norm"]["default"] is None
    assert found["max_grad_norm"]["default"] == TrainConfig().max_grad_norm


def test_a_name_that_no_field_has_is_refused(discreet: Run) -> None:
    status, out, err = discreet("fields", "zzz")
    assert (status, out) == (2, "")
    assert "Expected part of a field's name" in " ".join(err.split())
