import pytest

from llama_index_ko_rerank.data.dataset import PairDataset, Passage, Question, RetrievalDataset, SentencePair
from llama_index_ko_rerank.errors import EmptyCorpus
from llama_index_ko_rerank.train import TrainingArguments, train_bi_encoder
from llama_index_ko_rerank.train.data.rows import read_rows
from llama_index_ko_rerank.train.data.splits import drop_contaminated, find_contamination
from tests.corpora.training import PLACES, notice_board

LONG = "한들마을 회관은 해마다 봄에 마을 잔치를 열고, 떡과 술을 나누며 풍물을 친다. 올해 잔치는 사월 첫 토요일이다."
QUICK = {"epochs": 1, "batch_size": 8, "show_progress": False, "device": "cpu"}


def _rows(*contexts, split="train"):
    passages = tuple(Passage(f"p{n}", text) for n, text in enumerate(contexts))
    questions = tuple(Question(f"q{n}", f"{n}번은 무엇인가요?", (f"p{n}",)) for n in range(len(contexts)))
    return read_rows(RetrievalDataset("hand", split, passages, questions))


def test_a_text_with_other_spaces_and_marks_is_a_near_leak():
    copy = LONG.replace(" ", "").replace(",", "…").replace("올해", "올해의")

    leaks = find_contamination(_rows("시장은 아침에 연다", copy), _rows(LONG, split="validation"))

    assert leaks == {copy: LONG}


def test_texts_of_one_pattern_are_no_near_leaks():
    assert find_contamination(read_rows(notice_board(PLACES[:8])), read_rows(notice_board(PLACES[8:]))) == {}


def test_near_copies_are_left_out_and_counted_or_only_told_of(caplog):
    training, validation = _rows("시장은 아침에 연다", LONG + "!"), _rows(LONG, split="validation")

    dropped, count = drop_contaminated(training, validation, drop=True)
    kept, _ = drop_contaminated(training, validation, drop=False)

    assert (count, dropped.contexts) == (1, ("시장은 아침에 연다",))
    assert kept == training
    assert "1 of 2 training rows nearly copy a validation row" in caplog.text
    assert "this recipe keeps them" in caplog.text


def test_sentence_pairs_are_compared_whichever_side_they_stand_on():
    training = read_rows(PairDataset("a", "train", (SentencePair(LONG, "잔치가 열린다", 1.0),)))
    turned = read_rows(PairDataset("b", "validation", (SentencePair("잔치가 열린다!", LONG, 1.0),)))

    assert len(find_contamination(training, turned)) == 1


def test_a_recipe_of_ours_trains_without_near_copies_and_one_of_the_book_s_with_them(tmp_path):
    board = notice_board()
    copies = tuple(Passage(passage.id, passage.text + " !", passage.title) for passage in board.passages[:3])
    copied = RetrievalDataset("copies", "validation", copies, board.questions[:6])

    strong = train_bi_encoder(
        board, tmp_path / "a", validation=copied, arguments=TrainingArguments(recipe="strong", **QUICK)
    )
    book = train_bi_encoder(board, tmp_path / "b", validation=copied, arguments=TrainingArguments(**QUICK))

    assert (strong.training_rows, book.training_rows) == (26, 32)


def test_too_little_left_without_near_copies_is_refused(tmp_path):
    board = notice_board(PLACES[:11])
    copies = tuple(Passage(passage.id, passage.text + " !", passage.title) for passage in board.passages[:3])
    copied = RetrievalDataset("copies", "validation", copies, board.questions[:6])

    with pytest.raises(EmptyCorpus, match="8 distinct contexts"):
        train_bi_encoder(
            board, tmp_path / "a", validation=copied, arguments=TrainingArguments(recipe="strong", **QUICK)
        )
