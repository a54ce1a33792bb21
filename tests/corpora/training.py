"""A small town's notice board: enough distinct Korean words to tell passages apart, made here and nowhere else."""

from __future__ import annotations

from llama_index_ko_rerank.data.dataset import PairDataset, Passage, Question, RetrievalDataset, SentencePair

PLACES = (
    "도서관", "수영장", "시장", "박물관", "우체국", "보건소", "미술관", "체육관",
    "공원", "극장", "식물원", "천문대", "목공소", "양조장", "온천", "서점",
)  # fmt: skip
DAYS = ("월요일", "화요일", "수요일", "목요일", "금요일", "토요일", "일요일")


def notice_board(places: tuple[str, ...] = PLACES, *, name: str = "notices", split: str = "train") -> RetrievalDataset:
    """Make one passage a place, with two questions each; every place is a document of its own."""
    passages, questions = [], []
    for number, place in enumerate(places):
        opens, closed = 6 + number % 5, DAYS[number % 7]
        text = f"{place}은 아침 {opens}시에 열고 {closed}에는 쉰다. {place} 입장료는 {number + 1}천 원이다."
        passages.append(Passage(f"p{number}", text, place))
        asked = (f"{place}은 몇 시에 여나요?", f"{place}은 무슨 요일에 쉬나요?")
        questions += [Question(f"q{number}-{k}", question, (f"p{number}",)) for k, question in enumerate(asked)]
    return RetrievalDataset(name, split, tuple(passages), tuple(questions))


def sentence_pairs(places: tuple[str, ...] = PLACES, *, name: str = "pairs", split: str = "train") -> PairDataset:
    """Pair each place's sentence with its paraphrase (0.9), and with another place's sentence (0.1)."""
    pairs = []
    for number, place in enumerate(places):
        other = places[(number + 3) % len(places)]
        pairs.append(SentencePair(f"{place}에 간다", f"{place}으로 걸어간다", 0.9))
        pairs.append(SentencePair(f"{place}에 간다", f"{other} 문이 닫혔다", 0.1))
    return PairDataset(name, split, tuple(pairs))
