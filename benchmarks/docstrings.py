"""Docstrings: a corpus that every Python has, the standard library's own, made on the spot."""

from __future__ import annotations

import importlib
import inspect
import warnings
import zlib
from collections.abc import Iterable, Iterator
from typing import Any

MODULES = (
    "abc argparse array ast asyncio atexit base64 bisect bz2 cProfile calendar cmd codecs collections compileall "
    "concurrent.futures configparser contextlib copy csv ctypes dataclasses datetime decimal difflib dis doctest "
    "email.message email.utils filecmp fileinput fnmatch fractions ftplib functools gc getpass gettext glob gzip "
    "hashlib heapq hmac html html.parser http.client http.cookies http.server imaplib importlib importlib.metadata "
    "importlib.resources inspect ipaddress itertools json linecache locale logging logging.handlers lzma mailbox "
    "math mimetypes multiprocessing operator optparse os os.path pathlib pdb pickle pkgutil platform plistlib "
    "poplib pprint pstats queue random re reprlib runpy sched secrets select selectors shelve shlex shutil signal "
    "smtplib socket socketserver sqlite3 ssl stat statistics string struct subprocess symtable sysconfig tarfile "
    "tempfile textwrap threading time timeit tokenize trace traceback tracemalloc types typing unicodedata unittest "
    "unittest.mock urllib.parse urllib.request uuid venv warnings weakref webbrowser xml.etree.ElementTree "
    "xmlrpc.client zipapp zipfile zlib zoneinfo"
)
LEAST_CHARACTERS = 60
MOST_CHARACTERS = 600


def docstrings(limit: int, wanted: Iterable[str] = ()) -> dict[str, str]:
    """Texts by qualified name: those that are wanted, and others up to the limit, the same ones each time."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found: dict[str, str] = {}
        seen: set[str] = set()
        named = set(wanted)
        everything = [(name, text) for module in MODULES.split() for name, text in _of_module(module)]
        for name, text in sorted(everything, key=lambda one: (one[0] not in named, zlib.crc32(one[0].encode()))):
            if len(found) < limit and text not in seen:
                seen.add(text)
                found.setdefault(name, f"{name}: {text}")
    return found


def _of_module(module: str) -> Iterator[tuple[str, str]]:
    try:
        inside: dict[str, Any] = vars(importlib.import_module(module))
    except ImportError:  # not in every Python
        return
    for name, value in inside.items():
        if name.startswith("_") or not callable(value):
            continue
        yield from _told(f"{module}.{name}", value)
        if inspect.isclass(value):
            for inner, method in vars(value).items():
                if not inner.startswith("_") and callable(getattr(value, inner, None)):
                    yield from _told(f"{module}.{name}.{inner}", method)


def _told(name: str, value: Any) -> Iterator[tuple[str, str]]:
    text = " ".join((inspect.getdoc(value) or "").split())[:MOST_CHARACTERS]
    if len(text) >= LEAST_CHARACTERS or name.count(".") == 1:
        yield name, text or name
