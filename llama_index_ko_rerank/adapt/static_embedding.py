"""Static embedding fitted to a corpus: its vocabulary, the pairs of its training steps, and the training."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Encoding, Tokenizer
from torch.nn import functional

from llama_index_ko_rerank.data.dataset import Passage, Question
from llama_index_ko_rerank.data.near_duplicates import find_near_duplicates, minhash_signatures
from llama_index_ko_rerank.text.kiwi import get_kiwi
from llama_index_ko_rerank.text.normalize import normalize

_NOUNS = frozenset(["NNG", "NNP", "XR", "SL"])
_LEAST_COUNT = 2
_MOST_WORDS = 20_000
_CONTINUES = "##"
_WINDOW = 600


def corpus_words(texts: Sequence[str]) -> list[str]:
    """List the nouns that Kiwi finds twice or more, the most frequent first, in lower case."""
    counts: Counter[str] = Counter()
    for tokens in get_kiwi().tokenize(window for text in texts for window in _windows(text)):
        counts.update(token.form for token in tokens if token.tag.split("-")[0] in _NOUNS and len(token.form) > 1)
    frequent = [word for word, count in counts.items() if count >= _LEAST_COUNT and word.isalpha()]
    return sorted(frequent, key=lambda word: (-counts[word], word))[:_MOST_WORDS]


def _windows(text: str) -> list[str]:
    """Cut a text as long as a passage at most, so that rarity counts passages and not documents."""
    text = normalize(text).lower()
    return [text[start : start + _WINDOW] for start in range(0, len(text), _WINDOW)] or [""]


def extend_vocabulary(tokenizer: Tokenizer, words: Sequence[str]) -> tuple[Tokenizer, list[list[int]]]:
    """Give a WordPiece tokenizer whole tokens for words, at the start of a word and within one.

    Returns:
        The larger tokenizer, and for each new token the tokens that stood for it before. A tokenizer of another kind
        comes back as it is, for its pieces cannot be added to one by one.
    """
    state = json.loads(tokenizer.to_str())
    if state["model"]["type"] != "WordPiece" or state["model"]["continuing_subword_prefix"] != _CONTINUES:
        return tokenizer, []
    vocabulary: dict[str, int] = state["model"]["vocab"]
    known, pieces = dict(vocabulary), []
    for word in words:
        for prefix in ("", _CONTINUES):
            before = _pieces(word, prefix, known)
            if prefix + word not in known and before:
                vocabulary[prefix + word] = len(vocabulary)
                pieces.append(before)
    return Tokenizer.from_str(json.dumps(state, ensure_ascii=False)), pieces


def _pieces(word: str, prefix: str, known: Mapping[str, int]) -> list[int]:
    """Cut a word greedily, as WordPiece does; nothing where it cannot be cut."""
    found, start = [], 0
    while start < len(word):
        end = next((end for end in range(len(word), start, -1) if prefix + word[start:end] in known), None)
        if end is None:
            return []
        found.append(known[prefix + word[start:end]])
        start, prefix = end, _CONTINUES
    return found


def add_random_index(
    module: StaticEmbedding, texts: Sequence[str], *, dimensions: int, seed: int
) -> SentenceTransformer:
    """Make the static embedding that training starts from.

    Each token keeps the direction that it has, and gets one of its own, drawn at random, in `dimensions` more
    dimensions; both count alike, and the whole is as long as the token is rare in the corpus. So two texts are near
    that share rare words, whatever the base knows of these. A new word's known direction is that of the sum of its
    pieces.

    Source: Kanerva et al., "Random Indexing of Text Samples for Latent Semantic Analysis", 2000, for the directions;
    rarity as in Spärck Jones, Journal of Documentation 28(1), 1972: log((N + 1) / (n + 1/2)) for a token in n of N
    texts, which is above 0 even for a token in all of them.

    Args:
        module: The base.
        texts: Of the corpus; long ones count as several of 600 characters.
        dimensions: 0 for none but the base's own.
        seed: Of the directions.
    """
    tokenizer, pieces = extend_vocabulary(module.tokenizer, corpus_words(texts))
    old = module.embedding.weight.detach().float().cpu()
    new = [old[torch.tensor(tokens)].sum(0, keepdim=True) for tokens in pieces]
    weights = functional.normalize(torch.cat([old, *new]), dim=1)
    if dimensions:
        generator = torch.Generator().manual_seed(seed)
        own = torch.randn(len(weights), dimensions, generator=generator) / dimensions**0.5
        weights = torch.cat([weights, own], dim=1)
    rarity = torch.from_numpy(_rarity(tokenizer, texts, len(weights)))
    weights *= rarity[:, None]
    weights *= weights.shape[1] ** 0.5 / weights.norm(dim=1).mean()
    embedding = StaticEmbedding(tokenizer, embedding_weights=weights)
    return SentenceTransformer(modules=[embedding], device="cpu", similarity_fn_name="cosine")


def _rarity(tokenizer: Tokenizer, texts: Sequence[str], size: int) -> NDArray[np.float32]:
    windows = [window for text in texts for window in _windows(text)]
    counts = np.zeros(size)
    for encoding in tokenizer.encode_batch(windows, add_special_tokens=False):
        counts[np.unique(np.asarray(encoding.ids, np.int64))] += 1
    return np.log((len(windows) + 1) / (counts + 0.5)).astype(np.float32)


Tokens: TypeAlias = NDArray[np.int64]

_ENDS = (
    "무엇인가? 무엇인가요? 누구인가? 누구인가요? 언제인가? 언제인가요? 어디인가? 어디인가요? 몇 명인가? 몇 년인가? "
    "얼마인가? 어떻게 되나요? 왜 그런가? 어떤 것인가? 뭐야? 누구야? 사람은? 곳은? 것은? 해는? 방법은? 이유는? 이름은?"
)
_ENDINGS = 400
_ENDING_LETTERS = 2
_MADE_SHARE, _SENTENCE_SHARE = 0.5, 0.15
_LEFT_OUT = (0.05, 0.2, 0.35, 0.5)
_LONGEST = 400


class PairSampler:
    """PairSampler the pairs of a step; each step's depend on the seed and its number alone.

    Half of the questions are made ones (see `make_questions`), of which a few for each passage would soon be known by
    heart. The others are drawn anew each time: a stretch of words with some left out, some without their ending, now
    and then one from elsewhere, and the end of a question. In a sixth of the pairs a stretch of the passage asks for
    the rest of it. Two passages that nearly copy each other never stand in one step.
    """

    def __init__(
        self, tokenizer: Tokenizer, passages: Sequence[Passage], questions: Sequence[Question], seed: int
    ) -> None:
        encodings = _encoded(tokenizer, [passage.text for passage in passages])
        rows = [row for row, encoding in enumerate(encodings) if len(encoding.ids)]
        self._words = [_split(encodings[row]) for row in rows]
        self._passages = [np.asarray(encodings[row].ids, np.int64)[:_LONGEST] for row in rows]
        indexes = {passages[row].id: index for index, row in enumerate(rows)}
        self._made: dict[int, list[Tokens]] = defaultdict(list)
        kept = [question for question in questions if question.passage_ids[0] in indexes]
        for question, encoding in zip(kept, _encoded(tokenizer, [q.text for q in kept]), strict=True):
            if len(encoding.ids):
                self._made[indexes[question.passage_ids[0]]].append(np.asarray(encoding.ids, np.int64))
        self._ends = [
            np.asarray(e.ids, np.int64) for e in _encoded(tokenizer, [f"{e}?" for e in _ENDS[:-1].split("? ")])
        ]
        self._endings = _endings(tokenizer, self._words)
        table = minhash_signatures([passages[row].text for row in rows])
        self._copies = find_near_duplicates(table, table)
        self._seed = seed

    def pairs(self, step: int, *, size: int) -> tuple[list[Tokens], list[Tokens]]:
        """Sample the questions and the passages of a step, at most `size` of each."""
        rng = np.random.default_rng([self._seed, step])
        taken: set[int] = set()
        for index in rng.permutation(len(self._passages)).tolist():
            if len(taken) < size and taken.isdisjoint(self._copies[index].tolist()):
                taken.add(index)
        pairs = [self._pair(index, rng) for index in sorted(taken)]
        return [question for question, _ in pairs], [passage for _, passage in pairs]

    def _pair(self, index: int, rng: np.random.Generator) -> tuple[Tokens, Tokens]:
        words, passage = self._words[index], self._passages[index]
        length = int(rng.integers(4, 14))
        start = int(rng.integers(max(1, len(words) - length + 1)))
        stretch = words[start : start + length]
        chance = rng.random()
        if chance < _SENTENCE_SHARE and len(words) > 2 * length:
            rest = np.concatenate([*words[:start], *words[start + length :]])
            return np.concatenate(stretch), rest[:_LONGEST]
        made = self._made.get(index)
        if made and chance < _SENTENCE_SHARE + (1 - _SENTENCE_SHARE) * _MADE_SHARE:
            return made[int(rng.integers(len(made)))], passage
        return self._sampled(stretch, rng), passage

    def _sampled(self, stretch: Sequence[Tokens], rng: np.random.Generator) -> Tokens:
        left_out, answer = rng.choice(_LEFT_OUT), int(rng.integers(len(stretch)))
        gone = range(answer, answer + int(rng.integers(0, 4)))
        kept = [word for i, word in enumerate(stretch) if i not in gone and rng.random() >= left_out] or [stretch[0]]
        query = [
            word[:-1] if len(word) > 1 and self._endings[word[-1]] and rng.random() < 0.3 else word for word in kept
        ]
        if rng.random() < 0.35:
            other = self._words[int(rng.integers(len(self._words)))]
            query[int(rng.integers(len(query)))] = other[int(rng.integers(len(other)))]
        if rng.random() < 0.85:
            query.append(self._ends[int(rng.integers(len(self._ends)))])
        return np.concatenate(query)


def _encoded(tokenizer: Tokenizer, texts: Sequence[str]) -> list[Encoding]:
    return list(tokenizer.encode_batch([normalize(text) for text in texts], add_special_tokens=False))


def _split(encoding: Encoding) -> list[Tokens]:
    """Put the tokens of one word together."""
    numbers = np.array([-1 if number is None else number for number in encoding.word_ids])
    return np.split(np.asarray(encoding.ids, np.int64), np.flatnonzero(np.diff(numbers)) + 1)


def _endings(tokenizer: Tokenizer, texts: Sequence[Sequence[Tokens]]) -> NDArray[np.bool_]:
    """Take the most frequent short tokens that end a word of several for particles and endings."""
    counts = Counter(int(word[-1]) for words in texts for word in words if len(word) > 1)
    short = [
        (token, count)
        for token, count in counts.items()
        if len((tokenizer.id_to_token(token) or "").removeprefix("##")) <= _ENDING_LETTERS
    ]
    found = np.zeros(tokenizer.get_vocab_size(), bool)
    found[[token for token, _ in sorted(short, key=lambda item: (-item[1], item[0]))[:_ENDINGS]]] = True
    return found


_RATE, _WARMUP, _FALLING = 0.01, 10, 0.6
_SCALE = 25.0
_STAYS = 0.5
_CHECKPOINT_EVERY = 40
_CHECKPOINT = "training.pt"


def fit_static(
    module: StaticEmbedding,
    sampler: PairSampler,
    *,
    steps: int,
    passages_per_step: int,
    folder: Path,
    on_progress: Callable[[int, int], None],
) -> float:
    """Train a static embedding, in place, to find each question's passage among all of a step, and the other way round.

    The loss is the softmax over cosines in both directions. On KorQuAD `tune`, over vectors of about one a component: a
    rate of 0.01 is as good in 80 steps as 0.005 in 160, and 0.02 no better. What comes out is half way between the
    vectors before and after: that keeps most of what training gains on documents that it saw (nDCG@10 on `tune` .855
    before, .892 half way, .904 after), and loses nothing on documents that it did not see (.866, .863, .846).
    Interrupted, the run goes on from the last checkpoint in `folder`, to the same weights.

    Source of the mean: Wortsman et al., "Robust fine-tuning of zero-shot models", 2022.

    Returns:
        The mean loss of the last ten steps, of both directions together.
    """
    weights = torch.nn.Parameter(module.embedding.weight.detach().clone())
    optimizer = torch.optim.Adam([weights], lr=_RATE, betas=(0.9, 0.98))
    losses: list[float] = []
    checkpoint = folder / _CHECKPOINT
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        optimizer.load_state_dict(state["optimizer"])
        losses = state["losses"]
        with torch.no_grad():
            weights.copy_(state["weights"])
    for step in range(len(losses), steps):
        optimizer.param_groups[0]["lr"] = _RATE * min(1.0, (step + 1) / _WARMUP, (steps - step) / (_FALLING * steps))
        optimizer.zero_grad(set_to_none=True)
        loss = _loss(weights, *sampler.pairs(step, size=passages_per_step))
        loss.backward()  # type: ignore[no-untyped-call]  # not annotated
        optimizer.step()
        losses.append(loss.item())
        if (step + 1) % _CHECKPOINT_EVERY == 0 and step + 1 < steps:
            unfinished = checkpoint.with_suffix(".unfinished")
            torch.save({"weights": weights.detach(), "optimizer": optimizer.state_dict(), "losses": losses}, unfinished)
            unfinished.replace(checkpoint)
        on_progress(step + 1, steps)
    with torch.no_grad():
        module.embedding.weight.lerp_(weights, 1 - _STAYS)
    checkpoint.unlink(missing_ok=True)
    return float(np.mean(losses[-10:]))


def _loss(weights: torch.Tensor, questions: Sequence[Tokens], passages: Sequence[Tokens]) -> torch.Tensor:
    cosines = _SCALE * _vectors(weights, questions) @ _vectors(weights, passages).T
    own = torch.arange(len(cosines))
    return functional.cross_entropy(cosines, own) + functional.cross_entropy(cosines.T, own)


def _vectors(weights: torch.Tensor, texts: Sequence[Tokens]) -> torch.Tensor:
    starts = torch.tensor([0, *(len(text) for text in texts[:-1])]).cumsum(0)
    tokens = torch.from_numpy(np.concatenate(texts))
    return functional.normalize(functional.embedding_bag(tokens, weights, starts, mode="mean"), dim=1)
