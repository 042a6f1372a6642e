"""Full text: passages by the share of a query's words that they have, each word weighed by how rare it is.

The weight is that of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009). Postgres's own
`ts_rank_cd` finds half as many of the passages that a few of their words are to find; see docs/performance.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.values.storable_json import storable_text

MOST_WORDS = 100
"""Words of a query that are looked for."""
MOST_CHARACTERS = 10_000
"""Characters of a query that are looked at."""


@dataclass(frozen=True)
class TextHit:
    """A passage that has words of a query."""

    key: str
    """The passage."""
    coverage: float
    """The share of the query's words that it has, weighed by how rare they are, 0 to 1."""
    score: float
    """The same, less for longer passages."""


_SEARCH: LiteralString = r"""
WITH asked AS MATERIALIZED (
    -- Lexemes are quoted by hand: plainto_tsquery wants all words, not any.
    SELECT lexeme, ('''' || replace(replace(lexeme, '\', '\\'), '''', '''''') || '''')::tsquery AS query
    FROM unnest(to_tsvector('english', %(query)s)) LIMIT %(words)s
), found AS MATERIALIZED (
    SELECT asked.lexeme, p.key, p.size
    FROM asked CROSS JOIN LATERAL (
        SELECT key, length(search) AS size FROM passages WHERE search @@ asked.query AND owner = %(owner)s
    ) p
), total AS MATERIALIZED (
    SELECT count(*)::float8 AS n FROM passages WHERE owner = %(owner)s
), weighed AS MATERIALIZED (
    -- A word that no passage has counts like one that one has: it may be one of every question, such as "much".
    SELECT lexeme, ln(1 + (total.n - df + 0.5) / (df + 0.5)) AS weight
    FROM total CROSS JOIN (
        SELECT asked.lexeme, greatest(count(found.key), 1) AS df
        FROM asked LEFT JOIN found USING (lexeme) GROUP BY asked.lexeme
    ) counted
)
SELECT key, covered AS coverage, covered / (1 + 0.15 * ln(greatest(size, 1))) AS score
FROM (
    SELECT key, size, sum(weight) / (SELECT sum(weight) FROM weighed) AS covered
    FROM found JOIN weighed USING (lexeme) GROUP BY key, size
) covering
ORDER BY score DESC, key LIMIT %(limit)s
"""


async def search_text(saver: ThreadSaver, owner: str, query: str, limit: int) -> list[TextHit]:
    """Passages of an owner that have words of a query, best first.

    Args:
        saver: The store.
        owner: Whose passages.
        query: Any text.
        limit: How many at most.

    Raises:
        DatabaseError: If the store does not answer.
    """
    given = {
        "query": storable_text(query[:MOST_CHARACTERS]),
        "owner": owner,
        "words": MOST_WORDS,
        "limit": limit,
    }

    async def read() -> list[TextHit]:
        async with saver.pool.connection() as connection:
            rows = await (await connection.execute(_SEARCH, given)).fetchall()
        return [TextHit(str(row["key"]), float(row["coverage"]), float(row["score"])) for row in rows]

    return await saver.retried(read)
