"""The bench beside others: how contestants are asked, what is counted, and that nothing is claimed by halves."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from appliance.config import Settings
from appliance.drivers.photo import encode_jpeg
from appliance.drivers.scene import Renderer, Visit
from appliance.errors import UsageError
from appliance.pipeline.reading import ModelStages
from appliance.records import Frame
from scripts.benchmarks.__main__ import main
from scripts.benchmarks.folder import Pair, Picture
from scripts.benchmarks.peers import bench, installed, photographs
from scripts.benchmarks.peers.contestant import Answer, Contestant
from scripts.benchmarks.peers.installed import ROOT, PeerError, Program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

FROM_ROOT = {"PYTHONPATH": str(ROOT)}
OURS = Program("ostiary", "", "", (sys.executable, "-m", "scripts.benchmarks.peers.ours"), ROOT, FROM_ROOT)
NOISY = """
import os
from scripts.benchmarks.peers.wire import serve

def read(pixels):
    print("a library has something to say", flush=True)
    os.write(1, b"and says it again\\n")
    with open({log!r}, "a") as file:
        file.write({name!r} + str(pixels[0, 0, 0]) + " ")
    return [float(pixels.mean())], {{}}

serve(read)
"""


def program(name: str, code: str) -> Program:
    """Return a contestant made of a few lines."""
    return Program(name, "", "", (sys.executable, "-c", code), ROOT, FROM_ROOT)


def picture(level: int = 7, rows: int = 2, columns: int = 3) -> NDArray[np.uint8]:
    """Return a picture of one grey."""
    return np.full((rows, columns, 3), level, np.uint8)


@pytest.fixture(scope="module")
def ours() -> Iterator[Contestant]:
    """Give the shipped stages as a contestant."""
    with Contestant(OURS) as running:
        yield running


@pytest.fixture(scope="module")
def stages() -> ModelStages:
    """Give the shipped stages in this process."""
    return ModelStages(Settings())


# --- contestants --------------------------------------------------------------------------------------------


def test_ours_answers_what_the_pipeline_reads(ours: Contestant, stages: ModelStages) -> None:
    """What is measured is what is shipped: the same template and bona fide score, to the last digit."""
    pixels = Renderer(640, 480).draw(Visit(for_s=60.0), 2.0)
    frame = Frame(pixels, 0.0, 0)
    face = stages.detect(frame)[0]
    embedding, liveness = stages.embed(stages.align(frame, face).crop), stages.score(frame, face)
    answer = ours.read(pixels)
    assert embedding is not None
    assert liveness is not None
    assert answer.vector is not None
    assert np.array_equal(answer.vector, embedding.vector)
    assert answer.scores == {"bona_fide": liveness.bona_fide}
    assert answer.ms > 0


def test_empty_room_has_no_template(ours: Contestant) -> None:
    """A picture without a face is answered with none, and the next picture is answered all the same."""
    empty = ours.read(Renderer(640, 480).draw(None, 0.0))
    assert empty.vector is None
    assert empty.scores == {}
    assert ours.read(Renderer(320, 240).draw(Visit(for_s=60.0), 2.0)).vector is not None


def test_memory_is_the_contestants_own(ours: Contestant) -> None:
    """The memory reported is that of the process that reads, not of the one that asks."""
    held = np.ones(300 * 2**20, np.uint8)
    with Contestant(program("small", "import sys; sys.stdin.buffer.read(8); print(1, flush=True); input()")) as small:
        with pytest.raises(PeerError, match="JSON"):
            small.read(picture())  # after which it runs for sure
        assert 1 < small.peak_mb() < 100 < held.nbytes / 2**20
    assert ours.peak_mb() > small_reader_mb()


def small_reader_mb() -> float:
    """Return what a reader without models holds."""
    code = "from scripts.benchmarks.peers.wire import serve; serve(lambda _: ([1.0], {}))"
    with Contestant(program("plain", code)) as one:
        one.read(picture())
        return one.peak_mb()


def test_chatter_is_no_answer(tmp_path: Path) -> None:
    """A library that prints into standard output cannot spoil an answer or put itself in its place."""
    with Contestant(program("noisy", NOISY.format(log=str(tmp_path / "log"), name="n"))) as noisy:
        answers = [noisy.read(picture(level)) for level in (3, 200)]
    assert [answer.vector.tolist() for answer in answers if answer.vector is not None] == [[3.0], [200.0]]


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("raise SystemExit('no model there')", "tester stopped: no model there"),
        ("import sys; sys.stdin.buffer.read(8); sys.exit(4)", "tester stopped: exit 4"),
        ("print('{}', flush=True); input()", "a line of JSON is needed"),
        ("print('[1', flush=True); input()", "a line of JSON is needed"),
    ],
)
def test_contestant_that_fails_is_named(code: str, said: str) -> None:
    """One that stops or answers nonsense ends the bench with its name and its own last word."""
    with Contestant(program("tester", code)) as failing, pytest.raises(PeerError, match="tester") as fault:
        failing.read(picture())
    assert said in str(fault.value)
    assert "\n" not in str(fault.value)


def test_frames_alternate(tmp_path: Path) -> None:
    """All contestants read a frame before any reads the next, and who begins changes from frame to frame."""
    log = tmp_path / "log"
    pictures = [picture(level) for level in (10, 20)]
    one, other = (program(name, NOISY.format(log=str(log), name=name)) for name in "ab")
    with Contestant(one) as first, Contestant(other) as second:
        spent = bench.by_turns(pictures, [first, second], frames=3)
    assert [times.size for times in spent] == [3, 3]
    order = ["a10", "b10", "b20", "a20"] * 4
    assert log.read_text(encoding="utf-8").split() == order[: 2 * (bench.WARM_UP + 3)]


# --- what is counted ----------------------------------------------------------------------------------------


def pair(one: str, other: str, *, mated: bool) -> Pair:
    """Return a pair of two pictures by name."""
    return Pair(Picture(one, Path(one)), Picture(other, Path(other)), mated=mated)


def test_subset_is_fixed_and_even() -> None:
    """The subset takes the first pairs of every fold, as many mated as others; what cannot be even is refused."""
    folds = [
        (
            *(pair(f"{fold}s{n}", "x", mated=True) for n in range(4)),
            *(pair(f"{fold}d{n}", "y", mated=False) for n in range(4)),
        )
        for fold in range(2)
    ]
    chosen = bench.subset(folds, 4)
    assert [[one.one.person for one in fold] for fold in chosen] == [
        ["0s0", "0s1", "0d0", "0d1"],
        ["1s0", "1s1", "1d0", "1d1"],
    ]
    for pairs in (0, 3, 10):
        with pytest.raises(UsageError, match=f"--pairs is {pairs}"):
            bench.subset(folds, pairs)


def answer(*vector: float) -> Answer:
    """Return what a contestant may have answered."""
    return Answer(1.0, np.array(vector) if vector else None, {})


def test_verification_by_hand() -> None:
    """A face that was missed costs its mated pair and nothing else; near is mated, far is not."""
    answers = {Path("a"): answer(0, 0), Path("b"): answer(0, 1), Path("c"): answer(9, 9), Path("gone"): answer()}
    fold = (
        pair("a", "b", mated=True),
        pair("a", "gone", mated=True),
        pair("a", "c", mated=False),
        pair("b", "gone", mated=False),
    )
    found = bench.verified([fold, fold, fold], answers)
    assert (found.count, found.n) == (9, 12)


# --- photographs --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("shows", "opens"), [("person", True), ("print", False), ("phone", False)])
def test_photograph_at_our_door(stages: ModelStages, shows: str, *, opens: bool) -> None:
    """B1, B3: of the shown photograph's visits none opens, though the face is enrolled; of the person's some do."""
    settings = Settings()
    visit = Visit.model_validate({"shows": shows, "for_s": 3.0})
    showing = photographs.Showing(shows, opens, lambda: photographs.simulated(visit, settings.camera.frame_rate))
    attempts, opened = photographs.at_the_door(showing, settings, stages)
    assert attempts > 0
    assert (opened > 0) == opens


def test_recordings_of_another_form_are_refused(tmp_path: Path) -> None:
    """A recording that is not there, or neither live nor replayed, stops the bench before anything is measured."""
    with pytest.raises(UsageError, match=r"manifest\.csv cannot be read"):
        photographs.recorded(tmp_path)
    manifest = tmp_path / "manifest.csv"
    for text, said in (
        ("name,label\na.mp4,live\n", "cannot be read as file,label"),
        ("file,label\na.mp4,live\n", "names a.mp4 as live"),
        ("file,label\nmanifest.csv,mask\n", "names manifest.csv as mask"),
    ):
        manifest.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError, match=said):
            photographs.recorded(tmp_path)


# --- packages -----------------------------------------------------------------------------------------------


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Give two folds of one mated pair and one other, of a simulated picture."""
    for person in ("ada", "bob"):
        for number in (1, 2):
            file = tmp_path / "images" / person / f"{person}_{number:04d}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(encode_jpeg(picture(rows=64, columns=64)))
    fold = "ada\t1\t2\nada\t1\tbob\t1\n"
    (tmp_path / "pairs.txt").write_text(f"2\t1\n{fold}{fold}", encoding="utf-8")
    return tmp_path


def test_missing_node_is_one_line(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without Node the bench says so in one line and fails; no table and no JSON claims anything."""
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["peers", str(folder), "--pairs", "2"]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "bench: node is not installed; it is needed to run @vladmandic/human\n"


def test_failed_install_of_dlib_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that could not be filled names the package, and is not taken for a whole one the next time."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", "")
    for _ in range(2):
        with pytest.raises(PeerError, match=r"build\.lock.*cannot be installed: ERROR.*setuptools") as fault:
            installed.dlib_environment(tmp_path / "venv")
        assert "\n" not in str(fault.value)


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_failed_install_of_human_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that could not be filled names the package, and is not taken for a whole one the next time."""
    monkeypatch.setenv("npm_config_offline", "true")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "cache"))
    for _ in range(2):
        with pytest.raises(PeerError, match="@vladmandic/human cannot be installed: npm") as fault:
            installed.human_folder(tmp_path / "npm")
        assert "\n" not in str(fault.value)


def test_what_is_installed_is_not_fetched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder filled from this very lock is used as it is, with no client and no network."""
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "installed-lock").write_text(installed.NPM_LOCK.read_text(encoding="utf-8"), encoding="utf-8")
    assert installed.human_folder(tmp_path) == tmp_path


def test_every_npm_package_is_pinned_by_content() -> None:
    """I4: each package of the lock has a version and an integrity, and no address says where it comes from."""
    text = installed.NPM_LOCK.read_text(encoding="utf-8")
    packages = {name: entry for name, entry in json.loads(text)["packages"].items() if name}
    assert "node_modules/@vladmandic/human" in packages
    assert all(entry["integrity"].startswith("sha512-") and entry["version"] for entry in packages.values())
    assert "resolved" not in text


def test_every_pip_package_is_pinned_by_content() -> None:
    """I4: each requirement of the lock has a hash, and no index is named."""
    text = installed.PIP_LOCKS[1].read_text(encoding="utf-8")
    entries = [entry for entry in text.replace("\\\n", "").splitlines() if entry and not entry.lstrip().startswith("#")]
    assert [entry.partition("==")[0] for entry in entries] == ["dlib-bin", "face-recognition-models", "numpy"]
    assert all("--hash=sha256:" in entry for entry in entries)
    assert "://" not in text
