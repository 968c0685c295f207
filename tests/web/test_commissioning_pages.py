"""The commissioning page: the result as it is, what it holds for, and the door's operating point in numbers."""

from __future__ import annotations

import html
import re
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance import manifest
from appliance.commissioning.record import store
from appliance.contract import Role
from appliance.people.calibration import door_point
from tests.commissioning.made import GOOD, attack, result, trial
from tests.web.conftest import context_of
from tests.web.running import installed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser

    from appliance.commands.options import Installation
    from appliance.commissioning.trials import Trial
    from tests.web.running import Web


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    """Give an installation at which attacks have to be tried."""
    with tempfile.TemporaryDirectory(prefix="ostiary-") as folder:
        wanted = {"bona_fide": 2, "attacks": 2, "species": "print, phone"}
        yield installed(
            Path(folder),
            camera={"source": "simulated"},
            liveness={"commissioned": "required"},
            commissioning=wanted,
        )


def tried(installation: Installation, trials: tuple[Trial, ...]) -> None:
    """Store a result of these trials, as if they had been made here."""
    found = result(trials, installation.settings)
    store(found, installation.commissioning_file, installation.device_key_file)


def seen(web: Web, role: Role = Role.AUDITOR) -> str:
    """Return the text of the page."""
    with web.client(role) as client:
        answer = client.get("/commissioning")
    assert answer.status_code == 200
    return html.unescape(answer.text)


def test_untried_door_says_so(web: Web, installation: Installation) -> None:
    """B20: before any attack was tried the page says that a face alone does not open, and how it is tried."""
    installation.commissioning_file.unlink(missing_ok=True)
    text = seen(web)
    assert "A face alone does not open: no attack was tried at this door yet" in text
    assert "ostiary commission spoof" in text
    with web.client(Role.AUDITOR) as client:
        assert client.get("/commissioning/report.html").status_code == 409


def test_rates_stand_by_species_with_their_intervals(web: Web, installation: Installation) -> None:
    """Each species has a row of its own, with n, interval and bound; what passed clears the door."""
    tried(installation, GOOD)
    text = seen(web)
    assert "A face alone may open" in text
    cells = re.findall(r"Print accepted \(APCER\)</th>(.*?)</tr>", text, re.DOTALL)[0]
    assert re.findall(r">([^<>]+)</td>", cells) == ["2", "0", "0 of 2", "0.0%", "0% to 66%", "78%"]


def test_failed_and_altered_results_are_told(web: Web, installation: Installation) -> None:
    """B20: an attack that passed, and a result that was altered, are said in words; neither clears the door."""
    tried(installation, (*GOOD, attack("phone", 0.8), trial("<script>x</script>", 0.6)))
    with web.client(Role.AUDITOR) as client:
        raw = client.get("/commissioning").text
    assert "1 of 3 phone presentations passed for live; none may" in raw
    assert "<script>x" not in raw
    altered = installation.commissioning_file.read_bytes().replace(b'"people":2', b'"people":9')
    installation.commissioning_file.write_bytes(altered)
    text = seen(web)
    assert "was altered" in text
    assert "A face alone does not open" in text


def test_operating_point_is_the_doors_own(web: Web, installation: Installation) -> None:
    """What the page says of threshold and sizes is what the door would use."""
    recognition = installation.settings.recognition
    entry = manifest.embedder(recognition, installation.models_folder)
    text = seen(web)
    for size in (0, 1, 1_000, 100_000):
        point = door_point(entry.measured, None, recognition, size)
        assert f"{point.threshold:.3f}" in text
    now = door_point(entry.measured, None, recognition, 0)
    assert re.search(rf">{now.threshold:.3f}</td><td[^>]*>0\.001</td>", text)
    assert re.search(rf">{now.threshold - 0.025:.3f}</td><td[^>]*>not measured</td>", text)


def test_page_is_for_auditors(web: Web, installation: Installation) -> None:
    """B13, E12: thresholds are for auditors and admins; nobody else gets the page or the report."""
    tried(installation, GOOD)
    for role in set(Role) - {Role.AUDITOR, Role.ADMIN}:
        with web.client(role) as client:
            assert client.get("/commissioning").status_code == 403
            assert client.get("/commissioning/report.html").status_code == 403
    with web.client(Role.ADMIN) as client:
        answer = client.get("/commissioning/report.html")
    assert answer.headers["content-disposition"] == 'attachment; filename="commissioning.html"'
    assert "Liveness at the door" in answer.text


def test_drawings_stand_in_the_page(web: Web, installation: Installation, chromium: Browser) -> None:
    """E14: the drawings are shown in a real browser with their colours, and the policy refuses nothing of them."""
    tried(installation, GOOD)
    with context_of(chromium, web, Role.ADMIN) as context:
        page = context.new_page()
        refused: list[str] = []
        page.on("console", lambda message: refused.append(message.text))
        page.goto("/commissioning")
        colour = "getComputedStyle(document.querySelector('.plot .line')).stroke"
        assert page.evaluate(colour) != "none"
        assert page.locator(".drawing svg").count() == 2
        assert page.evaluate("getComputedStyle(document.querySelector('.drawing rect')).fill") != "rgb(0, 0, 0)"
        assert [line for line in refused if "Content Security Policy" in line] == []
