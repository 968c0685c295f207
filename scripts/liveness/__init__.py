"""Fine-tuning of the liveness model, and how it is judged: run it as `scripts/train_liveness`.

What it starts from: the published network (`scripts/models`, recipe LIVENESS), weight for weight. What it is shown:

- PAD, a folder with `manifest.csv` (file, label, source, subject, session, reference_bona_fide) of whole camera
  frames: `live` and the species of attack. `reference_bona_fide` is a better model's score, 0..1, or empty.
- LFW, a folder in the form of Labeled Faces in the Wild (`images/NAME/NAME_0001.jpg`): faces for made attacks, and,
  where the picture is whole, bona fide faces of many people.
- attacks made of both: prints (halftone or dither, paper white, bent), phones, tablets and monitors (pixel grid,
  moire, gamma, rolling-shutter bands, glare, bezel), held before the camera of a recorded room (`synthesis`);
- all of them under other light: dark, backlit, colour cast, sensor noise, tone curve, grey, infrared, blur (`light`).

No picture is part of this repository, and none can be had back from what is. Crops are the appliance's own: its
detector on the whole frame, its context crop, the box jittered as detectors differ (`frames`).

How it is judged (`folds`, `judging`): whole sources left out, never a random split. Everything made of a frame bears
its source and its subject, so leaving one out leaves out all of it. People of LFW whose faces are shown in judged
attacks are never trained on.

Seeds: the corpus is made from SEED in `corpus`, a training from the seed given (`--seed`). With the same folders, the
same locked packages, the same kind of processor and one thread, the result is the same; on another kind of processor
the last digits of sums differ, and so will the weights. To run it again:

    scripts/train_liveness illumination PAD LFW    # evening out the light before the unchanged model
    scripts/train_liveness loso PAD LFW            # train without each source in turn, judge on it
    scripts/train_liveness subjects PAD LFW        # the same with people left out
    scripts/train_liveness train PAD LFW           # train on all; writes scripts/models/weights/

The last line of each is JSON. On two busy cores the crops took 13 minutes, a training 3 to 6.
"""
