"""An update from the archive to the release that is kept, and the way back.

What is remembered is written before what it is about: a trial before the link is changed, a start before it is made.
Cut off anywhere, `current` leads to a whole release, and `watch`, which every boot calls, goes on from there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import ApplianceError, HardwareError, RefusedError, StorageError
from appliance.lone import only_one
from appliance.update import archive as archives
from appliance.update import claim as claims
from appliance.update import databases
from appliance.update.disk import sync_disk
from appliance.update.places import Outcome, Trial

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from appliance.update.claim import Claim
    from appliance.update.machine import Machine
    from appliance.update.places import Places

STARTS = 3  # a release that was ill so often is taken back
WELL_WITHIN_S = 90.0
_INSTALL_S = 3600.0  # a card and a slow processor, with a hundred megabytes of wheels to unpack
_SELF_TEST_S = 300.0


@dataclass(frozen=True, slots=True)
class Updater:
    """Updates of one system: where its releases lie, the machine they run on, and who hears what is done."""

    places: Places
    machine: Machine
    say: Callable[[str], None]
    watched_s: float = WELL_WITHIN_S

    def verify(self, file: Path) -> tuple[Claim, int]:
        """Return what is signed of an archive, and its number of files, and change nothing. Raises RefusedError."""
        claim = self._verified(file)
        return claim, archives.examine(file, claim)

    def apply(self, file: Path, *, no_way_back: bool = False) -> None:
        """Put the release in `file` in the place of the one that runs, and keep it if it is well.

        Raises RefusedError where the archive is refused, another trial is not over, the release fails before it is
        switched to, or is taken back; then what ran before runs. Where it changes databases, `no_way_back` has to say
        that this is meant; one that is ill then stays, and HardwareError says so.
        """
        with self._alone():
            if self.places.trial() is not None:
                raise RefusedError("an update is on trial already; to go on with it: ostiary update confirm")
            before = self.places.linked("current")
            if not before and (self.places.base / "current").is_symlink():
                raise RefusedError(f"{self.places.base / 'current'} leads to no release of ours: run scripts/install")
            self._tidy()
            claim = self._verified(file)
            if claim.version in {before, self.places.linked("previous")} - {""}:
                raise RefusedError(f"{claim.version} is installed already: ostiary update list")
            raises = self._installed(file, claim.version, claim)
            if raises and not no_way_back:
                _remove(self.places.release(claim.version))
                raise RefusedError(_no_way_back(claim.version, raises))
            self._switch(Trial(version=claim.version, previous=before or claim.version, raises=raises))
            self._watch()

    def watch(self) -> None:
        """Go on with a trial that is not over, and do nothing where there is none. Raises as `apply` does."""
        if self.places.trial() is None:
            return
        with self._alone():
            self._watch()

    def roll_back(self, *, restore: bool = False) -> None:
        """Go back to the release before, on trial as a new one is.

        Where it cannot read the databases of this one, `restore` puts back the copy that was made when the update
        began, if the update is still on trial: what was entered since is in the copy that is set aside.
        Raises RefusedError where there is none before, or it cannot read them.
        """
        with self._alone():
            trial, now = self.places.trial(), self.places.linked("current")
            target = trial.previous if trial is not None else self.places.linked("previous")
            if target in {"", now} or not self.places.program(target).exists():
                raise RefusedError("there is no release to go back to")
            newer = trial.raises if trial is not None else databases.raised(self._knows(target), databases.known())
            if newer and (trial is None or not restore):
                raise RefusedError(f"{target} cannot read {', '.join(newer)} any more: docs/updates.md says what helps")
            if newer:
                self._put_back(newer)
            self._switch(Trial(version=target, previous=now or target), copied=bool(newer))
            self._watch()

    def _alone(self) -> AbstractContextManager[None]:
        self.places.make()
        return only_one(self.places.memory / "update.lock", "another update is at work")

    def _verified(self, file: Path) -> Claim:
        return claims.verify(file, claims.trusted_keys(self.places.trusted), self.places.floor())

    def _tidy(self) -> None:
        """Remove what an update that was cut off, refused or kept has left; what is linked stays."""
        kept = {self.places.linked("current"), self.places.linked("previous")}
        releases = self.places.base / "releases"
        for path in (*releases.glob(".*"), *(self.places.release(one) for one in self.places.installed())):
            if path.name not in kept:
                _remove(path)
        shutil.rmtree(self.places.snapshot, ignore_errors=True)

    def _installed(self, file: Path, version: str, claim: Claim) -> tuple[str, ...]:
        """Install a release beside the others and return the databases that it raises; none is left that fails."""
        draft = self.places.draft(version)
        try:
            self.say(f"unpacking {version}")
            tree = archives.unpack(file, claim, draft)
            self.say("installing it beside the one that runs")
            _run([str(tree / "scripts/install"), "--release-only"], _INSTALL_S, "its installer")
            raises = databases.raised(databases.known(), self._knows(version))
            self._test(version)
            self._make_durable(version)
        except ApplianceError:
            self._tidy()  # what its installer had begun too: a disk that stays full lets nobody in
            raise
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        return raises

    def _make_durable(self, version: str) -> None:
        try:
            sync_disk(self.places.release(version))
        except OSError as fault:
            raise StorageError(f"{self.places.release(version)} cannot be written: {fault.strerror}") from fault

    def _knows(self, version: str) -> dict[str, int]:
        """Return the newest schemas that an installed release can read. Raises RefusedError where it does not tell."""
        program = str(self.places.program(version))
        said = _run([program, "update", "schemas"], _SELF_TEST_S, f"release {version}")
        try:
            return {str(name): int(number) for name, number in json.loads(said).items()}
        except (ValueError, AttributeError, TypeError) as fault:
            raise RefusedError(f"release {version} does not tell which databases it can read") from fault

    def _test(self, version: str) -> None:
        """Have an installed release read the settings and load its models. Raises RefusedError."""
        self.say("trying its settings and models")
        settings = ["--config", str(self.places.settings)] if self.places.settings.exists() else []
        with tempfile.TemporaryDirectory() as nowhere:
            known = self.places.state.is_dir()  # not on a machine that has never run
            state = self.places.state if known else Path(nowhere)
            words = [str(self.places.program(version)), "check", "--edge", "models", *settings, "--state", str(state)]
            _run(words, _SELF_TEST_S, f"release {version}", owner=state)

    def _switch(self, trial: Trial, *, copied: bool = False) -> None:
        """Put a release on trial: what is remembered first, the link last."""
        if trial.raises:
            self._copy(trial)
        if not self.places.linked("previous"):  # after a power cut, it is what goes on with the trial
            self.places.link("previous", trial.previous)
        self.places.set_trial(trial)
        self.places.link("previous", trial.previous)
        self.places.link("current", trial.version)
        if copied:
            shutil.rmtree(self.places.snapshot, ignore_errors=True)

    def _copy(self, trial: Trial) -> None:
        """Copy the databases while nobody has them open; where that fails, what runs is started again."""
        try:
            self.machine.stop()
            self.say(f"copying the databases, as it changes {', '.join(trial.raises)}")
            databases.copy(self.places.state, self.places.snapshot)
        except HardwareError:
            self.machine.restart()
            raise

    def _watch(self) -> None:
        """Start the release on trial until it is well, or has been ill too often.

        It is started even where something runs already: that may be the release before, or what a boot began.
        """
        trial = self.places.trial()
        if trial is None:
            return
        if self.places.linked("current") != trial.version:  # cut off before the link was changed, or taken back
            self._taken_back(trial)
            return
        if trial.raises and trial.starts >= STARTS:  # it stays, and somebody may have mended what it lacked
            trial = trial.model_copy(update={"starts": STARTS - 1})
        while trial.starts < STARTS:
            trial = trial.model_copy(update={"starts": trial.starts + 1})
            self.places.set_trial(trial)  # before the start: one that takes the machine down counts
            self.say(f"watching {trial.version}, start {trial.starts} of {STARTS}")
            trial = trial.model_copy(update={"why": self._started(trial.version)})
            if not trial.why:
                self._keep(trial)
                return
            self.say(f"not well: {trial.why}")
        self._give_way(trial)

    def _started(self, version: str) -> str:
        """Start a release with its own units and files, and return why it is not well; "" where it is."""
        try:
            self._place(version)
            self.machine.restart()
            return self.machine.ill(self.watched_s)
        except (RefusedError, HardwareError) as fault:
            return str(fault)

    def _place(self, version: str) -> None:
        """Have a release's installer put its units and files into the system; it does nothing where they are there."""
        _run([str(self.places.release(version) / "scripts/install"), "--no-packages"], _INSTALL_S, "its installer")

    def _keep(self, trial: Trial) -> None:
        self.places.raise_floor(trial.version)
        self._end(trial, "kept")
        self._tidy()
        self.say(f"{trial.version} is well and is kept; {trial.previous} stays to go back to")

    def _give_way(self, trial: Trial) -> None:
        """Take a release back that is ill, where the one before can read what it wrote. Raises."""
        if trial.previous == trial.version:
            self._end(trial, "given up")
            raise HardwareError(f"{trial.version} is not well, and there is none before it: {trial.why}")
        if trial.raises:
            told = f"{trial.version} is not well ({trial.why}), and has changed {', '.join(trial.raises)}"
            self.places.set_outcome(_outcome(trial, "given up"))
            raise HardwareError(f"{told}; the door keeps shut: ostiary update rollback --restore, or repair it")
        self.places.link("current", trial.previous)
        self._taken_back(trial)

    def _taken_back(self, trial: Trial) -> None:
        why = self._started(trial.previous)
        if why:
            self.say(f"{trial.previous} is not well either: {why}")
        self._end(trial, "taken back")
        why = trial.why or "it was cut off before it was started"
        raise RefusedError(f"{trial.version} was taken back, {trial.previous} runs: {why}")

    def _end(self, trial: Trial, ended: str) -> None:
        self.places.set_outcome(_outcome(trial, ended))
        shutil.rmtree(self.places.snapshot, ignore_errors=True)
        self.places.set_trial(None)

    def _put_back(self, newer: tuple[str, ...]) -> None:
        """Put the databases back that an update on trial has changed. Raises RefusedError where there is no copy."""
        if "keys.db" in newer or not self.places.snapshot.is_dir():
            raise RefusedError(f"of {', '.join(newer)} there is no copy that the release before can read")
        self.machine.stop()
        aside = self.places.set_aside()
        databases.copy(self.places.state, aside)
        names = databases.put_back(self.places.snapshot, self.places.state)
        self.say(f"put back: {', '.join(names)}; as they were before that: {aside}")


def _remove(folder: Path) -> None:
    try:
        shutil.rmtree(folder)
    except OSError as fault:
        raise StorageError(f"{fault.filename} cannot be removed: {fault.strerror}") from fault


def _no_way_back(version: str, raises: tuple[str, ...]) -> str:
    changes = f"{version} changes {', '.join(raises)}, which what runs now cannot read afterwards"
    return f"{changes}; make a backup, and say --no-way-back if that is meant"


def _run(words: list[str], timeout_s: float, what: str, owner: Path | None = None) -> str:
    """Run a release's own program, as the owner of a folder where one is given, and return what it prints.

    Raises RefusedError where it fails or takes too long.
    """
    found = owner.stat() if owner is not None and os.geteuid() == 0 else None
    try:
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout_s,
            check=False,
            stdin=subprocess.DEVNULL,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            user=found.st_uid if found is not None else None,
            group=found.st_gid if found is not None else None,
            extra_groups=[] if found is not None else None,
        )
    except (OSError, subprocess.TimeoutExpired) as fault:
        raise RefusedError(f"{what} cannot be run: {fault}") from fault
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise RefusedError(f"{what} failed: {said[-1] if said else f'exit {done.returncode}'}")
    return done.stdout


def _outcome(trial: Trial, ended: str) -> Outcome:
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Outcome.model_validate({"version": trial.version, "ended": ended, "at": at, "why": trial.why})
