"""The recipes of embedding models."""

from __future__ import annotations

from llama_index_ko_rerank.train.recipes.recipe import LoraSettings, MiningSettings, Recipe, Schedule

BOOK_STS = Recipe(
    name="book-sts",
    task="bi-encoder",
    data=("sentence-pairs",),
    loss="CosineSimilarityLoss",
    batches="shuffled",
    schedule=Schedule(epochs=4, batch_size=16, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=8),
    scratch=Schedule(epochs=4, batch_size=64, learning_rate=0.02, warmup_steps=40, weight_decay=0.0, evaluations=8),
    drops_near_leaks=False,
)
"""The cosine of two sentences is drawn to their label in 0-1. From nothing, on KorSTS train and dev: 64 rows a step at
0.02 lift Spearman from .72 to .77 in the first four of eight epochs, where 0.005 needs all eight for .76."""

BOOK_MRC = Recipe(
    name="book-mrc",
    task="bi-encoder",
    data=("retrieval",),
    loss="MultipleNegativesRankingLoss",
    batches="no-duplicates",
    schedule=Schedule(epochs=1, batch_size=16, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=5),
    scratch=Schedule(epochs=10, batch_size=256, learning_rate=0.005, warmup_steps=10, weight_decay=0.0, evaluations=10),
    drops_near_leaks=False,
)
"""A question is drawn to its context and away from the other contexts of its batch, none of which stands there twice.
From nothing, on held-out articles of KorQuAD `tune`: rates of 0.001 to 0.005 are equally good; 0.01 over twenty epochs,
and 0.05, wear down what the rarity of tokens gave (see `scratch`)."""

STRONG = Recipe(
    name="strong",
    task="bi-encoder",
    data=("retrieval",),
    loss="MultipleNegativesRankingLoss",
    batches="apart",
    schedule=Schedule(epochs=2, batch_size=128, learning_rate=3e-5, warmup_steps=50, weight_decay=0.01, evaluations=8),
    scratch=Schedule(epochs=10, batch_size=256, learning_rate=0.005, warmup_steps=10, weight_decay=0.0, evaluations=10),
    options=("negatives", "matryoshka_dims", "space_drop_rate", "cross_encoder_filter"),
    mining=MiningSettings(negatives=4),
    mini_batch=16,
    space_drop_rate=0.2,
    patience=3,
)
"""As ``book-mrc`` with hard negatives for each question, from BM25 and from the model as it is before training, in
batches of 128 that need no more memory than 16 (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup", 2021). A static embedding takes its batch whole, since it keeps next to nothing of it."""

STS = Recipe(
    name="sts",
    task="bi-encoder",
    data=("sentence-pairs",),
    loss="CoSENTLoss",
    batches="shuffled",
    schedule=Schedule(epochs=4, batch_size=32, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=8),
    scratch=Schedule(epochs=4, batch_size=64, learning_rate=0.02, warmup_steps=40, weight_decay=0.0, evaluations=8),
    options=("loss", "matryoshka_dims"),
    choices=("CoSENTLoss", "CosineSimilarityLoss"),
    patience=3,
)
"""The order of the labels in a batch is drawn into the order of the cosines, or with ``loss="cosine"`` each cosine to
its label."""

E5_MISTRAL = Recipe(
    name="e5-mistral",
    task="bi-encoder",
    data=("retrieval",),
    loss="MultipleNegativesRankingLoss",
    batches="apart",
    schedule=Schedule(epochs=1, batch_size=32, learning_rate=1e-4, warmup_steps=50, weight_decay=0.1, evaluations=5),
    scratch=None,
    backbone="decoder",
    options=(
        "negatives",
        "matryoshka_dims",
        "space_drop_rate",
        "cross_encoder_filter",
        "instruction",
        "lora_rank",
        "merge_adapter",
    ),
    scale=50.0,
    mini_batch=4,
    mining=MiningSettings(negatives=3),
    lora=LoraSettings(),
    instruction="Instruct: Given a question in Korean, find the passages that answer it\nQuery: ",
    patience=3,
)
"""A language model becomes an embedding model: the vector of the last token, an instruction before questions only,
InfoNCE at a temperature of 0.02 over the context, its hard negatives and the batch, low-rank adapters instead of the
backbone's weights. Source: Wang et al., "Improving Text Embeddings with Large Language Models", ACL 2024."""

STATIC = Recipe(
    name="static",
    task="bi-encoder",
    data=("retrieval",),
    loss="MultipleNegativesRankingLoss",
    batches="apart",
    schedule=Schedule(epochs=5, batch_size=256, learning_rate=0.002, warmup_steps=10, weight_decay=0.0, evaluations=5),
    scratch=Schedule(epochs=10, batch_size=256, learning_rate=0.005, warmup_steps=10, weight_decay=0.0, evaluations=10),
    backbone="static",
    options=("matryoshka_dims", "space_drop_rate"),
    patience=3,
)
"""A vector for each token, from nothing or from another static embedding: minutes on a processor. Texts are tokenised
once for all epochs. On held-out articles of KorQuAD `tune`, from nothing: MRR@10 .719 with batches of 256 and .717 with
512, where a seventh of the rows finds no batch. With the seven training rows that nearly copy a validation row, which
``book-mrc`` keeps, it would be .737."""

BI_ENCODER_RECIPES = (BOOK_STS, BOOK_MRC, STRONG, STS, E5_MISTRAL, STATIC)
