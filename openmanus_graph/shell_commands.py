"""Shell commands: those that the hints of errors name, spelled in this module alone.

A test refuses them anywhere else below the command line, and another compares each with the commands that there are.
"""

from __future__ import annotations

import shlex

PROGRAM = "openmanus-graph"
THREAD = "THREAD"
"""Stands for a thread's id where a hint cannot know it."""

DOCTOR = f"{PROGRAM} doctor"
LIST_THREADS = f"{PROGRAM} threads list"
RESUME_LAST = f"{PROGRAM} resume --last"
RUN_PLAN = f"{PROGRAM} run --plan FILE"
RECORD = f"{PROGRAM} run TASK --record FILE"
MIGRATE = f"{PROGRAM} db migrate"
NEW_KEY = f"{PROGRAM} db key"
ENCRYPT = f"{PROGRAM} db encrypt"
STOP_SERVER = f"{PROGRAM} db stop"
FORCE_SERVER_TO_STOP = f"{PROGRAM} db stop --force"
MEMORY_TEMPLATES = f"{PROGRAM} memory templates list"
RATE = f"{PROGRAM} threads rate THREAD good"
UPGRADE = f"pip install --upgrade {PROGRAM}"
SEARCH_MEMORY = f"{PROGRAM} memory search QUERY"
DELETE_PASSAGE = f"{PROGRAM} memory delete KEY"
MEMORY_STATUS = f"{PROGRAM} memory status"
MCP_CHECK = f"{PROGRAM} mcp check"
INSTALL_BUBBLEWRAP = "apt-get install bubblewrap"
INSTALL_CHROMIUM = "apt-get install chromium"
INSTALL_BROWSER_EXTRA = f"pip install '{PROGRAM}[browser]'"


def resume(thread_id: str, *more: str) -> str:
    """The command that resumes a thread.

    Args:
        thread_id: The thread.
        more: Options.
    """
    return shlex.join([PROGRAM, "resume", thread_id, *more])


def show_thread(name: str = THREAD) -> str:
    """The command that shows a thread, or one of its points where `name` has an `@`."""
    return shlex.join([PROGRAM, "threads", "show", name])


def thread_history(thread_id: str = THREAD) -> str:
    """The command that lists a thread's points."""
    return shlex.join([PROGRAM, "threads", "history", thread_id])


def rerun(address: str) -> str:
    """The command that goes on from a point in a new thread."""
    return shlex.join([PROGRAM, "threads", "rerun", address])


def delete_thread(thread_id: str = THREAD) -> str:
    """The command that removes a thread."""
    return shlex.join([PROGRAM, "threads", "delete", thread_id])


def run_template(key: str, *more: str) -> str:
    """The command that executes a template.

    Args:
        key: Its key.
        more: Options.
    """
    return shlex.join([PROGRAM, "memory", "templates", "run", key, *more])


def show_passage(key: str) -> str:
    """The command that prints a passage."""
    return shlex.join([PROGRAM, "memory", "show", key])


def mcp_list(server: str) -> str:
    """The command that lists the tools of an MCP server."""
    return shlex.join([PROGRAM, "mcp", "list", server])


def openapi_check(api: str) -> str:
    """The command that says what of an API cannot be used."""
    return shlex.join([PROGRAM, "openapi", "check", api])


def openapi_search(api: str, *words: str) -> str:
    """The command that finds operations of an API."""
    return shlex.join([PROGRAM, "openapi", "search", api, *words])


def install(package: str) -> str:
    """The command that installs a package beside this one."""
    return f"pip install {shlex.quote(package)}"
