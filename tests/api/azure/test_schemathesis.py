"""What the interface's own document allows, and what it does not, asked for by chance: answers keep to the document."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from appliance.api.azure.app import document_of, make_face_api

if TYPE_CHECKING:
    from tests.api.azure.conftest import Service

DOCUMENT = document_of(make_face_api())
SCHEMA: Any = schemathesis.openapi.from_dict(DOCUMENT)
OPERATIONS = [found.ok() for found in SCHEMA.get_all_operations()]
EXAMPLES = 3  # of each operation, in either way
CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
SETTINGS = settings(
    max_examples=EXAMPLES, phases=[Phase.generate], suppress_health_check=list(HealthCheck), database=None
)


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["allowed", "not_allowed"])
@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda one: one.label)
def test_answers_keep_to_the_document(service: Service, operation: Any, mode: GenerationMode) -> None:  # noqa: ANN401
    """E3, E18: whatever is sent to an operation, the server does not fail, and what it answers is as documented."""
    headers = {"Ocp-Apim-Subscription-Key": service.full}
    with requests.Session() as session:

        @SETTINGS
        @given(case=operation.as_strategy(mode))
        def ask(case: Any) -> None:  # noqa: ANN401 - generic in what no caller cares for
            case.call_and_validate(f"{service.web.url}/face", session=session, headers=headers, checks=CHECKS)

        ask()


def test_the_document_is_for_clients_of_the_service(service: Service) -> None:
    """The document names every operation once, the key that each needs, and no answer that is never given."""
    for path, methods in DOCUMENT["paths"].items():
        for method, operation in methods.items():
            assert operation["security"] == [{"key": []}] or "Bearer" in str(operation["security"]), (method, path)
            assert "422" not in operation["responses"], (method, path)
            assert "default" in operation["responses"], (method, path)
    with service.http() as http:
        served = http.get(f"{service.web.url}/face/openapi.json").json()
    assert served == DOCUMENT
    assert served["servers"] == [{"url": "/face"}]
