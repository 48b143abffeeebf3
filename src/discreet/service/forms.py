"""What the HTTP interface takes and gives, as OpenAI's chat completions have it.

`discreet` is an object of our own in request and reply: what a person says of themselves, what for,
under which consent; and why the answer is as it is. Everything else that OpenAI's clients may send
is taken and has no part in an answer: earlier turns, system messages, temperature, longest answer.
An answer follows from the last question, the person and a vetted note.

>>> asked = {"role": "user", "content": "Why?"}
>>> Chat.model_validate({"model": "base", "messages": [asked]}).question
'Why?'
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from discreet.consent import Standing
from discreet.errors import ImageError
from discreet.service.pictures import DATA_URI
from discreet.types import Language, Mode

MOST_MESSAGES = 256
_MOST_AT_AN_END = 40_000
"""Characters: words of danger are heard within so many of the beginning and of the end. The middle
of what is longer is left out; without danger it is refused for its length all the same."""
PERSON = r"^[0-9a-f]{32}$"
"""A consent's id: a random number."""
Name = Annotated[str, Field(max_length=64)]


class ImageUrl(BaseModel):
    """Where a picture is: in the request itself."""

    url: str = Field(pattern=DATA_URI, repr=False)


class ImagePart(BaseModel):
    """A picture in a message."""

    type: Literal["image_url"]
    image_url: ImageUrl = Field(repr=False)


class TextPart(BaseModel):
    """Words in a message."""

    type: Literal["text"]
    text: str = Field(repr=False)


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]


class Message(BaseModel):
    """One message of a talk."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | list[Part] | None = Field(default=None, repr=False)


class Person(BaseModel):
    """What the one who asks says of themselves, what for, and under which consent."""

    model_config = ConfigDict(extra="forbid")

    profile: dict[Name, Name] = Field(default={}, max_length=8, repr=False)
    """What they declare, for example `{"age_band": "older_adult"}`."""
    standing: Standing = Field(default="adult", repr=False)
    """`adult`, `youth` (may consent alone, under 18) or `child`, if they were asked; a child by
    age band is one whatever stands here. Of neither of the last two anything is estimated."""
    purpose: Name | None = None
    """One of the policy; its default if it is left out."""
    consent: str | None = Field(default=None, pattern=PERSON, repr=False)
    """The id that `POST /v1/consents` gave; without it nothing is read from a picture."""
    language: Language | None = None
    """Of the answer; the service's first one if it is left out."""
    mode: Mode = "gated"
    """`native` lets the responder see the picture, where the policy allows it."""


class StreamOptions(BaseModel):
    """What a stream says beside the answer."""

    include_usage: bool = False


class Chat(BaseModel):
    """A question, as the last of some messages."""

    model: Name
    messages: list[Message] = Field(min_length=1, max_length=MOST_MESSAGES, repr=False)
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    n: Literal[1] | None = 1
    discreet: Person = Person()

    @property
    def question(self) -> str:
        """The words of the last message.

        Raises:
            ValueError: if it is not a user's, or has no words.
        """
        last = self.messages[-1]
        words = last.content or ""
        if not isinstance(words, str):
            words = "\n".join(part.text for part in words if isinstance(part, TextPart))
        if last.role != "user" or not words.strip():
            raise ValueError("Expected words of a user in the last message, got something else.")
        if len(words) > 2 * _MOST_AT_AN_END:
            words = f"{words[:_MOST_AT_AN_END]} . {words[-_MOST_AT_AN_END:]}"
        return words.encode("utf-8", "replace").decode()  # halves of characters are no words

    @property
    def picture(self) -> str | None:
        """The data: URI in the last message, or None.

        Raises:
            ImageError: if there are several.
        """
        parts = self.messages[-1].content
        found = [
            part.image_url.url
            for part in (parts if isinstance(parts, list) else [])
            if isinstance(part, ImagePart)
        ]
        if len(found) > 1:
            raise ImageError(
                "Expected at most one picture in the last message, got more. Send the one of the "
                "person who asks."
            )
        return found[0] if found else None


class Usage(BaseModel):
    """Tokens of the question and of the answer as it was shown."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int


class Said(BaseModel):
    """An answer."""

    role: Literal["assistant"] = "assistant"
    content: str = Field(repr=False)
    refusal: None = None


class Choice(BaseModel):
    """The only answer."""

    index: Literal[0] = 0
    message: Said
    logprobs: None = None
    finish_reason: Literal["stop"] = "stop"


class Reasons(BaseModel):
    """What is ours in a reply."""

    why: dict[str, Any] | None = Field(default=None, repr=False)
    """What was seen, from where, what passed the policy, and what it changed."""
    place: int | None = None
    """In the line, from 1, while the answer has not begun."""


class Completion(BaseModel):
    """A whole answer."""

    id: str
    object: Literal["chat.completion"] = "chat.completion"
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    discreet: Reasons


class Model(BaseModel):
    """Who may answer: the base, or one of its adapters."""

    id: str
    object: Literal["model"] = "model"
    created: int
    owned_by: Literal["discreet"] = "discreet"
    privacy: str | None = None
    """What training it spent: epsilon, delta, unit and neighbours."""


class Models(BaseModel):
    """All of them."""

    object: Literal["list"] = "list"
    data: list[Model]


class Failure(BaseModel):
    """What was wrong; never what was sent."""

    message: str
    type: str
    param: str | None = None
    code: str


class Failed(BaseModel):
    """The body of every reply that is not a success."""

    error: Failure


class Health(BaseModel):
    """That the service is there."""

    status: Literal["ok"] = "ok"


class AgreedItem(BaseModel):
    """One thing that a person may agree to."""

    name: str
    title: str
    text: str


class ShownNotice(BaseModel):
    """What to show a person before they agree to anything."""

    version: int
    language: Language
    sha256: str
    text: str
    items: list[AgreedItem]


class Agreement(BaseModel):
    """What somebody agreed to, after they were shown a notice."""

    model_config = ConfigDict(extra="forbid")

    names: list[Name] = Field(min_length=1, max_length=32)
    notice_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """Of the notice that they were shown."""
    language: Language | None = None
    guardian: bool = False
    """Whether a guardian agreed for a child."""


class Holder(BaseModel):
    """Whose consent it is; an id stands in no path, because proxies write paths down."""

    model_config = ConfigDict(extra="forbid")

    id: str = Field(pattern=PERSON, repr=False)
    """As `POST /v1/consents` gave it."""


class Withdrawal(Holder):
    """What somebody takes back."""

    names: list[Name] = Field(min_length=1, max_length=32)


class Agreed(BaseModel):
    """What holds."""

    id: str
    names: list[str]
