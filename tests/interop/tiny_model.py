"""A llama with random weights, small enough to be made wherever the tests run: 1 MB in a second, never committed.

What it says is printable nonsense, the same for the same prompt: at temperature 0 always, else for the same seed. Its
vocabulary is that of the bytes, a few merges, and the special tokens of ChatML and of DeepSeek, each one token, so that
the server counts them as it does for the real models. The weights come from a seeded generator of numpy, whose stream
is promised to stay the same.
"""

from collections import Counter
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np
import numpy.typing as npt

N_CONTEXT = 49_152
"""What the model says of its context length, in tokens: the longest prompts of the public set have 40,000 bytes."""

DEEPSEEK_BOS = "<｜begin▁of▁sentence｜>"
DEEPSEEK_EOS = "<｜end▁of▁sentence｜>"
SPECIAL = (
    *(DEEPSEEK_BOS, DEEPSEEK_EOS, "<｜User｜>", "<｜Assistant｜>"),
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>"),
)

DEEPSEEK_CHAT = (
    "{{ bos_token }}{% for message in messages %}<｜User｜>{{ message.content }}{% endfor %}"
    "{{ '<｜Assistant｜><think>\\n' }}"
)
"""A chat template that renders a single user message as the tool's template `r1` does."""

CHATML_CHAT = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{{ '<|im_start|>assistant\\n' }}"
)
"""A chat template that renders a single user message as the tool's template `chatml` does."""

_N_EMBEDDING = 64
_N_FEED_FORWARD = 192
_N_LAYERS = 2
_N_HEADS = 2
_N_MERGES = 300
_TEXT = (
    "the answer is in the box and the number of the first row is not that of the second one so we think step by step "
    "about each of these lines then write what has to be there for this puzzle and return the final solution "
)


def write_tiny_model(path: Path, *, chat_template: str, bos: str | None) -> Path:
    """Write the model; with `bos`, the server puts that token before each prompt, as it does for DeepSeek's models."""
    vocabulary, merges = _vocabulary()
    ids = {token: number for number, token in enumerate(vocabulary)}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(N_CONTEXT)
    writer.add_embedding_length(_N_EMBEDDING)
    writer.add_block_count(_N_LAYERS)
    writer.add_feed_forward_length(_N_FEED_FORWARD)
    writer.add_head_count(_N_HEADS)
    writer.add_head_count_kv(_N_HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_N_EMBEDDING // _N_HEADS)
    writer.add_vocab_size(len(vocabulary))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(vocabulary)
    writer.add_token_types(
        [gguf.TokenType.CONTROL if token in SPECIAL else gguf.TokenType.NORMAL for token in vocabulary]
    )
    writer.add_token_merges(merges)
    writer.add_bos_token_id(ids[bos or "<|endoftext|>"])
    writer.add_eos_token_id(ids[DEEPSEEK_EOS if bos else "<|endoftext|>"])
    writer.add_eot_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_add_bos_token(bos is not None)
    writer.add_chat_template(chat_template)
    for name, tensor in _tensors([_is_plain(token) for token in vocabulary]).items():
        writer.add_tensor(name, tensor)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _is_plain(token: str) -> bool:
    """Whether a token is printable text: ASCII, or GPT-2's letter for a space."""
    return token.replace("Ġ", " ").isascii()


def _vocabulary() -> tuple[list[str], list[str]]:
    """The tokens, special ones last, and the merges: the most frequent pairs of a text, one after the other."""
    letters = _byte_letters()
    words = [[letters[byte] for byte in f" {word}".encode()] for word in _TEXT.split()]
    tokens = list(letters)
    merges: list[str] = []
    while len(merges) < _N_MERGES:
        pairs = Counter(pair for word in words for pair in pairwise(word))
        if not pairs:
            break
        left, right = max(pairs, key=lambda pair: (pairs[pair], pair))
        merges.append(f"{left} {right}")
        tokens.append(left + right)
        words = [_merged(word, left, right) for word in words]
    return [*dict.fromkeys(tokens), *SPECIAL], merges


def _merged(word: list[str], left: str, right: str) -> list[str]:
    merged: list[str] = []
    for letter in word:
        if merged and letter == right and merged[-1] == left:
            merged[-1] += right
        else:
            merged.append(letter)
    return merged


def _byte_letters() -> list[str]:
    """GPT-2's letter for each byte: printable ones stand for themselves, the others for letters from U+0100 on."""
    plain = {*range(ord("!"), ord("~") + 1), *range(0xA1, 0xAC + 1), *range(0xAE, 0xFF + 1)}
    others = [byte for byte in range(256) if byte not in plain]
    return [chr(byte) if byte in plain else chr(0x100 + others.index(byte)) for byte in range(256)]


def _tensors(says: list[bool]) -> dict[str, npt.NDArray[np.float32]]:
    """The weights by name; `says` has for each token whether the model is to say it.

    What it is not to say has no weights in the output, which is far from the best of the others.
    """
    random = np.random.Generator(np.random.PCG64(0))

    def drawn(rows: int, columns: int, spread: float) -> npt.NDArray[np.float32]:
        return random.normal(0, spread, (rows, columns)).astype(np.float32)

    ones = np.ones(_N_EMBEDDING, np.float32)
    inner, outer = _N_EMBEDDING**-0.5, _N_FEED_FORWARD**-0.5
    tensors = {
        "token_embd.weight": drawn(len(says), _N_EMBEDDING, 1.0),
        "output_norm.weight": ones,
        "output.weight": drawn(len(says), _N_EMBEDDING, 4 * inner) * np.array(says, np.float32)[:, None],
    }
    for layer in range(_N_LAYERS):
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            tensors[f"blk.{layer}.{name}.weight"] = drawn(_N_EMBEDDING, _N_EMBEDDING, 2 * inner)
        for name in ("ffn_gate", "ffn_up"):
            tensors[f"blk.{layer}.{name}.weight"] = drawn(_N_FEED_FORWARD, _N_EMBEDDING, 2 * inner)
        tensors[f"blk.{layer}.ffn_down.weight"] = drawn(_N_EMBEDDING, _N_FEED_FORWARD, 2 * outer)
        tensors[f"blk.{layer}.attn_norm.weight"] = ones
        tensors[f"blk.{layer}.ffn_norm.weight"] = ones
    return tensors
