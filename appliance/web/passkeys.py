"""Passkeys (WebAuthn): what a browser is asked to sign, and whether it did.

A passkey belongs to one host name, so there are none where the web is called by an address (WebAuthn's rule). It asks
its owner's finger or PIN itself, and so stands for the password and the second step.
"""

from __future__ import annotations

import hashlib
import ipaddress
import json
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import webauthn
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from appliance.errors import RefusedError
from appliance.web.factors import Passkey

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request

OPEN_S = 120.0
OPEN_AT_ONCE = 256
# What a browser sends is checked by the library, which lets the faults of its own parsers through.
_UNFIT = (WebAuthnException, ValueError, TypeError, KeyError, IndexError, AttributeError)
_RIGHT_NOW = UserVerificationRequirement.REQUIRED


class Passkeys:
    """The challenges that are open; each is good for one answer. Belongs to the event loop. `clock` is monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._open: OrderedDict[bytes, tuple[str, float]] = OrderedDict()  # whom for ("" to sign in), until when

    def to_register(self, request: Request, name: str, known: Sequence[Passkey]) -> str:
        """Return what the browser is to make a passkey from, as JSON. Raises RefusedError by an address."""
        options = webauthn.generate_registration_options(
            rp_id=_host(request),
            rp_name="Ostiary",
            user_name=name,
            user_id=hashlib.sha256(f"ostiary account\0{name}".encode()).digest(),
            authenticator_selection=AuthenticatorSelectionCriteria(
                resident_key=ResidentKeyRequirement.REQUIRED, user_verification=_RIGHT_NOW
            ),
            exclude_credentials=[PublicKeyCredentialDescriptor(one.credential_id) for one in known],
        )
        self._keep(options.challenge, name)
        return webauthn.options_to_json(options)

    def registered(self, request: Request, name: str, label: str, answer: dict[str, Any], now: float) -> Passkey:
        """Return the passkey that the browser made, of this account. Raises RefusedError."""
        try:
            made = webauthn.verify_registration_response(
                credential=answer,
                expected_challenge=self._challenge(answer, name),
                expected_rp_id=_host(request),
                expected_origin=_origin(request),
                require_user_verification=True,
            )
        except _UNFIT as fault:
            raise RefusedError(f"this passkey cannot be used: {fault}") from fault
        return Passkey(made.credential_id, name, label, made.credential_public_key, made.sign_count, now, None)

    def to_sign_in(self, request: Request) -> str:
        """Return what the browser is to sign, as JSON; the passkey says whose it is. Raises RefusedError."""
        options = webauthn.generate_authentication_options(rp_id=_host(request), user_verification=_RIGHT_NOW)
        self._keep(options.challenge, "")
        return webauthn.options_to_json(options)

    def signed(self, request: Request, passkey: Passkey | None, answer: dict[str, Any]) -> tuple[str, int]:
        """Return whose passkey has signed, and how often it was used, as it says. Raises RefusedError."""
        if passkey is None:
            raise RefusedError("this passkey is not known here")
        try:
            shown = webauthn.verify_authentication_response(
                credential=answer,
                expected_challenge=self._challenge(answer, ""),
                expected_rp_id=_host(request),
                expected_origin=_origin(request),
                credential_public_key=passkey.public_key,
                credential_current_sign_count=passkey.uses,
                require_user_verification=True,
            )
        except _UNFIT as fault:
            raise RefusedError(f"the passkey was not accepted: {fault}") from fault
        return passkey.name, shown.new_sign_count

    def _keep(self, challenge: bytes, name: str) -> None:
        self._open[challenge] = (name, self._clock() + OPEN_S)
        if len(self._open) > OPEN_AT_ONCE:
            self._open.popitem(last=False)

    def _challenge(self, answer: dict[str, Any], name: str) -> bytes:
        """Return the challenge that was answered, which is not open any more. Raises RefusedError."""
        try:
            said = json.loads(webauthn.base64url_to_bytes(answer["response"]["clientDataJSON"]))
            challenge = webauthn.base64url_to_bytes(said["challenge"])
        except _UNFIT as fault:
            raise RefusedError("the browser's answer cannot be read") from fault
        whose, until_s = self._open.pop(challenge, ("", -1.0))
        if whose != name or not self._clock() < until_s:
            raise RefusedError("this took too long; try again")
        return challenge


def credential_id_of(answer: dict[str, Any]) -> bytes:
    """Return which passkey answered. Raises RefusedError."""
    try:
        return webauthn.base64url_to_bytes(answer["rawId"])
    except _UNFIT as fault:
        raise RefusedError("the browser's answer cannot be read") from fault


def possible(request: Request) -> bool:
    """Tell whether passkeys can be used by the name that the browser calls us."""
    name = request.url.hostname or ""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return request.url.scheme == "https" or name == "localhost"
    return False


def _host(request: Request) -> str:
    """Return the host name that passkeys are bound to; the gate has seen that it is ours."""
    if not possible(request):
        raise RefusedError("passkeys need a host name and TLS; an address has none")
    return str(request.url.hostname)


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers['host']}"
