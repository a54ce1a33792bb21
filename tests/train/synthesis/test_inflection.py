import pytest
from hypothesis import given
from hypothesis import strategies as st

from llama_index_ko_rerank.train.synthesis.inflection import final_sound, particle_after, with_particle

SYLLABLES = st.characters(min_codepoint=0xAC00, max_codepoint=0xD7A3)


@pytest.mark.parametrize(
    ("noun", "particle", "joined"),
    [
        ("책", "는", "책은"),
        ("나무", "을", "나무를"),
        ("길", "으로", "길로"),
        ("산", "로", "산으로"),
        ("서울", "로부터", "서울로부터"),
        ("법원", "로부터", "법원으로부터"),
        ("의사", "이라고", "의사라고"),
        ("귀중본", "란", "귀중본이란"),
        ("친구", "과", "친구와"),
        ("2017", "은", "2017은"),
        ("API", "은", "API는"),
        ("URL", "를", "URL을"),
        ("table", "으로", "table로"),
        ("server", "이", "server가"),
        ("「상법」", "는", "「상법」은"),
        ("도서관", "에서", "도서관에서"),
    ],
)
def test_a_particle_takes_the_form_that_the_last_sound_asks_for(noun, particle, joined):
    assert with_particle(noun, particle) == joined


@given(st.text(SYLLABLES, min_size=1, max_size=4), st.sampled_from(["은", "이", "을", "과", "이란", "이나"]))
def test_either_form_of_a_particle_gives_the_same_word(noun, particle):
    other = {"은": "는", "이": "가", "을": "를", "과": "와", "이란": "란", "이나": "나"}[particle]
    assert with_particle(noun, particle) == with_particle(noun, other)


@given(st.text(SYLLABLES, min_size=1, max_size=4))
def test_only_a_syllable_with_a_final_consonant_is_closed(noun):
    has_final = (ord(noun[-1]) - 0xAC00) % 28 > 0
    assert (final_sound(noun) != "open") == has_final
    assert (particle_after(noun, "를") == "을") == has_final


def test_nothing_to_read_is_open():
    assert final_sound("") == "open" == final_sound("?!")
