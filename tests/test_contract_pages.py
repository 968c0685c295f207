"""The published contract: complete, consistent in itself, and true of what is really sent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from jsonschema import Draft202012Validator

from appliance.contract import JOIN, TO_THE_DOOR, Topic, topic
from appliance.envelope import Joining, open_joining, sign
from appliance.signing import public_text
from appliance.verbs import VERBS
from scripts.contract_pages import COMMANDS, PAYLOADS, SCHEMA, asyncapi, pages

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = Ed25519PrivateKey.generate()
GOOD: dict[str, dict[str, Any]] = {
    "approve": {"ticket_id": "t1"},
    "deny": {"ticket_id": "t1"},
    "again": {"ticket_id": "t1"},
    "say": {"ticket_id": "t1", "text": "Please ring."},
    "unlock": {"for_s": 60},
    "person.add": {"ticket_id": "t1", "name": "Ada", "consent_by": "Ada", "groups": ["staff"]},
    "person.update": {"person_id": "p1", "tags": []},
    "person.remove": {"person_id": "p1"},
    "person.renew": {"offer_id": "o1"},
    "enrol.start": {"name": "Ada", "consent_by": "Ada"},
    "enrol.photo": {"upload_id": "u1", "data": "YWJj", "person": {"name": "Ada", "consent_by": "Ada"}},
    "feed": {"after": 0},
    JOIN: {"public_key": public_text(KEY), "proof": "0" * 64},
}


def references(value: object) -> Iterator[str]:
    """Yield every `$ref` in a document."""
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "$ref":
                yield str(inner)
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def published() -> dict[str, Any]:
    """Return the schema as it stands in docs/."""
    found: dict[str, Any] = json.loads(SCHEMA.read_text(encoding="utf-8"))
    return found


def reading(name: str) -> Draft202012Validator:
    """Return who holds a value to one definition of the published schema."""
    return Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": published()["$defs"]})


@pytest.mark.parametrize("path", pages(), ids=lambda path: path.name)
def test_published_contract_is_what_the_code_says(path: Any) -> None:  # noqa: ANN401 - pytest's own
    """docs/asyncapi.json, docs/contract.schema.json and docs/openapi.json are written from the code as it is."""
    assert path.read_text(encoding="utf-8") == pages()[path], "run scripts/reference"


def test_every_topic_and_verb_is_published() -> None:
    """No topic or verb is left out, and every reference leads somewhere within its own document."""
    document = asyncapi()
    addresses = {channel["address"] for channel in document["channels"].values()}
    assert set(PAYLOADS) == set(Topic) - {Topic.CMD}
    assert {f"ostiary/{{device_id}}/cmd/{verb}" for verb in COMMANDS} <= addresses
    assert len(addresses) == len(COMMANDS) + len(PAYLOADS)
    heard = {name for name, one in document["operations"].items() if one["action"] == "receive"}
    assert len(heard) == len(COMMANDS) + len(TO_THE_DOOR) - 1
    for whole in (document, published()):
        for reference in references(whole):
            place: Any = whole
            for level in reference.removeprefix("#/").split("/"):
                place = place[level]


def test_published_schema_is_a_schema() -> None:
    """Every definition is JSON Schema of 2020-12, by another implementation's reading."""
    Draft202012Validator.check_schema(published())


@pytest.mark.parametrize("verb", COMMANDS)
def test_signed_commands_are_what_is_published(verb: str) -> None:
    """What our own client signs is what the schema allows; another field, or one of the wrong type, is not."""
    payload = sign(
        KEY,
        topic=topic("front", Topic.CMD, verb),
        device_id="front",
        client_id="desk",
        verb=verb,
        args=GOOD.get(verb, {}),
        now=1_800_000_000,
        ttl_s=20,
        nonce=1,
        request_id="r1",
    )
    command = json.loads(payload)
    wanted = reading(f"command.{verb}")
    wanted.validate(command)
    for wrong in (command | {"door": "front"}, command | {"nonce": "1"}, command | {"args": {"beyond": 1}}):
        assert not wanted.is_valid(wrong)


def test_who_would_join_by_the_schema_is_heard() -> None:
    """The published way to join is the one that the door reads."""
    place = topic("front", Topic.CMD, JOIN)
    payload = sign(
        KEY,
        topic=place,
        device_id="front",
        client_id="desk",
        verb=JOIN,
        args=GOOD[JOIN],
        now=1_800_000_000,
        ttl_s=20,
        nonce=1,
        request_id="r1",
    )
    reading(f"command.{JOIN}").validate(json.loads(payload))
    heard = open_joining(payload, topic=place, device_id="front", retained=False, now=1_800_000_001)
    assert isinstance(heard, Joining)


@pytest.mark.parametrize("verb", VERBS)
def test_reader_and_schema_agree_about_args(verb: str) -> None:
    """What the published schema takes of args, the reader takes, and the other way round."""
    wanted = reading(VERBS[verb].__name__)
    good = GOOD.get(verb, {})
    tried: list[dict[str, Any]] = [good, {}, good | {"beyond": 1}]
    tried += [good | {name: value} for name in VERBS[verb].model_fields for value in (None, "", "x" * 70_000, -1, [1])]
    for args in tried:
        try:
            VERBS[verb].model_validate(args)
        except ValueError:
            assert not wanted.is_valid(args), args
        else:
            assert wanted.is_valid(args), args
