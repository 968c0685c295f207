"""Use-cases: what a verified command does, whether it came over MQTT or from the web."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from appliance import __version__
from appliance.doorway import in_words
from appliance.errors import DoorError, RefusedError, StorageError
from appliance.messages import TicketEnded
from appliance.records import Actor
from appliance.ticket import ticket_state
from appliance.verbs import (
    Again,
    Approve,
    Args,
    ConfigGet,
    Deny,
    Lock,
    Lockdown,
    Open,
    Release,
    Say,
    Status,
    Unlock,
    read_args,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.config import Settings
    from appliance.envelope import Command
    from appliance.operating import DoorVerbs
    from appliance.reception import Reception
    from appliance.records import DoorState
    from appliance.referrals import Answered


class Answer(Protocol):
    """Tells whoever sent a command what became of it; several times where `done` is false."""

    def __call__(self, result: Mapping[str, Any] | None = None, error: str = "", *, done: bool = True) -> None:
        """Send one reply. Never raises, and may be called after the command was carried out."""
        ...


if TYPE_CHECKING:
    Act = Callable[[Command, Any, Answer], None]  # the second is the verb's own model of args
    Acts = Mapping[type[Args], Act]


class UseCases:
    """Carries out commands in the loop's thread. Each part knows some verbs."""

    def __init__(self, *parts: Acts) -> None:
        self._acts = {model: act for part in parts for model, act in part.items()}

    @property
    def carried_out(self) -> frozenset[type[Args]]:
        """The models of the verbs that are known here."""
        return frozenset(self._acts)

    def carry_out(self, command: Command, answer: Answer) -> None:
        """Do what is asked, and answer. Raises RefusedError, one line, where it had no effect.

        Raises StorageError where it could not be written down, once `storage_fault` was answered.
        """
        args = read_args(command)
        act = self._acts.get(type(args))
        if act is None:
            raise RefusedError(f"verb {command.verb} is not carried out here")
        try:
            act(command, args, answer)
        except StorageError:
            answer(error="storage_fault")
            raise


def by(command: Command) -> Actor:
    """Return who stands behind a command."""
    return Actor(command.actor, command.client_id)


def ticket_acts(reception: Reception) -> Acts:
    """Return what is done about tickets."""

    def told(came: Answered, ticket_id: str, answer: Answer) -> None:
        if came.ended is not None:
            ended = TicketEnded(ticket_id=ticket_id, reason=came.ended.reason, by=came.ended.by)
            answer(ended.model_dump(mode="json"), came.error)
        elif came.error or came.ticket is None:
            raise RefusedError(came.error)
        else:
            answer(ticket_state(came.ticket).model_dump(mode="json"))

    def settle(command: Command, args: Approve | Deny, answer: Answer) -> None:
        approve = isinstance(args, Approve)
        told(reception.answer(args.ticket_id, command.client_id, approve=approve), args.ticket_id, answer)

    def again(command: Command, args: Again, answer: Answer) -> None:
        told(reception.again(args.ticket_id, command.client_id), args.ticket_id, answer)

    def say(command: Command, args: Say, answer: Answer) -> None:
        told(reception.say(args.ticket_id, command.client_id, args.text), args.ticket_id, answer)

    return {Approve: settle, Deny: settle, Again: again, Say: say}


def door_acts(door: DoorVerbs, open_s: float) -> Acts:
    """Return what an operator does to the door; it answers with the door's state. `open_s` is how long it opens."""

    def act(verb: Callable[[Actor, Any], DoorState]) -> Act:
        def carry_out(command: Command, args: Args, answer: Answer) -> None:
            try:
                answer(in_words(verb(by(command), args)))
            except DoorError as fault:
                raise RefusedError(f"door_fault: {fault}") from fault

        return carry_out

    return {
        Open: act(lambda actor, args: door.open(actor, open_s if args.for_s is None else args.for_s)),
        Unlock: act(lambda actor, args: door.unlock(actor, args.for_s)),
        Lock: act(lambda actor, args: door.lock(actor, args.for_s)),
        Release: act(lambda actor, args: door.release(actor, args.of)),
        Lockdown: act(lambda actor, _args: door.lockdown(actor)),
    }


def record_acts(status: Callable[[], dict[str, Any]], settings: Settings) -> Acts:
    """Return what is told of the device: its health, and its settings, which name files of secrets and hold none."""
    told = {"version": __version__, "settings": settings.model_dump(mode="json")}
    return {
        Status: lambda _command, _args, answer: answer(status()),
        ConfigGet: lambda _command, _args, answer: answer(told),
    }
