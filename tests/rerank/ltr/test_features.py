from itertools import pairwise

import numpy as np
import pytest
from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from llama_index_ko_rerank.errors import InvalidSetting, InvalidText
from llama_index_ko_rerank.rerank.ltr.features import (
    CROSS_ENCODER,
    DENSE,
    FEATURE_SETS,
    LEXICAL,
    LEXICAL_FEATURES,
    FeatureExtractor,
    dense_columns,
    feature_names,
)
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.types import RankedNode, SourceHit
from tests.corpora.ranking import QUESTIONS, TEXTS, column, searcher

QUESTION = next(iter(QUESTIONS))


@pytest.fixture
def index():
    return searcher().lexical_index


@pytest.fixture
def extractor(index):
    return FeatureExtractor(index)


def node(text, name="somewhere else", **metadata):
    return NodeWithScore(node=TextNode(id_=name, text=text, metadata=metadata))


def library(*names):
    return [node(TEXTS[name], name) for name in names]


class TestValues:
    def test_every_feature_of_facts_and_of_this_version_is_there_once(self):
        assert len(LEXICAL_FEATURES) == len(set(LEXICAL_FEATURES)) == 38
        assert set(LEXICAL_FEATURES) >= {"morphemes_share", "coverage", "sentence", "two_sentences", "pairs_adjacent"}

    @pytest.mark.parametrize("question", QUESTIONS)
    def test_all_values_are_finite_and_shares_are_shares(self, extractor, question):
        matrix = extractor.matrix(question, library(*TEXTS))
        assert matrix.shape == (len(TEXTS), len(LEXICAL_FEATURES))
        assert np.isfinite(matrix).all()
        for name in ("coverage", "local_coverage", "sentence", "window_8", "pairs_near", "rarest_three", "best_place"):
            assert ((column(extractor, matrix, name) >= 0) & (column(extractor, matrix, name) <= 1 + 1e-9)).all()

    def test_the_scores_are_those_of_the_index(self, extractor, index):
        scores = index.analyzer_scores(QUESTION)
        matrix = extractor.matrix(QUESTION, library(*TEXTS))
        for view in ("morphemes", "bigrams"):
            wanted = scores[view] / scores[view].max()
            assert column(extractor, matrix, f"{view}_to_best") == pytest.approx(wanted, abs=1e-6)

    def test_a_wider_reach_never_finds_less(self, extractor):
        matrix = extractor.matrix(QUESTION, library(*TEXTS))
        chain = [column(extractor, matrix, name) for name in ("window_8", "window_16", "window_64", "coverage")]
        assert all((wide >= narrow - 1e-12).all() for narrow, wide in pairwise(chain))

    def test_names_numbers_and_latin_words_of_the_question_are_looked_for_exactly(self, extractor):
        matrix = extractor.matrix("SOLBIT 암호", library("wifi", "card"))
        assert column(extractor, matrix, "latin_found").tolist() == [1, 0]
        matrix = extractor.matrix("30 대", library("park", "card"))
        assert column(extractor, matrix, "numbers_found").tolist() == [1, 0]
        assert column(extractor, matrix, "names_found").tolist() == [1, 1]

    def test_a_date_near_the_match_is_seen_where_one_is_asked_for(self, extractor):
        asked = extractor.matrix("도서관은 언제 문을 열었나", library("opening", "hall"))
        assert column(extractor, asked, "dates_near").tolist() == [pytest.approx(np.log(2)), 0]
        other = extractor.matrix("도서관은 왜 문을 열었나", library("opening", "hall"))
        assert column(extractor, other, "dates_near").tolist() == [0, 0]

    def test_a_question_that_shares_nothing_gives_zeros_and_no_warning(self, extractor):
        matrix = extractor.matrix("뽈끔", library("opening", "loan"))
        assert np.isfinite(matrix).all()
        assert column(extractor, matrix, "coverage").tolist() == [0, 0]

    @pytest.mark.parametrize("question", ["?!", "…", "🙂"])
    def test_a_question_of_marks_only_is_borne(self, extractor, question):
        assert np.isfinite(extractor.matrix(question, library("opening", "loan"))).all()


class TestOrder:
    def test_the_order_of_the_candidates_changes_no_row(self, extractor):
        names = list(TEXTS)
        matrix = extractor.matrix(QUESTION, library(*names))
        order = [3, 1, 9, 0, 2, 4, 8, 7, 6, 5]
        shuffled = extractor.matrix(QUESTION, library(*(names[place] for place in order)))
        assert shuffled == pytest.approx(matrix[order], abs=1e-12)

    def test_no_nodes_give_a_matrix_of_no_rows(self, extractor):
        assert extractor.matrix(QUESTION, []).shape == (0, len(LEXICAL_FEATURES))


class TestForeignNodes:
    def test_a_node_that_the_index_lacks_gets_what_it_would_get_inside(self, extractor):
        own = extractor.matrix(QUESTION, library(*TEXTS))
        foreign = extractor.matrix(QUESTION, [node(text, f"copy of {name}") for name, text in TEXTS.items()])
        assert foreign == pytest.approx(own, abs=1e-5)

    def test_own_and_foreign_nodes_mix_in_their_order(self, extractor):
        names = list(TEXTS)
        mixed = [node(TEXTS[name], name if place % 2 else f"copy {name}") for place, name in enumerate(names)]
        assert extractor.matrix(QUESTION, mixed) == pytest.approx(extractor.matrix(QUESTION, library(*names)), abs=1e-5)

    def test_words_that_the_index_has_never_seen_match_in_foreign_nodes(self, extractor):
        matrix = extractor.matrix("뜀틀 수업", [node("뜀틀 수업은 체육관에서 한다"), node("요리 강좌", "other")])
        coverage = column(extractor, matrix, "coverage")
        assert coverage[0] == pytest.approx(1)
        assert coverage[1] < 1

    def test_metadata_are_read_as_the_mode_says(self, index):
        foreign = [node("내용", title="솔빛도서관")]
        without = FeatureExtractor(index, metadata_mode=MetadataMode.NONE)
        assert column(without, without.matrix("솔빛도서관", foreign), "coverage") == [0]
        with_metadata = FeatureExtractor(index)
        assert column(with_metadata, with_metadata.matrix("솔빛도서관", foreign), "coverage") > 0

    def test_blank_passages_are_borne(self, extractor):
        assert np.isfinite(extractor.matrix(QUESTION, [node(""), node("  ", "b"), *library("loan")])).all()

    def test_lone_surrogates_are_refused_by_name(self, extractor):
        with pytest.raises(InvalidText, match="the text of node 'broken'"):
            extractor.matrix(QUESTION, [node("책\ud800", "broken")])


class TestSets:
    def test_features_are_listed_in_the_order_of_their_sets(self):
        assert feature_names([DENSE, LEXICAL]) == FEATURE_SETS[DENSE] + LEXICAL_FEATURES

    @pytest.mark.parametrize(
        ("sets", "reason"), [(["lexicl"], "did you mean 'lexical'"), ([], "at least one"), ([LEXICAL] * 2, "once each")]
    )
    def test_wrong_sets_are_refused(self, sets, reason):
        with pytest.raises(InvalidSetting, match=reason):
            feature_names(sets)

    def test_a_dense_leg_gives_score_rank_and_presence(self):
        found = RankedNode(node=TextNode(text="a"), sources={"e5": SourceHit(rank=2, score=0.8)})
        worse = RankedNode(node=TextNode(text="b"), sources={"e5": SourceHit(rank=4, score=0.3)})
        columns = dense_columns([worse, found, node("c")], "e5")
        assert columns["dense_found"].tolist() == [1, 1, 0]
        assert columns["dense_score"].tolist() == [0.3, 0.8, 0.3]
        assert columns["dense_reciprocal_rank"].tolist() == [0.25, 0.5, 0]

    def test_a_leg_that_found_nothing_gives_zeros(self):
        assert {name: values.tolist() for name, values in dense_columns([node("c")], "e5").items()} == {
            "dense_found": [0],
            "dense_score": [0],
            "dense_reciprocal_rank": [0],
        }

    def test_a_cross_encoder_gives_its_logit_and_less_to_what_is_blank(self, index):
        class ByLength:
            def logits(self, query, texts):
                return np.array([float(len(text)) for text in texts])

        extractor = FeatureExtractor(index, feature_sets=[CROSS_ENCODER], scorer=ByLength())
        assert extractor.matrix(QUESTION, [node("셋글자"), node("", "b"), node("두글", "c")]).tolist() == [
            [3],
            [1],
            [2],
        ]

    def test_sets_need_their_judge(self, index):
        with pytest.raises(InvalidSetting, match="needs dense_retriever"):
            FeatureExtractor(index, feature_sets=[LEXICAL, DENSE])
        with pytest.raises(InvalidSetting, match="needs a scorer"):
            FeatureExtractor(index, feature_sets=[CROSS_ENCODER])

    @pytest.mark.parametrize(("view", "lacking"), [("morphemes", "bigrams"), ("bigrams", "morphemes")])
    def test_an_index_of_one_view_is_refused(self, view, lacking):
        with pytest.raises(InvalidSetting, match=f"lacks \\['{lacking}'\\]"):
            FeatureExtractor(LexicalIndex([view]))
