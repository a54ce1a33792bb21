import json

from llama_index.core.schema import MetadataMode, NodeWithScore, TextNode

from llama_index_ko_rerank.types import RankedNode, SourceHit, sources_of

SOURCES = {"lexical": SourceHit(rank=1, score=7.5), "dense": SourceHit(rank=3, score=0.25)}


def node():
    return TextNode(text="연차는 사흘 전에 신청한다", id_="leave", metadata={"쪽": 3})


def ranked():
    return RankedNode(node=node(), score=0.5, sources=SOURCES)


def test_it_is_a_node_with_a_score_for_every_reader_of_one():
    assert isinstance(ranked(), NodeWithScore)
    assert (ranked().get_score(), ranked().node_id, ranked().text) == (0.5, "leave", "연차는 사흘 전에 신청한다")


def test_the_sources_are_seen_neither_by_the_llm_nor_by_the_hash():
    for mode in MetadataMode:
        assert ranked().get_content(mode) == node().get_content(mode)
    assert ranked().node.hash == node().hash
    assert ranked().node.metadata == {"쪽": 3}


def test_a_plain_node_has_no_sources():
    assert sources_of(NodeWithScore(node=node(), score=1.0)) == {}
    assert sources_of(RankedNode(node=node(), score=1.0)) == {}


def test_sources_are_handed_out_as_a_copy():
    found = ranked()
    sources_of(found)["more"] = SourceHit(rank=1, score=1.0)
    assert found.sources == SOURCES


def test_two_nodes_do_not_share_their_empty_sources():
    first, second = RankedNode(node=node(), score=1.0), RankedNode(node=node(), score=1.0)
    first.sources["lexical"] = SourceHit(rank=1, score=1.0)
    assert second.sources == {}


def test_json_holds_the_sources_the_text_and_the_class():
    written = json.loads(ranked().to_json())
    assert written["class_name"] == "RankedNode"
    assert written["sources"] == {"lexical": {"rank": 1, "score": 7.5}, "dense": {"rank": 3, "score": 0.25}}
    assert written["node"]["text"] == "연차는 사흘 전에 신청한다"


def test_the_written_node_and_sources_make_the_same_ranked_node():
    written = json.loads(ranked().to_json())
    again = RankedNode(node=TextNode.from_dict(written["node"]), score=written["score"], sources=written["sources"])
    assert again == ranked()
