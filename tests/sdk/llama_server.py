"""A llama.cpp server with a tiny model of its own making: `python llama_server.py PORT`.

The model has random weights and a vocabulary of single bytes, so it needs no download, takes no time and says nonsense:
in ASCII, and always the same to the same prompt. All else is real: chat template, prompt cache, streams, usage, and its
own faces for the clients of OpenAI and Anthropic. Run by tests/context_engine.rs.
"""

import array
import random
import struct
import sys
import tempfile
import threading

import xllamacpp

WIDTH, LAYERS, HEADS, FORWARD, CONTEXT = 64, 2, 4, 128, 8192
U32, I32, F32, STRING, ARRAY = 4, 5, 6, 8, 9
NORMAL, CONTROL = 1, 3
# Bytes, and the two marks; first those of ASCII that can be seen.
TOKENS, ASCII = 258, 94
START, END = "<|im_start|>", "<|im_end|>"
TEMPLATE = f"""{{% for m in messages %}}{START}{{{{ m['role'] }}}}
{{{{ m['content'] }}}}{END}
{{% endfor %}}{{% if add_generation_prompt %}}{START}assistant
{{% endif %}}"""


def byte_tokens():
    """A character for each byte, as in GPT-2's vocabulary: itself where it can be seen."""
    seen = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in seen]
    return [chr(byte) for byte in seen] + [chr(256 + at) for at in range(len(others))]


def string(text):
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, item):
    if kind == STRING:
        return string(item)
    return struct.pack({U32: "<I", I32: "<i", F32: "<f"}[kind], item)


def field(name, kind, item):
    """A field of the file's head; a list has an array's type, then that of its elements."""
    if isinstance(item, list):
        packed = struct.pack("<IIQ", ARRAY, kind, len(item))
        packed += b"".join(value(kind, each) for each in item)
    else:
        packed = struct.pack("<I", kind) + value(kind, item)
    return string(name) + packed


def fields():
    tokens = [*byte_tokens(), START, END]
    return [
        field("general.architecture", STRING, "llama"),
        field("llama.context_length", U32, CONTEXT),
        field("llama.embedding_length", U32, WIDTH),
        field("llama.block_count", U32, LAYERS),
        field("llama.feed_forward_length", U32, FORWARD),
        field("llama.attention.head_count", U32, HEADS),
        field("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
        field("llama.rope.dimension_count", U32, WIDTH // HEADS),
        field("tokenizer.ggml.model", STRING, "gpt2"),
        field("tokenizer.ggml.pre", STRING, "gpt-2"),
        field("tokenizer.ggml.tokens", STRING, tokens),
        field("tokenizer.ggml.token_type", I32, [NORMAL] * 256 + [CONTROL] * 2),
        field("tokenizer.ggml.merges", STRING, []),
        field("tokenizer.ggml.bos_token_id", U32, tokens.index(START)),
        field("tokenizer.ggml.eos_token_id", U32, tokens.index(END)),
        field("tokenizer.chat_template", STRING, TEMPLATE),
    ]


def tensors():
    """Each with its shape, the inner dimension first, and its numbers."""
    chance = random.Random(7)

    def some(*shape):
        return shape, [chance.gauss(0, 0.3) for _ in range(shape[0] * shape[1])]

    ones = (WIDTH,), [1.0] * WIDTH
    shape, output = some(WIDTH, TOKENS)
    # Whatever is not ASCII has no weight, so it is never the likeliest.
    output[ASCII * WIDTH:] = [0.0] * (len(output) - ASCII * WIDTH)
    found = {"token_embd.weight": some(WIDTH, TOKENS), "output_norm.weight": ones,
             "output.weight": (shape, output)}
    for at in range(LAYERS):
        for norm in "attn_norm", "ffn_norm":
            found[f"blk.{at}.{norm}.weight"] = ones
        for name in "attn_q", "attn_k", "attn_v", "attn_output":
            found[f"blk.{at}.{name}.weight"] = some(WIDTH, WIDTH)
        for name in "ffn_gate", "ffn_up":
            found[f"blk.{at}.{name}.weight"] = some(WIDTH, FORWARD)
        found[f"blk.{at}.ffn_down.weight"] = some(FORWARD, WIDTH)
    return found


def padded(data):
    """Up to the next multiple of 32, where llama.cpp expects tensors."""
    return data + bytes(-len(data) % 32)


def model():
    """The model as the bytes of a GGUF file, version 3: fields, what tensors there are, and their numbers."""
    about, data = b"", b""
    named, weights = fields(), tensors()
    for name, (shape, numbers) in weights.items():
        about += string(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, 0, len(data))
        data += padded(array.array("f", numbers).tobytes())
    head = b"GGUF" + struct.pack("<IQQ", 3, len(weights), len(named))
    return padded(head + b"".join(named) + about) + data


def serve(port):
    params = xllamacpp.CommonParams()
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(model())
        file.flush()
        params.model.path = file.name
        params.model_alias = {"tiny"}
        params.hostnames, params.port = ["127.0.0.1"], port
        params.n_ctx, params.n_parallel, params.cpuparams.n_threads = CONTEXT, 1, 1
        params.use_jinja, params.warmup, params.verbosity = True, False, 0
        server = xllamacpp.Server(params)
    print("listening on", server.listening_address, flush=True)
    threading.Event().wait()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
