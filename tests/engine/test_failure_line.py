"""Of all that a failed command wrote, the line that says what went wrong is told."""

from __future__ import annotations

import pytest

from openmanus_graph.nodes.call import failure_in
from openmanus_graph.nodes.failure_line import failure_line

PYTHON = """Traceback (most recent call last):
  File "/w/a.py", line 3, in <module>
    f()
    ~^^
  File "/w/a.py", line 2, in f
    raise ValueError("the sum is negative\\nby far")
ValueError: the sum is negative
by far
"""
CHAINED = f"""{PYTHON}
During handling of the above exception, another exception occurred:

{PYTHON.replace("ValueError: the sum is negative", "app.errors.AppError: no account")}"""
SYNTAX = """  File "/w/a.py", line 1
    print(
         ^
SyntaxError: '(' was never closed
"""
GROUP = """  + Exception Group Traceback (most recent call last):
  |   File "/w/a.py", line 1, in <module>
  |     raise ExceptionGroup("many", [ValueError("one")])
  | ExceptionGroup: many (1 sub-exception)
  +-+---------------- 1 ----------------
    | ValueError: one
    +------------------------------------
"""
COMPILER = """a.c: In function 'main':
a.c:5:3: error: expected ';' before 'return'
    5 |   return x
      |   ^~~~~~

"""
NODE = """/w/a.js:1
throw new Error("boom")
^

Error: boom
    at Object.<anonymous> (/w/a.js:1:7)
    at node:internal/main/run_main_module:28:49

Node.js v20.11.0
"""
JAVA = """Exception in thread "main" java.lang.IllegalStateException: closed
\tat a.Main.run(Main.java:5)
\tat a.Main.main(Main.java:9)
\t... 3 more
"""


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (PYTHON, "ValueError: the sum is negative"),
        (f"{PYTHON}make: *** [all] Error 1\n", "ValueError: the sum is negative"),
        (CHAINED, "app.errors.AppError: no account"),
        (SYNTAX, "SyntaxError: '(' was never closed"),
        (GROUP, "ExceptionGroup: many (1 sub-exception)"),
        (COMPILER, "a.c:5:3: error: expected ';' before 'return'"),
        (NODE, "Error: boom"),
        (JAVA, 'Exception in thread "main" java.lang.IllegalStateException: closed'),
        ("ls: no such file\n\n   \n", "ls: no such file"),
        ("  indented words  \n[a note of ours]\n", "indented words"),
        ("Traceback (most recent call last):\n", "Traceback (most recent call last):"),
        ("look at this: it broke\n", "look at this: it broke"),
        ("\n^^^^\n", ""),
        ("", ""),
    ],
)
def test_the_line_that_says_what_went_wrong(text: str, line: str) -> None:
    assert failure_line(text) == line


def test_a_failed_command_and_failed_code_are_told_by_that_line() -> None:
    assert failure_in({"exit_code": 1, "stdout": "", "stderr": PYTHON}) == (
        "The command ended with exit code 1: ValueError: the sum is negative."
    )
    assert failure_in({"exit_code": 2, "stdout": "", "stderr": "\n^\n"}) == "The command ended with exit code 2."
    assert failure_in({"error": PYTHON, "stdout": ""}) == "ValueError: the sum is negative"
    assert failure_in({"error": "two\nlines"}) == "two\nlines", "a tool's own words stay as they are"
