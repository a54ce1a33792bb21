"""Models that start from nothing: a static embedding and a small cross-encoder, made to learn within minutes."""

from __future__ import annotations

import logging
import string
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from sentence_transformers import CrossEncoder, SentenceTransformer
from sentence_transformers.sentence_transformer.modules import StaticEmbedding
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from llama_index_ko_rerank.embed.loading import find_model_folder, load_model
from llama_index_ko_rerank.errors import UnsuitableModel

PAD, UNKNOWN, CLS, SEP, MASK = SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")

_CONTINUES = "##"
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class VocabularySettings:
    """Size of a learnt vocabulary.

    On 285,000 characters of KorQuAD `tune`, 2,000 to 4,000 merged pieces served held-out articles best: with more, a
    noun and its particle become one piece that no question shares.

    Attributes:
        characters_per_merge: One merged piece is learnt for so many characters of text.
        fewest_merges: Merged pieces learnt from little text.
        most_tokens: The largest vocabulary, single characters and special tokens included.
        least_frequency: How often a merged piece must stand in the text.
    """

    characters_per_merge: int = 120
    fewest_merges: int = 500
    most_tokens: int = 32_000
    least_frequency: int = 2


def learn_vocabulary(texts: Sequence[str], settings: VocabularySettings = VocabularySettings()) -> Tokenizer:
    """Learn a WordPiece tokenizer from texts: NFC, lower case, Hangul syllables whole.

    Every syllable of KS X 1001 and every ASCII character is a token, seen or not, so that ordinary Korean gives no
    unknown token. The vocabulary depends on the texts alone: the library's trainer numbers the continuing characters
    (``##가``) by the order of a hash map, and breaks ties by these numbers, so all of them are numbered before.

    Args:
        texts: What the model will be trained on; their order does not matter.
        settings: How large the vocabulary grows.

    Returns:
        A tokenizer with no special tokens added around a text, no truncation and no padding.
    """
    untrained = _tokenizer({})
    characters = _alphabet((untrained.normalizer.normalize_str(text) for text in texts), settings.most_tokens // 4)
    first_tokens = [*SPECIAL_TOKENS, *(token for c in characters for token in (c, _CONTINUES + c))]
    merges = max(settings.fewest_merges, sum(map(len, texts)) // settings.characters_per_merge)
    trainer = trainers.WordPieceTrainer(
        vocab_size=min(len(first_tokens) + merges, max(settings.most_tokens, len(first_tokens))),
        min_frequency=settings.least_frequency,
        special_tokens=first_tokens,
        continuing_subword_prefix=_CONTINUES,
        show_progress=False,
    )
    untrained.train_from_iterator(texts, trainer)
    # A fresh tokenizer leaves behind that the trainer took single characters for special tokens.
    return _tokenizer(untrained.get_vocab())


def _tokenizer(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(
        models.WordPiece(
            vocab=vocabulary, unk_token=UNKNOWN, continuing_subword_prefix=_CONTINUES, max_input_chars_per_word=100
        )
    )
    # strip_accents=False: left to its default, lower-casing decomposes Hangul into its letters (NFD).
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFC(),
            normalizers.BertNormalizer(clean_text=True, handle_chinese_chars=True, strip_accents=False, lowercase=True),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return tokenizer


def _alphabet(texts: Iterable[str], most: int) -> list[str]:
    """List the single characters that become tokens; of rare ones beyond `most`, the rarest are left out and logged."""
    counts: Counter[str] = Counter()
    for text in texts:
        counts.update(text)
    always = {*common_syllables(), *string.ascii_lowercase, *string.digits, *string.punctuation}
    others = sorted((c for c in counts if not c.isspace() and c not in always), key=lambda c: (-counts[c], c))
    room = max(0, most - len(always))
    if len(others) > room:
        left_out = sum(counts[c] for c in others[room:])
        _log.warning(
            "%d rare characters (%d of %d in the text) have no token and will be read as unknown",
            *(len(others) - room, left_out, counts.total()),
        )
    return sorted(always.union(others[:room]))


@cache
def common_syllables() -> tuple[str, ...]:
    """List the 2,350 Hangul syllables of KS X 1001, which ordinary Korean is written with.

    >>> len(common_syllables())
    2350
    """
    # Python's codec writes the other 8,822 syllables as a sequence of letters, eight bytes long.
    return tuple(c for c in map(chr, range(0xAC00, 0xD7A4)) if len(c.encode("euc_kr")) == 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticSettings:
    """The static embedding's shape.

    Attributes:
        dimension: The length of a vector. Random directions collide less the longer they are: on KorQuAD `tune`, 512
            finds better than 256 by 8 points of MRR@10 once tokens are weighed by rarity, before any step.
    """

    dimension: int = 512


@dataclass(frozen=True, slots=True, kw_only=True)
class SmallBertSettings:
    """The small cross-encoder's shape and first weights.

    Attributes:
        layers: Transformer layers, at least 2: the first finds equal tokens, the last gathers them.
        hidden: Width; a multiple of `heads`.
        heads: Attention heads a layer.
        intermediate: Width of the feed-forward part.
        positions: The longest input in tokens.
        word_std: Spread of the token vectors.
        segment_std: Spread of the vectors that tell the question from the passage.
        position_std: Spread of the position vectors.
        noise_std: Spread of what is added to the matrices that start as something known.
        segment_focus: How strongly the last layer attends within a segment.
        classifier_gain: How strongly the logit follows the share of the question that was found in the passage.
    """

    layers: int = 2
    hidden: int = 256
    heads: int = 4
    intermediate: int = 512
    positions: int = 512
    word_std: float = 1.0
    segment_std: float = 0.5
    position_std: float = 0.02
    noise_std: float = 0.02
    segment_focus: float = 1.6
    classifier_gain: float = 0.3


def static_model(
    texts: Sequence[str], *, seed: int, settings: StaticSettings = StaticSettings(), device: str = "cpu"
) -> SentenceTransformer:
    """Make a static embedding with random vectors over a vocabulary learnt from texts.

    The vectors are drawn from the normal distribution, so that two tokens are nearly at right angles and a text's
    vector is a bag of its tokens, each with equal weight: a fair start to measure training against.
    """
    return _static_model(learn_vocabulary(texts), seed=seed, dimension=settings.dimension, device=device)


def untrained_baseline(trained: str | Path, *, seed: int) -> SentenceTransformer:
    """Make the model that a static embedding from ``scratch`` was before it learnt anything, to compare it with.

    Args:
        trained: The folder of the trained model.
        seed: That of its training, to get the very vectors that it started from.

    Raises:
        UnsuitableModel: The folder holds no static embedding.
    """
    folder = find_model_folder(str(trained))
    module = load_model(folder, dtype="float32", device="cpu", trust_remote_code=False)[0]
    if not isinstance(module, StaticEmbedding):
        raise UnsuitableModel(f"{str(trained)!r} is no static embedding, so it was not trained from 'scratch'")
    return _static_model(module.tokenizer, seed=seed, dimension=module.embedding_dim, device="cpu")


def _static_model(tokenizer: Tokenizer, *, seed: int, dimension: int, device: str) -> SentenceTransformer:
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.randn(tokenizer.get_vocab_size(), dimension, generator=generator)
    embedding = StaticEmbedding(tokenizer, embedding_weights=vectors)
    return SentenceTransformer(modules=[embedding], device=device, similarity_fn_name="cosine")


def apply_idf_weights(model: SentenceTransformer, texts: Sequence[str]) -> None:
    """Scale each token's vector, in place, by how few of the training texts it stands in.

    A token in every text gets nearly no weight, a token in none the most; the mean weight is 1.

    Source: Spärck Jones, Journal of Documentation 28(1), 1972: log((N + 1) / (n + 1)) for a token in n of N texts.
    """
    embedding = model[0]
    assert isinstance(embedding, StaticEmbedding)  # made by `static_model`
    weight = embedding.embedding.weight
    counts = torch.zeros(len(weight))
    for encoding in embedding.tokenizer.encode_batch(list(texts), add_special_tokens=False):
        counts[torch.tensor(sorted(set(encoding.ids)), dtype=torch.long)] += 1
    rarity = torch.log((len(texts) + 1) / (counts + 1)).to(weight.device)
    with torch.no_grad():
        weight *= (rarity / rarity.mean())[:, None]


def small_cross_encoder(
    texts: Sequence[str],
    *,
    seed: int,
    settings: SmallBertSettings = SmallBertSettings(),
    device: str = "cpu",
    num_labels: int = 1,
) -> CrossEncoder:
    """Make a small BERT that starts as a matcher of equal tokens, and learns which of them matter.

    A BERT of purely random weights learns nothing in minutes. Here queries and keys of the first layer, and values,
    outputs and pooler throughout, are near the identity: a token of the question attends to its like in the passage and
    takes the passage's segment vector from it. The last layer attends within a segment, so that [CLS] gathers the
    question's tokens, and the logit follows the share of the passage's segment vector in them. On 250 questions of
    KorQuAD `tune` (150 characters a passage, MRR among 8 candidates, 4 of them near): .68 before the first step and .78
    after four epochs. With the identities alone .35 and .68; with BERT's own start, on 500 questions,
    .33 and after two epochs .35.
    """
    tokenizer = pair_tokenizer(learn_vocabulary(texts), settings.positions)
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.hidden,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        intermediate_size=settings.intermediate,
        max_position_embeddings=settings.positions,
        pad_token_id=tokenizer.pad_token_id,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    config.num_labels = num_labels
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = BertForSequenceClassification(config)
    _start(model, settings, generator)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        cross_encoder: CrossEncoder = CrossEncoder(
            folder,
            num_labels=num_labels,
            max_length=settings.positions,
            device=device,
            local_files_only=True,
            model_kwargs={"dtype": torch.float32, "use_safetensors": True},
        )
    return cross_encoder


@torch.no_grad()
def _start(model: BertForSequenceClassification, settings: SmallBertSettings, generator: torch.Generator) -> None:
    weights = dict(model.named_parameters())
    weights["bert.embeddings.word_embeddings.weight"].normal_(0.0, settings.word_std, generator=generator)
    weights["bert.embeddings.position_embeddings.weight"].normal_(0.0, settings.position_std, generator=generator)
    segments = weights["bert.embeddings.token_type_embeddings.weight"]
    segments.normal_(0.0, settings.segment_std, generator=generator)
    question_side = torch.nn.functional.normalize(segments[0] - segments[1], dim=0)
    identity = torch.eye(settings.hidden)
    known = {"bert.pooler.dense.weight": identity, "classifier.weight": -settings.classifier_gain * question_side[None]}
    for layer in range(settings.layers):
        attention = f"bert.encoder.layer.{layer}.attention"
        known |= {f"{attention}.self.value.weight": identity, f"{attention}.output.dense.weight": identity}
    within_segment = settings.segment_focus * torch.outer(question_side, question_side)
    for layer, matrix in ((settings.layers - 1, within_segment), (0, identity)):
        known |= {f"bert.encoder.layer.{layer}.attention.self.{part}.weight": matrix for part in ("query", "key")}
    for name, matrix in known.items():
        weights[name].normal_(0.0, settings.noise_std, generator=generator).add_(matrix)


def pair_tokenizer(tokenizer: Tokenizer, positions: int) -> PreTrainedTokenizerFast:
    """Wrap a learnt vocabulary so that it puts question and passage together, as BERT reads them.

    Args:
        tokenizer: As `learn_vocabulary` makes it; it is not changed.
        positions: The longest input in tokens.
    """
    paired = Tokenizer.from_str(tokenizer.to_str())
    cls, sep = paired.token_to_id(CLS), paired.token_to_id(SEP)
    paired.post_processor = processors.TemplateProcessing(
        single=f"{CLS}:0 $A:0 {SEP}:0",
        pair=f"{CLS}:0 $A:0 {SEP}:0 $B:1 {SEP}:1",
        special_tokens=[(CLS, cls), (SEP, sep)],
    )
    # Not BertTokenizerFast: it builds a tokenizer of its own around the vocabulary, with another normaliser.
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated
        tokenizer_object=paired,
        unk_token=UNKNOWN,
        pad_token=PAD,
        cls_token=CLS,
        sep_token=SEP,
        mask_token=MASK,
        model_max_length=positions,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
    )
