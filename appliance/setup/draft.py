"""What the answers so far come to: the text of `appliance.toml`, and what is no setting. Nothing of it is on disk."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from appliance import config
from appliance.toml_text import differences, with_value

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.config import Settings
    from appliance.setup.place import Place
    from appliance.toml_text import Difference, Value

NAME = "appliance.toml"
# Every key with its comment: what a device that has no settings yet begins with.
SHIPPED = Path(__file__).parents[1] / "web" / NAME


@dataclass(frozen=True, slots=True)
class Draft:
    """Settings that hold together, and the answers that are none."""

    text: str
    settings: Settings  # what the text says
    place: Place  # where it all goes
    fresh: bool = False  # nobody has changed a setting yet: what was found here is the better proposal
    own: Mapping[str, str] = field(default_factory=dict)  # by the key of the question

    def with_settings(self, changes: Mapping[str, Value]) -> Draft:
        """Return the draft with these settings, by keys such as `door.unlock_s`; what they are already is left alone.

        Raises ConfigError, one line, where the settings would not hold together.
        """
        text, now = self.text, self.settings.model_dump(mode="json")
        for key, value in changes.items():
            section, _, name = key.partition(".")
            if value != now[section][name]:
                text = with_value(text, (section,), name, value)
        return replace(self, text=text, settings=config.parse(text, NAME))

    def with_own(self, key: str, answer: str) -> Draft:
        """Return the draft with an answer that is no setting."""
        return replace(self, own={**self.own, key: answer})

    def changes(self, before: Settings) -> tuple[Difference, ...]:
        """Return what is set otherwise than before, key by key; what was in no file had its default."""
        return differences(before.model_dump(mode="json"), self.settings.model_dump(mode="json"))


def begin(place: Place) -> Draft:
    """Return the draft of the settings that are there; of the shipped ones where none are.

    Raises ConfigError where there are some and they have a fault: they are somebody's, and are not thrown away.
    """
    shipped = config.read(SHIPPED)
    text = config.read(place.config_file) if place.config_file.exists() else shipped
    return Draft(text, config.parse(text, str(place.config_file)), place, fresh=text == shipped)
