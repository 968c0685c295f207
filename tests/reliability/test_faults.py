"""A disk that fails under the running reader."""

from __future__ import annotations

from scripts.benchmarks.faults import KINDS, fail


def test_disk_that_fails_under_the_reader() -> None:
    """F3, F4, J8: where the first write of a grant fails, nothing opens unwritten; what is refused is not there.

    Once the disk is well the next visitor is let in, and everybody who was told to be enrolled is.
    """
    outcome = fail(KINDS[2], 1)
    assert outcome.faults == []
    assert outcome.met == 1
    assert outcome.refused >= 1
    assert outcome.log.pulses == outcome.log.grants > 0
