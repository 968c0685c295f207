"""What the questions say: plain words, and what to look at on the board. Pins and wiring are those of hardware.md."""

from __future__ import annotations

BOARD = """\
Which board is this? It decides how the pins are called, and what drives them.
Look at the print on the board itself, if what was found is wrong.
Choosing another one than before forgets all pins."""

CHIP = """\
The device of the GPIO chip. gpiodetect lists the chips: on a Jetson it is the
one called tegra234-gpio."""

ZONE = """\
Schedules and quiet hours go by it. A name such as Europe/Berlin or UTC."""

DEVICE = """\
Who this appliance is: on the broker, in the log and in the names of its keys.
Letters, digits, _ and -. Choose it now: certificates are made out to it."""

DOOR = """\
Which door it stands at, as people say it: front, garage, lab-2."""

CAMERA = """\
Where the pictures come from: what was found, or a device path, a URL, a
GStreamer pipeline. Face height, and no window behind the visitor.
  look    shows a picture here, and what is seen of a face
Where a screen is fitted, its mirror shows the same: ostiary kiosk show."""

LOCK = """\
What kind of lock hangs at the relay. A magnet is always fail-safe.
Look at the relay: a fail-secure lock takes its power through COM and NO,
a fail-safe one through COM and NC. Low is locked, for both."""

RELAY = """\
The pin that the relay's IN is wired to.
  Raspberry Pi  BCM 17, header pin 11, with 10 kOhm to ground beside it
  Jetson        offset 144, header pin 7
The relay board must be active high: it pulls when the pin is high.
  click   has the relay click once; the door opens"""

UNLOCK = """\
For how many seconds the lock lets go when somebody may enter: 0.5 to 30."""

WIRE = """\
Pin and contact at rest, such as 22 NC or 23 NO; none where it is not fitted.
  find    watches the pins while you move it, and tells which one it is"""

PIN = """\
The number of its pin, high is on; 0 where it is not fitted."""

INPUTS = {
    "contact": (
        "The door contact",
        """\
The switch that knows whether the leaf is open. Wired NC, the magnet on the
leaf, so that a cut wire counts as open. Raspberry Pi: BCM 22, header pin 15.""",
    ),
    "rex": (
        "The exit button",
        """\
What somebody inside presses to leave. Wired NO. It does not replace the button
in the lock's own circuit. Raspberry Pi: BCM 23, header pin 16.""",
    ),
    "tamper": (
        "The tamper switch",
        """\
The switch under the lid of the box. Wired NC. Raspberry Pi: BCM 24, header
pin 18.""",
    ),
    "fire": (
        "The fire alarm",
        """\
The contact of the fire alarm's relay. Always wired NC, so that a cut wire
releases the door too. Raspberry Pi: BCM 25, header pin 22.""",
    ),
    "bell": (
        "The bell",
        """\
The button outside. Wired NO. Raspberry Pi: BCM 27, header pin 13.""",
    ),
    "bond": (
        "The lock's own contact",
        """\
Called bond or latch: the lock itself says that it holds. Closed while locked
is NO, open while locked is NC. Raspberry Pi: BCM 16, header pin 36.""",
    ),
}

PUSH = """\
A button that somebody presses on purpose may unlock. A motion detector sees
everybody who walks by: it only says that the opening is no break-in."""

LAMPS = """\
Are lamps, a buzzer, a sounder or a second relay wired?"""

OUTPUTS = {
    "aux": ("The second relay", "An opener, or the shunt of an alarm system.\nRaspberry Pi: BCM 26, header pin 37."),
    "alarm": ("The sounder", "It is on while an alarm stands. Raspberry Pi: BCM 20, header pin 38."),
    "red": ("The red lamp", "Raspberry Pi: BCM 12, header pin 32."),
    "green": ("The green lamp", "Raspberry Pi: BCM 13, header pin 33."),
    "blue": ("The blue lamp", "Raspberry Pi: BCM 19, header pin 35."),
    "buzzer": ("The buzzer", "Raspberry Pi: BCM 21, header pin 40."),
}

BROKER = """\
Over an MQTT broker attendants are rung, and Home Assistant sees the door.
Without one the door works, and visitors wait on the pages alone."""

BROKERS = (
    ("none", "nobody is rung; who looks at the pages sees who waits"),
    ("here", "mosquitto on this machine: its files are made"),
    ("elsewhere", "one that runs already, here or on another machine"),
)

HOST = """\
The name or address of its machine, as it stands in its certificate."""

PORT = """\
8883 is usual with TLS, 1883 without."""

TLS = """\
Without TLS whoever is in the network can read along, and speak for the broker."""

CA = """\
The file of the authority that signed the broker's certificate; none for those
that the system trusts."""

CERT = """\
Our own certificate, where the broker knows its clients by theirs; none where
it asks for a name and a password."""

KEY = """\
A file that only the reader may read."""

USER = """\
none where the broker asks for no name."""

USER_FILE = """\
A file that only the reader may read, with the password and nothing else."""

LANGUAGE = """\
What the screen at the door begins with. Visitors may choose another."""

MIRROR = """\
Whether visitors see themselves on the screen at the door."""

RETENTION = """\
After how long somebody who no longer comes is erased. No preset is legal
advice; docs/privacy.md gives the reasons."""

CODE = """\
There is no default password: a code, shown once everything is written, makes
the first account. It is good for half an hour; ostiary web code makes another."""

RESTART = """\
Restart controller, reader and web, so that the new settings hold? The door
locks meanwhile."""

CHECK = """\
Try models, camera, gallery, log, controller, door, broker and clock once it is
written?"""

# What an answer must look like, where the settings have a pattern for it.
FORMS = {
    "device.id": "letters, digits, and later _ and -; 63 at most",
    "device.door": "letters, digits, and later _ and -; 63 at most",
    "door.chip": "a device such as /dev/gpiochip0 is needed",
    **dict.fromkeys((f"inputs.{name}" for name in INPUTS), "a pin and NO or NC is needed, such as 23 NO"),
}

MEANING = {
    ("door.strike", "fail_secure"): "locked without power: most strikes",
    ("door.strike", "fail_safe"): "unlocked without power: every magnet",
    ("door.rex", "push"): "a button; it unlocks",
    ("door.rex", "non_push"): "a motion detector; it only excuses the opening",
    ("retention.preset", "none"): "nobody is erased by themselves",
    ("retention.preset", "conservative"): "unseen for 180 days",
    ("retention.preset", "gdpr"): "unseen for 365 days",
    ("retention.preset", "bipa"): "unseen for 3 years",
    ("kiosk.language", "en"): "English",
    ("kiosk.language", "de"): "Deutsch",
    ("kiosk.language", "es"): "español",
    ("kiosk.language", "fr"): "français",
    ("kiosk.language", "zh"): "中文",
}
