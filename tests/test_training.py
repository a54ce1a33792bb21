import json
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch
from sentence_transformers import CrossEncoder
from tokenizers import Tokenizer

from llama_index_ko_rerank.embed import KoreanEmbedding
from llama_index_ko_rerank.train.models.scratch import common_syllables
from training.corpus import Document, TokenCorpus, collection, sentences_of, tokenised, weights
from training.loop import Budget, Rate
from training.matcher import matcher
from training.questions import Wording, example, question_from, renaming, wording
from training.reranker import (
    RerankRecipe,
    _forward,
    _padded,
    calibration,
    examples,
    judge,
    train_reranker,
    write_reranker,
)
from training.static import StaticRecipe, train_static, write_static
from training.vocabulary import shipped_tokenizer

SMALL_STATIC = StaticRecipe(dimension=32, collections=1, passages=40, tokens=60)
SMALL_RERANK = RerankRecipe(lengths=(40, 60), tokens=1200, negatives=3, passages=40)
_NOUNS = """
사과 바다 학교 도서관 하늘 구름 기차 편지 시장 병원 의자 창문 노래 그림 영화 소설 우산 시계 공원 강물 나무 산길
호수 마을 은행 극장 식당 가방 신발 모자 전등 책상 달력 거울 계단 지붕 마당 들판 언덕 항구
"""
NOUNS = _NOUNS.split()
VERBS = ["수리", "운반", "보관", "조사", "청소", "판매", "제작", "설치", "관찰", "기록"]


def _documents(seed: int) -> list[Document]:
    rng = Random(seed)
    return [
        Document(f"{rng.choice(NOUNS)} {rng.choice(VERBS)} 규정", [_sentence(rng) for _ in range(24)])
        for _ in range(60)
    ]


def _sentence(rng: Random) -> str:
    who, where, what, other = rng.sample(NOUNS, 4)
    return (
        f"{who} 담당자는 {rng.randint(1900, 2020)}년에 {where}에서 {what}의 {other}를 "
        f"{rng.choice(VERBS)}하고 다시 {rng.choice(VERBS)}하였다."
    )


@pytest.fixture(scope="module")
def made() -> tuple[Tokenizer, list[str]]:
    texts = [sentence for seed in (0, 1) for document in _documents(seed) for sentence in document.sentences]
    return shipped_tokenizer(texts[::4], size=6000)


@pytest.fixture(scope="module")
def tokenizer(made: tuple[Tokenizer, list[str]]) -> Tokenizer:
    return made[0]


@pytest.fixture(scope="module")
def corpus(tokenizer: Tokenizer) -> TokenCorpus:
    return tokenised([iter(_documents(0)), iter(_documents(1))], tokenizer)


@pytest.fixture(scope="module")
def words(made: tuple[Tokenizer, list[str]], corpus: TokenCorpus) -> Wording:
    return wording(made[0], made[1], corpus.rarity() + 3.5)


def test_a_noun_and_its_particle_are_two_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("도서관에서 편지를").tokens == ["도서관", "##에서", "편지", "##를"]


def test_every_common_syllable_is_known_wherever_it_stands(tokenizer: Tokenizer) -> None:
    text = "".join(common_syllables())
    assert "[UNK]" not in tokenizer.encode(text[::-1][:90]).tokens + tokenizer.encode(" ".join(text)).tokens


def test_a_number_and_its_unit_are_two_tokens(tokenizer: Tokenizer) -> None:
    assert tokenizer.encode("1955년").tokens[0] == "1955"
    assert tokenizer.encode("38명").tokens[0] == "38"


def test_the_heading_stands_before_the_first_sentence_and_scraps_are_left_out() -> None:
    text = "첫째 문장은 이렇게 길게 끝난다. 짧다.\n둘째 문장도 이렇게 길게 끝난다."
    assert sentences_of("제목", text) == ["제목\n첫째 문장은 이렇게 길게 끝난다.", "둘째 문장도 이렇게 길게 끝난다."]


def test_rarity_is_the_log_of_blocks_to_blocks_with_the_token(tokenizer: Tokenizer) -> None:
    found = tokenised([iter([Document("바다", ["사과 사과", *["하늘 구름"] * 16])])], tokenizer)
    once, often = (tokenizer.token_to_id(word) for word in ("사과", "하늘"))
    assert found.counts[[once, often]].tolist() == [1, 3]
    blocks = 18 / 8
    assert found.rarity()[once] == pytest.approx(np.log((blocks + 1) / 2))


def test_bm25_weights_are_the_formula_worked_by_hand() -> None:
    matrix = weights([np.array([5, 5, 7], np.uint16), np.array([7], np.uint16)], 10, k1=1.0, b=0.5).toarray()
    assert matrix[0, 5] == pytest.approx(2 / (2 + 1.0 * (0.5 + 0.5 * 3 / 2)))
    assert matrix[1, 7] == pytest.approx(1 / (1 + 1.0 * (0.5 + 0.5 * 1 / 2)))


def test_no_document_is_both_trained_on_and_measured(corpus: TokenCorpus) -> None:
    held_out, trained = set(), set()
    for seed in range(8):
        held_out |= set(collection(corpus, np.random.default_rng(seed), passages=99, tokens=60, held_out=True).titles)
        trained |= set(collection(corpus, np.random.default_rng(seed), passages=99, tokens=60).titles)
    assert held_out
    assert trained
    assert not held_out & trained


def test_a_question_takes_its_words_from_its_passage(corpus: TokenCorpus, words: Wording) -> None:
    rng = np.random.default_rng(0)
    found = collection(corpus, rng, passages=60, tokens=60)
    made = [question_from(corpus, found, number, words, rng)[0] for number in range(len(found.passages))]
    shares = [np.isin(q, found.passages[n]).mean() for n, q in enumerate(made) if len(q)]
    assert len(shares) > 40
    assert np.mean(shares) > 0.4
    scores = [found.scores(q, words.rarity).argsort()[::-1][:5] for q in made]
    assert np.mean([n in best for n, (q, best) in enumerate(zip(made, scores, strict=True)) if len(q)]) > 0.6


def test_the_passage_that_answers_is_the_first_and_its_copies_are_left_out(corpus: TokenCorpus, words: Wording) -> None:
    rng = np.random.default_rng(1)
    found = collection(corpus, rng, passages=60, tokens=60)
    for number in range(20):
        question, sentence = question_from(corpus, found, number, words, rng)
        shown = (
            example(question, sentence, number, found, rarity=words.rarity, rng=rng, negatives=3)
            if len(question)
            else None
        )
        if shown:
            assert shown.passages[0] is found.passages[number]
            assert all(np.isin(np.unique(sentence), other).mean() < 0.85 for other in shown.passages[1:])


def test_renaming_keeps_equal_tokens_equal_and_rare_ones_rare(words: Wording) -> None:
    rarity = np.linspace(0, 10, 4000).astype(np.float32)
    names = renaming(rarity, np.random.default_rng(0))
    assert sorted(names.tolist()) == list(range(4000))
    assert (names[rarity < 4] == np.flatnonzero(rarity < 4)).all()
    assert (names != np.arange(4000)).mean() > 0.2
    assert np.abs(rarity[names] - rarity).max() < 1.2


def test_a_step_makes_the_same_examples_every_time(corpus: TokenCorpus, words: Wording) -> None:
    first, second = (examples(corpus, words, SMALL_RERANK, seed=3, step=5) for _ in range(2))
    assert [one.question.tolist() for one in first] == [one.question.tolist() for one in second]
    assert [p.tolist() for one in first for p in one.passages] == [p.tolist() for one in second for p in one.passages]


def test_the_rate_rises_stays_and_falls_to_nothing() -> None:
    rate = Rate(1.0, warmup=10, falling=0.5)
    assert [rate.at(step, 100) for step in (0, 9, 50, 75, 100)] == pytest.approx([0.1, 1.0, 1.0, 0.5, 0.0])


def _directions(rarity: np.ndarray) -> np.ndarray:
    return np.random.default_rng(0).standard_normal((len(rarity), 128)).astype(np.float32)


def test_the_first_weights_find_the_passage_before_any_step(corpus: TokenCorpus, words: Wording) -> None:
    model = matcher(_directions(words.rarity), words.rarity, seed=0).eval()
    judged = judge(model, [examples(corpus, words, SMALL_RERANK, seed=0, step=step) for step in range(4)])
    assert (judged.argmax(1) == 0).float().mean() > 0.6


def test_calibration_makes_a_logit_as_sure_as_it_is_right() -> None:
    generator = torch.Generator().manual_seed(0)
    judged = 6.0 * torch.randn(4000, 4, generator=generator)
    judged[:, 0] += 4.0
    scale, shift = calibration(judged)
    chances = (scale * judged + shift).sigmoid()
    assert chances.mean().item() == pytest.approx(0.25, abs=0.01)
    sure = chances > 0.5
    assert chances[sure].mean().item() == pytest.approx(sure[:, 0].sum().item() / sure.sum().item(), abs=0.05)


def test_our_forward_gives_the_logits_of_bert(corpus: TokenCorpus, words: Wording) -> None:
    model = matcher(_directions(words.rarity), words.rarity, seed=0).eval()
    shown = examples(corpus, words, SMALL_RERANK, seed=0, step=0)[0]
    pairs = [(shown.question, passage) for passage in shown.passages]
    ids, segments, mask = _padded(pairs)
    with torch.no_grad():
        theirs = model(input_ids=ids, token_type_ids=segments, attention_mask=(mask == 0).long()).logits[:, 0]
        assert torch.allclose(_forward(model, pairs), theirs, atol=1e-4)


def test_a_broken_static_run_gives_the_vectors_of_an_unbroken_one(
    tmp_path: Path, corpus: TokenCorpus, words: Wording
) -> None:
    def train(folder: Path, *, until: int | None, resume: bool) -> torch.Tensor:
        return train_static(
            corpus,
            words,
            recipe=SMALL_STATIC,
            budget=Budget(1.0, steps=6),
            seed=1,
            folder=folder,
            resume=resume,
            until=until,
        )[0]

    unbroken = train(tmp_path / "a", until=None, resume=False)
    train(tmp_path / "b", until=3, resume=False)
    assert torch.equal(train(tmp_path / "b", until=None, resume=True), unbroken)


def test_a_broken_reranker_run_gives_the_weights_of_an_unbroken_one(
    tmp_path: Path, tokenizer: Tokenizer, corpus: TokenCorpus, words: Wording
) -> None:
    def train(folder: Path, *, until: int | None, resume: bool) -> dict[str, torch.Tensor]:
        model = matcher(_directions(words.rarity), words.rarity, seed=0)
        train_reranker(
            model,
            corpus,
            tokenizer,
            words,
            recipe=SMALL_RERANK,
            budget=Budget(1.0, steps=4),
            seed=1,
            folder=folder,
            resume=resume,
            until=until,
            every=2,
        )
        return model.state_dict()

    unbroken = train(tmp_path / "a", until=None, resume=False)
    train(tmp_path / "b", until=2, resume=False)
    resumed = train(tmp_path / "b", until=None, resume=True)
    assert all(torch.equal(resumed[name], weight) for name, weight in unbroken.items())
    lines = (tmp_path / "b" / "ko-mini-rerank.log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines if "held_out_hit@1" in line] == [2, 4]


def test_the_static_folder_loads_in_float32_and_keeps_the_cosines(
    tmp_path: Path, tokenizer: Tokenizer, words: Wording
) -> None:
    vectors = torch.randn(len(words.rarity), 64, generator=torch.Generator().manual_seed(0))
    write_static(vectors, tokenizer, tmp_path / "model")
    assert (tmp_path / "model").is_dir()
    size = next((tmp_path / "model").rglob("model.safetensors")).stat().st_size
    assert size < len(words.rarity) * 64 + 1000
    model = KoreanEmbedding(str(tmp_path / "model"), device="cpu")
    first, second = model.get_text_embedding_batch(["도서관에서 편지를", "도서관에서 그림을"])
    mean = [vectors[tokenizer.encode(t).ids].mean(0) for t in ("도서관에서 편지를", "도서관에서 그림을")]
    expected = torch.nn.functional.cosine_similarity(*mean, dim=0).item()
    assert np.dot(first, second) == pytest.approx(expected, abs=0.02)


def test_the_reranker_folder_loads_in_float32_and_gives_our_logits(
    tmp_path: Path, tokenizer: Tokenizer, words: Wording
) -> None:
    model = matcher(_directions(words.rarity), words.rarity, seed=0).eval()
    write_reranker(model, tokenizer, tmp_path / "model")
    loaded: CrossEncoder = CrossEncoder(str(tmp_path / "model"), device="cpu", local_files_only=True)
    assert next(loaded.parameters()).dtype == torch.float32
    question, passage = "도서관에서 무엇을 보관하나요?", "편지를 도서관에서 보관하였다."
    theirs = loaded.predict([(question, passage)], activation_fn=torch.nn.Identity())
    asked, read = (np.array(tokenizer.encode(text).ids, np.uint16) for text in (question, passage))
    with torch.no_grad():
        ours = _forward(model, [(asked, read)])
    assert theirs[0] == pytest.approx(ours.item(), abs=0.05)
