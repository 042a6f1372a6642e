"""Full text: passages by the share of a query's words that they have, each word weighed by how rare it is.

The weight is that of BM25 (Robertson and Zaragoza, "The Probabilistic Relevance Framework", 2009). It ranks as well as
Postgres's `ts_rank` and better than `ts_rank_cd` (see docs/performance.md), and it is a share, by which a passage of
the matter is told from one of another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import LiteralString

from openmanus_graph.checkpoints.saver import ThreadSaver
from openmanus_graph.values.storable_json import storable_text

MOST_WORDS = 32
"""Words of a query that are looked for: of those that passages have the rarest, which tell most."""
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


_SEARCH: LiteralString = """
WITH words AS MATERIALIZED (
    SELECT lexeme, quoted_lexeme(lexeme)::tsquery AS query FROM unnest(to_tsvector('english', %(query)s))
), counted AS MATERIALIZED (
    SELECT lexeme, query, df
    FROM words CROSS JOIN LATERAL (
        SELECT count(*) AS df FROM passages WHERE search @@ words.query AND owner = %(owner)s
    ) p
), asked AS MATERIALIZED (
    SELECT lexeme, query, df FROM counted WHERE df > 0 ORDER BY df, lexeme LIMIT %(words)s
), found AS MATERIALIZED (
    SELECT asked.lexeme, p.key, p.size
    FROM asked CROSS JOIN LATERAL (
        SELECT key, size FROM passages WHERE search @@ asked.query AND owner = %(owner)s
    ) p
), total AS MATERIALIZED (
    SELECT count(*)::float8 AS n FROM passages WHERE owner = %(owner)s
), weighed AS MATERIALIZED (
    SELECT lexeme, ln(1 + (total.n - df + 0.5) / (df + 0.5)) AS weight FROM asked CROSS JOIN total
), whole AS MATERIALIZED (
    -- A word that no passage has counts like one that one has: it may be one of every question, such as "much".
    SELECT (SELECT sum(weight) FROM weighed)
        + (SELECT count(*) FROM counted WHERE df = 0) * (SELECT ln(1 + (n - 0.5) / 1.5) FROM total) AS weight
)
SELECT key, covered AS coverage, covered / (1 + 0.15 * ln(greatest(size, 1))) AS score
FROM (
    SELECT key, size, sum(weight) / (SELECT weight FROM whole) AS covered
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
