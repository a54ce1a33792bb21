from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from llama_index_ko_rerank.answer import build_chat_engine, connect_llm
from tests.corpora.answers import BigramRetriever, handbook

STARTS_WITHIN_S, STOPS_WITHIN_S = 240, 20
LUNCH = "점심은 몇 시부터 주나요?"
TEMPLATE = "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}assistant:"


def make_random_model(folder):
    """Write a language model of two narrow layers with random weights, and a tokenizer over single bytes."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    symbols = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet())]
    tokenizer = Tokenizer(models.BPE(vocab={symbol: place for place, symbol in enumerate(symbols)}, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>", chat_template=TEMPLATE
    )
    fast.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(symbols),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=16384,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


def wait_until_healthy(url, server):
    until = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < until:
        assert server.poll() is None, "the server ended before it answered"
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise AssertionError(f"the server was not there within {STARTS_WITHIN_S} s")


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """The address of `transformers serve`, and the model that it serves."""
    folder = tmp_path_factory.mktemp("served")
    make_random_model(folder / "model")
    port = free_port()
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder / "model")]
    options = ["--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(command + options, stdout=log, stderr=log, env=environment)
    try:
        wait_until_healthy(f"http://127.0.0.1:{port}", server)
        yield f"http://127.0.0.1:{port}", str(folder / "model")
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(STOPS_WITHIN_S)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait(STOPS_WITHIN_S)


@pytest.mark.slow
def test_a_conversation_streams_from_a_real_server(served):
    url, model = served
    llm = connect_llm(url, model, timeout_s=120, retries=0, context_window=8192, max_tokens=24)

    pieces = list(build_chat_engine(BigramRetriever(handbook()), llm=llm).stream_chat(LUNCH).response_gen)
    whole = build_chat_engine(BigramRetriever(handbook()), llm=llm).chat(LUNCH)

    assert len(pieces) > 1
    assert whole.metadata["kind"] == "generated"
    assert whole.metadata["llm_failure"] is None
    # The last of the 24 random bytes may begin a character; a stream leaves that out, a whole answer marks it.
    assert "".join(pieces).strip().rstrip("\ufffd") == str(whole).strip().rstrip("\ufffd")


@pytest.mark.slow
def test_a_model_that_the_real_server_does_not_have_is_answered_by_extracts(served):
    url, _ = served
    llm = connect_llm(url, "nobody/no-such-model", timeout_s=60, retries=0)
    response = build_chat_engine(BigramRetriever(handbook()), llm=llm).chat(LUNCH)
    assert "- 점심은 오전 11시 30분부터 준다. [1]" in str(response)
    assert "no-such-model" in response.metadata["llm_failure"]
