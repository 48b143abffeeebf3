"""A chain is parsed once and compared ever after; nothing that it finds is found less for it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from discreet.chain import Record, RecordChain
from discreet.errors import ArtifactCorrupt


class Counted(list[Record]):
    """A list that tells how many records all lists of its kind took in."""

    taken = 0

    def append(self, record: Record) -> None:
        """Take in the next record; refuse one that is marked."""
        type(self).taken += 1
        if record.get("refused"):
            raise ValueError("refused")
        super().append(record)


@pytest.fixture
def chain(tmp_path: Path) -> RecordChain[Counted]:
    Counted.taken = 0
    chain = RecordChain(tmp_path / "records.jsonl", Counted)
    with chain.locked() as file:
        file.create({"number": 0})
    return chain


def grow(chain: RecordChain[Counted], *numbers: int) -> None:
    with chain.locked() as file:
        for number in numbers:
            file.append({"number": number})


def numbers_in(chain: RecordChain[Counted]) -> list[int]:
    return [record["number"] for record in chain.read()]


def test_what_was_verified_is_not_parsed_again(chain: RecordChain[Counted]) -> None:
    grow(chain, 1, 2, 3)
    assert numbers_in(chain) == numbers_in(chain) == [0, 1, 2, 3]
    assert Counted.taken == 4


def test_what_another_process_added_is_taken_in(chain: RecordChain[Counted]) -> None:
    assert numbers_in(chain) == [0]
    grow(RecordChain(chain.path, Counted), 1, 2)
    grow(chain, 3)
    assert numbers_in(chain) == numbers_in(RecordChain(chain.path, Counted)) == [0, 1, 2, 3]


@pytest.mark.parametrize("place", [3, -30])
def test_a_byte_that_changed_after_it_was_verified_is_found(
    chain: RecordChain[Counted], place: int
) -> None:
    grow(chain, 1, 2)
    data = bytearray(chain.path.read_bytes())
    assert numbers_in(chain) == [0, 1, 2]
    good = bytes(data)
    data[place] ^= 1
    chain.path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(ArtifactCorrupt):
            chain.read()
    chain.path.write_bytes(good)
    assert numbers_in(chain) == [0, 1, 2], "a backup was put back"


def test_a_line_lost_after_it_was_verified_is_missed(chain: RecordChain[Counted]) -> None:
    older = chain.path.read_bytes()
    grow(chain, 1)
    assert numbers_in(chain) == [0, 1]
    chain.path.write_bytes(older)
    with pytest.raises(ArtifactCorrupt, match="at its end are missing"):
        chain.read()


def test_a_record_that_was_refused_is_refused_again(chain: RecordChain[Counted]) -> None:
    """A summary that stopped half-way must not be taken for the whole."""
    other: RecordChain[list[Record]] = RecordChain(chain.path, list)
    with other.locked() as file:
        file.append({"number": 1, "refused": True})
        file.append({"number": 2})
    for _ in range(2):
        with pytest.raises(ValueError, match="refused"):
            chain.read()


def test_threads_may_share_a_chain(chain: RecordChain[Counted]) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: (grow(chain, number), chain.read()), range(1, 101)))
    assert sorted(numbers_in(chain)) == list(range(101))
    assert Counted.taken == 101
