"""How a body is held: bones turn, and vertices follow by their weights (linear blend skinning).

Numpy only. Angles are degrees, lengths decimetres. A person looks along +z, up is +y, and their
left arm is on the side of +x.
"""

import numpy as np
import numpy.typing as npt
from scipy import sparse

from discreet.figures.body import Floats, Proxy, Rig
from discreet.people import Figure

Matrix = npt.NDArray[np.float64]

_NECK = {"neck01": 0.2, "neck02": 0.2, "neck03": 0.25, "head": 0.35}
"""How the turn of the head is shared among the bones of the neck."""
_ARMS_DOWN_DEGREES = {"upperarm01": 34.0}
"""Turn of the arms from the base mesh, which holds them away, down to the sides."""


def turns_of(figure: Figure) -> dict[str, Matrix]:
    """Return the turn (3, 3) of each bone that is not at rest, by its name."""
    pose, face = figure.pose, figure.face
    turns: dict[str, Matrix] = {}
    for bone, share in _NECK.items():
        turns[bone] = rotation(
            yaw=share * pose.head_yaw_degrees,
            pitch=share * pose.head_pitch_degrees,
            roll=share * pose.head_roll_degrees,
        )
    for bone, degrees in _ARMS_DOWN_DEGREES.items():
        turns[f"{bone}.L"] = rotation(roll=degrees)
        turns[f"{bone}.R"] = rotation(roll=-degrees)
    for side in "LR":
        turns[f"eye.{side}"] = rotation(yaw=face.gaze_yaw_degrees, pitch=face.gaze_pitch_degrees)
    return turns


def rotation(*, yaw: float = 0.0, pitch: float = 0.0, roll: float = 0.0) -> Matrix:
    """Return a rotation (3, 3): roll towards the left shoulder, then pitch up, then yaw left."""
    y, p, r = np.deg2rad([yaw, -pitch, -roll])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    turn: Matrix = about_y @ about_x @ about_z
    return turn


def bone_matrices(rig: Rig, rest: Floats, turns: dict[str, Matrix]) -> Matrix:
    """Return where each bone moves what hangs on it: (bones, 3, 4), a turn and a shift.

    Args:
        rig: The skeleton.
        rest: (V, 3) vertices of the body before it is posed.
        turns: Rotation of a bone against its parent, by name; others are at rest.
    """
    moved = np.tile(np.eye(3, 4), (len(rig.names), 1, 1))
    for bone, (name, parent) in enumerate(zip(rig.names, rig.parents, strict=True)):
        if parent >= 0:
            moved[bone] = moved[parent]
        if name in turns:
            joint, turn = rest[rig.joints[bone]].mean(0), turns[name]
            shift = moved[bone][:, :3] @ (joint - turn @ joint) + moved[bone][:, 3]
            moved[bone] = np.column_stack([moved[bone][:, :3] @ turn, shift])
    return moved


def place_matrix(figure: Figure, floor: float) -> Matrix:
    """Return the turn and shift (3, 4) that puts a figure where it stands, feet on the floor."""
    place = figure.place
    shift = np.array([10 * place.right_m, -floor, 10 * place.towards_m])
    return np.column_stack([rotation(yaw=place.turn_degrees), shift])


def blend(weights: sparse.csr_array, moved: Matrix) -> Floats:
    """Return where the bones together move each vertex: (N, 3, 4), a turn and a shift.

    Args:
        weights: (N, bones); rows sum to 1.
        moved: (bones, 3, 4).
    """
    blended: Floats = weights @ moved.reshape(len(moved), 12).astype(np.float32)
    return blended.reshape(-1, 3, 4)


def move(blended: Floats, vertices: Floats) -> Floats:
    """Return vertices (N, 3), turned and shifted by what `blend` gave."""
    return turn(blended, vertices) + blended[..., 3]


def turn(blended: Floats, vectors: Floats) -> Floats:
    """Return vectors (N, 3), turned only; unit normals stay close to unit length."""
    turned: Floats = np.einsum("nij,nj->ni", blended[..., :3], vectors)
    return turned


def proxy_weights(rig: Rig, proxy: Proxy) -> sparse.csr_array:
    """Return how much each bone moves each vertex of a proxy: (N, bones), sparse."""
    share = proxy.weights / proxy.weights.sum(1, keepdims=True)
    total = rig.weights[proxy.references[:, 0]].multiply(share[:, [0]])
    for corner in (1, 2):
        total = total + rig.weights[proxy.references[:, corner]].multiply(share[:, [corner]])
    return total.tocsr()
