"""Tiny documents of every kind, made in the test."""

from io import BytesIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

_HWPX = 'xmlns:hp="http://www.hancom.co.kr/hwpml/2011/paragraph" xmlns:hs="http://www.hancom.co.kr/hwpml/2011/section"'


def pdf(pages, title=None):
    """Make a PDF whose font maps its own codes to Hangul, as real ones do; one string a page, line feeds kept."""
    letters = {letter: code for code, letter in enumerate(sorted(set("".join(pages)) - {"\n"}), start=1)}
    lines = "\n".join(f"<{code:04X}> <{ord(letter):04X}>" for letter, code in letters.items())
    mapping = (
        "/CIDInit /ProcSet findresource begin 12 dict begin begincmap /CMapName /Own def /CMapType 2 def\n"
        "1 begincodespacerange <0000> <FFFF> endcodespacerange\n"
        f"{len(letters)} beginbfchar\n{lines}\nendbfchar endcmap end end"
    )
    first_page = 7
    kids = " ".join(f"{first_page + 2 * number} 0 R" for number in range(len(pages)))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type0 /BaseFont /Own /Encoding /Identity-H /DescendantFonts [4 0 R]"
        " /ToUnicode 5 0 R >>",
        "<< /Type /Font /Subtype /CIDFontType2 /BaseFont /Own /CIDSystemInfo"
        " << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /DW 1000 >>",
        _stream(mapping),
        f"<< /Title <feff{(title or '').encode('utf-16-be').hex()}> >>",
    ]
    for number, text in enumerate(pages):
        shown = "".join(f"<{''.join(f'{letters[letter]:04X}' for letter in line)}> Tj T* " for line in text.split("\n"))
        page = (
            f"/MediaBox [0 0 600 800] /Resources << /Font << /F 3 0 R >> >> /Contents {first_page + 2 * number + 1} 0 R"
        )
        objects += [f"<< /Type /Page /Parent 2 0 R {page} >>", _stream(f"BT /F 12 Tf 14 TL 50 700 Td {shown}ET")]
    return _numbered(objects)


def _stream(content):
    return f"<< /Length {len(content)} >>\nstream\n{content}\nendstream"


def _numbered(objects):
    whole, offsets = b"%PDF-1.7\n", []
    for number, content in enumerate(objects, start=1):
        offsets.append(len(whole))
        whole += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{offset:010d} 00000 n \n" for offset in offsets)
    size = len(objects) + 1
    trailer = f"trailer << /Size {size} /Root 1 0 R /Info 6 0 R >>\nstartxref\n{len(whole)}\n%%EOF"
    return whole + f"xref\n0 {size}\n0000000000 65535 f \n{table}{trailer}".encode()


def docx(build):
    """Make a Word file; `build` fills the document that it is given."""
    from docx import Document

    document = Document()
    build(document)
    file = BytesIO()
    document.save(file)
    return file.getvalue()


def packed(parts):
    """Make a zip file of parts by name."""
    file = BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as package:
        for name, content in parts.items():
            package.writestr(
                ZipInfo(name), content, ZIP_DEFLATED
            )  # without the time, so that equal files are equal bytes
    return file.getvalue()


def hwpx(*sections, title="", **parts):
    """Make a HWPX file of sections, each the XML of its paragraphs."""
    return packed(
        {
            "mimetype": "application/hwp+zip",
            "Contents/content.hpf": '<opf:package xmlns:opf="http://www.idpf.org/2007/opf/"><opf:metadata>'
            f"<opf:title>{title}</opf:title></opf:metadata></opf:package>",
            **{
                f"Contents/section{number}.xml": f"<hs:sec {_HWPX}>{xml}</hs:sec>"
                for number, xml in enumerate(sections)
            },
            **parts,
        }
    )


def hwpx_paragraph(text, inside=""):
    return f"<hp:p><hp:run><hp:t>{text}</hp:t>{inside}</hp:run></hp:p>"


def hwpx_table(*rows):
    cells = ["".join(f"<hp:tc><hp:subList>{hwpx_paragraph(cell)}</hp:subList></hp:tc>" for cell in row) for row in rows]
    return "<hp:tbl>" + "".join(f"<hp:tr>{row}</hp:tr>" for row in cells) + "</hp:tbl>"
