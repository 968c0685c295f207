"""What pages share that take down a consent: who is to be enrolled, and the text that they agree to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import BaseModel

from appliance.errors import RefusedError
from appliance.people.consents import ConsentText, ConsentTexts
from appliance.people.enrolment import Particulars, checked, checked_language, checked_name
from appliance.people.person import Consent
from appliance.web.admin.persons import static_groups, words_of

if TYPE_CHECKING:
    from appliance.web.accounts import Who
    from appliance.web.books import Books


class ConsentForm(BaseModel):
    """Who is to be enrolled, and that they agreed to a text of ours, as it was typed."""

    name: str = ""
    given_by: str = ""
    language: str = ""
    version: str = ""
    agreed: str = ""
    photos: str = ""
    external_id: str = ""
    tags: str = ""
    groups: tuple[str, ...] = ()


BLANK = ConsentForm().model_dump()


@dataclass(frozen=True, slots=True)
class Sheet:
    """What a form shows that takes a consent down."""

    text: ConsentText
    languages: tuple[str, ...]
    groups: tuple[str, ...]  # that people can be put into


def sheet_of(books: Books, language: str) -> Sheet:
    """Return the newest text in this language, or in one that there is. Raises UsageError where there is none."""
    texts = ConsentTexts(books.installation.consent_folder)
    languages = texts.languages(texts.versions()[-1])
    chosen = language if language in languages else "en" if "en" in languages else languages[0]
    return Sheet(texts.read(chosen), languages, tuple(static_groups(books)))


def consent_of(books: Books, who: Who, form: ConsentForm) -> Consent:
    """Return the consent that a form tells of. Raises RefusedError where nobody agreed, or to no text of ours."""
    if form.agreed != "yes":
        raise RefusedError("without their consent nobody is enrolled; tick that they agree")
    text = ConsentTexts(books.installation.consent_folder).read(checked_language(form.language), form.version)
    return Consent(
        checked_name(form.given_by, "consent"),
        datetime.now(UTC),
        text.language,
        text.version,
        text.sha256,
        photos=form.photos == "yes",
        recorded_by=who.voice,
    )


def particulars_of(form: ConsentForm) -> Particulars:
    """Return what else a form says of a newcomer. Raises RefusedError for what cannot be kept."""
    said = Particulars(form.external_id.strip(), tags=frozenset(words_of(form.tags)), groups=frozenset(form.groups))
    return checked(said)
