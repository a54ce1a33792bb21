"""Parity of the packaged tokenizer with tokenisations of XLM-RoBERTa that others have published."""

import unicodedata

import pytest
from tokenizers import normalizers

from llama_index_ko_rerank.models.unigram_tokenizer import character_map

# fairseq's page on XLM-R, which encodes with sentencepiece itself
FAIRSEQ = {
    "Hello world!": [0, 35378, 8999, 38, 2],
    "你好，世界": [0, 6, 124084, 4, 3221, 2],
    "नमस्ते दुनिया": [0, 68700, 97883, 29405, 2],
    "مرحبا بالعالم": [0, 665, 193478, 258, 1705, 77796, 2],
    "Bonjour le monde": [0, 84602, 95, 11146, 2],
}
# rust-tokenizers' test of XLM-RoBERTa: an accent, an emoji, characters of four bytes and of no known piece
RUST_TOKENIZERS = {
    "…": [0, 153, 2],
    "This is a sample sentence to be tokénized": [0, 3293, 83, 10, 121413, 149357, 47, 186, 25636, 2746, 29367, 2],
    "Wondering how this will get tokenized 🤔 ?": [
        *(0, 76648, 214, 3642, 903, 1221, 2046, 47, 1098, 29367, 6, 243691, 705, 2),
    ],
    "İs th!s 𩸽 Ϻ Šœ Ugljšić dấu nặng": [
        *(0, 63770, 5675, 38, 7, 6, 3, 6, 3, 3608, 52908, 345, 11016, 170, 36277, 39973, 55315, 2),
    ],
}
# transformers' tests of XLM-RoBERTa: white space of all kinds, special tokens in the text
TRANSFORMERS = {
    "Hello World!": [0, 35378, 6661, 38, 2],
    "This is a test 😊\nI was born in 92000, and this is falsé.\n生活的真谛是\nHi  Hello\nHi   Hello\n\n \n  \n Hello\n"
    "<s>\nhi<s>there\nThe following string should be properly encoded: Hello.\nBut ird and ปี   ird   ด\n"
    "Hey how are you doing": [
        *(0, 3293, 83, 10, 3034, 6, 82803, 87, 509, 103122, 23, 483, 13821, 4, 136, 903, 83, 84047, 446, 5, 6, 62668),
        *(5364, 245875, 354, 2673, 35378, 2673, 35378, 35378, 0, 1274, 0, 2685, 581, 25632, 79315, 5608, 186, 155965),
        *(22, 40899, 71, 12, 35378, 5, 4966, 193, 71, 136, 10249, 193, 71, 48229, 28240, 3642, 621, 398, 20594, 2),
    ],
    'This is a very long text with a lot of weird characters, such as: . , ~ ? ( ) " [ ] ! : - . Also we will add '
    "words that should not exsist and be tokenized to <unk>, such as saoneuhaoesuth": [
        *(0, 3293, 83, 10, 4552, 4989, 7986, 678, 10, 5915, 111, 179459, 124850, 4, 6044, 237, 12, 6, 5, 6, 4, 6780),
        *(705, 15, 1388, 44, 378, 10114, 711, 152, 20, 6, 5, 22376, 642, 1221, 15190, 34153, 450, 5608, 959, 1119),
        *(57702, 136, 186, 47, 1098, 29367, 47, 3, 6, 4, 6044, 237, 6284, 50901, 528, 31, 90, 34, 927, 2),
    ],
}
PUBLISHED = FAIRSEQ | RUST_TOKENIZERS | TRANSFORMERS


@pytest.fixture(scope="module")
def tokenizer(e5_model):
    return e5_model.tokenizer


def ids(tokenizer, text):
    return tokenizer(text)["input_ids"]


@pytest.mark.parametrize("text", PUBLISHED)
def test_published_tokenisations_are_met(tokenizer, text):
    assert ids(tokenizer, text) == PUBLISHED[text]


def test_korean_is_split_as_others_have_seen_it(tokenizer):
    assert tokenizer.tokenize("안녕하세요. 반갑습니다. ") == ["▁안녕하세요", ".", "▁반", "갑", "습니다", "."]
    assert tokenizer.tokenize("메틸데이트") == ["▁메", "틸", "데이", "트"]


def test_decomposed_hangul_and_accents_are_composed(tokenizer):
    for text in ("대한민국의 수도는 서울이다", "café déjà vu", "각 값 넋"):
        assert ids(tokenizer, unicodedata.normalize("NFD", text)) == ids(tokenizer, text)
    assert ids(tokenizer, "café déjà vu") == [0, 26216, 15154, 13946, 2]


def test_full_width_letters_are_those_of_normal_width(tokenizer):
    assert ids(tokenizer, "ＡＢＣ １２３") == ids(tokenizer, "ABC 123") == [0, 47457, 37638, 2]


def test_white_space_is_trimmed_and_merged_and_the_word_mark_is_a_space(tokenizer):
    expected = ids(tokenizer, "안녕 하세요")
    for text in (
        "  안녕 하세요 ",
        "안녕\t\n하세요",
        "안녕　하세요",
        "안녕▁하세요",
        "▁안녕▁▁하세요▁",
        "\ufeff안녕\u200b하세요",
    ):
        assert ids(tokenizer, text) == expected
    for blank in ("", "   ", "\n", "▁"):
        assert ids(tokenizer, blank) == [0, 2]


def test_a_removed_character_at_the_start_changes_nothing(tokenizer):
    assert ids(tokenizer, "\x01안\x7f녕") == ids(tokenizer, "안녕")


def test_a_pair_is_put_together_as_xlm_roberta_wants_it(tokenizer):
    pair = tokenizer("서울", "부산")
    first, second = ids(tokenizer, "서울")[1:-1], ids(tokenizer, "부산")[1:-1]
    assert pair["input_ids"] == [0, *first, 2, 2, *second, 2]
    assert set(pair) == {"input_ids", "attention_mask"}


def test_decoding_gives_the_text_back(tokenizer):
    text = "대한민국의 수도는 서울이다"
    assert tokenizer.decode(ids(tokenizer, text), skip_special_tokens=True) == text


def test_every_character_is_normalised_as_the_files_table_says(e5_file, tokenizer):
    table = e5_file.normalisation
    rules = normalizers.Sequence([normalizers.NFC(), normalizers.Precompiled(character_map(table))])
    wrong = [
        code_point
        for code_point in (*range(1, 0xD800), *range(0xE000, 0x30000), *range(0xE0000, 0xE0200), 0x10FFFF)
        if rules.normalize_str(chr(code_point)) != table.get(chr(code_point), chr(code_point))
    ]
    assert wrong == []
    assert len(table) == 4837
    whole = tokenizer.backend_tokenizer.normalizer
    assert all(whole.normalize_str(f"가{c}나") == f"가{new}나" for c, new in table.items() if " " not in new)


def test_a_character_map_replaces_what_it_lists_and_nothing_else():
    table = {"a": "b", "가": "각", "각": "", "𩸽": "물고기", "é": "e", "가나"[1]: " "}
    rules = normalizers.Precompiled(character_map(table))
    for text in ("abcab", "가각갂나다", "𩸽𩸾é", "z"):
        assert rules.normalize_str(text) == "".join(table.get(c, c) for c in text)
