import pytest

from llama_index_ko_rerank.data import available_splits
from llama_index_ko_rerank.data.sample import open_sample
from llama_index_ko_rerank.errors import DatasetUnavailable, MalformedData


@pytest.fixture
def folder(write_json, nest, ask, weather, contexts, tmp_path):
    write_json("sample_train.json", weather)
    write_json("sample_validation.json", nest(("출장", [(contexts["trip"], [ask("v0", "언제까지 내나?")])])))
    return tmp_path


def test_the_collection_of_both_splits_is_the_passages_of_both_files_with_train_first(folder, contexts):
    source = open_sample("sample", folder)
    assert source.splits == available_splits("sample") == ("train", "validation")
    train, validation = source.load("train"), source.load("validation")
    assert train.passages == validation.passages
    assert [passage.text for passage in train.passages] == [
        contexts[name] for name in ("rain", "snow", "leave", "trip")
    ]
    assert [question.id for question in train.questions] == ["g0", "g1", "g2"]
    assert [question.id for question in validation.questions] == ["v0"]
    assert validation.questions[0].passage_ids == ("p00003",)


def test_one_guid_for_two_questions_of_the_two_files_is_an_error(folder, write_json, nest, ask, contexts):
    write_json("sample_validation.json", nest(("출장", [(contexts["trip"], [ask("g0", "언제까지 내나?")])])))
    with pytest.raises(
        MalformedData, match=r"sample_validation\.json, .*field 'guid': 'g0' stands for another question"
    ):
        open_sample("sample", folder).load("train")


def test_a_missing_file_is_unavailable(tmp_path):
    with pytest.raises(DatasetUnavailable, match=r"sample_train\.json cannot be read"):
        open_sample("sample", tmp_path).load("train")
