"""Small tokenizers of every family, trained on the spot, and battles to tokenise."""

import json
from functools import cache

import polars as pl
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from prefcast.battles import Battles

CORPUS = [
    "User prompt: [Prompt] Which answer do people prefer? The cat sat on the mat, and the dog ran off.",
    "Model A : [Answer A] -------- Model B: [Answer B] [Verdict] People prefer answer [… cut …] [... cut ...]",
    "[Earlier turns left out] x = 12 * (y - 3); print('done') \\ / < > { } | # @ ! 0123456789",
    "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ ÄÖÜäöüß",
] * 3


def _train(tokenizer, trainer, template, special):
    tokenizer.train_from_iterator(CORPUS, trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=template, special_tokens=[(t, tokenizer.token_to_id(t)) for t in special]
    )
    return tokenizer


@cache
def byte_bpe():
    """As Llama 3 and Qwen 3: BOS, and added tokens that are not special."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=420, special_tokens=["<s>", "</s>", "<|eot|>"], initial_alphabet=alphabet, show_progress=False
    )
    _train(tokenizer, trainer, "<s> $A", ["<s>"])
    tokenizer.add_tokens([AddedToken("<think>", special=False), AddedToken("\n\n\n", special=False)])
    return tokenizer


@cache
def wordpiece():
    """As BERT: lower case, no accents, no white space; CLS and SEP."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special, show_progress=False)
    return _train(tokenizer, trainer, "[CLS] $A [SEP]", ["[CLS]", "[SEP]"])


@cache
def unigram():
    """As DeBERTa-v3: SentencePiece, whose own vocabulary contains the special tokens."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Replace("\n", " ")])
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    trainer = trainers.UnigramTrainer(vocab_size=200, special_tokens=special, unk_token="[UNK]", show_progress=False)
    return _train(tokenizer, trainer, "[CLS] $A [SEP]", ["[CLS]", "[SEP]"])


@cache
def byte_fallback():
    """As Llama 2 and Gemma: spaces as ▁, bytes for what is unknown, newlines an added token."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()])
    special = ["<unk>", "<bos>", "<eos>", *(f"<0x{k:02X}>" for k in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=special[:3], show_progress=False)
    tokenizer.train_from_iterator([CORPUS[0].replace(" ", "▁")], trainer)
    # Bytes are ordinary words of such a vocabulary, and no added tokens.
    whole = json.loads(tokenizer.to_str())
    vocabulary = whole["model"]["vocab"]
    for token in special[3:]:
        vocabulary.setdefault(token, len(vocabulary))
    tokenizer = Tokenizer.from_str(json.dumps(whole))
    tokenizer.add_tokens([AddedToken("\n\n", special=False, normalized=False), AddedToken("<h1>", special=False)])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=[(t, vocabulary[t]) for t in ("<bos>", "<eos>")]
    )
    return tokenizer


TOKENIZERS = {"byte_bpe": byte_bpe, "wordpiece": wordpiece, "unigram": unigram, "byte_fallback": byte_fallback}


def battles(*rows):
    """Battles of (prompts, answers A, answers B); a string is one turn."""
    turns = [[[text] if isinstance(text, str) else list(text) for text in row] for row in rows]
    columns = ("prompt", "response_a", "response_b")
    frame = {"id": [f"b{k}" for k in range(len(turns))]}
    frame |= {name: [row[k] for row in turns] for k, name in enumerate(columns)}
    schema = {"id": pl.String, **dict.fromkeys(columns, pl.List(pl.String))}
    return Battles.from_frame(pl.DataFrame(frame, schema=schema))
