import re
from typing import Any

import httpx
import pytest
from starlette.types import Message

gradio = pytest.importorskip("gradio")

from discreet.pages import BASE, Model, build_app  # noqa: E402
from discreet.pages.door import MOST_BYTES  # noqa: E402
from tests.loops import run  # noqa: E402
from tests.pages.stage import built  # noqa: E402


def nobody(language: str) -> None:
    raise AssertionError("no visit begins before a page is open")


class Client:
    """Asks the application as a browser on this machine would."""

    def __init__(self) -> None:
        models = (Model(name=BASE),)
        self.app = built(
            lambda: build_app(
                "tutoring",
                open_visit=nobody,  # type: ignore[arg-type]
                erase=nobody,  # type: ignore[arg-type]
                models=models,
                names=["assistant.hospital.example"],
            )
        )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.send("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.send("POST", path, **more)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as to:
                return await to.request(method, path, **more)

        return run(ask())


@pytest.fixture(scope="module")
def client() -> Client:
    return Client()


@pytest.mark.parametrize("language", ["en", "fr"])
def test_each_language_has_its_page(client: Client, language: str) -> None:
    page = client.get(f"/{language}/")
    assert page.status_code == 200
    assert f'"language": "{language}"' in client.get(f"/{language}/config").json()["head"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("accepted", "language"), [("fr-CA,en;q=0.5", "fr"), ("de", "en"), ("", "en")]
)
def test_a_first_visit_begins_in_the_language_of_the_browser(
    client: Client, accepted: str, language: str
) -> None:
    found = client.get("/", headers={"accept-language": accepted})
    assert found.headers["location"] == f"/{language}/?first"


@pytest.mark.parametrize(
    "path",
    [
        "/docs",
        "/openapi.json",
        "/en/docs",
        "/en/gradio_api/info",
        "/en/gradio_api/openapi.json",
        "/en/gradio_api/runs",
        "/en/gradio_api/file=/etc/hostname",
        "/en/gradio_api/proxy=http://127.0.0.1/",
        "/en/gradio_api/mcp/sse",
        "/en/monitoring",
        "/en/login",
        "/en/../etc/passwd",
    ],
)
def test_what_no_page_needs_is_not_found(client: Client, path: str) -> None:
    assert client.get(path).status_code == 404


def test_nothing_can_be_uploaded_or_called_by_name(client: Client) -> None:
    files = {"files": ("face.jpg", b"content")}
    assert client.post("/en/gradio_api/upload", files=files).status_code == 404
    assert client.post("/en/gradio_api/call/ask", json={"data": []}).status_code == 404
    assert client.post("/en/gradio_api/run/predict", json={"data": []}).status_code == 404


def test_a_request_that_is_too_long_is_not_read(client: Client) -> None:
    found = client.post("/en/gradio_api/queue/join", content=b"x" * (MOST_BYTES + 1))
    assert found.status_code == 404


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("attacker.example", 400),
        ("127.0.0.1.attacker.example:7860", 400),
        ("localhost.attacker.example", 400),
        ("[::1].attacker.example", 400),
        ("", 400),
        ("localhost:7860", 200),
        ("10.1.2.3:7860", 200),
        ("[fe80::1]:7860", 200),
        ("Assistant.Hospital.example", 200),
        ("assistant.hospital.example:443", 200),
    ],
)
def test_only_a_name_of_this_machine_or_an_address_opens_the_page(
    client: Client, host: str, status: int
) -> None:
    """A page of others whose name is made to point here has no address for a name."""
    assert client.get("/en/", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("127.0.0.1", "http://127.0.0.1", 200),
        ("127.0.0.1:7860", "http://127.0.0.1:7860", 200),
        ("10.0.0.5:7860", "http://10.0.0.5:7860", 200),
        ("assistant.hospital.example", "https://assistant.hospital.example", 200),
        ("127.0.0.1:7860", "https://assistant.hospital.example", 200),  # a proxy names us so
        ("10.0.0.5:7860", "https://elsewhere.example", 403),
        ("10.0.0.5:7860", "http://10.0.0.6:7860", 403),
        ("127.0.0.1:7860", "http://127.0.0.1:7861", 403),
        ("127.0.0.1:7860", "http://localhost:8000", 403),
        ("10.0.0.5:7860", "null", 403),
        ("10.0.0.5:7860", "", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "OPTIONS"])
def test_no_other_page_may_ask_through_a_visitors_browser(
    client: Client, host: str, origin: str, status: int, method: str
) -> None:
    asks = {"access-control-request-method": "GET"} if method == "OPTIONS" else {}
    found = client.send(method, "/en/config", headers={"host": host, "origin": origin, **asks})
    assert (found.status_code == 403) == (status == 403)
    assert method == "OPTIONS" or found.status_code == status
    assert not [name for name in found.headers if name.startswith("access-control")]


@pytest.mark.parametrize("name", ["A", "a" * 33, "", "a&session_hash=b", "%61"])
def test_a_page_names_itself_as_gradios_script_does(client: Client, name: str) -> None:
    assert client.get(f"/en/gradio_api/queue/data?session_hash={name}").status_code == 404
    assert client.get(f"/en/gradio_api/heartbeat/{'a' * 33}").status_code == 404
    told = {"data": [], "fn_index": 0, "session_hash": name}
    assert client.post("/en/gradio_api/queue/join", json=told).status_code == 400


def test_no_web_socket_is_opened(client: Client) -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        raise AssertionError("nothing is read from it")

    run(client.app({"type": "websocket", "path": "/en/", "headers": []}, receive, send))
    assert sent == [{"type": "websocket.close"}]


def test_the_config_of_a_page_has_none_of_what_gradio_offers(client: Client) -> None:
    config = client.get("/en/config").json()
    assert config["footer_links"] == []
    assert not config.get("analytics_enabled")
    shown = {d["api_visibility"] for d in config["dependencies"]}
    assert shown <= {"private", "undocumented"}
    kinds = {c["type"] for c in config["components"]}
    assert not kinds & {"image", "file", "uploadbutton", "chatbot", "multimodaltextbox"}


def test_nothing_is_loaded_from_elsewhere(client: Client) -> None:
    page = client.get("/fr/").text
    loaded = re.findall(r"<(?:script|link|img)[^>]+(?:src|href)=\"(https?://[^\"]+)", page)
    assert loaded == []
