"""Redaction: what looks like a secret is taken out of texts and fields, and names of threads are not."""

from __future__ import annotations

import json
import logging
import re
from html import escape
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from openmanus_graph.checkpoints.ledger import preview_of
from openmanus_graph.cli.logging_setup import JsonFormatter, LineFormatter
from openmanus_graph.redaction import any_spelling, is_secret_field, redact, redact_log

THREADS = ["key-findings-1a2b3c", "key-value-stores-compared-ab12cd", "key-understanding-of-things-1a2b3c", "key-notes"]
KEYS = [
    "key-3ax6xnjp29jd6fds4gc373sgvjxteol0",
    "key-live-9f8a7b6c5d4e",
    "key_0123456789ab",
    "key-****************abcd",
    "sk-proj-123456789",
    "sk-ant-api03-abcdef",
    "pk_live_abcdef123",
    "rk-abcdef",
    "gsk_abcdefgh",
    "xai-abcdefgh",
    "hf_abcdefghij",
    "AIzaSyA1234567890abcdefghijklm",
    "Bearer abcdefgh12345",
    "ghp_0123456789abcdefghij",
    "github_pat_11ABCDEFG0abcdef",
    "glpat-abcdefghij1234",
    "xoxb-1234567890-abcdef",
    "AKIAIOSFODNN7EXAMPLE",
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.c2lnbmF0dXJl",
    "-----BEGIN RSA PRIVATE KEY-----\nMIIEpAIBAAKCAQEA\nabc+/=\n-----END RSA PRIVATE KEY-----",
    "-----BEGIN PRIVATE KEY-----\\nMIIEvQIBADANBg",
    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,0123456789ABCDEF\n\nMIIE+/=\nabc\n"
    "-----END RSA PRIVATE KEY-----",
    "-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: GnuPG v2.0.22 (GNU/Linux)\n\nlQOYBF+/\n=abcd\n"
    "-----END PGP PRIVATE KEY BLOCK-----",
]


@pytest.mark.parametrize("name", THREADS)
def test_the_name_of_a_thread_is_no_secret(name: str) -> None:
    text = f"The thread {name!r} waits. Go on with: openmanus-graph resume {name} --answer yes"
    assert redact(text) == redact_log(text) == text


@pytest.mark.parametrize("key", KEYS)
def test_keys_are_taken_out(key: str) -> None:
    for text, clean in ((f"The key is {key}; so", "The key is [key]; so"), (f"({key})", "([key])"), (key, "[key]")):
        assert redact(text) == clean


@pytest.mark.parametrize("name", ["sk-learn-study-1a2b3c", "hf-models-compared-1a2b3c", "pk-pd-models-ab12cd"])
def test_a_record_that_names_its_thread_shows_it(name: str) -> None:
    record = logging.makeLogRecord(
        {"msg": "Lease of %r taken, not of %s.", "args": (name, f"{name}9"), "levelname": "INFO", "thread_id": name}
    )
    for formatter in (LineFormatter(), JsonFormatter()):
        line = formatter.format(record)
        assert f"Lease of '{name}' taken, not of [key]." in line
    assert json.loads(JsonFormatter().format(record))["thread_id"] == name


def test_a_secret_is_found_however_it_is_spelled_and_among_many_backslashes() -> None:
    secret = 'a "b" & wörd'
    seen = re.compile(any_spelling(secret))
    spelled = [secret, quote(secret, safe=""), escape(secret), json.dumps(secret)[1:-1]]
    for _ in range(2):
        spelled.append(json.dumps(spelled[-1])[1:-1])
    for form in spelled:
        assert seen.fullmatch(form), form
    row = "\\" * 300_000
    assert seen.sub("[key]", f"{row} {secret}") == f"{row} [key]"


@pytest.mark.parametrize("deep", range(4))
def test_what_is_assigned_is_taken_out_of_json_inside_of_texts(deep: int) -> None:
    text = json.dumps({"password": "hunter2 or so", "api_key": "abc-def", "user": "me"})
    for _ in range(deep):
        text = json.dumps({"text": text})
    said = redact_log(text)
    assert "hunter2" not in said
    assert "or so" not in said
    assert "abc-def" not in said
    assert "me" in said


# The two ways in which fields were known as secrets before there was one.
OF_LEDGER = re.compile(r"pass(word|wd|phrase)?$|secret|token|api.?key|authorization|cookie|credentials$|private", re.I)
OF_LOGS = re.compile(
    r"(?:^|[_.-])(?:pass(?:word|wd|phrase)|secret|token|api[_-]?key|apikey|authorization|credentials?|cookie)$", re.I
)
SECRET_PARTS = ["pass", "password", "passwd", "passphrase", "secret", "token", "tokens", "api", "key", "apikey"]
SECRET_PARTS += ["authorization", "cookie", "credential", "credentials", "private"]
PART = st.sampled_from([*SECRET_PARTS, "user", "db", "access", "client", "x", "id", "count", "name"])
NAMES = st.lists(PART, min_size=1, max_size=4).flatmap(
    lambda parts: st.sampled_from(["_", "-", ".", "", " "]).map(lambda between: between.join(parts))
)


@given(name=NAMES, upper=st.booleans())
def test_one_way_covers_both_that_there_were(name: str, upper: bool) -> None:
    name = name.upper() if upper else name
    if OF_LEDGER.search(name) or OF_LOGS.search(name):
        assert is_secret_field(name, "value")
        assert is_secret_field(name, ["value"])


def test_counts_are_no_secrets_and_numbers_may_be() -> None:
    for name in ("tokens", "input_tokens", "max_tokens", "token_count", "token-limit"):
        assert not is_secret_field(name, 100)
        assert is_secret_field(name, "abc")
    assert is_secret_field("password", 1234)
    assert is_secret_field("token", 1234)
    for name in ("keyboard", "path", "author", "passenger", "secretary"):
        assert is_secret_field(name, "x") == (name == "secretary")


@pytest.mark.parametrize("name", ["password", "private", "token", "api_key", "cookie"])
@pytest.mark.parametrize("value", [True, False, None])
def test_a_yes_or_no_is_no_secret(name: str, value: bool | None) -> None:
    assert not is_secret_field(name, value)
    text = json.dumps({name: value, "user": "me"})
    assert redact_log(text) == text
    assert redact_log(f"{name}={value} and more") == f"{name}={value} and more"
    assert redact_log(f"{name}={value}thing") == (f"{name}=[key]" if name != "private" else f"{name}={value}thing")


def test_words_that_end_like_a_password_are_none() -> None:
    for name in ("bypass", "proxy_bypass", "compass", "surpass", "overpass"):
        assert not is_secret_field(name, "value")
    for name in ("pass", "db_pass", "dbpass", "userPass", "SMTP_PASS"):
        assert is_secret_field(name, "value")


def test_a_call_is_recognised_without_its_secrets() -> None:
    shown = preview_of({"max_tokens": 100, "apiKey": "k", "deep": {"credential": "c", "user": "u"}, "url": "x://a:b@c"})
    assert json.loads(shown) == {
        "max_tokens": 100,
        "apiKey": "***",
        "deep": {"credential": "***", "user": "u"},
        "url": "x://***@c",
    }


def test_a_long_text_of_keys_is_redacted_in_a_moment() -> None:
    """It took minutes; a test that waits for ever shows it."""
    assert redact("key-" * 50_000) == "key-" * 50_000


@pytest.mark.parametrize(
    "text", ["password=opensesame.", "token: 'a b'", "https://me:word@host", "authorization: Bearer x"]
)
def test_what_is_redacted_already_stays_as_it_is(text: str) -> None:
    once = redact_log(text)

    assert once != text
    assert redact_log(once) == once
