import json

import pytest

from llama_index_ko_rerank.errors import DamagedIndex, IndexNotFound, ModelMismatch
from llama_index_ko_rerank.retrieve.inverted_index import BM25Settings
from llama_index_ko_rerank.retrieve.lexical_index import LexicalIndex
from llama_index_ko_rerank.retrieve.persistence import MANIFEST, load_lexical_index, save_lexical_index, with_checksum

TEXTS = ["연차는 사흘 전에 신청한다", "회의실은 하루 전에 예약한다", "", "KTX는 2004년에 개통했다"]
QUESTIONS = ["연차 신청", "하루 전 예약", "ktx", "바다거북"]


def built(analyzers=("morphemes", "bigrams"), **options):
    index = LexicalIndex(analyzers, **options)
    index.add([f"노드 {number}" for number in range(len(TEXTS))], TEXTS)
    return index


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "낱말 색인"
    save_lexical_index(built(), path, {"메모": "가나다"})
    return path


def change_manifest(folder, **changes):
    """Change a manifest as another release might have written it: with its checksum."""
    path = folder / MANIFEST
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest.pop("sha256")
    path.write_bytes(with_checksum({**manifest, **changes}))


def arrays_of(folder):
    (path,) = folder.glob("lexical-*.safetensors")
    return path


@pytest.mark.parametrize("analyzers", [("morphemes", "bigrams"), ("morphemes",), ("bigrams",)])
def test_what_was_saved_answers_as_before(tmp_path, analyzers):
    index = built(analyzers, user_words=[("모두의책", "NNP")], settings=BM25Settings(1.5, 0.75))
    save_lexical_index(index, tmp_path, {"메모": [1, "나"]})
    loaded, extra = load_lexical_index(tmp_path)
    assert extra == {"메모": [1, "나"]}
    assert (loaded.analyzers, loaded.settings, loaded.identity, loaded.ids) == (
        index.analyzers,
        index.settings,
        index.identity,
        index.ids,
    )
    for question in QUESTIONS:
        assert loaded.search(question, 5) == index.search(question, 5)


def test_streams_are_saved_too(folder):
    loaded, _ = load_lexical_index(folder)
    for position in range(len(TEXTS)):
        for mine, theirs in zip(loaded.token_streams.row(position), built().token_streams.row(position), strict=True):
            assert mine.tolist() == theirs.tolist()


def test_a_loaded_index_goes_on_growing_and_shrinking(folder):
    loaded, _ = load_lexical_index(folder)
    fresh = built()
    for index in (loaded, fresh):
        index.delete(["노드 0"])
        index.add(["노드 9"], ["연차 수당"])
    for question in QUESTIONS:
        assert loaded.search(question, 5) == fresh.search(question, 5)


def test_an_empty_index_can_be_saved(tmp_path):
    save_lexical_index(LexicalIndex(), tmp_path)
    loaded, extra = load_lexical_index(tmp_path)
    assert (len(loaded), extra) == (0, {})
    assert loaded.search("연차", 5) == []


def test_saving_again_leaves_one_file_of_arrays(folder):
    index, _ = load_lexical_index(folder)
    index.add(["노드 9"], ["새 글"])
    save_lexical_index(index, folder)
    assert arrays_of(folder).is_file()
    assert load_lexical_index(folder)[0].ids[-1] == "노드 9"


def test_the_manifest_keeps_hangul_readable(folder):
    assert "노드 0" in (folder / MANIFEST).read_text(encoding="utf-8")


@pytest.mark.parametrize("missing", ["folder", "manifest"])
def test_a_folder_without_an_index_is_told(tmp_path, missing):
    path = tmp_path / "없음" if missing == "folder" else tmp_path
    with pytest.raises(IndexNotFound, match="there is no lexical index in"):
        load_lexical_index(path)


def test_truncated_arrays_are_told(folder):
    path = arrays_of(folder)
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(DamagedIndex, match="truncated or changed"):
        load_lexical_index(folder)


def test_one_changed_bit_in_the_arrays_is_told(folder):
    path = arrays_of(folder)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedIndex, match="truncated or changed"):
        load_lexical_index(folder)


def test_missing_arrays_are_told(folder):
    arrays_of(folder).unlink()
    with pytest.raises(DamagedIndex, match=r"lexical-.*safetensors is missing"):
        load_lexical_index(folder)


@pytest.mark.parametrize("offset", [20, 200, -200, -3])
def test_a_manifest_with_one_changed_character_is_told(folder, offset):
    path = folder / MANIFEST
    content = bytearray(path.read_bytes())
    content[offset] = ord("1") if content[offset] != ord("1") else ord("2")
    path.write_bytes(content)
    with pytest.raises((DamagedIndex), match="rebuild"):
        load_lexical_index(folder)


def test_a_manifest_whose_words_were_exchanged_is_told(folder):
    path = folder / MANIFEST
    content = path.read_text(encoding="utf-8")
    assert '"연차"' in content
    path.write_text(content.replace('"연차"', '"차연"'), encoding="utf-8")
    with pytest.raises(DamagedIndex, match="not what was written"):
        load_lexical_index(folder)


def test_a_folder_in_the_place_of_a_file_is_told(folder):
    arrays_of(folder).unlink()
    name = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))["arrays"]["name"]
    (folder / name).mkdir()
    with pytest.raises(DamagedIndex, match="cannot be read"):
        load_lexical_index(folder)


@pytest.mark.parametrize("content", ["", '{"format": 1, "ids": [', "[]", "null", '{"format": 99}', '{"format": 1}'])
def test_a_manifest_that_is_none_is_told(folder, content):
    (folder / MANIFEST).write_text(content, encoding="utf-8")
    with pytest.raises(DamagedIndex, match="rebuild"):
        load_lexical_index(folder)


def test_a_manifest_in_another_encoding_is_told(folder):
    (folder / MANIFEST).write_bytes("한글".encode("cp949"))
    with pytest.raises(DamagedIndex, match="is no JSON"):
        load_lexical_index(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"analyzers": ["trigrams"]},
        {"analyzers": "morphemes"},
        {"k1": -1},
        {"user_words": 3},
        {"user_words": ["모두의책"]},
        {"arrays": "x"},
        {"ids": None},
    ],
    ids=str,
)
def test_a_manifest_with_an_impossible_value_is_told(folder, change):
    change_manifest(folder, **change)
    with pytest.raises(DamagedIndex, match="rebuild"):
        load_lexical_index(folder)


def test_a_manifest_that_names_other_passages_than_the_arrays_is_told(folder):
    change_manifest(folder, ids=["노드 0"])
    with pytest.raises(DamagedIndex, match="rebuild"):
        load_lexical_index(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"user_words": [["모두의책", "NNP"]]},
        {"identity": {"morphemes": "morphemes/1 kiwi=0.1", "bigrams": "bigrams/1 across-spaces lower-case"}},
        {"identity": {}},
    ],
    ids=["user words", "version", "none"],
)
def test_an_index_made_by_another_tokenizer_is_refused(folder, change):
    change_manifest(folder, **change)
    with pytest.raises(ModelMismatch, match="rebuild it from its nodes"):
        load_lexical_index(folder)
