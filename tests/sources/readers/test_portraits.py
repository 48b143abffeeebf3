"""discreet's own Parquet files, as `load_portraits` reads them."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from discreet.data import SHIPPED_DIR, load_portraits
from discreet.sources import find_reader

from ..small import found, picture, read


def test_the_shipped_people_are_read_as_load_portraits_reads_them() -> None:
    path = SHIPPED_DIR / "validation.parquet"
    assert find_reader(path).name == "portraits"
    records, problems = read(path)
    people = load_portraits("validation")
    assert len(records) == len(people)
    assert not problems.total
    for record, portrait in list(zip(records, people, strict=True))[::50]:
        assert record.media[0].read() == portrait.jpeg
        assert record.person == portrait.identity_id
        assert record.labels == {"age_band": portrait.age_band, "expression": portrait.expression}
        there = {k: v for k, v in portrait.audit_labels.items() if v not in ("None", "none")}
        assert {k: v for k, v in record.audit_labels.items() if v != "none"}.keys() == there.keys()


def test_other_values_and_rows_without_a_person_are_problems(tmp_path: Path) -> None:
    good = {"image": picture(1), "identity_id": "p1", "age_band": "child", "expression": "happy"}
    rows = [good, good | {"age_band": "20-29"}, good | {"identity_id": None}]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "p.parquet")
    records, problems = read(tmp_path / "p.parquet")
    assert [dict(record.labels) for record in records] == [
        {"age_band": "child", "expression": "happy"},
        {"expression": "happy"},
    ]
    assert found(problems) == {"unknown_label": [2], "row": [3]}
