import numpy as np
import pytest
from sentence_transformers import CrossEncoder
from torch.nn import Identity

from llama_index_ko_rerank.data.dataset import TrainingPair
from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting
from llama_index_ko_rerank.train.data.hard_negatives import NONE, lexical_ranking, mine_hard_negatives
from llama_index_ko_rerank.train.data.rows import QuestionRows, read_rows
from llama_index_ko_rerank.train.models.scratch import static_model
from llama_index_ko_rerank.train.recipes.recipe import MiningSettings
from tests.corpora.training import PLACES, notice_board

LONG = "한들마을 회관은 해마다 봄에 마을 잔치를 열고 떡과 술을 나누며 풍물을 친다"
ROWS = QuestionRows(
    "hand",
    (
        TrainingPair("마을 회관 잔치는 언제 여나요?", LONG, "회관"),
        TrainingPair("마을 회관 잔치는 언제 여나요?", "회관 잔치 날짜는 봄날 첫 토요일이다", "소식"),
        TrainingPair("시장 입장료는 얼마인가요?", "시장 입장료는 삼천 원이다", "시장"),
    ),
    (
        LONG,
        LONG + ".",
        "회관 잔치 날짜는 봄날 첫 토요일이다",
        "마을 회관 지붕을 고친다",
        "마을 잔치에 쓸 떡을 빚는다",
        "시장 입장료는 삼천 원이다",
        "극장 입장료는 오천 원이다",
        "바람이 분다",
    ),
)


class HandJudge(CrossEncoder):
    """Scores pairs by a function of their texts."""

    def __init__(self, score):
        super().__init__(modules=[Identity()], device="cpu")
        self.score = score

    def predict(self, inputs, **options):
        return np.array([self.score(*pair) for pair in inputs])


def test_bm25_names_what_shares_bigrams_and_nothing_else():
    ranking = lexical_ranking(ROWS.collection, ["시장 입장료는 얼마인가요?"], 4)

    assert ranking[0, :2].tolist() == [5, 6]
    assert ranking[0, 2:].tolist() == [NONE, NONE]


def test_answers_of_the_question_and_their_near_copies_are_no_negatives():
    mined = mine_hard_negatives(ROWS, MiningSettings(negatives=2), seed=0)

    for texts in mined.texts[:2]:
        assert set(texts) == {"마을 회관 지붕을 고친다", "마을 잔치에 쓸 떡을 빚는다"}
    assert mined.texts[2][0] == "극장 입장료는 오천 원이다"
    assert mined.near_duplicates == 1
    assert mined.sources == ("BM25",)


def test_contexts_of_validation_questions_are_left_out():
    mined = mine_hard_negatives(ROWS, MiningSettings(negatives=2), seed=0, without={"극장 입장료는 오천 원이다"})

    assert "극장 입장료는 오천 원이다" not in {text for texts in mined.texts for text in texts}


def test_the_cross_encoder_filter_drops_what_answers_too_and_counts_it():
    cross_encoder_filter = HandJudge(lambda question, text: 5.0 if "원이다" in text else 0.0)
    mined = mine_hard_negatives(ROWS, MiningSettings(negatives=2), seed=0, cross_encoder_filter=cross_encoder_filter)

    assert "극장 입장료는 오천 원이다" not in mined.texts[2]
    assert mined.filtered_by_cross_encoder >= 1
    assert "candidates dropped by the cross-encoder" in mined.summary


def test_the_model_s_neighbours_are_mined_and_the_same_seed_mines_the_same():
    rows = read_rows(notice_board())
    model = static_model(rows.texts, seed=1)
    first, again = (mine_hard_negatives(rows, MiningSettings(negatives=3), seed=5, embedding=model) for _ in "ab")

    assert first == again
    assert first.sources == ("BM25", "the embedding model")
    for pair, texts in zip(rows.pairs, first.texts, strict=True):
        assert len(set(texts)) == 3
        assert pair.context not in texts


def test_a_margin_of_the_whole_cosine_drops_every_candidate_that_is_like_the_question_at_all():
    rows = read_rows(notice_board())
    model = static_model(rows.texts, seed=1)

    wide = mine_hard_negatives(rows, MiningSettings(negatives=3, margin=1.0), seed=5, embedding=model)
    narrow = mine_hard_negatives(rows, MiningSettings(negatives=3, margin=0.0), seed=5, embedding=model)

    assert wide.dropped > narrow.dropped
    assert wide.sampled > narrow.sampled


def test_a_small_collection_has_room_for_fewer_negatives_and_logs_it(caplog):
    rows = read_rows(notice_board(PLACES[:4]))

    mined = mine_hard_negatives(rows, MiningSettings(negatives=7), seed=0)

    assert {len(texts) for texts in mined.texts} == {3}
    assert "room for 3 hard negatives a row and not 7" in caplog.text


def test_one_passage_has_no_negatives():
    rows = QuestionRows("hand", (TrainingPair("언제?", "아침", ""),), ("아침",))

    with pytest.raises(EmptyCorpus, match="no passage that could be its negative"):
        mine_hard_negatives(rows, MiningSettings(negatives=1), seed=0)


@pytest.mark.parametrize("wrong", [{"negatives": 0}, {"negatives": 60}, {"negatives": 2, "margin": 1.1}])
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InvalidSetting):
        MiningSettings(**wrong)
