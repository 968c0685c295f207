"""The 27 landmarks that face services name, from the mesh of 468.

"Left" and "right" are those of the picture, as the services have it: the left eye is the subject's own right one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# The mesh has no iris: a pupil is the middle of the eye's corners and lids. Of an outline, the middle of its edges.
MESH: dict[str, tuple[int, ...]] = {
    "pupil_left": (33, 133, 159, 145),
    "pupil_right": (263, 362, 386, 374),
    "nose_tip": (1,),
    "mouth_left": (61,),
    "mouth_right": (291,),
    "eyebrow_left_outer": (70, 46),
    "eyebrow_left_inner": (107, 55),
    "eye_left_outer": (33,),
    "eye_left_top": (159,),
    "eye_left_bottom": (145,),
    "eye_left_inner": (133,),
    "eyebrow_right_inner": (336, 285),
    "eyebrow_right_outer": (300, 276),
    "eye_right_inner": (362,),
    "eye_right_top": (386,),
    "eye_right_bottom": (374,),
    "eye_right_outer": (263,),
    "nose_root_left": (193,),
    "nose_root_right": (417,),
    "nose_left_alar_top": (198,),
    "nose_right_alar_top": (420,),
    "nose_left_alar_out_tip": (129,),
    "nose_right_alar_out_tip": (358,),
    "upper_lip_top": (0,),
    "upper_lip_bottom": (13,),
    "under_lip_top": (14,),
    "under_lip_bottom": (17,),
}


def named(mesh: NDArray[np.float32]) -> dict[str, tuple[float, float]]:
    """Return x, y in pixels of the 27 landmarks of a (468, 2) mesh, by name; they may lie outside the picture."""
    means = {name: mesh[list(rows)].mean(axis=0) for name, rows in MESH.items()}
    return {name: (float(point[0]), float(point[1])) for name, point in means.items()}
