"""Files of every kind as text with headings and pages."""

from __future__ import annotations

import sys
import unicodedata
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import MissingExtra, UnreadableDocument
from llama_index_ko_rerank.ingest.documents import Section, kind_of, read_document, read_payload, zip_limits
from llama_index_ko_rerank.ingest.documents.read import KINDS
from tests.ingest.documents.document_files import docx, hwpx, hwpx_paragraph, hwpx_table, packed, pdf

LEAVE = "연차휴가는 입사한 날부터 1년 동안 열다섯 날을 쓸 수 있다."
SICK = "병가는 진단서를 내면 한 해에 예순 날까지 쓸 수 있다."


def read(name, payload):
    return read_document(kind_of(Path(name)), payload if isinstance(payload, bytes) else payload.encode())


def texts(document):
    return [section.text for section in document.sections]


class TestPlainText:
    @pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp949", "euc-kr"])
    def test_korean_encodings_are_read(self, encoding):
        assert read("규정.txt", LEAVE.encode(encoding)).sections == (Section(LEAVE),)

    def test_utf_16_of_either_order_is_read_by_its_mark(self):
        for mark, encoding in (("\ufeff", "utf-16-le"), ("\ufeff", "utf-16-be")):
            assert texts(read("규정.txt", (mark + LEAVE).encode(encoding))) == [LEAVE]

    @pytest.mark.parametrize(
        "payload",
        [
            "有給休暇は入社した日から一年の間に十五日使える。".encode("shift_jis"),
            "有給休暇は入社した日から一年の間に十五日使える。".encode("euc_jp"),
            "员工自入职之日起一年内可以休十五天年假, 需要提前三天申请。".encode("gbk"),
            "Überstunden dürfen höchstens fünf Stunden wöchentlich übersteigen".encode("latin-1"),
            bytes(range(128, 256)),
            LEAVE.encode("utf-8")[:-1] + b"\xff",
            b"\xff\xfe" + LEAVE.encode("utf-16-le")[:-1],
            LEAVE.encode("utf-16-le"),
            b"text\0text",
        ],
        ids=["shift_jis", "euc_jp", "gbk", "latin-1", "noise", "broken utf-8", "half utf-16", "no mark", "NUL"],
    )
    def test_what_is_not_clearly_text_is_refused(self, payload):
        with pytest.raises(UnreadableDocument, match=r"UTF-8|mark of|NUL"):
            read("이상한.txt", payload)

    def test_syllables_outside_the_common_table_are_read_where_they_are_few(self):
        assert texts(read("a.txt", (LEAVE + " 똠방각하, 펲시").encode("cp949"))) == [LEAVE + " 똠방각하, 펲시"]

    def test_the_text_is_brought_to_one_form(self):
        decomposed = unicodedata.normalize("NFD", "한글")
        assert texts(read("a.txt", f"\ufeff{decomposed}\r\n둘째 \rABC\u200b\r\n\r\n")) == ["한글\n둘째\nABC"]

    @given(st.text(alphabet="가나다라마바사아자차카타파하 \n."))
    @settings(max_examples=50, deadline=None)
    def test_every_korean_text_comes_back_from_cp949(self, text):
        text += LEAVE  # two bytes alone may be UTF-8 too
        lines = "\n".join(line.rstrip() for line in text.split("\n")).strip()
        assert texts(read("a.txt", text.encode("cp949"))) == [lines]

    @pytest.mark.parametrize("payload", [b"", b" \n\t", b"\xef\xbb\xbf"])
    def test_a_blank_file_is_told(self, payload):
        with pytest.raises(UnreadableDocument, match="holds no text"):
            read("빈.txt", payload)


class TestMarkdown:
    def test_headings_make_the_path_of_their_sections(self):
        trip = "출장비는 닷새 안에 청구한다."
        source = f"머리말\n\n# 취업 규칙\n\n## 휴가\n\n{LEAVE}\n\n### 병가\n{SICK}\n\n## 출장\n{trip}\n"
        document = read("규정.md", source)
        assert document.title == "취업 규칙"
        assert document.sections == (
            Section("머리말"),
            Section(LEAVE, ("취업 규칙", "휴가")),
            Section(SICK, ("취업 규칙", "휴가", "병가")),
            Section(trip, ("취업 규칙", "출장")),
        )

    def test_a_heading_without_text_stays_findable(self):
        document = read("a.md", "# 규칙\n## 폐지된 조항\n## 휴가\n쉰다.\n# 부칙\n")
        assert document.sections == (
            Section("폐지된 조항", ("규칙",)),
            Section("쉰다.", ("규칙", "휴가")),
            Section("부칙"),
        )

    def test_marks_links_and_tags_are_left_out_and_words_stay(self):
        document = read(
            "a.md", "**연차**는 [규정집](http://x.kr/a)을 본다.<br>`ls` ![그림 설명](a.png)\n\n<!-- 숨은 말 -->\n"
        )
        assert texts(document) == ["연차는 규정집을 본다.ls 그림 설명"]

    def test_lists_tables_and_code_keep_their_lines(self):
        table = "| 휴가 | 날 |\n|---|---|\n| 연차 | 15 |"
        source = f"준비물:\n\n1. 진단서\n2. 신청서\n   - 사본\n\n{table}\n\n```\n# 제목 아님\n```\n"
        assert texts(read("a.md", source)) == [
            "준비물:\n1. 진단서\n2. 신청서\n- 사본\n휴가 | 날\n연차 | 15\n\n# 제목 아님"
        ]

    def test_of_the_front_matter_the_title_is_read(self):
        document = read("a.md", '---\ntitle: "휴가 안내"\ntags: [a]\n---\n본문이다.\n')
        assert (document.title, texts(document)) == ("휴가 안내", ["본문이다."])

    def test_a_heading_inside_a_quotation_begins_no_section(self):
        assert len(read("a.md", "> # 남의 제목\n> 남의 말\n\n내 말\n").sections) == 1


class TestHtml:
    PAGE = """<!doctype html><html><head><title>누리집 제목</title><style>p {color: red}</style></head><body>
    <nav>처음 | 찾아오는 길</nav><h1>취업 <em>규칙</em></h1><p>총칙은\n   이렇다.<br>둘째 줄.</p>
    <h2>휴가</h2><div>%s<script>alert("나쁜 말")</script></div><ul><li>진단서</li><li><p>신청서</p></li></ul>
    <table><tr><th>휴가</th><th>날</th></tr><tr><td>연차 &amp; 반차</td><td>15</td></tr></table>
    <pre>한 칸\n  두 칸</pre></body></html>"""

    def test_text_stands_under_its_headings_without_scripts_and_navigation(self):
        document = read("규정.html", self.PAGE % LEAVE)
        assert document.title == "취업 규칙"
        first, second = document.sections
        assert first == Section("총칙은 이렇다.\n둘째 줄.", ("취업 규칙",))
        assert second.headings == ("취업 규칙", "휴가")
        assert second.text.startswith(f"{LEAVE}\n진단서\n\n신청서")
        assert "휴가 | 날\n연차 & 반차 | 15" in second.text
        assert second.text.endswith("한 칸\n  두 칸")
        for unseen in ("나쁜", "찾아오는", "color"):
            assert unseen not in str(document)

    @pytest.mark.parametrize(
        "declaration", ['<meta charset="euc-kr">', "<meta http-equiv=X content='text/html; charset=KS_C_5601-1987'>"]
    )
    def test_the_declared_encoding_is_read(self, declaration):
        page = f"<html><head>{declaration}</head><body>똠 {LEAVE}</body></html>"
        assert texts(read("a.htm", page.encode("cp949"))) == [f"똠 {LEAVE}"]

    def test_a_page_without_headings_has_its_stated_title(self):
        assert read("a.html", "<title>안내\n문</title><p>말").title == "안내 문"

    def test_bad_markup_loses_no_text(self):
        assert texts(read("a.html", "<p>하나<p>둘</div><b>셋<td>넷 &nosuch; 3 < 5")) == [
            "하나\n\n둘\n\n셋 | 넷 &nosuch; 3 < 5"
        ]

    def test_an_element_that_never_ends_is_told_and_not_swallowed(self):
        with pytest.raises(UnreadableDocument, match="<nav> has no end"):
            read("a.html", "<nav>처음<p>본문이 여기 있다.</p>")

    def test_tags_nested_ten_thousand_deep_are_read(self):
        assert texts(read("a.html", "<div>" * 10_000 + "깊다" + "</div>" * 10_000)) == ["깊다"]


class TestPdf:
    def test_each_page_is_a_section_with_its_number(self):
        document = read("규정.pdf", pdf([f"{LEAVE}\n둘째 줄", "", SICK], title="휴가 규정"))
        assert document.title == "휴가 규정"
        assert document.sections == (Section(f"{LEAVE}\n둘째 줄", page=1), Section(SICK, page=3))

    def test_a_scan_is_told(self):
        with pytest.raises(UnreadableDocument, match="recognised"):
            read("스캔.pdf", pdf([""]))

    def test_a_protected_file_is_told(self, tmp_path):
        from pypdf import PdfReader, PdfWriter

        (tmp_path / "plain.pdf").write_bytes(pdf([LEAVE]))
        writer = PdfWriter(clone_from=PdfReader(tmp_path / "plain.pdf"))
        writer.encrypt("비밀", algorithm="RC4-128")
        writer.write(tmp_path / "locked.pdf")
        with pytest.raises(UnreadableDocument, match="password"):
            read("a.pdf", (tmp_path / "locked.pdf").read_bytes())

    @pytest.mark.parametrize("length", [0, 8, 200, 700])
    def test_a_truncated_file_is_told_or_read(self, length):
        with pytest.raises(UnreadableDocument):
            read("a.pdf", pdf([LEAVE])[:length])


class TestWord:
    def test_headings_tables_and_text_are_read(self):
        def build(document):
            document.add_paragraph("취업 규칙", style="Title")
            document.add_heading("휴가", 1)
            document.add_paragraph(LEAVE)
            document.add_heading("병가", 2)
            document.add_paragraph(SICK)
            table = document.add_table(2, 2)
            for cell, text in zip(
                (c for row in table.rows for c in row.cells), ["휴가", "날", "병가", "60"], strict=True
            ):
                cell.text = text

        document = read("규정.docx", docx(build))
        assert document.title == "취업 규칙"
        assert document.sections == (
            Section(LEAVE, ("취업 규칙", "휴가")),
            Section(f"{SICK}\n휴가 | 날\n병가 | 60", ("취업 규칙", "휴가", "병가")),
        )

    def test_text_in_content_controls_is_read(self):
        from docx.oxml import parse_xml

        namespace = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"

        def build(document):
            text = f"<w:p><w:r><w:t>{LEAVE}</w:t></w:r></w:p>"
            control = f'<w:sdt xmlns:w="{namespace}"><w:sdtContent>{text}</w:sdtContent></w:sdt>'
            document.element.body.insert(0, parse_xml(control))

        assert texts(read("a.docx", docx(build))) == [LEAVE]

    def test_a_stated_title_serves_where_there_is_no_heading(self):
        def build(document):
            document.core_properties.title = "휴가 규정"
            document.add_paragraph(LEAVE)

        assert read("a.docx", docx(build)).title == "휴가 규정"

    @pytest.mark.parametrize(
        "payload", [b"", b"PK\x03\x04", packed({"a.xml": "<a/>"}), packed({"[Content_Types].xml": "<"})]
    )
    def test_what_is_no_word_file_is_told(self, payload):
        with pytest.raises(UnreadableDocument, match="damaged"):
            read("a.docx", payload)

    def test_entities_are_not_expanded(self):
        whole = docx(lambda document: document.add_paragraph("자리"))
        bomb = '<!DOCTYPE w:document [<!ENTITY x "폭탄폭탄">]>'
        changed = _with_part(
            whole,
            "word/document.xml",
            lambda xml: xml.replace("<w:document", bomb + "<w:document", 1).replace("자리", "자리&x;"),
        )
        assert "폭탄" not in str(read("a.docx", changed))


class TestHangul:
    def test_paragraphs_tables_and_boxes_are_read_in_order(self):
        box = f"<hp:rect><hp:drawText><hp:subList>{hwpx_paragraph('글상자')}</hp:subList></hp:drawText></hp:rect>"
        table = hwpx_table(["휴가", "날"], ["연차", "15"])
        payload = hwpx(
            hwpx_paragraph("첫 줄<hp:lineBreak/>둘째 줄<hp:tab/>끝") + hwpx_paragraph(LEAVE, table),
            hwpx_paragraph(SICK, box),
            title="취업 규칙",
        )
        document = read("규정.hwpx", payload)
        assert document.title == "취업 규칙"
        assert texts(document) == [f"첫 줄\n둘째 줄\t끝\n\n{LEAVE}\n휴가 | 날\n연차 | 15\n\n{SICK}\n\n글상자"]

    def test_ten_sections_keep_their_order(self):
        payload = hwpx(*(hwpx_paragraph(f"{number}번째") for number in range(12)))
        assert texts(read("a.hwpx", payload)) == ["\n\n".join(f"{number}번째" for number in range(12))]

    def test_running_headers_are_left_out(self):
        header = f"<hp:ctrl><hp:header><hp:subList>{hwpx_paragraph('쪽마다')}</hp:subList></hp:header></hp:ctrl>"
        assert texts(read("a.hwpx", hwpx(hwpx_paragraph(LEAVE, header)))) == [LEAVE]

    def test_a_document_type_is_refused_as_xml_bombs_have_one(self):
        bomb = '<!DOCTYPE s [<!ENTITY a "가가가가"><!ENTITY b "&a;&a;&a;&a;">]><s><p><r><t>&b;</t></r></p></s>'
        with pytest.raises(UnreadableDocument, match="document type 's'"):
            read("a.hwpx", packed({"Contents/section0.xml": bomb}))

    @pytest.mark.parametrize(
        ("payload", "reason"),
        [
            (b"PK", "damaged"),
            (packed({"a": "b"}), "no HWPX document"),
            (packed({"Contents/section0.xml": "<s>"}), "no XML"),
            (hwpx(""), "no text"),
            (hwpx("", **{"META-INF/manifest.xml": "<m><encryption-data/></m>"}), "password"),
        ],
        ids=["damaged", "another ZIP", "broken XML", "empty", "encrypted"],
    )
    def test_what_cannot_be_read_is_told(self, payload, reason):
        with pytest.raises(UnreadableDocument, match=reason):
            read("a.hwpx", payload)


@pytest.mark.parametrize("name", ["a.docx", "a.hwpx"])
class TestPackages:
    def test_a_zip_bomb_is_refused_before_it_is_unpacked(self, name):
        bomb = packed({"Contents/section0.xml": b" " * (zip_limits.MOST_XML + 1)})
        assert len(bomb) < 200_000
        with pytest.raises(UnreadableDocument, match="would unpack to 50 MB"):
            read(name, bomb)

    def test_too_many_parts_are_refused(self, name):
        with pytest.raises(UnreadableDocument, match="10,001 parts"):
            read(name, packed({str(number): b"" for number in range(zip_limits.MOST_PARTS + 1)}))

    def test_a_part_that_lies_about_its_size_is_not_read_further(self, name):
        honest = packed(
            {
                "Contents/section0.xml": b"<s>" + b"a" * 1_000_000 + b"</s>",
                "[Content_Types].xml": b"<" + b"a" * 1_000_000,
            }
        )
        lying = honest.replace((1_000_007).to_bytes(4, "little"), (7).to_bytes(4, "little"))
        lying = lying.replace((1_000_001).to_bytes(4, "little"), (7).to_bytes(4, "little"))
        assert lying != honest
        with pytest.raises(UnreadableDocument, match="damaged"):
            read(name, lying)


def _with_part(payload, name, change):
    from io import BytesIO
    from zipfile import ZipFile

    with ZipFile(BytesIO(payload)) as package:
        parts = {each: package.read(each) for each in package.namelist()}
    return packed({**parts, name: change(parts[name].decode()).encode()})


@pytest.mark.parametrize("suffix", [suffix for kind in KINDS for suffix in kind.suffixes])
@given(noise=st.binary(max_size=300))
@settings(max_examples=25, deadline=None)
def test_noise_of_any_kind_is_read_or_told(suffix, noise):
    for payload in (noise, b"%PDF-1.4\n" + noise, b"PK\x03\x04" + noise):
        with suppress(UnreadableDocument):
            assert read(f"a{suffix}", payload).sections


@pytest.mark.parametrize(("name", "library"), [("a.pdf", "pypdf"), ("a.docx", "docx")])
def test_a_missing_library_names_the_extra(monkeypatch, name, library):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtra, match=r"llama-index-ko-rerank\[documents\]"):
        read(name, b"")


def test_a_file_that_has_grown_is_not_read_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_bytes(b"x" * 2_000_000)
    with pytest.raises(UnreadableDocument, match="at most 1 MB"):
        read_payload(path, max_bytes=1_000_000)
    assert len(read_payload(path, max_bytes=2_000_000)) == 2_000_000


def test_a_file_that_is_gone_is_told(tmp_path):
    with pytest.raises(UnreadableDocument, match="cannot be opened"):
        read_payload(tmp_path / "없다.txt", max_bytes=10)


@pytest.mark.parametrize("name", ["규정.TXT", "a.Md", "A.PDF"])
def test_the_kind_of_a_file_does_not_depend_on_case(name):
    assert kind_of(Path(name)) is not None
