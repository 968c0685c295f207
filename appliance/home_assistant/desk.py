"""Everything of Home Assistant in the reader; where it is off, nothing but to take back what it was told before."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

from appliance.home_assistant.announced import Announced
from appliance.home_assistant.code import CodeFile
from appliance.home_assistant.discovery import config_topic
from appliance.home_assistant.orders import Line as OrdersLine
from appliance.home_assistant.orders import Orders
from appliance.home_assistant.view import Line as ViewLine
from appliance.home_assistant.view import View

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.config import Settings
    from appliance.home_assistant.orders import Act
    from appliance.journal import Journal
    from appliance.records import AuditEvent
    from appliance.ticket import Ticket


class Line(ViewLine, OrdersLine, Protocol):
    """The reader's connection to the broker."""


class HomeDesk:
    """Belongs to the loop's thread; made before the connection is started, which must know what to listen to."""

    def __init__(
        self, settings: Settings, state: Path, line: Line, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings = settings
        self._state = state
        self._line = line
        self._known_as = Announced(state)
        self._view = View(settings, line, clock) if settings.home_assistant.enabled else None
        self._orders: Orders | None = None

    def obey(self, act: Act, journal: Journal) -> None:
        """Take orders from now on, where the settings allow any."""
        if self._settings.home_assistant.enabled and self._settings.home_assistant.commands:
            code = CodeFile(self._state)
            self._orders = Orders(self._settings, code, self._line, act=act, journal=journal)

    def hear(self, event: AuditEvent) -> None:
        """Take in an event of the audit log."""
        if self._view is not None:
            self._view.hear(event)

    def ask(self, ticket: Ticket) -> None:
        """Take in a ticket."""
        if self._view is not None:
            self._view.ask(ticket)

    def tend(self) -> None:
        """Do what is due; call it several times a second. A disk that takes nothing does not stop it."""
        if self._line.connects:
            for gone in self._known_as.turn(config_topic(self._settings) if self._view is not None else ""):
                self._line.publish_at(gone, b"", retained=True)
        if self._view is not None:
            self._view.tend()
        if self._orders is not None:
            self._orders.tend()

    def close(self) -> None:
        """End, with nobody's picture left behind."""
        if self._orders is not None:
            self._orders.close()
        if self._view is not None:
            self._view.close()
