"""The benches: statistics with answers worked out by hand, and each command over a folder of simulated pictures."""

from __future__ import annotations

import json
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from appliance import manifest
from appliance.drivers.photo import encode_jpeg
from appliance.drivers.scene import Renderer, Visit
from appliance.errors import ModelError, UsageError
from appliance.manifest import Impostors
from appliance.rates import Rate, upper_bound, wilson
from scripts.benchmarks import folder as folders
from scripts.benchmarks import openset, slices, statistics, written
from scripts.benchmarks.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Literal

    from numpy.typing import NDArray

IMPOSTORS = Impostors(
    data='a "quoted" folder',
    comparisons=1_000_000,
    tail_start=0.3,
    tail_fmr=1e-3,
    tail_scale=0.03,
    tail_scale_ci95=(0.028, 0.032),
)


def scores(*values: float) -> NDArray[np.float64]:
    """Return scores as the benches hold them."""
    return np.array(values, np.float64)


# --- statistics ---------------------------------------------------------------------------------------------


def test_threshold_never_exceeds_the_rate() -> None:
    """The threshold accepts as many impostors as the rate allows, fewer where scores tie, and never more."""
    even = np.arange(1000) / 1000
    assert statistics.accepted(even, statistics.threshold_at(even, 1e-2)).count == 10
    assert statistics.accepted(even, statistics.threshold_at(even, 1e-4)).count == 0
    tied = scores(*[0.5] * 99, 0.1)
    assert statistics.accepted(tied, statistics.threshold_at(tied, 0.5)).count == 0


def test_tar_at_fmr_by_hand() -> None:
    """With one false match in ten allowed, mated scores above the second-highest impostor are accepted."""
    impostors = scores(0.9, 0.5, *[0.1] * 8)
    threshold = statistics.threshold_at(impostors, 0.1)
    found = statistics.accepted(scores(0.95, 0.6, 0.51, 0.5), threshold)
    assert (found.count, found.n) == (3, 4)


def test_nan_is_refused() -> None:
    """A score that is no number is on neither side but the shut one."""
    nothing = scores(math.nan)
    assert statistics.accepted(nothing, 0.5).count == 0
    assert statistics.refused(nothing, 0.5).count == 1


def test_n_fold_uses_the_other_folds_threshold() -> None:
    """A fold whose scores lie elsewhere is judged by its neighbours' threshold: its mated pairs fail."""
    alike, shifted = scores(0.8, 0.85, 0.9), scores(0.2, 0.25)
    stranger, far = scores(0.3, 0.35, 0.4), scores(-0.3, -0.2)
    assert statistics.n_fold([alike, alike], [stranger, stranger]).value == 1.0
    mixed = statistics.n_fold([alike, alike, shifted], [stranger, stranger, far])
    assert (mixed.count, mixed.n) == (14, 16)


def test_best_threshold_lies_amid_the_gap() -> None:
    """Scores that can be told apart are parted in the middle, where the next ones have most room."""
    assert statistics.best_threshold(scores(0.8, 0.9), scores(0.1, 0.2)) == pytest.approx(0.5)


def test_eer_and_auc_by_hand() -> None:
    """One of five wrong on each side is an equal error rate of 20 %; a tie counts half to the area."""
    eer, at = statistics.equal_error_rate(scores(0.1, 0.6, 0.7, 0.8, 0.9), scores(0.0, 0.2, 0.3, 0.4, 0.65))
    assert eer == pytest.approx(0.2)
    assert 0.4 < at <= 0.6
    assert statistics.auc(scores(1, 2), scores(0, 1)) == pytest.approx(0.875)
    assert math.isnan(statistics.auc(scores(), scores(1.0)))
    assert math.isnan(statistics.equal_error_rate(scores(1.0), scores())[0])


def test_trade_off_by_hand() -> None:
    """Each point names how many strangers pass and how many mated are refused there."""
    curve = statistics.trade_off(scores(0.9, 0.6, 0.3, 0.2), scores(0.8, 0.5, 0.25, 0.1))
    assert curve == [[0.25, 0.5], [0.5, 0.25], [0.75, 0.0], [1.0, 0.0]]
    assert statistics.trade_off(scores(), scores(1.0)) == []
    assert len(statistics.trade_off(np.arange(500) / 500, np.arange(500) / 500)) <= 60


def test_histogram_loses_no_score() -> None:
    """Scores beyond the ends are counted in the last bins: the counts add up to n."""
    assert statistics.histogram(scores(-2, -1, 0.2, 0.7, 3), scores(-1, 0, 0.5, 1)) == [2, 1, 2]


# --- the manifest -------------------------------------------------------------------------------------------


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """Return a folder with a copy of the shipped manifest."""
    shutil.copy(manifest.SHIPPED / "manifest.toml", tmp_path)
    return tmp_path


@pytest.mark.parametrize("file", ["face_embedder_a", "face_embedder_b", "face_liveness"])
def test_written_impostors_leave_all_else(models: Path, file: str) -> None:
    """The table reads back as it was given, twice as well as once, and every other line of the file stays."""
    path = models / "manifest.toml"
    role: Literal["embedder", "liveness"] = "liveness" if file == "face_liveness" else "embedder"
    entry = manifest.read(models).entry(role, file)
    before = path.read_text().splitlines()
    tails = {"impostors": IMPOSTORS, "visits": IMPOSTORS.model_copy(update={"tail_start": 0.4})}
    written.put(models, entry.model_id, tails)
    once = path.read_text()
    written.put(models, entry.model_id, tails)
    assert path.read_text() == once
    measured = manifest.read(models).entry(role, file).measured
    assert (measured.impostors, measured.visits) == (tails["impostors"], tails["visits"])
    written_keys = ("data", "comparisons", "tail_start", "tail_fmr", "tail_scale", "tail_scale_ci95")
    gone = set(before) - set(once.splitlines())
    assert all(line.split(" = ")[0] in written_keys for line in gone)
    assert [one.name for one in models.iterdir()] == ["manifest.toml"]


def test_unknown_model_leaves_the_manifest_alone(models: Path) -> None:
    """A model that the manifest does not name is refused, and the file is as it was."""
    before = (models / "manifest.toml").read_bytes()
    with pytest.raises(ModelError, match="nobody"):
        written.put(models, "nobody", {"impostors": IMPOSTORS})
    assert (models / "manifest.toml").read_bytes() == before


# --- folders and commands -----------------------------------------------------------------------------------


def pictures(face: Literal["astronaut", "official"], count: int, *, shows: str = "person") -> Iterator[bytes]:
    """Yield different JPEGs of a simulated visitor who stands before the camera."""
    renderer = Renderer(480, 360, seed=len(face))
    visit = Visit.model_validate({"face": face, "for_s": 600.0, "shows": shows, "nearness": 1.1})
    for number in range(count):
        yield encode_jpeg(renderer.draw(visit, 2.0 + 0.37 * number))


def put(folder: Path, person: str, contents: Iterator[bytes]) -> None:
    """Lay pictures of one person into a folder in the form of Labeled Faces in the Wild."""
    (folder / "images" / person).mkdir(parents=True)
    for number, content in enumerate(contents, start=1):
        (folder / "images" / person / f"{person}_{number:04d}.jpg").write_bytes(content)


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of two simulated people with six pictures each, one with a single one, and two folds of pairs."""
    folder = tmp_path_factory.mktemp("people")
    put(folder, "Ada", pictures("astronaut", 6))
    put(folder, "Bob", pictures("official", 6))
    put(folder, "Zoe", pictures("official", 1))
    fold = ["Ada\t1\t2", "Bob\t1\t2", "Ada\t1\tBob\t1", "Ada\t2\tBob\t2"]
    other = ["Ada\t3\t4", "Bob\t3\t4", "Ada\t3\tBob\t3", "Ada\t4\tBob\t4"]
    (folder / "pairs.txt").write_text("\n".join(["2\t2", *fold, *other]) + "\n")
    return folder


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of frames of a live visitor, a print, one too far away and one file that is no picture."""
    folder = tmp_path_factory.mktemp("visits")
    rows = ["file,label,source,subject,session,licence,reference_bona_fide"]
    for shows, label in (("person", "live"), ("print", "print")):
        for number, content in enumerate(pictures("astronaut", 3, shows=shows)):
            (folder / f"{label}{number}.jpg").write_bytes(content)
            rows.append(f"{label}{number}.jpg,{label},hall,ada,{label}{number // 2},own,")
    far = Renderer(640, 480).draw(Visit(for_s=60.0, nearness=0.4), 2.0)
    (folder / "far.jpg").write_bytes(encode_jpeg(far))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    rows += ["far.jpg,live,hall,ada,far,own,", "broken.jpg,live,hall,ada,far,own,"]
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n")
    return folder


def last_line(printed: str) -> dict[str, Any]:
    """Return the JSON of the last line."""
    line: dict[str, Any] = json.loads(printed.rstrip("\n").rpartition("\n")[2])
    return line


def test_lfw_ends_with_its_figures(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two people who look different are told apart without an error, each figure with its interval and n."""
    assert main(["lfw", str(people)]) == 0
    line = last_line(capsys.readouterr().out)
    rates = {"accuracy", "tar_at_fmr_1e-2", "tar_at_fmr_1e-3"}
    counts = {"bench", "n_pairs", "missed_faces", "broken_images", "n_images", "folds", "models"}
    counts |= {"curve", "curve_n", "histogram"}
    assert set(line) == rates | {f"{rate}_ci95" for rate in rates} | counts
    assert (line["n_pairs"], line["n_images"], line["folds"]) == (8, 8, 2)
    assert (line["accuracy"], line["missed_faces"]) == (1.0, 0)
    assert line["accuracy_ci95"] == pytest.approx(wilson(8, 8), abs=1e-5)
    assert line["models"]["embedder"] == manifest.read().entry("embedder").model_id


def test_lfw_measures_the_models_that_were_asked_for(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The other embedder and detector are used when named, and named in the figures."""
    assert main(["lfw", str(people), "--embedder", "b", "--detector", "full"]) == 0
    shipped = manifest.read()
    named = last_line(capsys.readouterr().out)["models"]
    assert named["embedder"] == shipped.entry("embedder", "face_embedder_b").model_id
    assert named["detector"] == shipped.entry("detector_full_range").model_id


def test_broken_and_faceless_pictures_are_counted(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A file that is no picture and a picture without a face are named, counted and matched by nobody."""
    folder = shutil.copytree(people, tmp_path / "spoilt")
    (folder / "images" / "Ada" / "Ada_0001.jpg").write_bytes(b"no picture")
    (folder / "images" / "Bob" / "Bob_0001.jpg").write_bytes(encode_jpeg(Renderer(480, 360).draw(None, 0.0)))
    assert main(["lfw", str(folder)]) == 0
    printed = capsys.readouterr().out
    line = last_line(printed)
    assert (line["missed_faces"], line["broken_images"]) == (1, 1)
    assert "Ada_0001.jpg" in printed
    assert "Bob_0001.jpg" in printed
    assert line["tar_at_fmr_1e-2"] == 0.5  # two of four mated pairs lost a picture


def test_openset_ends_with_its_figures(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Who has one picture is a stranger; the others are enrolled and all their further pictures are probes."""
    assert main(["openset", str(people), "--images", "2"]) == 0
    line = last_line(capsys.readouterr().out)
    kinds = ("fnir_at_fpir", "fnir_derived", "fpir_derived")
    rates = {"rank1", *(f"{kind}_{target}" for kind in kinds for target in ("1e-2", "1e-3"))}
    assert {f"{rate}{part}" for rate in rates for part in ("", "_ci95", "_n", "_draws")} <= set(line)
    assert line["derived_threshold_1e-3"] > line["derived_threshold_1e-2"]
    assert (line["enrolled"], line["n_mated"], line["n_nonmated"]) == (2, 8, 1)
    assert line["rank1"] == 1.0


def test_openset_sets_fused_probes_beside_single_ones(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Fused probes come with the same pictures one by one, and several draws with the mean and range of all."""
    assert main(["openset", str(people), "--fuse", "2", "--draws", "3", "--single-view"]) == 0
    line = last_line(capsys.readouterr().out)
    assert (line["fused"], line["draws"], line["single_view"]) == (2, 3, True)
    assert line["one_by_one"]["rank1_n"] == 2 * line["rank1_n"]
    mean, low, high = line["rank1_draws"]
    assert low <= mean <= high


def test_openset_counts_the_stranger_who_looks_enrolled(people: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A stranger with an enrolled face pushes the threshold up, and the enrolled are no longer identified."""
    assert main(["openset", str(people)]) == 0
    assert last_line(capsys.readouterr().out)["fnir_at_fpir_1e-2"] > 0


def test_openset_parts_never_share_a_picture() -> None:
    """No picture is both enrolled and a probe, and nobody is both enrolled and a stranger, whatever is fused."""
    every = [folders.Picture(f"p{n}", Path(f"p{n}_{k}")) for n in range(10) for k in range(7 if n < 8 else 2)]
    for fused in (1, 2, 3):
        parts = openset.split(every, 2, fused, seed=3)
        probed = [path for probe in (*parts.mated, *parts.strangers) for path in probe.pictures]
        enrolled = [path for paths in parts.enrolled.values() for path in paths]
        assert len({*probed, *enrolled}) == len(probed) + len(enrolled)
        assert not {probe.person for probe in parts.strangers} & set(parts.enrolled)
        assert {probe.person for probe in parts.mated} == set(parts.enrolled)
        assert all(len(probe.pictures) == fused for probe in (*parts.mated, *parts.strangers))


def test_slices_compare_groups_and_raise_the_alarm(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """B17: each named group has its own rates, and three times as many false matches in one of them is an alarm."""
    groups = tmp_path / "groups.csv"
    names = sorted(path.name for path in (people / "images").iterdir())
    groups.write_text(
        "name,group\n" + "".join(f"{name},{'early' if at < 2 else 'late'}\n" for at, name in enumerate(names))
    )
    assert main(["slices", str(people), str(groups)]) == 0
    line = last_line(capsys.readouterr().out)
    assert set(line["groups"]) == {"early", "late"}
    assert line["groups"]["early"]["n"] > 0
    for early, late, ratio, alarm in (
        (Rate(9, 1000), Rate(4, 1000), 2.25, False),
        (Rate(13, 1000), Rate(4, 1000), 3.25, True),
        (Rate(4, 1000), Rate(0, 1000), 4.0, False),  # too few to tell
    ):
        found, alarmed = slices.compared({"early": early, "late": late})
        assert found == pytest.approx(ratio)
        assert alarmed is alarm
    assert slices.compared({"early": Rate(5, 1000)}) == (1.0, False)
    groups.write_text("name\nAda\n")
    assert main(["slices", str(people), str(groups)]) == 2
    assert "name and group" in capsys.readouterr().err


def test_openset_needs_somebody_on_each_side() -> None:
    """Without a stranger, or without anybody to enrol, there is no rate, and the fault says what is missing."""
    pair = [folders.Picture("p", Path("1")), folders.Picture("p", Path("2"))]
    with pytest.raises(UsageError, match="0 probes of strangers"):
        openset.split(pair, 1, 1, seed=1)
    with pytest.raises(UsageError, match="0 people to enrol"):
        openset.split(pair[:1], 1, 1, seed=1)


def test_pad_ends_with_its_figures(visits: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every frame is counted once: read, not read because the face is too small, or broken."""
    assert main(["pad", str(visits)]) == 0
    printed = capsys.readouterr().out
    line = last_line(printed)
    assert {"auc", "bpcer", "bpcer_ci95", "apcer_by_species", "by_source", "threshold", "n", "not_read"} <= set(line)
    assert (line["n"], line["not_read"], line["broken_images"]) == (6, 1, 1)
    assert "broken.jpg" in printed
    species = line["apcer_by_species"]["print"]
    assert (species["n"], species["presentations"]) == (3, 2)
    assert species["upper95"] >= upper_bound(0, 2) - 1e-5
    assert line["worst_species"] == "print"
    assert line["by_source"]["hall"]["n"] == 6


def test_latency_ends_with_its_figures(capsys: pytest.CaptureFixture[str]) -> None:
    """Every timed frame ends in a request for the relay, and every stage has its share of the time."""
    assert main(["latency", "--frames", "20", "--gallery", "100"]) == 0
    line = last_line(capsys.readouterr().out)
    assert {"one_thread_ms", "two_threads_ms", "two_over_one", "stages_ms", "rss_mb", "models"} <= set(line)
    stages = {
        "detection",
        "alignment",
        "quality",
        "liveness",
        "motion",
        "embedding",
        "presentation",
        "matching",
        "policy",
    }
    assert set(line["stages_ms"]) == stages
    assert (line["frames"], line["granted"], line["gallery"]) == (24, [24, 24], 101)
    for found in (line["one_thread_ms"], line["two_threads_ms"]):
        assert 0 < found["p1"] <= found["p50"] <= found["p99"]


def test_empty_room_costs_what_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """The idle bench finds nobody in its empty room, and gives a share of a core."""
    assert main(["idle", "--seconds", "2"]) == 0
    printed = capsys.readouterr().out
    assert "faces found: 0" in printed
    low, high = last_line(printed)["range"]
    assert 0 < low <= last_line(printed)["core_percent"] <= high


def test_unknown_commit_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A version that is not there is named, with exit 2."""
    assert main(["against", "no-such-commit"]) == 2
    assert "no-such-commit" in capsys.readouterr().err


def test_impostors_end_with_their_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All pictures of different people are compared, and without --write the shipped manifest stays as it is."""
    before = (manifest.SHIPPED / "manifest.toml").read_bytes()
    drawn = [*pictures("astronaut", 120), *pictures("official", 120)]
    for person in range(24):
        put(tmp_path, f"p{person:02d}", iter(drawn[person * 10 : person * 10 + 10]))
    assert main(["impostors", str(tmp_path), "--name", "simulated"]) == 0
    line = last_line(capsys.readouterr().out)
    assert {"bench", "impostors", "people", "models"} <= set(line)
    found = line["impostors"]
    assert set(Impostors.model_fields) | {"measured", "fitted"} == set(found)
    assert found["comparisons"] == (240 * 240 - 24 * 10 * 10) // 2
    assert found["data"] == "simulated: 240 images of 24 people"
    assert "visits" not in line  # 48 visits against 230 templates are too few for a tail
    assert (manifest.SHIPPED / "manifest.toml").read_bytes() == before


PAIRS = {
    "": "begins with",
    "2 2\n": "begins with",
    "1\t2\n": "at least 2",
    "2\t1\nAda\t1\t2\n": "has 1 pairs",
    "2\t1\nAda\t1\t2\nAda\t1\tBob\t1\nAda\t1\nAda\t1\tBob\t1\n": "line 4",
    "2\t1\nAda\t1\tBob\t1\nAda\t1\t2\nAda\t1\t2\nAda\t1\tBob\t1\n": "pair 1",
    "2\t1\nAda\t1\tx\nAda\t1\tBob\t1\nAda\t1\t2\nAda\t1\tBob\t1\n": "number of a picture",
    "2\t1\nAda\t1\t9\nAda\t1\tBob\t1\nAda\t1\t2\nAda\t1\tBob\t1\n": "Ada_0009.jpg",
}


@pytest.mark.parametrize("text", PAIRS)
def test_malformed_pairs_are_one_line(
    people: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    """A pairs.txt of another form ends with exit 2 and one line that says what is wrong with it."""
    (tmp_path / "images").symlink_to(people / "images")
    (tmp_path / "pairs.txt").write_text(text)
    assert main(["lfw", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert PAIRS[text] in complaint


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("manifest.csv", "file,label\nx.jpg,live\n"),
        ("manifest.csv", "file,label,source,subject,session\n"),
        ("manifest.csv", "file,label,source,subject,session\ngone.jpg,live,hall,a,b\n"),
        ("manifest.csv", "file,label,source,subject,session\n,live,hall,a,b\n"),
        ("manifest.txt", ""),
    ],
)
def test_malformed_manifests_are_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    """A manifest.csv that is missing, short of a column, empty or names what is not there ends with exit 2."""
    (tmp_path / name).write_text(text)
    assert main(["pad", str(tmp_path)]) == 2
    complaint = capsys.readouterr().err
    assert complaint.count("\n") == 1
    assert "manifest.csv" in complaint


@pytest.mark.parametrize("bench", ["lfw", "openset", "impostors", "pad"])
def test_empty_folders_are_refused(bench: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A folder that is empty, or is not there, ends with exit 2, its name in the complaint and no traceback."""
    assert main([bench, str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
    assert main([bench, str(tmp_path / "gone")]) == 2
    complaint = capsys.readouterr().err
    assert "gone" in complaint
    assert "Traceback" not in complaint
