"""The book's experiments: sampled rows, refusals, and the report."""

import json

import numpy as np
import pytest

from llama_index_ko_rerank.data.dataset import Passage, Question, RetrievalDataset
from llama_index_ko_rerank.errors import DatasetUnavailable, InvalidSetting, UnknownDataset
from llama_index_ko_rerank.evaluate import Correlation, Interval, evaluate_retrieval
from llama_index_ko_rerank.train.reproduce.data import load_book_data, sample_rows
from llama_index_ko_rerank.train.reproduce.models import BookSettings, open_folder
from llama_index_ko_rerank.train.reproduce.report import BASE, FINE_TUNED, RERANKED, SPEARMAN, BookReport
from tests.corpora.training import PLACES, notice_board

BOOK = BookSettings(
    mrc="klue-mrc",
    sts="klue-sts",
    bi_encoder_base="klue/roberta-base",
    cross_encoder_base="klue/roberta-small",
    rows=None,
    seed=42,
)
OTHER = BookSettings(
    mrc="squad:korquad.json",
    sts="pairs:korsts.jsonl",
    bi_encoder_base="scratch",
    cross_encoder_base="ko-mini-rerank",
    rows=50,
    seed=42,
)


def report(settings, tmp_path):
    """A report over systems that find the right passage at a known rank: first, eleventh and first again."""
    passages = tuple(Passage(f"p{number}", f"본문 {number}") for number in range(12))
    dataset = RetrievalDataset(settings.mrc, "validation", passages, (Question("q", "무엇인가?", ("p0",)),))

    def at_rank(rank):
        from llama_index.core.schema import NodeWithScore, TextNode

        order = [*range(1, rank), 0, *range(rank, 12)]
        nodes = [
            NodeWithScore(node=TextNode(text=f"본문 {index}"), score=1.0 - row / 20) for row, index in enumerate(order)
        ]
        return lambda query: nodes

    systems = {BASE: at_rank(2), FINE_TUNED: at_rank(11), RERANKED: at_rank(1)}
    spearman = Interval(0.5, 0.4, 0.6)
    return BookReport(
        settings=settings,
        correlations={step: Correlation(settings.sts, "validation", 200, spearman) for step in SPEARMAN},
        search=evaluate_retrieval(systems, dataset, command="ko-rerank reproduce"),
        shared_contexts=3,
        learnt={"STS": 100, "MRC": 200},
        folders={FINE_TUNED: tmp_path / "mrc", RERANKED: tmp_path / "reranker"},
        static=settings.bi_encoder_base == "scratch",
    )


def test_the_searched_rows_are_those_that_hugging_face_datasets_draws():
    from datasets import Dataset

    board = notice_board()
    questions = [question.text for question in board.questions]
    split = Dataset.from_dict({"question": questions}).train_test_split(test_size=10, seed=42)

    drawn = sample_rows(board, 10, seed=42)

    assert [question.text for question in drawn.questions] == split["test"]["question"]
    assert {passage.id for passage in drawn.passages} == {q.passage_ids[0] for q in drawn.questions}
    assert [passage.id for passage in board.passages if passage in drawn.passages] == [p.id for p in drawn.passages]


def test_all_rows_are_drawn_where_there_are_fewer():
    board = notice_board(PLACES[:4])
    assert set(sample_rows(board, 1000, seed=1).questions) == set(board.questions)


@pytest.mark.parametrize("rows", [9, 0, -1])
def test_too_few_rows_are_refused_before_data_are_opened(rows):
    with pytest.raises(InvalidSetting, match="--rows must be 10 or more"):
        load_book_data("no-such-data", "no-such-data", rows=rows, seed=1)


def test_a_hub_out_of_reach_says_what_can_be_passed(monkeypatch):
    import datasets

    def out_of_reach(*_, **__):
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(datasets, "load_dataset", out_of_reach)
    with pytest.raises(DatasetUnavailable, match=r"--mrc klue-mrc:PATH or squad:FILE, --sts klue-sts:PATH or pairs:F"):
        load_book_data("klue-mrc", "klue-sts", rows=None, seed=42)


def test_data_with_nothing_to_measure_on_are_refused(tmp_path):
    row = {"sentence1": "하나", "sentence2": "둘", "label": 0.5}
    file = tmp_path / "짝.jsonl"
    file.write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(UnknownDataset, match="validation or test"):
        load_book_data("sample", f"pairs:{file}", rows=None, seed=42)


def test_a_folder_goes_on_with_the_same_settings_and_with_no_others(tmp_path):
    open_folder(tmp_path / "book", BOOK)
    open_folder(tmp_path / "book", BOOK)
    with pytest.raises(InvalidSetting, match=r"other settings \(mrc: 'klue-mrc' then, 'squad:korquad.json' now"):
        open_folder(tmp_path / "book", OTHER)


def test_a_folder_with_other_things_is_left_alone(tmp_path):
    (tmp_path / "report.md").write_text("mine", encoding="utf-8")
    with pytest.raises(InvalidSetting, match="something else than a reproduction"):
        open_folder(tmp_path, BOOK)
    assert [path.name for path in tmp_path.iterdir()] == ["report.md"]


def test_the_book_itself_is_comparable_and_other_data_are_not(tmp_path):
    book, other = report(BOOK, tmp_path), report(OTHER, tmp_path)

    assert book.to_json_dict()["comparable"]
    assert "not comparable" not in book.to_markdown()
    assert not other.to_json_dict()["comparable"]
    text = other.to_markdown()
    for sentence in (
        "**Figures of one row are not comparable**",
        "Other data: `squad:korquad.json` instead of klue-mrc.",
        "Other data: `pairs:korsts.jsonl` instead of klue-sts.",
        "Another model: `scratch` instead of klue/roberta-base.",
        "Another model: `ko-mini-rerank` instead of klue/roberta-small.",
        "At most 50 rows",
        "3 contexts of the measured questions were also learnt from.",
    ):
        assert sentence in text


def test_recall_of_thirty_stands_apart_from_hits_among_ten(tmp_path):
    found = report(BOOK, tmp_path).to_json_dict()["search"]["systems"]

    # The eleventh of twelve is among the candidates, and no hit.
    assert found[FINE_TUNED]["hit@10"]["value"] == 0.0
    assert found[FINE_TUNED]["candidate_recall"]["value"] == 1.0
    assert found[RERANKED]["hit@10"]["value"] == 1.0
    assert found[BASE]["hit@10"]["value"] == 1.0
    assert found[RERANKED]["published"]["share"] == 0.973
    assert ".973 (the recall of 30)" in report(BOOK, tmp_path).to_markdown()


def test_the_report_names_the_traps_and_the_folders_that_were_loaded(tmp_path):
    made = report(BOOK, tmp_path)
    text = made.to_markdown()

    assert text.count("\n1. ") == text.count("\n2. ") == text.count("\n3. ") == 1
    for sentence in ("recall of the first 30", "names the base model again", "by text and not by row"):
        assert sentence in text
    assert f"loaded from `{tmp_path / 'mrc'}`" in text
    made.write(tmp_path / "out")
    written = json.loads((tmp_path / "out" / "report.json").read_text(encoding="utf-8"))
    published = {"STS, untrained": 0.3646, "STS, trained": 0.8966, "MRC, before": 0.8152, "MRC, MNR": 0.8601}
    published |= {"cross-encoder, untrained": 0.0033, "cross-encoder, trained": 0.8650}
    assert {step: row["published"] for step, row in written["correlations"].items()} == published
    assert {row["spearman"]["value"] for row in written["correlations"].values()} == {0.5}
    assert np.isclose(written["search"]["systems"][BASE]["published"]["seconds"], 13.2)
