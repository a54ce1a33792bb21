import random
import re
import time
import unicodedata
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from llama_index_ko_rerank.errors import InvalidSetting, InvalidText
from llama_index_ko_rerank.text.tokenizers import CONTENT_TAGS, QUESTION_WORDS, BigramTokenizer, MorphemeTokenizer

TEXTS = [
    "학생들이 도서관에서 책을 읽는다.",
    "연차는 사흘 전에 팀장에게 신청하세요!",
    "KTX는 2004년에 개통했다.",
    "비가 오면 회의실을 옮긴다.",
]
COMPANY = ("모두의책", "NNP")
words = st.sampled_from(["학교", "비", "읽는다", "새로운", "ABC", "2024년", "은", "?", "\n", "ㅋㅋ", "한글"])
korean_texts = st.lists(words, max_size=12).map(" ".join)


def tokens(text, tokenizer=None):
    return next((tokenizer or MorphemeTokenizer()).tokens([text]))


class TestMorphemes:
    def test_particles_and_endings_are_taken_off(self):
        assert tokens("학생들이 도서관에서 공부한다") == ["학생", "도서관", "공부"]

    @pytest.mark.parametrize("inflected", ["사과는", "사과를", "사과에서만", "사과라면", "사과까지도"])
    def test_a_noun_is_one_token_with_any_particle(self, inflected):
        assert tokens(inflected) == ["사과"]

    @pytest.mark.parametrize("inflected", ["먹었다", "먹는", "먹으면", "먹겠습니다", "먹지"])
    def test_a_verb_is_one_token_in_any_form(self, inflected):
        assert tokens(inflected) == ["먹"]

    def test_irregular_forms_come_back_to_their_stem(self):
        assert tokens("길을 걸었다") == ["길", "걷"]

    def test_latin_letters_are_lower_case(self):
        assert tokens("KTX 예매") == tokens("ktx 예매")

    def test_numbers_and_their_units_stay(self):
        assert tokens("2004년에 3명이") == ["2004", "년", "3", "명"]

    def test_a_wrong_space_inside_a_word_is_forgiven_as_asked(self):
        assert tokens("학 생들이 도서 관에서 공부 한다") == ["학생", "도서관", "공부"]
        assert tokens("학 생들이 도서 관에서 공부 한다", MorphemeTokenizer(space_tolerance=0)) != [
            "학생",
            "도서관",
            "공부",
        ]

    def test_a_word_of_the_users_own_stays_whole(self):
        text = "모두의책은 서울에 있다"
        assert "모두의책" not in tokens(text)
        assert tokens(text, MorphemeTokenizer([COMPANY]))[0] == "모두의책"

    def test_decomposed_text_has_the_same_tokens(self):
        for text in TEXTS:
            assert tokens(unicodedata.normalize("NFD", text)) == tokens(text)

    def test_width_and_invisible_characters_change_no_token(self):
        assert tokens("ＫＴＸ는\u200b 빠르다") == tokens("KTX는 빠르다")

    def test_a_blank_text_has_no_tokens_and_keeps_its_place(self):
        assert list(MorphemeTokenizer().tokens(["비", "", " \n", "눈"])) == [["비"], [], [], ["눈"]]

    def test_many_texts_come_back_in_their_order(self):
        numbers = [str(number) for number in range(500)]
        assert list(MorphemeTokenizer().tokens(f"{number}" for number in numbers)) == [[number] for number in numbers]

    def test_a_lone_surrogate_is_refused(self):
        with pytest.raises(InvalidText):
            list(MorphemeTokenizer().tokens(["비", "눈\ud800"]))

    def test_threads_get_what_one_thread_gets(self):
        tokenizer = MorphemeTokenizer([COMPANY])
        wanted = list(tokenizer.tokens(TEXTS))
        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(lambda _: list(tokenizer.tokens(TEXTS)), range(40))) == [wanted] * 40

    @settings(deadline=None, max_examples=50)
    @given(korean_texts)
    def test_a_stream_has_tags_and_sentences_for_its_forms(self, text):
        tokenizer = MorphemeTokenizer()
        stream = next(tokenizer.analyse([text]))
        assert stream.forms == tokens(text, tokenizer)
        assert len(stream.forms) == len(stream.tags) == len(stream.sentences)
        assert set(stream.tags) <= {tag for tags in CONTENT_TAGS.values() for tag in tags}
        assert stream.sentences == sorted(stream.sentences)

    def test_a_stream_counts_sentences_from_nought(self):
        stream = next(MorphemeTokenizer().analyse(["비가 왔다. 눈도 왔다."]))
        assert list(zip(stream.forms, stream.sentences, strict=True)) == [("비", 0), ("오", 0), ("눈", 1), ("오", 1)]


class TestQuestions:
    def test_question_words_are_left_out(self):
        assert MorphemeTokenizer().query_tokens("도서관은 어디에 있어?") == ["도서관", "있"]

    @pytest.mark.parametrize("question", ["왜?", "무엇을 언제?", "누가 무엇을 왜?"])
    def test_a_question_of_only_question_words_keeps_them(self, question):
        found = MorphemeTokenizer().query_tokens(question)
        assert found
        assert set(found) <= QUESTION_WORDS

    def test_passages_keep_their_question_words(self):
        assert "어디" in tokens("도서관은 어디에 있어?")

    @pytest.mark.parametrize("question", ["!!!", "😀", "", "…?"])
    def test_a_question_without_words_has_no_tokens(self, question):
        assert MorphemeTokenizer().query_tokens(question) == []

    def test_a_question_is_analysed_as_a_passage_is(self):
        tokenizer = MorphemeTokenizer()
        for text in TEXTS:
            assert tokenizer.analyse_query(text) == next(tokenizer.analyse([text]))

    def test_a_long_question_counts_its_sentences_on(self):
        found = MorphemeTokenizer().analyse_query("비가 왔다. " * 400)
        assert found.forms == ["비", "오"] * 400
        assert found.sentences == [number for number in range(400) for _ in range(2)]

    def test_an_answer_may_be_changed_without_changing_the_next_one(self):
        tokenizer = MorphemeTokenizer()
        for question in ("도서관은 어디에 있어?", "왜?"):
            wanted = list(tokenizer.query_tokens(question))
            tokenizer.query_tokens(question).clear()
            assert tokenizer.query_tokens(question) == wanted

    def test_a_question_of_100_000_characters_loses_no_word(self):
        question = "도서관은 어디에 있어? " * 8_000
        assert len(question) > 100_000
        began = time.process_time()
        assert MorphemeTokenizer().query_tokens(question) == ["도서관", "있"] * 8_000
        assert time.process_time() - began < 5

    @pytest.mark.parametrize("kind", ["latin", "syllables", "decomposed"])
    def test_100_000_characters_without_a_space_are_read_in_time(self, kind):
        syllables = "".join(random.Random(7).choices([chr(code) for code in range(0xAC00, 0xD7A4)], k=100_000))
        run = {"latin": "a" * 100_000, "syllables": syllables, "decomposed": unicodedata.normalize("NFD", syllables)}
        began = time.process_time()
        found = MorphemeTokenizer().query_tokens(run[kind])
        assert time.process_time() - began < 5
        assert found

    def test_a_long_decomposed_question_is_not_cut_inside_a_syllable(self):
        question = "도서관" * 700
        tokenizer = MorphemeTokenizer()
        assert tokenizer.query_tokens(unicodedata.normalize("NFD", question)) == tokenizer.query_tokens(question)


class TestIdentity:
    def test_equal_options_have_equal_identities(self):
        assert MorphemeTokenizer([COMPANY]).identity == MorphemeTokenizer([COMPANY]).identity

    def test_other_options_have_other_identities(self):
        options = [
            MorphemeTokenizer(),
            MorphemeTokenizer(space_tolerance=0),
            MorphemeTokenizer([COMPANY]),
            MorphemeTokenizer([("모두의책", "NNG")]),
            MorphemeTokenizer([COMPANY, ("물결표", "NNG")]),
            BigramTokenizer(),
        ]
        assert len({tokenizer.identity for tokenizer in options}) == len(options)

    def test_it_names_the_version_of_kiwi_and_its_model(self):
        assert re.search(r"kiwi=\d+\.\d+.*\+model\.\d+", MorphemeTokenizer().identity)

    def test_a_decomposed_user_word_is_the_composed_one(self):
        decomposed = MorphemeTokenizer([(unicodedata.normalize("NFD", "모두의책"), "NNP")])
        assert decomposed.identity == MorphemeTokenizer([COMPANY]).identity


class TestUserWords:
    @pytest.mark.parametrize(
        "wrong", ["모두의책", "한글", ("모두의책",), ("모두의책", "NNP", 0.5), ("", "NNP"), (" \u200b", "NNP")]
    )
    def test_what_is_no_pair_of_word_and_tag_is_refused(self, wrong):
        with pytest.raises(InvalidSetting, match="a user word is a pair of a word and its Kiwi tag"):
            MorphemeTokenizer([wrong])

    def test_an_unknown_tag_is_named(self):
        with pytest.raises(InvalidSetting, match=r"모두의책.*NOUN"):
            list(MorphemeTokenizer([("모두의책", "NOUN")]).tokens(["비"]))

    def test_a_lone_surrogate_is_refused(self):
        with pytest.raises(InvalidText):
            MorphemeTokenizer([("한\ud800", "NNP")])


class TestBigrams:
    def test_pairs_cross_spaces_and_leave_punctuation_out(self):
        assert tokens("한국 어, 책!", BigramTokenizer()) == ["한국", "국어", "어책"]

    def test_letters_are_lower_case(self):
        assert tokens("KTX", BigramTokenizer()) == ["kt", "tx"]

    def test_one_character_is_its_own_token_and_none_is_none(self):
        assert list(BigramTokenizer().tokens(["비", "!", ""])) == [["비"], [], []]

    def test_a_question_keeps_its_question_words(self):
        assert BigramTokenizer().query_tokens("왜 비가") == ["왜비", "비가"]

    @given(korean_texts, st.randoms(use_true_random=False))
    def test_spaces_and_punctuation_anywhere_change_nothing(self, text, chance):
        spoilt = "".join(character + chance.choice(["", " ", ". ", "\n", "\u200b"]) for character in text)
        assert tokens(spoilt, BigramTokenizer()) == tokens(text, BigramTokenizer())

    @given(korean_texts)
    def test_decomposed_text_has_the_same_tokens(self, text):
        assert tokens(unicodedata.normalize("NFD", text), BigramTokenizer()) == tokens(text, BigramTokenizer())

    @given(st.text(alphabet="가나다라마바사", min_size=2))
    def test_the_tokens_spell_the_text(self, text):
        found = tokens(text, BigramTokenizer())
        assert "".join(token[0] for token in found) + found[-1][1] == text

    def test_a_lone_surrogate_is_refused(self):
        with pytest.raises(InvalidText):
            tokens("비\udfff", BigramTokenizer())
