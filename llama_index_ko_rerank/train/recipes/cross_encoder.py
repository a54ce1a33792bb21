"""The recipes of cross-encoders."""

from __future__ import annotations

from llama_index_ko_rerank.train.recipes.recipe import MiningSettings, Recipe, Schedule

BOOK_RERANK = Recipe(
    name="book-rerank",
    task="cross-encoder",
    data=("retrieval", "sentence-pairs"),
    loss="BinaryCrossEntropyLoss",
    batches="shuffled",
    schedule=Schedule(epochs=1, batch_size=16, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=5),
    scratch=Schedule(epochs=4, batch_size=16, learning_rate=6e-4, warmup_steps=30, weight_decay=0.01, evaluations=4),
    drops_near_leaks=False,
)
"""Each question stands once with its context (1) and once with an irrelevant one (0); labelled sentence pairs are taken
as they are, with labels in 0-1. The logit learns by binary cross-entropy. From nothing, on 250 questions of KorQuAD
`tune` (see `scratch` for how): MRR .68 before the first step, .75 after one epoch, .78 after four."""

STRONG = Recipe(
    name="strong",
    task="cross-encoder",
    data=("retrieval",),
    loss="BinaryCrossEntropyLoss",
    batches="shuffled",
    schedule=Schedule(epochs=1, batch_size=32, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=5),
    scratch=Schedule(epochs=2, batch_size=32, learning_rate=6e-4, warmup_steps=30, weight_decay=0.01, evaluations=4),
    options=("loss", "negatives", "space_drop_rate", "cross_encoder_filter", "embed_model"),
    choices=("LambdaLoss", "ListNetLoss"),
    then="LambdaLoss",
    mining=MiningSettings(negatives=7),
    space_drop_rate=0.1,
    patience=3,
)
"""First each question with its context (1) and with mined negatives (0, weighed so that both sides count alike), by
binary cross-entropy; then the same passages as one list a question, by a listwise loss over their order. A step of
either has about the same number of pairs."""

DISTIL = Recipe(
    name="distil",
    task="cross-encoder",
    data=("retrieval",),
    loss="MarginMSELoss",
    batches="shuffled",
    schedule=Schedule(epochs=2, batch_size=8, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=5),
    scratch=Schedule(epochs=4, batch_size=8, learning_rate=6e-4, warmup_steps=30, weight_decay=0.01, evaluations=5),
    options=("negatives", "space_drop_rate", "teacher", "embed_model"),
    mining=MiningSettings(negatives=3),
    patience=3,
)
"""The difference of logits between a question's context and each mined negative is drawn to the teacher's. Source:
Hofstätter et al., "Improving Efficient Neural Ranking Models with Cross-Architecture Knowledge Distillation", 2020."""

CLASSIFY = Recipe(
    name="classify",
    task="cross-encoder",
    data=("sentence-pairs",),
    loss="CrossEntropyLoss",
    batches="shuffled",
    schedule=Schedule(epochs=3, batch_size=32, learning_rate=2e-5, warmup_steps=100, weight_decay=0.01, evaluations=6),
    scratch=Schedule(epochs=4, batch_size=32, learning_rate=6e-4, warmup_steps=30, weight_decay=0.01, evaluations=4),
    options=("class_names",),
    patience=3,
)
"""One logit a class, by cross-entropy; labels are 0, 1 and so on. Ranking then uses one class's probability."""

CROSS_ENCODER_RECIPES = (BOOK_RERANK, STRONG, DISTIL, CLASSIFY)
