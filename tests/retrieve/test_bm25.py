import asyncio
import copy
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from llama_index.core.schema import Document, MetadataMode, QueryBundle, TextNode
from llama_index.core.vector_stores.types import FilterCondition, FilterOperator, MetadataFilter, MetadataFilters

from llama_index_ko_rerank.errors import (
    BlankQuery,
    DuplicateNodeId,
    EmptyCorpus,
    InvalidFilter,
    InvalidSetting,
    InvalidText,
)
from llama_index_ko_rerank.retrieve.bm25 import KoreanBM25Retriever
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.types import RankedNode


def ids_of(results):
    return [result.node.node_id for result in results]


def where(*filters, condition=FilterCondition.AND):
    return MetadataFilters(
        filters=[MetadataFilter(key=key, operator=operator, value=value) for key, operator, value in filters],
        condition=condition,
    )


@pytest.fixture
def retriever(nodes):
    return KoreanBM25Retriever.from_nodes(nodes)


class TestSearching:
    @pytest.mark.parametrize(
        ("question", "answer"),
        [
            ("연차는 누구에게 신청하나?", "leave"),
            ("출장비를 언제까지 청구해야 하나요", "trip"),
            ("점심값은 하루에 얼마까지 내 주나", "meal"),
            ("총무팀은 무엇을 주나", "laptop"),
            ("회 의실 예 약", "room"),
        ],
    )
    def test_the_passage_that_answers_comes_first(self, retriever, question, answer):
        assert ids_of(retriever.retrieve(question))[0] == answer

    def test_a_node_that_shares_nothing_is_not_returned(self, retriever):
        assert ids_of(retriever.retrieve("주차장")) == ["parking"]
        assert retriever.retrieve("바다거북") == []

    def test_equal_scores_keep_the_order_of_the_collection(self, make_nodes):
        tied = KoreanBM25Retriever.from_nodes(make_nodes({"z": "사과!", "a": "사과.", "m": "사과?"}))
        assert ids_of(tied.retrieve("사과")) == ["z", "a", "m"]

    def test_asking_for_more_than_there_is_gives_what_there_is(self, make_nodes):
        few = KoreanBM25Retriever.from_nodes(make_nodes({"a": "사과", "b": "사과 배"}), similarity_top_k=1_000)
        assert ids_of(few.retrieve("사과")) == ["a", "b"]

    def test_asking_for_fewer_cuts_the_end(self, nodes):
        whole = ids_of(KoreanBM25Retriever.from_nodes(nodes).retrieve("하루 전에 신청"))
        assert ids_of(KoreanBM25Retriever.from_nodes(nodes, similarity_top_k=2).retrieve("하루 전에 신청")) == whole[:2]

    @pytest.mark.parametrize(
        ("analyzers", "sources"),
        [
            (["morphemes", "bigrams"], {"morphemes", "bigrams"}),
            (["morphemes"], {"morphemes"}),
            (["bigrams"], {"bigrams"}),
        ],
    )
    def test_a_result_has_the_rank_and_score_of_each_analyzer(self, nodes, analyzers, sources):
        result = KoreanBM25Retriever.from_nodes(nodes, analyzers=analyzers).retrieve("출장비 청구")[0]
        assert isinstance(result, RankedNode)
        assert set(result.sources) == sources
        assert all(hit.rank == 1 and hit.score > 0 for hit in result.sources.values())
        assert type(result.score) is float
        result.to_json()

    def test_a_word_of_the_users_own_is_found_whole(self, make_nodes):
        books = make_nodes({"club": "모두의책은 목요일에 모인다", "shelf": "모두 제 책을 가져온다"})
        plain = KoreanBM25Retriever.from_nodes(books, analyzers=("morphemes",))
        taught = KoreanBM25Retriever.from_nodes(books, analyzers=("morphemes",), user_words=[("모두의책", "NNP")])
        assert sorted(ids_of(plain.retrieve("모두의책"))) == ["club", "shelf"]
        assert ids_of(taught.retrieve("모두의책")) == ["club"]

    def test_the_constants_of_bm25_are_the_callers(self, make_nodes):
        texts = make_nodes({"long": "사과 사과 사과 배 감 귤 밤 대추 호두 잣", "short": "사과"})
        repeats = KoreanBM25Retriever.from_nodes(texts, analyzers=("morphemes",), settings=BM25Settings(k1=5, b=0))
        lengths = KoreanBM25Retriever.from_nodes(texts, analyzers=("morphemes",), settings=BM25Settings(k1=5, b=1))
        assert ids_of(repeats.retrieve("사과"))[0] == "long"
        assert ids_of(lengths.retrieve("사과"))[0] == "short"

    def test_metadata_are_searched_as_an_embedding_would_see_them(self):
        node = TextNode(text="사흘 전에 신청한다", id_="n", metadata={"title": "연차 규정", "secret": "주차장"})
        node.excluded_embed_metadata_keys = ["secret"]
        retriever = KoreanBM25Retriever.from_nodes([node])
        assert ids_of(retriever.retrieve("연차 규정")) == ["n"]
        assert retriever.retrieve("주차장") == []

    def test_metadata_can_be_left_out_of_the_search(self):
        node = TextNode(text="사흘 전에 신청한다", id_="n", metadata={"title": "연차 규정"})
        assert KoreanBM25Retriever.from_nodes([node], metadata_mode=MetadataMode.NONE).retrieve("연차 규정") == []

    def test_the_nodes_come_back_as_they_went_in(self, nodes):
        before, hashes = copy.deepcopy(nodes), [node.hash for node in nodes]
        found = KoreanBM25Retriever.from_nodes(nodes).retrieve("하루 전에 신청")
        assert nodes == before
        assert [node.hash for node in nodes] == hashes
        assert all(any(result.node is node for node in nodes) for result in found)
        text = next(node for node in before if node.node_id == found[0].node.node_id).get_content(MetadataMode.LLM)
        assert found[0].node.get_content(MetadataMode.LLM) == text

    def test_the_async_answer_is_the_sync_answer(self, retriever):
        for question in ("연차 신청", "바다거북", "하루 전에"):
            assert asyncio.run(retriever.aretrieve(question)) == retriever.retrieve(question)

    def test_an_async_question_leaves_the_event_loop_free(self, retriever):
        async def count_while_asking():
            ticks = 0
            task = asyncio.create_task(retriever.aretrieve("도서관은 어디에 있어? " * 3_000))
            while not task.done():
                ticks += 1
                await asyncio.sleep(0.001)
            return ticks

        assert asyncio.run(count_while_asking()) > 5


class TestQuestions:
    @pytest.mark.parametrize("blank", ["", "  ", "\n", "\u200b", "\x00"])
    def test_a_blank_question_is_refused(self, retriever, blank):
        with pytest.raises(BlankQuery):
            retriever.retrieve(blank)
        with pytest.raises(BlankQuery):
            asyncio.run(retriever.aretrieve(QueryBundle(blank)))

    def test_a_lone_surrogate_is_refused(self, retriever):
        with pytest.raises(InvalidText, match="question holds a lone surrogate"):
            retriever.retrieve("연차\ud800")

    def test_control_and_invisible_characters_change_nothing(self, retriever):
        assert retriever.retrieve("연\u200b차\x00신청\x07") == retriever.retrieve("연차 신청 ")

    def test_a_decomposed_question_finds_the_same(self, retriever):
        question = "출장비를 언제까지 청구하나?"
        assert retriever.retrieve(unicodedata.normalize("NFD", question)) == retriever.retrieve(question)

    def test_decomposed_passages_are_found_the_same(self, make_nodes, rules, retriever):
        decomposed = make_nodes({name: unicodedata.normalize("NFD", text) for name, text in rules.items()})
        answers = KoreanBM25Retriever.from_nodes(decomposed).retrieve("하루 전에 신청")
        wanted = retriever.retrieve("하루 전에 신청")
        assert [(result.node.node_id, result.score, result.sources) for result in answers] == [
            (result.node.node_id, result.score, result.sources) for result in wanted
        ]

    @pytest.mark.parametrize(
        "question", ["연차는 사흘 전에 신청하나? " * 6_500, "연차신청방법" * 16_667], ids=["spaced", "run"]
    )
    def test_a_question_of_100_000_characters_is_answered_in_time(self, retriever, question):
        assert len(question) >= 100_000
        began = time.process_time()
        assert ids_of(retriever.retrieve(question))[0] == "leave"
        assert time.process_time() - began < 5


class TestFilters:
    @pytest.fixture
    def dated(self):
        return [
            TextNode(text="연차 규정 첫째", id_="old", metadata={"year": 2019, "team": "총무"}),
            TextNode(text="연차 규정 둘째", id_="new", metadata={"year": 2024, "team": "개발"}),
            TextNode(text="연차 규정 셋째", id_="bare"),
        ]

    @pytest.mark.parametrize(
        ("filters", "wanted"),
        [
            (where(("team", FilterOperator.EQ, "총무")), {"old"}),
            (where(("team", FilterOperator.NE, "총무")), {"new", "bare"}),
            (where(("year", FilterOperator.GTE, 2020)), {"new"}),
            (where(("year", FilterOperator.LT, 2020)), {"old"}),
            (where(("team", FilterOperator.IN, ["개발", "영업"])), {"new"}),
            (where(("team", FilterOperator.IS_EMPTY, None)), {"bare"}),
            (where(("team", FilterOperator.EQ, "총무"), ("year", FilterOperator.EQ, 2024)), set()),
            (
                where(
                    ("team", FilterOperator.EQ, "총무"),
                    ("year", FilterOperator.EQ, 2024),
                    condition=FilterCondition.OR,
                ),
                {"old", "new"},
            ),
            (
                MetadataFilters(
                    filters=[
                        where(("team", FilterOperator.IS_EMPTY, None), ("year", FilterOperator.GT, 2000)),
                        where(("year", FilterOperator.EQ, 2024)),
                    ],
                    condition=FilterCondition.OR,
                ),
                {"new"},
            ),
            (where(("team", FilterOperator.EQ, "총무"), condition=FilterCondition.NOT), {"new", "bare"}),
            (MetadataFilters(filters=[]), {"old", "new", "bare"}),
            (None, {"old", "new", "bare"}),
        ],
        ids=["eq", "ne", "gte", "lt", "in", "empty", "and", "or", "nested", "not", "no filters", "none"],
    )
    def test_only_nodes_that_pass_are_found(self, dated, filters, wanted):
        retriever = KoreanBM25Retriever.from_nodes(dated, filters=filters)
        assert set(ids_of(retriever.retrieve("연차 규정"))) == wanted

    def test_filtered_nodes_do_not_use_up_the_places(self, dated):
        retriever = KoreanBM25Retriever.from_nodes(
            dated, similarity_top_k=1, filters=where(("team", FilterOperator.IS_EMPTY, None))
        )
        assert ids_of(retriever.retrieve("연차 규정")) == ["bare"]

    def test_filters_may_be_assigned_at_any_time(self, dated):
        retriever = KoreanBM25Retriever.from_nodes(dated)
        retriever.filters = where(("year", FilterOperator.EQ, 2019))
        assert ids_of(retriever.retrieve("연차")) == ["old"]
        retriever.filters = None
        assert len(retriever.retrieve("연차")) == 3

    def test_filters_hold_for_nodes_that_come_and_go(self, dated):
        retriever = KoreanBM25Retriever.from_nodes(dated, filters=where(("year", FilterOperator.EQ, 2019)))
        assert ids_of(retriever.retrieve("연차")) == ["old"]
        retriever.add([TextNode(text="연차 규정 넷째", id_="copy", metadata={"year": 2019})])
        assert set(ids_of(retriever.retrieve("연차"))) == {"old", "copy"}
        retriever.delete(["old"])
        assert ids_of(retriever.retrieve("연차")) == ["copy"]

    def test_filters_that_make_no_sense_are_refused_on_construction(self, dated):
        with pytest.raises(InvalidFilter, match="needs a list"):
            KoreanBM25Retriever.from_nodes(dated, filters=where(("year", FilterOperator.IN, 2019)))


class TestChanging:
    def test_added_nodes_are_found(self, retriever, make_nodes):
        retriever.add(make_nodes({"gym": "헬스장은 밤 열 시에 닫는다."}))
        assert ids_of(retriever.retrieve("헬스장")) == ["gym"]
        assert len(retriever) == 7

    def test_adding_one_by_one_is_adding_at_once(self, nodes, retriever):
        grown = KoreanBM25Retriever.from_nodes(nodes[:1])
        for node in nodes[1:]:
            grown.add([node])
        assert grown.retrieve("하루 전에 신청") == retriever.retrieve("하루 전에 신청")

    def test_deleted_nodes_are_gone_and_scores_are_as_if_they_had_never_been_there(self, nodes, retriever):
        assert retriever.delete(["leave", "nobody"]) == 1
        fresh = KoreanBM25Retriever.from_nodes([node for node in nodes if node.node_id != "leave"])
        assert retriever.retrieve("하루 전에 신청") == fresh.retrieve("하루 전에 신청")

    def test_all_may_be_deleted(self, retriever, rules):
        assert retriever.delete(list(rules)) == len(rules)
        assert len(retriever) == 0
        assert retriever.retrieve("연차") == []

    def test_a_deleted_id_may_come_back(self, retriever, make_nodes):
        retriever.delete(["leave"])
        retriever.add(make_nodes({"leave": "연차는 이제 하루 전에 알린다."}))
        assert retriever.retrieve("연차")[0].node.get_content() == "연차는 이제 하루 전에 알린다."

    @pytest.mark.parametrize("texts", [{"gym": "헬스장", "leave": "또"}, {"leave": "또"}])
    def test_an_id_that_is_there_is_refused_and_nothing_is_added(self, retriever, make_nodes, texts):
        with pytest.raises(DuplicateNodeId, match="'leave'"):
            retriever.add(make_nodes(texts))
        assert len(retriever) == 6
        assert retriever.retrieve("헬스장") == []
        assert retriever.retrieve("연차")[0].node.get_content() == "연차는 사흘 전에 팀장에게 신청한다."

    def test_a_text_with_a_lone_surrogate_is_refused_and_nothing_is_added(self, retriever, make_nodes):
        with pytest.raises(InvalidText, match="the text of 'gym'"):
            retriever.add(make_nodes({"ok": "헬스장", "gym": "헬스장\udc00"}))
        assert len(retriever) == 6
        assert retriever.retrieve("헬스장") == []

    def test_asking_while_others_add_and_delete_gives_whole_answers(self, make_nodes, retriever):
        def ask(_):
            for _ in range(40):
                for result in retriever.retrieve("헬스장 연차 신청"):
                    assert result.node.get_content()
                    assert result.sources

        def change(name):
            for number in range(15):
                retriever.add(make_nodes({f"{name}{number}": f"헬스장 {name} {number}"}))
                if number % 3 == 0:
                    retriever.delete([f"{name}{number}"])

        with ThreadPoolExecutor(6) as pool:
            runs = [pool.submit(act, name) for name in "갑을병" for act in (ask, change)]
        for run in runs:
            run.result()
        assert len(retriever) == 6 + 3 * 10


class TestMaking:
    def test_an_empty_corpus_is_refused(self):
        with pytest.raises(EmptyCorpus):
            KoreanBM25Retriever.from_nodes([])

    def test_two_nodes_with_one_id_are_refused(self, nodes):
        with pytest.raises(DuplicateNodeId, match="'leave'"):
            KoreanBM25Retriever.from_nodes([*nodes, nodes[0]])

    def test_nodes_without_words_are_taken_and_never_found(self, make_nodes):
        retriever = KoreanBM25Retriever.from_nodes(make_nodes({"blank": "", "marks": "!!!", "word": "사과"}))
        assert ids_of(retriever.retrieve("사과")) == ["word"]

    def test_documents_are_nodes_too(self):
        retriever = KoreanBM25Retriever.from_nodes([Document(text="연차 신청", id_="d")])
        assert ids_of(retriever.retrieve("연차")) == ["d"]

    def test_progress_is_told(self, nodes):
        calls = []
        KoreanBM25Retriever.from_nodes(nodes, on_progress=lambda done, total: calls.append((done, total)))
        assert calls[-1] == (6, 6)

    @pytest.mark.parametrize(
        ("settings", "reason"),
        [
            ({"similarity_top_k": 0}, "similarity_top_k must be 1 or more"),
            ({"similarity_top_k": -3}, "similarity_top_k must be 1 or more"),
            ({"analyzers": ["morpheme"]}, "did you mean 'morphemes'"),
            ({"user_words": ["모두의책"]}, "a user word is a pair"),
        ],
    )
    def test_settings_that_make_no_sense_are_refused(self, nodes, settings, reason):
        with pytest.raises(InvalidSetting, match=reason):
            KoreanBM25Retriever.from_nodes(nodes, **settings)
