"""Template outcome: which failures say something of a way of doing a task, and which only of their moment."""

from __future__ import annotations

import pytest

from openmanus_graph.memory.procedural.outcome import blames_nobody, run_of
from tests.memory.ways import result


def failed(error: str) -> bool:
    """Whether a request that failed so blames nobody."""
    return blames_nobody({"a": result(), "b": result(status="failed", error=error)})


@pytest.mark.parametrize(
    "error",
    [
        "The page 'https://a.example' answered 503 Service Unavailable.",
        "The server answered 429 Too Many Requests.",
        "curl: (22) The requested URL returned error: 502",
        "Server error '500 Internal Server Error' for url 'https://a.example'",
        "HTTP/1.1 504 Gateway Time-out",
        "HTTP 408",
        "HTTP Error 500: Internal Server Error",
        "urllib.error.HTTPError: HTTP Error 503: Service Unavailable",
        "request failed with status code 429",
        "The model 'openai/x' answers with status 500: oops",
        "The model 'openai/x' limits the rate: slow down",
        "The host 'a.b.example' cannot be reached: no answer.",
        "The host 'a.b.example' cannot be found: [Errno -3] Temporary failure in name resolution.",
        "The model 'openai/x' cannot be reached: it is down.",
        "The page 'https://a.example' did not answer in full within 20 s.",
        "The command ran into its time limit.",
        "Timed out after 60 s: the interpreter was ended and all variables are lost.",
        "curl: (7) Failed to connect to a.example port 443: Connection refused",
        "curl: (6) Could not resolve host: a.example",
        "ConnectionResetError: [Errno 104] Connection reset by peer",
        "httpx.ReadTimeout",
        "OSError: [Errno 101] Network is unreachable",
        "ssh: connect to host a port 22: No route to host",
        "rate limit exceeded",
        "Resource temporarily unavailable",
    ],
)
def test_what_another_try_might_not_meet_blames_nobody(error: str) -> None:
    assert failed(error)


@pytest.mark.parametrize(
    "error",
    [
        "512 of 600 rows",
        "The command failed with exit code 1: 503 lines differ",
        "row 429 has no price",
        "The page 'https://a.example/429' answered 404 Not Found.",
        "The server answered 501 Not Implemented.",
        "KeyError: 'connection_log missing'",
        "The table connection_log is missing",
        "ModuleNotFoundError: No module named 'networkx'",
        "networkx not found",
        "The neural network has no weights",
        "the connection between both tables is unclear",
        "The goal cannot be reached.",
        "The file 'a.txt' cannot be found.",
        "unknown option --timeout",
        "TypeError: unexpected keyword 'rate_limit'",
        "There is no answer in the text.",
        "The column 'temporarily' does not exist",
        "The code 500 unreachable statements",
    ],
)
def test_what_is_wrong_with_the_way_is_no_excuse(error: str) -> None:
    assert not failed(error)


def test_one_failure_of_the_way_is_enough() -> None:
    results = {"a": result(status="failed", error="HTTP 503"), "b": result(status="failed", error="No such file")}

    assert not blames_nobody(results)


def test_of_steps_that_are_equal_the_longest_counts() -> None:
    results = {
        "f1": result(second=0),
        "f2": result(second=2, finished_at="2026-01-01T00:00:09+00:00"),
        "f3": result(status="failed"),
        "f4": result(status="failed"),
        "other": result(second=3),
    }
    names = {"f1": "s1", "f2": "s1", "f3": "s1", "f4": "s1"}

    run = run_of("t", 1, "a task", results, names, has_succeeded=False)

    assert run.seconds == {"s1": 7.0}
    assert run.failed == ("s1",)
