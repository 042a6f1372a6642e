"""Specification: a Vega-Lite specification made of a few words, or checked as it was given."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, cast, get_args

from openmanus_graph.errors import ToolArgumentsError
from openmanus_graph.tools.web.markup import names

Kind = Literal["bar", "line", "area", "scatter", "pie", "histogram", "heatmap", "box"]
Row = dict[str, Any]

KINDS: tuple[str, ...] = get_args(Kind)
MARKS = names(
    "arc area bar boxplot circle errorband errorbar geoshape image line point rect rule square text tick trail"
)
"""Kinds of marks of Vega-Lite."""
TYPES = frozenset({"quantitative", "temporal", "ordinal", "nominal", "geojson"})
CHANNELS = names(
    "x y x2 y2 xOffset yOffset xError xError2 yError yError2 theta theta2 radius radius2 color fill stroke opacity "
    "fillOpacity strokeOpacity strokeWidth strokeDash size angle shape text tooltip href url description detail key "
    "order facet row column latitude longitude latitude2 longitude2 time"
)
"""Channels of an encoding of Vega-Lite."""
_DATE = re.compile(r"\d{4}-\d{2}(-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?)?")
_NO_PLAIN_NAME = re.compile(r"[.\[\]\\'\"]")
_MARK_OF = {"scatter": "point", "pie": "arc", "histogram": "bar", "heatmap": "rect", "box": "boxplot"}
_COMPOSED = ("layer", "hconcat", "vconcat", "concat")
MOST_DEEP = 20
_MOST_UPRIGHT = 60
"""Characters below the bars of a chart that have room beside each other."""


def made_spec(
    kind: str,
    rows: Sequence[Row],
    *,
    x: str | None,
    y: str | Sequence[str] | None,
    color: str | None = None,
    aggregate: str | None = None,
    title: str | None = None,
) -> dict[str, Any]:
    """A specification of a common chart, without its data.

    Args:
        kind: What it is.
        rows: The data, for the types of its columns.
        x: The column along the chart; of a pie, its sectors' names.
        y: The column upwards, or several; of a pie, its sectors' sizes.
        color: The column that colours tell apart.
        aggregate: How the values of one place are put together, such as `sum`.
        title: What stands above it.

    Raises:
        ToolArgumentsError: If a column is missing that the kind needs, or there is none of its name.
    """
    values = [y] if isinstance(y, str) else list(y or ())
    needed = {"x": x, **({} if kind == "histogram" else {"y": values})}
    for name, given in needed.items():
        if not given:
            raise ToolArgumentsError(
                f"A chart of the kind {kind!r} needs {name!r}.", hint=f"It names {_columns(rows)}."
            )
    for name in [x, color, *values]:
        if name is not None:
            check_field(name, columns_of(rows))
    spec: dict[str, Any] = {"mark": {"type": _MARK_OF.get(kind, kind), "tooltip": True}}
    if title:
        spec["title"] = title
    across = _channel(cast("str", x), rows)
    if len(values) > 1:
        spec["transform"] = [{"fold": [_escaped(name) for name in values], "as": ["series", "value"]}]
        upwards: dict[str, Any] = {"field": "value", "type": "quantitative"}
        color = color or "series"
        colored: dict[str, Any] = {"field": "series", "type": "nominal"} if color == "series" else _channel(color, rows)
    else:
        upwards = _channel(values[0], rows) if values else {"aggregate": "count"}
        colored = {} if color is None else _channel(color, rows)
    if aggregate and "field" in upwards:
        upwards["aggregate"] = aggregate
    spec["encoding"] = _encoding(kind, across, upwards, colored, rows)
    spec |= {"width": 480, "height": 300} if kind != "pie" else {"width": 300, "height": 300}
    return spec


def _angle(field: str, rows: Sequence[Row]) -> int:
    """How names below the bars stand: upright where few short ones have room beside each other."""
    names = {str(row.get(re.sub(r"\\(.)", r"\1", field))) for row in rows}
    return 0 if sum(map(len, names)) <= _MOST_UPRIGHT else -90


def _encoding(kind: str, across: Row, upwards: Row, colored: Row, rows: Sequence[Row]) -> dict[str, Any]:
    if kind == "pie":
        return {"theta": {**upwards, "stack": True}, "color": {**across, "type": "nominal"}}
    if kind == "histogram":
        across = {**across, "bin": True} if across["type"] == "quantitative" else across
        upwards = {"aggregate": "count", "title": "count"}
    if kind == "heatmap":
        fill = {**colored} if colored else {"aggregate": "count"}
        return {"x": across, "y": {**upwards, "type": _as_group(upwards)}, "color": fill}
    if kind in ("bar", "box") and across["type"] == "nominal":
        across = {**across, "sort": None, "axis": {"labelAngle": _angle(across["field"], rows)}}
    return {"x": across, "y": upwards, **({"color": colored} if colored else {})}


def _as_group(channel: Row) -> str:
    return "ordinal" if channel.get("type") == "quantitative" else str(channel.get("type", "nominal"))


def _channel(name: str, rows: Sequence[Row]) -> dict[str, Any]:
    return {"field": _escaped(name), "type": _type_of(name, rows), "title": name}


def _escaped(name: str) -> str:
    """A column's name as a field, in which dots and brackets would mean parts of a value."""
    return _NO_PLAIN_NAME.sub(lambda found: "\\" + found[0], name)


def _type_of(name: str, rows: Sequence[Row]) -> str:
    values = [row[name] for row in rows if row.get(name) is not None]
    if values and all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        return "quantitative"
    if values and all(isinstance(value, str) and _DATE.fullmatch(value) for value in values):
        return "temporal"
    return "nominal"


def columns_of(rows: Sequence[Row]) -> list[str]:
    """The columns that any row has, in their order."""
    return list(dict.fromkeys(name for row in rows for name in row))


def _columns(rows: Sequence[Row]) -> str:
    return f"one of the columns {', '.join(map(repr, columns_of(rows)))}"


def check_field(name: str, columns: Sequence[str]) -> None:
    """See that there is a column of a name.

    Raises:
        ToolArgumentsError: If there is none; it names the nearest ones.
    """
    if name in columns:
        return
    close = get_close_matches(name.casefold(), [one.casefold() for one in columns], 3, 0.5)
    near = [one for one in columns if one.casefold() in close] or list(columns)[:20]
    raise ToolArgumentsError(f"The data has no column {name!r}.", hint=f"It has {', '.join(map(repr, near))}.")


# ---------------------------------------------------------------- a specification as it was given


def checked_spec(spec: Mapping[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    """A specification, checked for what Vega-Lite draws without a word: an empty chart.

    Args:
        spec: The specification, without data or with data inside.
        columns: The columns of the data that it is given.

    Raises:
        ToolArgumentsError: If it names data from elsewhere, or a mark, channel, type or field that there is none of.
    """
    made = dict(spec)
    made.pop("$schema", None)
    if not any(key in made for key in ("mark", *_COMPOSED, "facet", "repeat", "spec")):
        raise ToolArgumentsError("The specification has no 'mark'.", hint="As in {'mark': 'bar', 'encoding': {…}}.")
    known = {*columns, *_made_fields(made)}
    _check(made, known if columns else None, 0)
    return made


def _made_fields(part: Any, depth: int = 0) -> Iterator[str]:
    """Names that transforms give to what they work out."""
    if depth > MOST_DEEP:
        return
    if isinstance(part, Mapping):
        for key, value in cast("Mapping[str, Any]", part).items():
            if key == "as":
                yield from [value] if isinstance(value, str) else [one for one in value if isinstance(one, str)]
            elif key == "transform" and isinstance(value, list):
                yield from _default_fields(cast("list[Any]", value))
                yield from _made_fields(value, depth + 1)
            elif key != "data":
                yield from _made_fields(value, depth + 1)
    elif isinstance(part, list):
        for one in cast("list[Any]", part):
            yield from _made_fields(one, depth + 1)


def _default_fields(transforms: list[Any]) -> Iterator[str]:
    """Names that transforms give where they state none."""
    for one in transforms:
        if isinstance(one, Mapping):
            if "fold" in one:
                yield from ("key", "value")
            if "density" in one:
                yield from ("value", "density")
            if "pivot" in one:
                yield "*"


def _check(part: Mapping[str, Any], known: set[str] | None, depth: int) -> None:
    if depth > MOST_DEEP:
        raise ToolArgumentsError(f"The specification has more than {MOST_DEEP} levels.")
    data = part.get("data")
    if isinstance(data, Mapping) and "url" in data:
        raise ToolArgumentsError(
            f"The specification takes its data from {data['url']!r}.", hint="Give the data, or a file, in 'data'."
        )
    if isinstance(data, Mapping) and data:
        known = None  # data of its own, with fields that only it knows
    mark: Any = part.get("mark")
    kind: Any = cast("Mapping[str, Any]", mark).get("type") if isinstance(mark, Mapping) else mark
    if kind is not None and kind not in MARKS:
        raise ToolArgumentsError(f"The specification has the mark {kind!r}.", hint=_near(str(kind), MARKS))
    encoding = part.get("encoding")
    if isinstance(encoding, Mapping):
        for channel, stated in cast("Mapping[str, Any]", encoding).items():
            _check_channel(channel, stated, known)
    for key in _COMPOSED:
        for one in cast("list[Any]", part.get(key) or []):
            if isinstance(one, Mapping):
                _check(cast("Mapping[str, Any]", one), known, depth + 1)
    if isinstance(part.get("spec"), Mapping):
        _check(cast("Mapping[str, Any]", part["spec"]), None if "repeat" in part else known, depth + 1)


def _check_channel(channel: str, stated: Any, known: set[str] | None) -> None:
    if channel not in CHANNELS:
        raise ToolArgumentsError(f"The specification has the channel {channel!r}.", hint=_near(channel, CHANNELS))
    several = cast("list[Any]", stated) if isinstance(stated, list) else [stated]
    for one in several:
        if not isinstance(one, Mapping):
            continue
        entry = cast("Mapping[str, Any]", one)
        if (kind := entry.get("type")) is not None and kind not in TYPES:
            raise ToolArgumentsError(f"The channel {channel!r} has the type {kind!r}.", hint=_near(str(kind), TYPES))
        field = entry.get("field")
        if isinstance(field, str) and known is not None and "*" not in known:
            name = re.sub(r"\\(.)", r"\1", field)
            if name not in known and not any(name.startswith(f"{one}.") or name.startswith(f"{one}[") for one in known):
                check_field(name, sorted(known))


def _near(name: str, known: frozenset[str]) -> str:
    close = get_close_matches(name, sorted(known), 3, 0.5)
    return f"Use {' or '.join(map(repr, close))}." if close else f"Use one of {', '.join(sorted(known))}."
