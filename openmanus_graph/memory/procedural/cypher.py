"""Cypher: the statements of templates in Neo4j; each write is one, and may be repeated.

```
(:OpenManusTemplate)-[:HAS]->(:OpenManusStep)-[:NEEDS]->(:OpenManusStep)
(:OpenManusRun)-[:OF]->(:OpenManusTemplate)
(:OpenManusFence)
```

A run is a node of its own and so a ledger: whether it is new decides whether its steps are counted. `MERGE` alone makes
two nodes where two transactions do it at once; the constraints keep that from happening, and setting `lock` makes
the transactions that store runs of one template queue. The fence of an owner has a number that every forgetting and
every deliverer of lessons raises: what was read before that is not stored after it.
"""

from __future__ import annotations

from typing import LiteralString

SCHEMA: tuple[LiteralString, ...] = (
    "CREATE CONSTRAINT openmanus_template IF NOT EXISTS FOR (t:OpenManusTemplate) REQUIRE t.id IS UNIQUE",
    "CREATE CONSTRAINT openmanus_step IF NOT EXISTS FOR (s:OpenManusStep) REQUIRE s.id IS UNIQUE",
    "CREATE CONSTRAINT openmanus_run IF NOT EXISTS FOR (r:OpenManusRun) REQUIRE r.id IS UNIQUE",
    "CREATE CONSTRAINT openmanus_fence IF NOT EXISTS FOR (f:OpenManusFence) REQUIRE f.id IS UNIQUE",
    "CREATE FULLTEXT INDEX openmanus_template_words IF NOT EXISTS FOR (t:OpenManusTemplate) ON EACH [t.words]"
    " OPTIONS {indexConfig: {`fulltext.analyzer`: 'english'}}",
    "CALL db.awaitIndexes(60)",
)
"""Made once; each does nothing where it was made."""

RAISE: LiteralString = """
MERGE (f:OpenManusFence {id: $fence})
SET f.epoch = coalesce(f.epoch, 0) + 1
RETURN f.epoch AS epoch
"""

IS_UNRAISED: LiteralString = """
MATCH (f:OpenManusFence {id: $fence})
SET f.lock = randomUUID()
WITH f WHERE f.epoch = $epoch
RETURN f.epoch AS epoch
"""
"""No row once the fence was raised; till the end of the transaction nobody else raises it."""

STORE: LiteralString = """
MERGE (t:OpenManusTemplate {id: $template})
ON CREATE SET t.owner = $owner, t.key = $key, t.proven = false, t.made = true
SET t.lock = randomUUID()
WITH t, coalesce(t.made, false) OR $replaces OR ($succeeded AND NOT t.proven) AS anew
FOREACH (_ IN CASE WHEN anew THEN [1] ELSE [] END | SET t += $content)
REMOVE t.made
WITH t, anew
CALL (t, anew) {
    WITH t, anew WHERE anew
    MATCH (t)-[:HAS]->(:OpenManusStep)-[old:NEEDS]->()
    DELETE old
}
CALL (t, anew) {
    WITH t, anew WHERE anew
    MATCH (t)-[:HAS]->(old:OpenManusStep) WHERE NOT old.step IN $names
    DETACH DELETE old
}
CALL (t, anew) {
    UNWIND CASE WHEN anew THEN $steps ELSE [] END AS step
    MERGE (s:OpenManusStep {id: step.id})
    ON CREATE SET s.runs = 0, s.failures = 0, s.mean_s = 0.0, s.m2_s = 0.0
    FOREACH (_ IN CASE WHEN s.definition <> step.definition THEN [1] ELSE [] END |
        SET s.runs = 0, s.failures = 0, s.mean_s = 0.0, s.m2_s = 0.0)
    SET s.step = step.step, s.position = step.position, s.definition = step.definition
    MERGE (t)-[:HAS]->(s)
}
CALL (anew) {
    UNWIND CASE WHEN anew THEN $needs ELSE [] END AS need
    MATCH (s:OpenManusStep {id: need.step}), (n:OpenManusStep {id: need.needs})
    MERGE (s)-[:NEEDS]->(n)
}
MERGE (r:OpenManusRun {id: $run})
ON CREATE SET r.fresh = true
WITH t, r, coalesce(r.fresh, false) AS fresh
SET r += $went
REMOVE r.fresh
WITH t, r, fresh
CALL (t, r) {
    MATCH (r)-[of:OF]->(other) WHERE other <> t
    DELETE of
}
MERGE (r)-[:OF]->(t)
WITH t, fresh
CALL (t, fresh) {
    UNWIND CASE WHEN fresh THEN $done ELSE [] END AS done
    MATCH (t)-[:HAS]->(s:OpenManusStep {step: done.step})
    WITH s, done.seconds AS seconds, s.mean_s AS before
    SET s.runs = s.runs + 1
    SET s.mean_s = before + (seconds - before) / s.runs
    SET s.m2_s = s.m2_s + (seconds - before) * (seconds - s.mean_s)
}
CALL (t, fresh) {
    UNWIND CASE WHEN fresh THEN $failed ELSE [] END AS failed
    MATCH (t)-[:HAS]->(s:OpenManusStep {step: failed})
    SET s.failures = s.failures + 1
}
RETURN fresh
"""

LOCK: LiteralString = """
MATCH (before:OpenManusTemplate {id: $before})
SET before.lock = randomUUID()
RETURN before.key AS key
"""

MOVE: LiteralString = """
MATCH (before:OpenManusTemplate {id: $before}), (t:OpenManusTemplate {id: $template})
WHERE before <> t
CALL () {
    MATCH (word:OpenManusRun {id: $word_before})
    DETACH DELETE word
}
CALL (before, t) {
    MATCH (r:OpenManusRun)-[of:OF]->(before)
    DELETE of
    MERGE (r)-[:OF]->(t)
}
CALL (before, t) {
    MATCH (before)-[:HAS]->(o:OpenManusStep), (t)-[:HAS]->(s:OpenManusStep)
    WHERE s.step = o.step AND s.definition = o.definition
    WITH s, o, s.runs + o.runs AS runs, o.mean_s - s.mean_s AS apart WHERE runs > 0 OR o.failures > 0
    WITH s, o, runs, CASE WHEN runs > 0 THEN toFloat(runs) ELSE 1.0 END AS most, apart
    SET s.m2_s = s.m2_s + o.m2_s + apart * apart * s.runs * o.runs / most,
        s.mean_s = (s.mean_s * s.runs + o.mean_s * o.runs) / most,
        s.failures = s.failures + o.failures
    SET s.runs = runs
}
CALL (before) {
    MATCH (before)-[:HAS]->(o:OpenManusStep)
    DETACH DELETE o
}
DETACH DELETE before
"""
"""Makes the runs of one template count for another, and removes it; nothing where they are the same."""

_KNOWN: LiteralString = """
CALL (t) {
    OPTIONAL MATCH (r:OpenManusRun)-[:OF]->(t)
    WITH r, coalesce(r.rating, r.succeeded) AS good,
        0.5 ^ (CASE WHEN r.ended_at < $now THEN $now - r.ended_at ELSE 0.0 END / $half_life) AS w
    RETURN count(r) AS runs,
        sum(CASE WHEN good THEN w ELSE 0.0 END) AS successes,
        sum(CASE WHEN NOT good THEN w ELSE 0.0 END) AS failures,
        sum(CASE WHEN good THEN 1 ELSE 0 END) AS worked,
        count(DISTINCT CASE WHEN good THEN r.task END) AS tasks,
        coalesce(avg(r.seconds), 0.0) AS mean_s,
        coalesce(max(r.ended_at), 0.0) AS last
}
CALL (t) {
    MATCH (t)-[:HAS]->(s:OpenManusStep)
    WITH s ORDER BY s.position
    RETURN collect({
        step: s.step, definition: s.definition, runs: s.runs, failures: s.failures, mean_s: s.mean_s, m2_s: s.m2_s,
        needs: [(s)-[:NEEDS]->(n) | n.step]
    }) AS steps
}
RETURN t.key AS key, t.task AS task, t.goal AS goal, t.parameters AS parameters,
    t.proven AS proven, runs, successes, failures, worked, tasks, mean_s, last, steps
"""

FOUND: LiteralString = f"""
CALL db.index.fulltext.queryNodes('openmanus_template_words', $text) YIELD node AS t, score
WITH t, score WHERE t.owner = $owner
ORDER BY score DESC, t.key LIMIT $candidates
WITH t
{_KNOWN}
"""
"""Templates with a word of a text, which holds words alone: everything else is syntax to the index."""

ALL: LiteralString = f"""
MATCH (t:OpenManusTemplate {{owner: $owner}})
{_KNOWN}
ORDER BY last DESC, key
"""

BY_KEY: LiteralString = f"""
MATCH (t:OpenManusTemplate {{owner: $owner}}) WHERE t.key STARTS WITH $key
WITH t LIMIT 2
{_KNOWN}
"""

RATE: LiteralString = """
MATCH (r:OpenManusRun {owner: $owner, thread: $thread})-[:OF]->(t:OpenManusTemplate)
WHERE r.request = coalesce($request, r.request)
WITH r, t ORDER BY r.request DESC, r.replaced LIMIT 1
WITH r, t WHERE NOT r.replaced
SET r.rating = $good, r.why = $why
RETURN t.key AS key
"""

FORGET: LiteralString = """
OPTIONAL MATCH (t:OpenManusTemplate {id: $template})
OPTIONAL MATCH (t)-[:HAS]->(s:OpenManusStep)
OPTIONAL MATCH (r:OpenManusRun)-[:OF]->(t)
WITH collect(DISTINCT t) AS templates, collect(DISTINCT s) AS steps, collect(DISTINCT r) AS runs
WITH templates + steps + runs AS gone, size(templates) AS removed
FOREACH (node IN gone | DETACH DELETE node)
RETURN removed
"""

FORGET_THREAD: LiteralString = """
OPTIONAL MATCH (r:OpenManusRun {owner: $owner, thread: $thread})
OPTIONAL MATCH (r)-[:OF]->(t:OpenManusTemplate)
WITH collect(DISTINCT r) AS runs, [one IN collect(DISTINCT t)
    WHERE NOT EXISTS { MATCH (other:OpenManusRun)-[:OF]->(one) WHERE other.thread <> $thread }] AS templates
FOREACH (node IN runs | DETACH DELETE node)
WITH templates
CALL (templates) {
    UNWIND templates AS t
    OPTIONAL MATCH (t)-[:HAS]->(s:OpenManusStep)
    DETACH DELETE s
}
FOREACH (node IN templates | DETACH DELETE node)
RETURN size(templates) AS removed
"""
