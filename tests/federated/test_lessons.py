"""Visual tokens within a limit, and a person's examples within the plan."""

from dataclasses import dataclass

import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL.Image import Image

from discreet.federated import TrainConfig, VisualTokens
from discreet.federated.lessons import within_plan
from discreet.model import Vlm, encode_images

TOKENS_BYTES = 4 * 16 * 2
"""Of a picture of `tiny`, in float16."""


@dataclass
class Counted:
    """A picture that knows how often it was opened."""

    picture: Image
    opened: int = 0

    @property
    def image(self) -> Image:
        self.opened += 1
        return self.picture


def test_tokens_are_the_same_whether_there_is_room_to_keep_them_or_not(
    tiny: Vlm, faces: list[Image]
) -> None:
    wanted = encode_images(tiny, faces[:4]).half().float()
    for room in range(5):
        visual = VisualTokens(tiny, [Counted(f) for f in faces], limit_bytes=room * TOKENS_BYTES)
        for drawn in ([0], [1, 0, 1], [2, 3], [3, 2, 1, 0]):
            torch.testing.assert_close(visual.of(drawn), wanted[drawn], rtol=0, atol=1e-3)
        assert visual.size_bytes == room * TOKENS_BYTES


def test_what_is_kept_is_opened_once_and_takes_no_more_than_said(
    tiny: Vlm, faces: list[Image]
) -> None:
    pictures = [Counted(face) for face in faces[:3]]
    visual = VisualTokens(tiny, pictures, limit_bytes=2 * TOKENS_BYTES + 1)
    for _ in range(3):
        visual.of([0, 1, 2])
    assert [picture.opened for picture in pictures] == [1, 1, 3]
    assert all(kept.untyped_storage().nbytes() == TOKENS_BYTES for kept in visual._kept.values())


@given(users=st.lists(st.sampled_from("abcd")), most=st.integers(1, 3))
def test_one_person_more_leaves_what_is_kept_of_the_others(users: list[str], most: int) -> None:
    plan = TrainConfig(unit="user", examples_per_user=most)
    kept = [users[place] for place in within_plan(users, plan)]
    for user in set(users):
        assert kept.count(user) == min(most, users.count(user))
        others = [other for other in users if other != user]
        left = [others[place] for place in within_plan(others, plan)]
        assert left == [other for other in kept if other != user]
    assert within_plan(users, TrainConfig()) == list(range(len(users)))
