"""The cipher: what is sealed comes back as it was, never looks the same twice, and opens with its own key only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph import Settings
from openmanus_graph.checkpoints.encryption.cipher import LOCKED, MARK, Cipher, cipher_of, lenient
from openmanus_graph.checkpoints.encryption.sealed_rows import (
    sealed_checkpoint,
    sealed_event,
    sealed_item,
    sealed_metadata,
    sealed_texts,
    sealed_value,
)
from openmanus_graph.checkpoints.serializer import StateSerializer
from openmanus_graph.config.encryption_keys import encryption_keys, new_key
from openmanus_graph.errors import DamagedValueError, EncryptionKeyError, SettingsError
from openmanus_graph.values.storable_json import storable_text

KEYS = [bytes(range(32)), bytes(32)]
CIPHER = Cipher(KEYS)
OTHER = Cipher([b"x" * 32])

texts = st.text().map(storable_text)
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, plain_json, max_size=6)


@given(plain_json)
def test_json_comes_back_and_never_looks_the_same(value: Any) -> None:
    one, two = CIPHER.json(value), CIPHER.json(value)
    assert CIPHER.opened(one) == CIPHER.opened(two) == value
    assert one != two
    assert CIPHER.opened_json(json.dumps({"a": [one]}).encode()) == {"a": [value]}


@given(st.text())
def test_texts_come_back_also_as_a_column(text: str) -> None:
    sealed = CIPHER.text(text)
    assert CIPHER.opened(sealed) == CIPHER.opened_text(sealed) == text
    assert (sealed == text) == (not text)


@given(objects)
def test_rows_open_to_what_was_written(value: dict[str, Any]) -> None:
    assert CIPHER.opened(sealed_texts(CIPHER, value)) == value
    assert CIPHER.opened(sealed_event(CIPHER, value)) == value
    assert CIPHER.opened(sealed_item(CIPHER, value)) == value
    assert CIPHER.opened(sealed_value(CIPHER, value)) == value
    record = {"id": "1", "channel_values": value, "channel_versions": {"a": "1"}}
    assert CIPHER.opened(sealed_checkpoint(CIPHER, record)) == record


@given(objects)
def test_metadata_is_sealed_once_however_often_it_is_written(value: dict[str, Any]) -> None:
    metadata = {**value, "step": 3, "source": "loop"}
    once = CIPHER.opened(sealed_metadata(CIPHER, metadata))
    twice = CIPHER.opened(sealed_metadata(CIPHER, once))
    assert once == twice
    (hidden,) = (item for key, item in once.items() if key.startswith("openmanus_graph"))
    assert {**hidden, "step": once["step"], "source": once["source"]} == {
        key: item for key, item in metadata.items() if key in hidden or key in ("step", "source")
    }


@given(st.binary())
def test_bytes_open_as_what_they_were_stored_as(data: bytes) -> None:
    sealed = CIPHER.blob("msgpack", data)
    assert CIPHER.opened_blob("msgpack", sealed) == data
    with pytest.raises(DamagedValueError):
        CIPHER.opened_blob("bytes", sealed)


def test_the_content_of_a_file_opens_under_its_own_digest_only() -> None:
    sealed = CIPHER.file("a" * 64, b"words")
    assert CIPHER.opened_file("a" * 64, sealed) == b"words"
    assert CIPHER.opened_file("b" * 64, b"plain") == b"plain"
    with pytest.raises(DamagedValueError):
        CIPHER.opened_file("b" * 64, sealed)


@pytest.mark.parametrize("place", [0, 3, 7, 20, 40, -5, -1])
def test_a_changed_character_is_noticed(place: int) -> None:
    sealed = CIPHER.text("a text of some length, to be changed")
    at = len(MARK) + place if place >= 0 else place
    changed = sealed[:at] + ("A" if sealed[at] != "A" else "B") + (sealed[at + 1 :] if at != -1 else "")
    with pytest.raises((DamagedValueError, EncryptionKeyError)):
        CIPHER.opened(changed)


@pytest.mark.parametrize("cut", [0, 1, 10, 25])
def test_a_text_that_was_cut_is_noticed(cut: int) -> None:
    with pytest.raises(DamagedValueError):
        CIPHER.opened(CIPHER.text("words")[: len(MARK) + cut])


def test_each_key_opens_and_the_first_seals() -> None:
    old, new = new_key(), new_key()
    before, after, rotated = (
        Cipher(encryption_keys(Settings.load(encryption_key=keys))) for keys in (old, new, f"{new},{old}")
    )
    sealed = before.text("words")
    assert rotated.opened(sealed) == "words"
    assert after.opened(rotated.text("words")) == "words"
    assert not rotated.is_current(sealed)
    with pytest.raises(EncryptionKeyError, match=f"the key '{before.id}'") as refused:
        after.opened(sealed)
    assert all(word not in str(refused.value) for word in (old, new))


def test_a_list_shows_that_something_is_there() -> None:
    sealed = CIPHER.text("words")
    with lenient("keys"):
        assert OTHER.opened({"title": sealed}) == {"title": LOCKED}
        with pytest.raises(DamagedValueError):
            CIPHER.opened(sealed[:-8])
    with lenient("all"):
        assert CIPHER.opened(sealed[:-8]) == LOCKED


def test_a_serializer_without_the_key_says_so() -> None:
    kind, data = StateSerializer(CIPHER).dumps_typed({"a": "words"})
    assert b"words" not in data
    assert StateSerializer(CIPHER).loads_typed((kind, data)) == {"a": "words"}
    assert StateSerializer(CIPHER).loads_typed(StateSerializer().dumps_typed({"a": 1})) == {"a": 1}
    with pytest.raises(EncryptionKeyError, match="OPENMANUS_GRAPH_ENCRYPTION_KEY is not set"):
        StateSerializer().loads_typed((kind, data))


# ---------------------------------------------------------------- the setting


def test_keys_come_from_the_environment_or_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cipher_of(Settings.load()) is None
    key, other = new_key(), new_key().replace("+", "-").replace("/", "_").rstrip("=")
    monkeypatch.setenv("OPENMANUS_GRAPH_ENCRYPTION_KEY", f"{key}, {other}")
    made = cipher_of(Settings.load())
    assert made is not None and len(made.ids) == 2
    assert key not in repr(Settings.load())
    monkeypatch.delenv("OPENMANUS_GRAPH_ENCRYPTION_KEY")
    (tmp_path / "key").write_text(f"{key}\n{other}\n")
    monkeypatch.setenv("OPENMANUS_GRAPH_ENCRYPTION_KEY_FILE", str(tmp_path / "key"))
    same = cipher_of(Settings.load())
    assert same is not None and same.ids == made.ids


@pytest.mark.parametrize("wrong", ["secret", "", "  ", "AAAA", "ü" * 44, f"{'A' * 43}=,short"])
def test_what_is_no_key_is_refused_without_being_repeated(wrong: str) -> None:
    with pytest.raises(SettingsError, match="ENCRYPTION_KEY") as refused:
        cipher_of(Settings.load(encryption_key=wrong))
    assert not wrong.strip() or wrong not in str(refused.value)
    assert "db key" in str(refused.value)


def test_a_missing_file_is_an_error_and_not_plain_text(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="cannot be read from"):
        cipher_of(Settings.load(encryption_key_file=tmp_path / "nowhere"))


def test_the_toml_file_is_no_place_for_a_key(tmp_path: Path) -> None:
    key = new_key()
    (tmp_path / "openmanus-graph.toml").write_text(f'encryption_key = "{key}"\n')
    with pytest.raises(SettingsError, match="does not belong in it") as refused:
        Settings.load()
    assert key not in str(refused.value)


def test_nothing_is_remembered_in_plain_text_unless_asked_for(tmp_path: Path) -> None:
    assert Settings.load().memory
    assert not Settings.load(encryption_key=new_key()).memory
    assert Settings.load(encryption_key=new_key(), memory=True).memory
    (tmp_path / "openmanus-graph.toml").write_text("memory = true\n")
    assert Settings.load(encryption_key=new_key()).memory
