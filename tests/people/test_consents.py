"""Consent texts: what was agreed to can be shown again, word for word."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from appliance.errors import RefusedError, UsageError
from appliance.people.consents import MAX_BYTES, SHIPPED, ConsentTexts

if TYPE_CHECKING:
    from pathlib import Path

LANGUAGES = ("de", "en", "es", "fr", "zh")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with texts of three versions."""
    for version, texts in {"2": {"en": "two"}, "10": {"en": "ten", "pt-BR": "dez"}, "9": {"en": "nine"}}.items():
        (tmp_path / version).mkdir()
        for language, text in texts.items():
            (tmp_path / version / f"{language}.txt").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.parametrize("language", LANGUAGES)
def test_shipped_text_is_known_by_the_hash_of_its_bytes(language: str) -> None:
    """J5: each shipped text can be read in five languages, and its hash is that of the very bytes of its file."""
    texts = ConsentTexts()
    read = texts.read(language)
    content = (SHIPPED / read.version / f"{language}.txt").read_bytes()
    assert read.sha256 == hashlib.sha256(content).hexdigest()
    assert read.text.encode() == content
    assert texts.languages(read.version) == LANGUAGES


@pytest.mark.parametrize(
    ("language", "says"),
    [
        ("en", ("biometric", "withdraw", "copy", "another way", "Pictures (optional)")),
        ("de", ("biometrische", "widerrufen", "Kopie", "anderen Weg", "Bilder (freiwillig)")),
        ("fr", ("biométriques", "retirer", "copie", "autre moyen", "Images (facultatif)")),
        ("es", ("biométricos", "retirar", "copia", "otra manera", "Imágenes (opcional)")),
        ("zh", ("生物识别", "撤回", "副本", "其他方式", "自愿")),
    ],
)
def test_shipped_text_says_what_consent_must(language: str, says: tuple[str, ...]) -> None:
    """Every language says that it is biometric data, that there is another way in, and how to withdraw."""
    text = " ".join(ConsentTexts().read(language).text.split())
    assert [words for words in says if words not in text] == []
    assert len(text.replace(" ", "")) > 250


def test_newest_version_is_read_where_none_is_named(folder: Path) -> None:
    """Version 10 is newer than 9, and an older one can still be read."""
    texts = ConsentTexts(folder)
    assert texts.versions() == ("2", "9", "10")
    assert texts.read("en").text == "ten"
    assert texts.read("en", "2").text == "two"
    assert texts.read("pt-BR").version == "10"


def test_no_other_language_stands_in(folder: Path) -> None:
    """A text that is not there is refused with those that are: nobody agrees to what they were not shown."""
    texts = ConsentTexts(folder)
    with pytest.raises(RefusedError, match="its languages are en, pt-BR"):
        texts.read("fr")
    with pytest.raises(RefusedError, match="there are 2, 9, 10"):
        texts.read("en", "3")


@pytest.mark.parametrize("name", ["../2/en", "..", "/etc/passwd", "en\0", "", "EN", "en/../en", "e" * 5000])
def test_name_of_a_text_leads_nowhere_else(folder: Path, name: str) -> None:
    """E4: neither a language nor a version reaches a file outside its folder."""
    (folder / "outside.txt").write_text("secret", encoding="utf-8")
    for language, version in ((name, "2"), ("en", name or "../2")):
        with pytest.raises(RefusedError):
            ConsentTexts(folder).read(language, version)


@pytest.mark.parametrize("content", [b"", b" \n", b"\xff\xfe", b"a" * (MAX_BYTES + 1)])
def test_broken_text_is_one_line(folder: Path, content: bytes) -> None:
    """An empty, overlong or undecodable text is refused with its file's name."""
    (folder / "10" / "en.txt").write_bytes(content)
    with pytest.raises(UsageError, match=r"10/en\.txt") as fault:
        ConsentTexts(folder).read("en")
    assert "\n" not in str(fault.value)


def test_folder_without_texts_is_one_line(tmp_path: Path) -> None:
    """A folder that is not there, or holds no version, is named."""
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(UsageError, match=str(folder)):
            ConsentTexts(folder).versions()
