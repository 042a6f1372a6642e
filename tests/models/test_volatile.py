"""Volatile parts of texts: what differs from run to run is named, what means something stays."""

from __future__ import annotations

import time

import pytest

from openmanus_graph.models.volatile import steady


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("done at 2026-11-21T09:30:12.123Z", "done at 2027-01-01T10:00:00+01:00"),
        ("Sat, 21 Nov 2026 09:30:12 GMT", "Sun, 22 Nov 2026 10:30:12 GMT"),
        ("3 passed in 0.12s", "3 passed in 14.20s"),
        ("took 12 ms", "took 3 ms"),
        ('{"elapsed_s": 1.25}', '{"elapsed_s": 3}'),
        ('{"stdout": "{\\"pid\\": 71}"}', '{"stdout": "{\\"pid\\": 5}"}'),
        ("<Foo object at 0x7f55aa00>", "<Foo object at 0x7f00bb11>"),
        ("wrote /tmp/tmpab12cd/x.png", "wrote /tmp/tmpzz99yy/x.png"),
        ("GET http://127.0.0.1:40123/a", "GET http://127.0.0.1:51000/a"),
        ("request 6f9619ff-8b86-d011-b42d-00cf4fc964ff", "request 00000000-8b86-d011-b42d-00cf4fc964ff"),
        ("mtime 1763712000", "mtime 1763719999.25"),
    ],
)
def test_what_differs_from_run_to_run_is_the_same(one: str, other: str) -> None:
    assert steady(one) == steady(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3 of 10 done", "4 of 10 done"),
        ("exit code 1", "exit code 2"),
        ("42 %", "43 %"),
        ("$1,299.00", "$1,399.00"),
        ("commit 8f14e45", "commit c9f0f89"),
        ("line 12: bad name", "line 13: bad name"),
        ("https://example.com/a", "https://example.com/b"),
        ("port 8080", "port 8081"),
        ("template", "temporary"),
        ("5 stars", "4 stars"),
        ("10 m/s", "12 m/s"),
    ],
)
def test_what_means_something_stays(one: str, other: str) -> None:
    assert steady(one) != steady(other)


@pytest.mark.parametrize("piece", ["pid ", "elapsed ", "/tmp/", "tmp_1_", "1", " ", "\n\t", "a-", "12:", "2026-11-"])
def test_no_text_takes_long(piece: str) -> None:
    began = time.perf_counter()
    for text in (piece * (200_000 // len(piece)), piece + " " * 200_000, " " * 100_000 + piece):
        steady(text)

    assert time.perf_counter() - began < 3
