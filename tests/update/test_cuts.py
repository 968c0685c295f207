"""Updates cut off in the midst of it; `scripts/bench updates` does so at every step, and by power cuts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.update.cuts import NEW, OLD, cut

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("ill", [False, True])
def test_cut_off_anywhere_a_whole_release_boots(memory_folder: Path, *, ill: bool) -> None:
    """I4, I5: killed at any step of an update or of the way back, the old or the new one boots, whole, and is tidy."""
    outcome = cut(memory_folder, ill=ill, every=13)
    assert outcome.faults == []
    assert outcome.points >= 5
    assert set(outcome.ran) == ({OLD} if ill else {OLD, NEW})
