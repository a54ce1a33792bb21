import numpy as np
import pytest
from safetensors.numpy import load_file
from sentence_transformers import CrossEncoder

from llama_index_ko_rerank.errors import EmptyCorpus, InvalidSetting, MalformedData, UnsuitableModel
from llama_index_ko_rerank.rerank.cross_encoder.scorer import ScorerSettings, load_scorer
from llama_index_ko_rerank.train import TrainingArguments, train_cross_encoder
from tests.corpora.training import PLACES, notice_board

QUICK = {"max_steps": 2, "batch_size": 16, "show_progress": False, "device": "cpu"}


@pytest.fixture(scope="module")
def from_scratch(tmp_path_factory):
    return train_cross_encoder(
        notice_board(), tmp_path_factory.mktemp("trained") / "model", arguments=TrainingArguments(seed=3, **QUICK)
    )


def test_a_model_from_scratch_reranks_at_once(from_scratch, notices):
    texts = [passage.text for passage in notices.passages[:4]]

    library = CrossEncoder(str(from_scratch.path)).predict([("시장은 몇 시에 여나요?", text) for text in texts])
    logits = load_scorer(ScorerSettings(str(from_scratch.path))).logits("시장은 몇 시에 여나요?", texts)
    assert 1 / (1 + np.exp(-logits)) == pytest.approx(library, abs=1e-5)
    assert (from_scratch.recipe, from_scratch.metric) == ("book-rerank", "mrr@10")


def test_the_same_seed_gives_the_same_weights_bit_for_bit(from_scratch, notices, tmp_path):
    again = train_cross_encoder(notices, tmp_path / "again", arguments=TrainingArguments(seed=3, **QUICK))
    first, second = (load_file(result.path / "model.safetensors") for result in (from_scratch, again))

    assert all(np.array_equal(first[name], second[name]) for name in first)


def test_each_question_stands_once_with_its_context_and_once_with_an_irrelevant_one(bare_bert, tmp_path):
    result = train_cross_encoder(
        notice_board(PLACES[:12]),
        tmp_path / "model",
        validation=notice_board(PLACES[12:], split="validation"),
        arguments=TrainingArguments(base=str(bare_bert), **QUICK),
    )

    assert result.training_rows == 2 * 24


def test_a_bare_transformer_gets_a_last_layer_that_the_seed_decides(notices, bare_bert, tmp_path):
    results = [
        train_cross_encoder(notices, tmp_path / name, arguments=TrainingArguments(base=str(bare_bert), seed=3, **QUICK))
        for name in ("a", "b")
    ]
    first, again = (load_file(result.path / "model.safetensors") for result in results)

    assert CrossEncoder(str(results[0].path)).num_labels == 1
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_labelled_sentence_pairs_are_taken_as_they_are(pairs, tmp_path):
    result = train_cross_encoder(pairs, tmp_path / "model", arguments=TrainingArguments(**QUICK))

    assert result.metric == "spearman"
    assert result.training_rows == 29  # 32 less a tenth


def test_classes_are_refused(pairs, tmp_path):
    classes = tuple(type(pair)(pair.sentence1, pair.sentence2, index % 3) for index, pair in enumerate(pairs.pairs))

    with pytest.raises(MalformedData, match="not classes"):
        train_cross_encoder(
            type(pairs)("classes", "train", classes), tmp_path / "model", arguments=TrainingArguments(**QUICK)
        )


def test_passages_of_one_title_have_no_irrelevant_context(notices, tmp_path):
    passages = tuple(type(passage)(passage.id, passage.text, "안내") for passage in notices.passages)
    dataset = type(notices)(notices.name, notices.split, passages, notices.questions)

    with pytest.raises(EmptyCorpus, match="no irrelevant context"):
        train_cross_encoder(dataset, tmp_path / "model", arguments=TrainingArguments(**QUICK))


def test_a_base_whose_tokenizer_cannot_pad_is_refused(notices, padless_bert, tmp_path):
    with pytest.raises(UnsuitableModel, match="no pad token"):
        train_cross_encoder(notices, tmp_path / "model", arguments=TrainingArguments(base=str(padless_bert), **QUICK))


def test_a_recipe_for_embeddings_is_refused(notices, tmp_path):
    with pytest.raises(InvalidSetting, match="take 'book-rerank'"):
        train_cross_encoder(notices, tmp_path / "model", arguments=TrainingArguments(recipe="book-mrc", **QUICK))
