"""Ostiary: a touchless door-entry appliance that keeps every face on the device."""

import os

__version__ = "0.1.0"

# Before numpy loads: on two cores, OpenMP's spin-waits were measured to turn 12 us of matching into 12 ms.
for _variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
# Before OpenCV loads: what it and FFmpeg say of a broken recording is said by us, in one line. -8 is FFmpeg's quiet.
os.environ.setdefault("OPENCV_LOG_LEVEL", "ERROR")
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
