"""Pictures by themselves: what is read of a file, how it is scaled, and what is refused."""

from __future__ import annotations

import sys
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from openmanus_graph import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import ToolError
from openmanus_graph.files import picture as pictures_module
from openmanus_graph.files.picture import LARGEST_SENT, LONGEST_SIDE, picture_in
from openmanus_graph.tools.documents.pdf_page import LARGEST_PDF
from openmanus_graph.tools.registry import builtin
from tests.agent.shown import bomb, chart
from tests.pdf_file import pdf

KINDS = {"a.png": "image/png", "a.jpg": "image/jpeg", "a.gif": "image/png", "a.webp": "image/png", "a.bmp": "image/png"}


def decoded(data: bytes) -> Image.Image:
    return Image.open(BytesIO(data))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_sent_as_png_or_jpeg_with_its_longer_side_bounded(name: str, tmp_path: Path) -> None:
    chart(tmp_path / name, (2_000, 500))

    found = picture_in(tmp_path, name)

    assert (found.width, found.height, found.mime_type) == (2_000, 500, KINDS[name])
    sent = decoded(found.data)
    assert (sent.size, sent.format) == ((LONGEST_SIDE, 392), KINDS[name].removeprefix("image/").upper())
    red, green, blue = sent.convert("RGB").getpixel((700, 200))  # pyright: ignore[reportGeneralTypeIssues, reportUnknownVariableType] - RGB has three numbers
    assert red > 200
    assert max(green, blue) < 50


def test_a_small_picture_keeps_its_size(tmp_path: Path) -> None:
    chart(tmp_path / "a.png", (3, 2))

    assert decoded(picture_in(tmp_path, "a.png").data).size == (3, 2)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "CMYK", "I;16"])
def test_other_kinds_of_colours_can_be_shown(mode: str, tmp_path: Path) -> None:
    name = "a.jpg" if mode == "CMYK" else "a.png"
    Image.new(mode, (20, 10)).save(tmp_path / name)

    assert decoded(picture_in(tmp_path, name).data).size == (20, 10)


def test_what_a_photograph_says_of_its_place_is_not_sent_and_it_stands_upright(tmp_path: Path) -> None:
    said = Image.Exif()
    said[0x0112] = 6  # the camera was held sideways
    said[0x010F] = "A camera of Ada"
    said.get_ifd(0x8825)[1] = "N"
    Image.new("RGB", (300, 200), "red").save(tmp_path / "a.jpg", exif=said, comment=b"At the house of Ada")
    assert (tmp_path / "a.jpg").read_bytes().count(b"Ada") == 2

    found = picture_in(tmp_path, "a.jpg")

    assert (found.width, found.height) == (200, 300)
    assert decoded(found.data).size == (200, 300)
    assert dict(decoded(found.data).getexif()) == {}
    assert b"Ada" not in found.data


def test_what_would_be_too_large_as_a_png_is_sent_as_a_jpeg(tmp_path: Path) -> None:
    noise = [Image.effect_noise((1_500, 1_500), 200) for _ in range(3)]
    Image.merge("RGB", noise).save(tmp_path / "a.png", compress_level=0)

    found = picture_in(tmp_path, "a.png")

    assert found.mime_type == "image/jpeg"
    assert len(found.data) <= LARGEST_SENT


@pytest.mark.parametrize(
    ("kind", "side", "what"),
    [("png", 20_000, "20000×20000 pixels"), ("bmp", 20_000, "too many pixels"), ("bmp", 9_000, "9000×9000 pixels")],
)
def test_a_header_of_too_many_pixels_is_refused_without_decoding(
    kind: str, side: int, what: str, tmp_path: Path
) -> None:
    path = bomb(tmp_path / "a.png", side)
    if kind == "bmp":
        head = bytearray(chart(tmp_path / "small.bmp").read_bytes())
        head[18:26] = side.to_bytes(4, "little") * 2
        path = tmp_path / "a.bmp"
        path.write_bytes(head)

    with pytest.raises(ToolError, match=f"has {what}; at most 64 million"):
        picture_in(tmp_path, path.name)


def test_a_file_of_too_many_bytes_is_refused_unread(tmp_path: Path) -> None:
    with (tmp_path / "a.png").open("wb") as file:
        file.truncate(pictures_module.LARGEST_FILE + 1)

    with pytest.raises(ToolError, match="at most 30,000,000 can be shown"):
        picture_in(tmp_path, "a.png")


def test_a_link_out_of_the_workspace_is_not_followed(tmp_path: Path) -> None:
    chart(tmp_path / "secret.png")
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws" / "a.png").symlink_to(tmp_path / "secret.png")

    with pytest.raises(ToolError, match="leads out of the workspace"):
        picture_in(tmp_path / "ws", "a.png")


def test_a_copy_of_a_picture_has_its_own_name(tmp_path: Path) -> None:
    chart(tmp_path / "a.png", (31, 7))
    (tmp_path / "b.png").write_bytes((tmp_path / "a.png").read_bytes())

    first, second = picture_in(tmp_path, "a.png"), picture_in(tmp_path, "./b.png")

    assert (first.path, second.path) == ("a.png", "b.png")
    assert first.sha256 == second.sha256


def test_without_pillow_it_is_said_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chart(tmp_path / "a.png", (17, 5), "purple")
    monkeypatch.setitem(sys.modules, "PIL", None)

    with pytest.raises(
        ToolError, match=r"Pillow is not installed\. Get it with: pip install 'openmanus-graph\[vision\]'"
    ):
        picture_in(tmp_path, "a.png")


async def test_where_no_run_is_around_it_the_tool_says_so(tmp_path: Path) -> None:
    chart(tmp_path / "a.png")
    context = ToolContext(thread_id="t", subtask_id="s", workspace=tmp_path, settings=Settings())

    with using_tool_context(context), pytest.raises(ToolError, match="No model can be asked about the picture"):
        await builtin("view_image").ainvoke({"path": "a.png"})


@pytest.mark.usefixtures("needs_pdfium")
class TestPages:
    """Pages of PDFs, which PDFium draws in a process of its own."""

    async def look(self, folder: Path, **args: Any) -> tuple[dict[str, Any], Image.Image]:
        """What the tool gives, and the picture that a model is asked about."""
        asked: list[str] = []

        async def words(path: str, sha256: str, question: str) -> str:
            asked.append(path)
            return f"{question}!"

        context = ToolContext(thread_id="t", subtask_id="s", workspace=folder, settings=Settings(), look=words)
        with using_tool_context(context):
            found = await builtin("view_image").ainvoke(args)
        assert asked == [found["path"]]
        return found, decoded(picture_in(folder, found["path"]).data)

    async def test_a_page_is_drawn_with_its_words_and_kept(self, tmp_path: Path) -> None:
        (tmp_path / "a.pdf").write_bytes(pdf("Whales", pages=3))

        found, shown = await self.look(tmp_path, path="a.pdf", page=2, question="What")

        assert found["path"].startswith(".openmanus/outputs/page-")
        assert found == {
            "path": found["path"], "width": 1212, "height": 1568, "description": "What!", "page": 2, "pages": 3
        }  # fmt: skip
        dark = sum(shown.convert("L").histogram()[:128])
        assert 500 < dark < 100_000, "words in black on white"
        assert (await self.look(tmp_path, path="a.pdf"))[0]["page"] == 1

    @pytest.mark.parametrize("size", [(14_400, 1), (200_000, 200_000), (0.01, 0.01)])
    async def test_whatever_size_a_page_claims_so_many_pixels_are_drawn(
        self, tmp_path: Path, size: tuple[float, float]
    ) -> None:
        (tmp_path / "a.pdf").write_bytes(pdf("Whales", size=size))

        found, _ = await self.look(tmp_path, path="a.pdf")

        assert max(found["width"], found["height"]) <= LONGEST_SIDE + 1

    @pytest.mark.parametrize(
        ("data", "page", "why"),
        [
            (pdf("x", pages=2), 3, r"The PDF 'a\.pdf' has 2 pages\."),
            (pdf("x", encrypted=True), 1, "is encrypted and cannot be read"),
            (b"%PDF-1.7 nothing", 1, "is broken and cannot be read"),
        ],
    )
    async def test_one_that_cannot_be_drawn_is_said(self, tmp_path: Path, data: bytes, page: int, why: str) -> None:
        (tmp_path / "a.pdf").write_bytes(data)
        with pytest.raises(ToolError, match=why):
            await self.look(tmp_path, path="a.pdf", page=page)

    async def test_a_page_of_a_picture_is_refused(self, tmp_path: Path) -> None:
        chart(tmp_path / "a.png")
        with pytest.raises(ToolError, match=r"'page' is 1, and 'a\.png' is no PDF"):
            await self.look(tmp_path, path="a.png", page=1)

    async def test_a_pdf_of_too_many_bytes_is_refused_unread(self, tmp_path: Path) -> None:
        with (tmp_path / "a.pdf").open("wb") as file:
            file.write(b"%PDF-1.7")
            file.truncate(LARGEST_PDF + 1)
        with pytest.raises(ToolError, match="at most 50,000,000 can be drawn"):
            await self.look(tmp_path, path="a.pdf")

    @pytest.mark.parametrize(
        "program",
        [
            "import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)",
            'print(\'{"width": 9000, "height": 9000, "count": 1}\')',
            'print(\'{"width": 10, "height": 10, "count": 1}\')\nprint("short")',
        ],
    )
    async def test_what_the_reader_says_is_not_believed(
        self, program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "pdf_worker.py").write_text(program)
        monkeypatch.setattr("openmanus_graph.sandbox.pdf.program_of", lambda _, name: (tmp_path / name).read_text())
        (tmp_path / "a.pdf").write_bytes(pdf("Whales"))
        with pytest.raises(ToolError, match="is broken and cannot be read"):
            await self.look(tmp_path, path="a.pdf")
