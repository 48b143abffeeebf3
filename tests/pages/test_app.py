import asyncio
import re
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

gradio = pytest.importorskip("gradio")

from discreet.pages import BASE, Model, build_app  # noqa: E402
from discreet.pages.app import MOST_BYTES  # noqa: E402
from tests.pages.stage import built  # noqa: E402


def nobody(language: str) -> None:
    raise AssertionError("no visit begins before a page is open")


class Client:
    """Asks the application as a browser on this machine would."""

    def __init__(self) -> None:
        models = (Model(name=BASE),)
        self._app = built(
            lambda: build_app("tutoring", open_visit=nobody, erase=nobody, models=models)  # type: ignore[arg-type]
        )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.send("GET", path, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return self.send("POST", path, **more)

    def send(self, method: str, path: str, **more: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self._app)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as to:
                return await to.request(method, path, **more)

        with ThreadPoolExecutor(1) as thread:  # a browser's test runs a loop in this one
            return thread.submit(asyncio.run, ask()).result()


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


def test_another_name_for_this_machine_is_refused(client: Client) -> None:
    assert client.get("/en/", headers={"host": "attacker.example"}).status_code == 400


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
