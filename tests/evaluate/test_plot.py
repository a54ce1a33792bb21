import sys

import pytest

from llama_index_ko_rerank.errors import InvalidSetting, MissingExtra
from llama_index_ko_rerank.evaluate import SearchSystem, evaluate_retrieval, plot_comparison
from tests.corpora.retrieval import BigramReranker

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def systems(overlap):
    return {"bm25": overlap, "bm25+rerank": SearchSystem(overlap, [BigramReranker()]), "silent": lambda query: []}


def test_a_report_becomes_a_picture(market, systems, tmp_path):
    matplotlib = pytest.importorskip("matplotlib")
    before = dict(matplotlib.rcParams)
    target = tmp_path / "new folder" / "comparison.png"
    plot_comparison(evaluate_retrieval(systems, market), target)
    content = target.read_bytes()
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    assert content.startswith(PNG_SIGNATURE)
    assert width > 1000
    assert height > 300
    assert dict(matplotlib.rcParams) == before


def test_a_panel_can_be_drawn_for_any_measure_and_for_no_other(market, systems, tmp_path):
    pytest.importorskip("matplotlib")
    report = evaluate_retrieval(systems, market)
    plot_comparison(report, tmp_path / "one.png", metrics=["hit@10"])
    with pytest.raises(InvalidSetting, match="did you mean 'hit@10'"):
        plot_comparison(report, tmp_path / "none.png", metrics=["hit@100"])
    with pytest.raises(InvalidSetting, match="no metrics"):
        plot_comparison(report, tmp_path / "none.png", metrics=[])
    assert [file.name for file in tmp_path.iterdir()] == ["one.png"]


def test_a_missing_matplotlib_names_the_command_that_installs_it(market, systems, tmp_path, monkeypatch):
    report = evaluate_retrieval(systems, market)
    for module in [name for name in sys.modules if name.split(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtra, match=r"pip install 'llama-index-ko-rerank\[plot\]'"):
        plot_comparison(report, tmp_path / "comparison.png")


@pytest.fixture
def fonts(tmp_path):
    """The font list of matplotlib with no Hangul font in it, put back afterwards."""
    manager = pytest.importorskip("matplotlib.font_manager").fontManager
    before = list(manager.ttflist)
    manager.ttflist = [font for font in before if font.name.startswith("DejaVu")]
    yield manager
    manager.ttflist = before


def nanum_font_file(path):
    """Draw a square for every syllable and save it under the name of a Hangul font."""
    builder_module = pytest.importorskip("fontTools.fontBuilder")
    pen_module = pytest.importorskip("fontTools.pens.ttGlyphPen")
    pen = pen_module.TTGlyphPen(None)
    pen.moveTo((100, 0))
    for corner in ((100, 700), (800, 700), (800, 0)):
        pen.lineTo(corner)
    pen.closePath()
    builder = builder_module.FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder([".notdef", "square"])
    builder.setupCharacterMap({code: "square" for code in range(0xAC00, 0xD7A4)})
    builder.setupGlyf({".notdef": pen_module.TTGlyphPen(None).glyph(), "square": pen.glyph()})
    builder.setupHorizontalMetrics({".notdef": (900, 0), "square": (900, 100)})
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": "NanumGothic", "styleName": "Regular"})
    builder.setupOS2(sTypoAscender=800, usWeightClass=400)
    builder.setupPost()
    builder.save(path)
    return path


@pytest.mark.filterwarnings("error:Glyph")
def test_hangul_names_are_drawn_in_an_installed_hangul_font(market, overlap, tmp_path, fonts, caplog):
    fonts.addfont(nanum_font_file(tmp_path / "NanumGothic.ttf"))
    plot_comparison(evaluate_retrieval({"형태소 BM25": overlap}, market), tmp_path / "comparison.png")
    assert not [record for record in caplog.records if record.name.startswith("llama_index_ko_rerank")]


@pytest.mark.filterwarnings("ignore:Glyph")
def test_hangul_names_with_no_hangul_font_are_drawn_with_a_warning(market, overlap, tmp_path, fonts, caplog):
    plot_comparison(evaluate_retrieval({"형태소 BM25": overlap}, market), tmp_path / "comparison.png")
    assert "no Hangul font" in caplog.text
    assert (tmp_path / "comparison.png").read_bytes().startswith(PNG_SIGNATURE)
