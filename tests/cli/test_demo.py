"""What the command says of where it listens; the pages themselves are tried in `tests/pages`."""

from socket import gethostname

import pytest

from discreet.cli.demo import say_where


@pytest.mark.parametrize(
    ("host", "called", "is_told"),
    [
        ("127.0.0.1", "127.0.0.1", False),
        ("localhost", "localhost", False),
        ("0.0.0.0", gethostname(), True),  # noqa: S104 - nothing listens here
        ("::", gethostname(), True),
        ("10.1.2.3", "10.1.2.3", True),
        ("::1", "[::1]", False),
    ],
)
def test_it_says_where_to_go_and_who_else_can(
    host: str, called: str, is_told: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    say_where(host, 7860)
    said = "".join(capsys.readouterr())
    assert f"Open http://{called}:7860/" in said
    assert ("TLS" in said) == is_told
