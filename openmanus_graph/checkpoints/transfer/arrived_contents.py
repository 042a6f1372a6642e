"""Arrived contents: contents of files from an archive, each checked under its name before any thread shares it."""

from __future__ import annotations

import hashlib
from typing import LiteralString

from psycopg import AsyncConnection
from psycopg.rows import DictRow

from openmanus_graph.checkpoints.encryption.cipher import Cipher, refuse_locked
from openmanus_graph.config.encryption_keys import VARIABLE
from openmanus_graph.errors import ArchiveError, DamagedValueError

TAKE_CONTENTS: LiteralString = """
INSERT INTO file_contents AS f (digest, content) SELECT digest, content FROM arriving ORDER BY digest
ON CONFLICT (digest) DO UPDATE SET content = EXCLUDED.content
WHERE content_form(f.content) <> content_form(EXCLUDED.content)
"""
"""What is there gives way, as to a run that writes it (`017_contents_between_keys.sql`)."""
BATCH = 10
"""Contents that are read at a time."""
_NOT_PLAIN: LiteralString = "SELECT digest, content FROM arriving WHERE digest <> encode(sha256(content), 'hex')"


async def check_contents(
    connection: AsyncConnection[DictRow], thread_id: str, archived: str, cipher: Cipher | None
) -> None:
    """Refuse contents in the table `arriving` that are not what their digest says: plain, or once they are opened.

    Args:
        connection: A connection, in the transaction in which they arrived.
        thread_id: The thread here, whose row has arrived.
        archived: Its id in the archive.
        cipher: Opens what is encrypted.

    Raises:
        ArchiveError: If one is another.
        EncryptionKeyError: If one is encrypted with a key that is not set.
    """
    query = "SELECT encrypted_with FROM threads WHERE thread_id = %s"
    row = await (await connection.execute(query, (thread_id,))).fetchone()
    names = row["encrypted_with"] if row else ()
    async with connection.cursor("arrived") as cursor:
        await cursor.execute(_NOT_PLAIN)
        while rows := await cursor.fetchmany(BATCH):
            refuse_locked(f"The archived thread {archived!r}", names, () if cipher is None else cipher.ids)
            if not all(_is_itself(cipher, str(row["digest"]), bytes(row["content"])) for row in rows):
                raise ArchiveError(
                    "The archive has contents of files under names that are not theirs.",
                    hint=f"Nothing was imported. If they are encrypted, set {VARIABLE} to the key.",
                )


def _is_itself(cipher: Cipher | None, digest: str, content: bytes) -> bool:
    if cipher is None:
        return False
    try:
        return hashlib.sha256(cipher.opened_file(digest, content)).hexdigest() == digest
    except DamagedValueError:
        return False
