"""`ostiary setup`: from a box of parts to settings, question by question, in a plain terminal."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from appliance import places
from appliance.commands.options import open_state
from appliance.errors import ApplianceError, ConfigError, RefusedError, UsageError

if TYPE_CHECKING:
    from appliance.setup.draft import Draft
    from appliance.setup.question import Question

_PATH = click.Path(path_type=Path)
_WIDE = 78
_BACK, _SKIP, _AGAIN = "back", "skip", "?"
_INTRO = """\
This sets the door up, question by question. What you answer goes into
{file},
and nothing is changed before you have seen it all.

Enter, or skip, takes what stands in [brackets]; a number takes that line.
back returns to the question before, ? shows this one again, Ctrl-C ends it."""


@click.command()
@click.option("--config", "config_file", type=_PATH, help=f"Settings to write [{places.CONFIG}].")
@click.option("--state", type=_PATH, help=f"Folder of databases and keys [{places.STATE}].")
@click.option("--answers", type=_PATH, help="Ask nothing: a TOML file says it, and for the rest what stands already.")
@click.pass_context
def setup(context: click.Context, config_file: Path | None, state: Path | None, answers: Path | None) -> None:
    """Ask about board, camera, lock, pins, broker and screen, try them out, and write the settings with comments.

    It begins with what is set already: whoever answers everything with Enter changes nothing.
    """
    from appliance.commands import setup_finish  # noqa: PLC0415 - help must not load any of these
    from appliance.setup import units  # noqa: PLC0415 - as above
    from appliance.setup.answers import answered, read_answers  # noqa: PLC0415 - as above
    from appliance.setup.draft import begin  # noqa: PLC0415 - as above
    from appliance.setup.place import look_around  # noqa: PLC0415 - as above
    from appliance.setup.questions import QUESTIONS  # noqa: PLC0415 - as above
    from appliance.setup.saving import save, settings_file  # noqa: PLC0415 - as above

    if answers is None and sys.stdin is None:
        raise UsageError("nobody can be asked, as standard input is closed; --answers FILE says it instead")
    path = (config_file or places.CONFIG).absolute()
    _demand_sight(path)
    place = look_around(path, open_state(state))
    version, first = settings_file(path).read().version, begin(place)
    with units.running_again(place.running):  # a trial may stop one
        if answers is not None:
            draft = answered(first, QUESTIONS, read_answers(answers, QUESTIONS))
            _echo(setup_finish.summary(first, draft))
        else:
            draft = _by_hand(first, QUESTIONS)
        written = save(draft, version)
        click.echo(f"{'written' if written else 'unchanged'}: {path}")
        setup_finish.finish(context, draft)


def _demand_sight(path: Path) -> None:
    """Raise ConfigError where it cannot even be told whether the settings are there."""
    try:
        path.exists()
    except OSError as fault:
        raise ConfigError(
            f"configuration {path} cannot be read: {fault.strerror}; as root: sudo ostiary setup"
        ) from fault


def _by_hand(first: Draft, questions: tuple[Question, ...]) -> Draft:
    """Return the draft after the questions and a last word. Raises RefusedError where somebody ends it."""
    from appliance.commands.setup_finish import summary  # noqa: PLC0415 - as above
    from appliance.setup.question import interview  # noqa: PLC0415 - as above

    click.echo(_INTRO.format(file=first.place.config_file))
    try:
        draft = interview(first, questions, _ask)
        _echo([_rule("What changes"), *summary(first, draft)])
        if click.confirm("Write this?", default=True):
            return draft
    except (click.Abort, KeyboardInterrupt):
        click.echo()
    raise RefusedError("set-up ended; nothing was changed")


def _ask(question: Question, draft: Draft) -> Draft | None:
    """Return the draft after the answer; None to go back. A wrong answer is told in one line and asked for again."""
    _echo(_screen(question, draft))
    found = ""  # by a trial
    while True:
        now = found or question.now(draft)
        typed = click.prompt(f"{question.key} [{now}]", default="", show_default=False).strip()
        text = question.chosen(draft, typed)
        try:
            if text == _BACK:
                return None
            if text == _AGAIN:
                _echo(_screen(question, draft))
            elif question.trial and text.split()[:1] == [question.trial]:
                said = question.chosen(draft, text.partition(" ")[2].strip())
                found = _tried(question, draft, said or found) or found
            else:
                return question.answer(draft, found if text in {"", _SKIP} else text)
        except UsageError as fault:
            click.echo(f"  {fault}")


def _tried(question: Question, draft: Draft, answer: str) -> str:
    """Try out what this answer would be, and return the answer that was found; "" for none. Raises UsageError."""
    from appliance.commands.setup_trials import TRIALS  # noqa: PLC0415 - as above

    try:
        return TRIALS[question.trial](question.answer(draft, answer), question.key)
    except UsageError:
        raise
    except ApplianceError as fault:
        click.echo(f"  {fault}")
        return ""


def _screen(question: Question, draft: Draft) -> list[str]:
    """Return the lines of one question."""
    listed = question.choices(draft)
    widest = max((len(name) for name, _ in listed), default=0)
    choices = [f"  {number}  {name:{widest}}  {words}".rstrip() for number, (name, words) in enumerate(listed, start=1)]
    return [_rule(question.title), question.look, *choices]


def _rule(title: str) -> str:
    return f"\n{title} {'-' * (_WIDE - len(title) - 1)}"


def _echo(lines: list[str]) -> None:
    for line in lines:
        click.echo(line)
