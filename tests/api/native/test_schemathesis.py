"""What the published document allows, and what it does not, sent to a served appliance by a program that made it up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis import GenerationMode
from schemathesis.specs.openapi.checks import positive_data_acceptance

from appliance.api.native.app import PATH, document
from appliance.contract import Role

if TYPE_CHECKING:
    from schemathesis import Case

    from tests.api.native.conftest import Api
    from tests.web.running import Door

# Streams do not end by themselves; they have tests of their own.
SCHEMA = schemathesis.openapi.from_dict(document()).exclude(path_regex="^/(events/stream|enrolments)$")
ROLES = (Role.RECOGNISER, Role.ENROLLER, Role.ADMIN)


@pytest.fixture(scope="module")
def crowd(api: Api, door: Door) -> dict[str, str]:
    """Return what is there, by how a path calls it, at a door that runs."""
    assert door.faults == []
    for seed in range(3):
        api.known(f"Bob {seed}", seed)
    assert api.client(Role.ADMIN).post("/groups", json={"name": "crew"}).is_success
    return {"person_id": api.known("Ada", 4), "name": "crew"}


@SCHEMA.parametrize()
@settings(
    max_examples=3, phases=[Phase.generate], derandomize=True, deadline=None, suppress_health_check=[*HealthCheck]
)
def test_answers_are_what_the_document_says(case: Case[Any], api: Api, crowd: dict[str, str]) -> None:
    """E2, E3, E6: whatever is asked by whoever may, the answer is one of the document's, and never a fault of ours.

    What a request may say beyond its schema (a name with a control character) is refused in words, and is no fault.
    """
    meant = case.meta is not None and case.meta.generation.mode is GenerationMode.POSITIVE
    if meant and (case.method, case.operation.path) != ("DELETE", "/people/{person_id}"):
        case.path_parameters.update({name: one for name, one in crowd.items() if name in case.path_parameters})
    for role in ROLES:
        case.call_and_validate(
            base_url=api.web.url + PATH,
            headers={"X-API-Key": api.keys[role]},
            excluded_checks=[positive_data_acceptance],
        )
