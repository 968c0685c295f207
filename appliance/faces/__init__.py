"""What can be asked about faces in pictures: detect, verify, identify, find similar, group, redact.

The verbs mean what they mean in the face services of the clouds. They read the gallery and never write it, decide
nothing about a door, and keep nothing on disk. Functions of values: they belong to no thread, but for the reader
(one thread at a time) and `TransientFaces` (any).
"""

from __future__ import annotations

from appliance.contract import Role

ROLES = frozenset(
    {Role.RECOGNISER, Role.ENROLLER, Role.ADMIN}
)  # of the clients that may ask; none opens or enrols by it
