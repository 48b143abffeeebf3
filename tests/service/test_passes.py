"""The worker: what it does with rows that fail, and with those who hear them."""

import pytest

from discreet.errors import Stopped
from discreet.model import Answer, Request, Vlm, answer_all
from discreet.service import passes
from discreet.service.passes import Passes, _Job

ASKED = [{"role": "user", "content": "Why?"}]


def test_an_answer_is_the_one_that_the_request_has_alone(tiny: Vlm) -> None:
    heard: list[str] = []
    request = Request(messages=ASKED, max_new_tokens=12, on_text=heard.append)
    with Passes(tiny, most_rows=4) as queue:
        (answer,) = queue.write([request])
    assert answer == answer_all(tiny, [request])[0]
    assert heard[: len(heard) // 2] == heard[len(heard) // 2 :]


def test_who_fails_to_take_a_row_gets_the_error_and_the_worker_lives_on(tiny: Vlm) -> None:
    def broken(piece: str) -> None:
        raise RuntimeError("broken")

    with Passes(tiny, most_rows=4) as queue:
        with pytest.raises(RuntimeError, match="broken"):
            queue.write([Request(messages=ASKED, max_new_tokens=400, on_text=broken)])
        assert queue.write([Request(messages=ASKED, max_new_tokens=2)])


def test_nothing_is_written_twice_to_who_has_heard_some_of_it(
    tiny: Vlm, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[int] = []

    def breaks(vlm: Vlm, requests: list[Request]) -> list[Answer]:
        calls.append(len(requests))
        assert requests[0].on_text is not None
        requests[0].on_text("piece")
        raise MemoryError

    monkeypatch.setattr(passes, "answer_all", breaks)
    heard: list[str] = []
    request = Request(messages=ASKED, max_new_tokens=2, on_text=heard.append)
    jobs = [_Job((request,), lambda: False) for _ in range(2)]
    with Passes(tiny, most_rows=4) as queue:
        queue._write(jobs)
    assert calls == [2, 1], "the one who has heard nothing is written alone, once more"
    assert heard == ["piece", "piece"]
    assert all(isinstance(job.future.exception(1), MemoryError) for job in jobs)


def test_after_its_end_nothing_is_taken(tiny: Vlm) -> None:
    with Passes(tiny, most_rows=4) as queue:
        pass
    with pytest.raises(Stopped):
        queue.write([Request(messages=ASKED)])
