import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from discreet.figures import Assets
from discreet.figures.body import Body, Rig
from discreet.figures.posture import (
    blend,
    bone_matrices,
    move,
    place_matrix,
    rotation,
    turn,
    turns_of,
)
from discreet.people import Place, Pose, sample_scene

angles = st.floats(-90, 90)
CHAIN = Rig(
    names=("root", "arm", "hand"),
    parents=(-1, 0, 1),
    joints=(np.array([0]), np.array([1]), np.array([2])),
    weights=sparse.csr_array(np.eye(4, 3, -1, dtype=np.float32)),
)
POINTS = np.array([[0, 0, 0], [1, 0, 0], [2, 0, 0], [3, 0, 0]], np.float32)


@given(angles, angles, angles)
def test_a_rotation_keeps_lengths_and_hands(yaw: float, pitch: float, roll: float) -> None:
    matrix = rotation(yaw=yaw, pitch=pitch, roll=roll)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-9)
    assert np.linalg.det(matrix) == pytest.approx(1)


def test_signs_are_those_of_the_scene() -> None:
    forward, up = np.array([0, 0, 1]), np.array([0, 1, 0])
    assert (rotation(yaw=20) @ forward)[0] > 0  # to the person's left
    assert (rotation(pitch=20) @ forward)[1] > 0  # up
    assert (rotation(roll=20) @ up)[0] > 0  # to the left shoulder


def test_a_chain_of_bones_turns_like_a_chain() -> None:
    """The hand turns around its joint, which the arm has carried along."""
    turns = {"arm": rotation(roll=-90), "hand": rotation(roll=-90)}
    moved = bone_matrices(CHAIN, POINTS, turns)
    fingertip = moved[2] @ np.append(POINTS[3], 1)
    np.testing.assert_allclose(fingertip, [0, 1, 0], atol=1e-6)


def test_nothing_moves_at_rest() -> None:
    moved = bone_matrices(CHAIN, POINTS, {})
    blended = blend(sparse.csr_array(np.full((4, 3), 1 / 3, np.float32)), moved)
    np.testing.assert_allclose(move(blended, POINTS), POINTS, atol=1e-6)
    np.testing.assert_allclose(turn(blended, POINTS), POINTS, atol=1e-6)


def test_a_figure_stands_on_the_floor_where_it_is_placed() -> None:
    figure = sample_scene(0, 1, 0).figures[0]
    place = Place(right_m=0.5, towards_m=-0.2, turn_degrees=90.0)
    put = place_matrix(dataclasses.replace(figure, place=place), floor=-8.0)
    np.testing.assert_allclose(put @ [0, -8.0, 0, 1], [5, 0, -2], atol=1e-6)
    np.testing.assert_allclose(put[:, :3] @ [0, 0, 1], [1, 0, 0], atol=1e-6)


@pytest.mark.people
def test_the_head_turns_and_the_feet_stay(assets: Assets) -> None:
    body = Body(assets)
    figure = sample_scene(0, 1, 0).figures[0]
    figure = dataclasses.replace(figure, pose=Pose(head_yaw_degrees=20.0))
    moved = bone_matrices(body.rig, body.vertices, turns_of(figure))
    posed = move(blend(body.rig.weights, moved), body.vertices)
    nose, feet = body.vertices[:, 2].argmax(), body.vertices[:, 1] < -7
    nose = np.where(body.vertices[:, 1] > 6.8, body.vertices[:, 2], -9).argmax()
    assert posed[nose, 0] - body.vertices[nose, 0] > 0.2
    np.testing.assert_allclose(posed[feet], body.vertices[feet], atol=1e-4)
