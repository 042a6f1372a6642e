"""PDF file: the bytes of a small one, for what reads them."""

from __future__ import annotations


def pdf(text: str, *, encrypted: bool = False, pages: int = 1, size: tuple[float, float] = (612, 792)) -> bytes:
    """Equal pages of PDF with a line of text; encrypted with a password that nobody knows."""
    stream = f"BT /F1 24 Tf 72 700 Td ({text}) Tj ET".encode()
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [%s] /Count %d >>" % (b" ".join([b"3 0 R"] * pages), pages),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] /Contents 4 0 R"
        b" /Resources << /Font << /F1 5 0 R >> >> >>" % tuple(str(side).encode() for side in size),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
        b"<< /Filter /Standard /V 1 /R 2 /P -4 /O <" + b"41" * 32 + b"> /U <" + b"42" * 32 + b"> >>",
    ]
    written = b"%PDF-1.4\n"
    places: list[int] = []
    for number, inside in enumerate(objects, 1):
        places.append(len(written))
        written += b"%d 0 obj\n%s\nendobj\n" % (number, inside)
    table = len(written)
    written += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    written += b"".join(b"%010d 00000 n \n" % place for place in places)
    more = b" /Encrypt 6 0 R /ID [<41> <41>]" if encrypted else b""
    return written + b"trailer\n<< /Size %d /Root 1 0 R%s >>\nstartxref\n%d\n%%%%EOF" % (len(objects) + 1, more, table)
