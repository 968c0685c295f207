"""`ostiary person`: who is enrolled."""

from __future__ import annotations

import click

from appliance.commands.lazy import LazyGroup

_HERE = "appliance.commands"


@click.group(
    cls=LazyGroup,
    members={
        "add": f"{_HERE}.person_add:add",
        "list": f"{_HERE}.person_list:list_people",
        "search": f"{_HERE}.person_list:search",
        "show": f"{_HERE}.person_show:show",
        "set": f"{_HERE}.person_change:change",
        "access": f"{_HERE}.access:access",
        "pin": f"{_HERE}.pin:pin",
        "withdraw": f"{_HERE}.person_change:withdraw",
        "forget": f"{_HERE}.person_change:forget",
        "remove": f"{_HERE}.person_remove:remove",
    },
)
def person() -> None:
    """Enrol people, list and change them, and erase them."""
