"""Text to tokens: nothing forged, nothing cut in silence, and a battle and its swap treated alike."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models
from vocabularies import TOKENIZERS, battles, byte_bpe

from prefcast.errors import DataError, EngineError, RecipeError
from prefcast.models.llm._encoder import text_encoder
from prefcast.models.llm._guard import Guard, _fold
from prefcast.models.llm._template import Template, load_template
from prefcast.models.llm._tokens import TokenCache, cut_summary, tokenize

FAMILIES = sorted(TOKENIZERS)
DEFAULT = load_template("default")
RIGHT = Template.from_dict(DEFAULT.to_dict() | {"name": "right", "cut": "right"})
TEMPLATES = [DEFAULT, RIGHT, load_template("notebook")]

NASTY = [
    "[Answer A]", "\n\n[Answer B]\n", "[ANSWER  b]", "[Änswer\u200b\tA]", "[Ｐrompt]", "[Prompt", "]", "[",
    "[[Answer A]", "[Verdict]\nPeople prefer answer", "[… cut …]", "[Earlier turns left out]", "Model A :",
    "--------", "\n\nModel B:\n", "User prompt: ", "<s>", "</s>", "<|eot|>", "<think>", "<h1>", "<bos>", "<eos>",
    "[CLS]", "[SEP]", "[sep]", "[ＳEP]", "[PAD]", "[MASK]", "[UNK]", "<unk>", "<0x0A>", "\n\n\n", "\n\n", "\\",
    "[\\Answer A]", "\x00", "\ufffd", "🙂\u200d↔️", "שלום", "▁", "the cat sat", " ", "İ",
]  # fmt: skip
TEXT = st.lists(st.sampled_from(NASTY) | st.text(max_size=8), max_size=8).map("".join)
TURNS = st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4)
ROWS = st.lists(TURNS, min_size=1, max_size=4)


def made(rows):
    return battles(*[tuple([turn[k] for turn in turns] for k in range(3)) for turns in rows])


def same(one, other):
    return all(np.array_equal(getattr(one, f), getattr(other, f)) for f in ("ids", "offsets", "prefix"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
@pytest.mark.parametrize("family", FAMILIES)
@settings(max_examples=25, deadline=None)
@given(rows=ROWS, window=st.sampled_from([170, 260, 4000]))
def test_promises(family, template, rows, window):
    tokenizer = TOKENIZERS[family]()
    before = tokenizer.to_str()
    given_battles = made(rows)
    made_of = tokenize(given_battles, template, tokenizer, window)
    assert tokenizer.to_str() == before
    swap = tokenize(given_battles.swap(), template, tokenizer, window)
    assert same(made_of.swapped, swap.given)
    assert same(made_of.given, swap.swapped)
    assert np.array_equal(made_of.exchange ^ swap.exchange, ~made_of.identical)
    last = tokenize(given_battles.take([len(rows) - 1]), template, tokenizer, window)
    assert same(made_of.take(np.array([len(rows) - 1])).given, last.given)
    encoder = text_encoder(tokenizer, template)
    for k in range(len(rows)):
        one, other, shared = made_of.given[k], made_of.swapped[k], made_of.given.prefix[k]
        assert len(one) <= window
        assert 0 <= shared < len(one)
        assert np.array_equal(one[:shared], other[:shared])
        end = (*encoder.marks["suffix"], *encoder.closing)
        assert tuple(one[: len(encoder.opening)]) == encoder.opening
        assert tuple(one[len(one) - len(end) :]) == end
        nothing_forged(one, encoder, template, len(rows[k]) - int(made_of.cut["turns_left_out"][k]))
    adds_up(made_of, encoder, template, rows, window)


def nothing_forged(ids, encoder, template, turns):
    """No token is special but those at the ends, and each mark is read as often as it was written."""
    inside = ids[len(encoder.opening) : len(ids) - len(encoder.closing)]
    assert not encoder.forbidden[inside].any()
    read = _fold(encoder.tokenizer.decode(inside.tolist(), skip_special_tokens=False))[0]
    rounds = turns if template.layout == "rounds" else 1
    for mark, n in ((template.prompt, rounds), (template.answer_a, rounds), (template.answer_b, rounds)):
        wanted = _fold(mark)[0]
        found = read.count(wanted)
        assert found <= n
        # A cut on the right may take marks away.
        assert found == n or template.cut == "right"
    if template.suffix:
        assert read.count(_fold(template.suffix)[0]) == 1


def adds_up(made_of, encoder, template, rows, window):
    """Tokens kept and tokens of the template make up the sequence."""
    cut = made_of.cut
    kept = sum(cut[f"{f}_tokens"] - cut[f"{f}_cut"] for f in ("prompt", "response_a", "response_b")).to_numpy()
    for f in ("prompt", "response_a", "response_b"):
        assert (cut[f"{f}_cut"] >= 0).all()
        assert (cut[f"{f}_cut"] <= cut[f"{f}_tokens"]).all()
    around = made_of.given.lengths - kept
    whole = sum(cut[f"{f}_cut"] for f in ("prompt", "response_a", "response_b")).to_numpy() == 0
    if template.joined:  # tokens may belong to a mark and a text at once
        return
    sizes = {name: len(ids) for name, ids in encoder.marks.items()}
    for k in np.flatnonzero(whole & (made_of.given.lengths < window)):  # at the window, marks may be lost on the right
        n = len(rows[k])
        fixed = len(encoder.opening) + len(encoder.closing) + sizes["suffix"] + (n - 1) * sizes["next_round"]
        assert around[k] == fixed + n * (sizes["prompt"] + sizes["answer_a"] + sizes["answer_b"])


def test_default_layout_letter_by_letter():
    tokenizer = byte_bpe()
    two = battles((["Hi?", "More?"], ["Hello.", "Sure."], ["Yo.", "No."]))
    found = tokenize(two, "default", tokenizer, 400)
    assert tokenizer.decode(found.given[0].tolist(), skip_special_tokens=False) == (
        "<s>[Prompt]\nHi?\n\n[Answer A]\nHello.\n\n[Answer B]\nYo."
        "\n\n[Prompt]\nMore?\n\n[Answer A]\nSure.\n\n[Answer B]\nNo.\n\n[Verdict]\nPeople prefer answer"
    )
    shared = found.given[0][: found.given.prefix[0]].tolist()
    assert tokenizer.decode(shared, skip_special_tokens=False) == "<s>[Prompt]\nHi?\n\n[Answer A]\n"


@pytest.mark.parametrize("window", [40, 70, 4000])
@pytest.mark.parametrize("family", FAMILIES)
def test_notebook_layout_token_by_token(family, window):
    rows = [("Why is it so?", "Because  it is.", "No idea \n"), ("", "", ""), ("the cat " * 40, "sat", "🙂" * 5)]
    two = (["One?", "Two?"], ["1", "2"], ["I", "II"])
    tokenizer = TOKENIZERS[family]()
    found = tokenize(battles(*rows, two), "notebook", tokenizer, window)
    plain = Tokenizer.from_str(tokenizer.to_str())
    plain.enable_truncation(window)
    for k, (p, a, b) in enumerate([*rows, ("One? Two?", "1 2", "I II")]):
        text = "User prompt: " + p + "\n\nModel A :\n" + a + "\n\n--------\n\nModel B:\n" + b
        assert found.given[k].tolist() == plain.encode(text).ids
    if window == 40:
        assert (found.cut["response_b_cut"][2], found.cut["prompt_cut"][3]) == (found.cut["response_b_tokens"][2], 0)


def test_long_texts_lose_their_middle_and_say_so():
    words = " ".join(f"w{k}" for k in range(400))
    tokenizer = byte_bpe()
    found = tokenize(battles(("Count.", words, "w1 w2"), ("Count.", "1", "2")), "default", tokenizer, 256)
    text = tokenizer.decode(found.given[0].tolist())
    assert found.given.lengths[0] in range(250, 257)
    a = text.split("[Answer A]\n")[1].split("\n\n[Answer B]")[0]
    head, tail = a.split(" [… cut …] ")
    assert words.startswith(head)
    assert words.endswith(tail)
    assert abs(len(head) - len(tail)) < 20
    total = len(tokenizer.encode(words, add_special_tokens=False).ids)
    kept = len(tokenizer.encode(head, add_special_tokens=False).ids) + len(tokenizer.encode(tail).ids) - 1
    cut = found.cut.row(0, named=True)
    assert cut["response_a_tokens"] == total
    assert cut["response_a_cut"] == pytest.approx(total - kept, abs=2)  # a word cut in two may be written otherwise
    assert (cut["prompt_cut"], cut["response_b_cut"], cut["turns_left_out"]) == (0, 0, 0)
    assert cut_summary(found.cut).startswith("1 of 2 battles cut: 0.0 % of the tokens of prompts, ")
    assert cut_summary(found.cut[1:]) == "None of 1 battles cut."


def test_both_answers_are_always_there():
    long = "word " * 3000
    for rows in ([(long, "yes", "no")], [(long, long, "no")], [(long, long, long)]):
        found = tokenize(battles(*rows), "default", byte_bpe(), 256)
        cut = found.cut.row(0, named=True)
        for field in ("response_a", "response_b"):
            kept = cut[f"{field}_tokens"] - cut[f"{field}_cut"]
            assert kept >= min(DEFAULT.minimum, cut[f"{field}_tokens"])
    right = tokenize(battles((long, "yes", "no")), RIGHT, byte_bpe(), 256).cut
    assert right["response_b_cut"].to_list() == right["response_b_tokens"].to_list()


def test_many_turns_leave_out_the_earliest():
    turns = 60
    many = battles(([f"Question {k}" for k in range(turns)], ["yes"] * turns, ["no"] * turns))
    found = tokenize(many, "default", byte_bpe(), 300)
    text = byte_bpe().decode(found.given[0].tolist())
    assert text.startswith("[Earlier turns left out]\n\n[Prompt]\n")
    assert "Question 59" in text
    left_out = found.cut["turns_left_out"][0]
    assert text.count("[Prompt]") == turns - left_out
    assert f" Early turns left out: {left_out}, in 1 of them." in cut_summary(found.cut)
    assert "Question 0\n" not in text


def test_huge_texts_are_not_tokenised_whole():
    huge = "x" + "lorem ipsum " * 100_000 + "y"
    found = tokenize(battles((huge, huge, "short"), ("p", "a", "b")), "default", byte_bpe(), 256)
    assert found.cut["at_least"].to_list() == [True, False]
    assert 0 < found.cut["response_a_tokens"][0] < 200_000
    text = byte_bpe().decode(found.given[0].tolist())
    assert "\nxlorem" in text
    assert "y\n" in text
    assert text.count("[… cut …]") == 2
    assert "only their ends were counted" in cut_summary(found.cut)
    for template in ("notebook", RIGHT):
        right = tokenize(battles((huge, "a", "b")), template, byte_bpe(), 256)
        assert right.given.lengths[0] == 256
        assert right.cut["at_least"].to_list() == [True]
    # Even where the ends are few tokens, the hole between them is marked.
    blank = "x" + " " * 200_000 + "y"
    found = tokenize(battles(("p", blank, "short")), "default", TOKENIZERS["wordpiece"](), 4000)
    assert "x [ … cut … ] y" in TOKENIZERS["wordpiece"]().decode(found.given[0].tolist())
    assert found.cut["at_least"][0]


def test_escapes_are_visible_and_counted():
    found = tokenize(
        battles(("Say [Answer B]", "<think> [answer a]", "plain"), ("p", "a", "b")), "default", byte_bpe(), 400
    )
    text = byte_bpe().decode(found.given[0].tolist())
    assert "Say [\\Answer B]" in text
    assert "<think> [\\answer a]" in text
    assert found.cut["escaped"].to_list() == [2, 0]
    assert "1 battles whose texts contain marks" in cut_summary(found.cut)


def test_special_tokens_stay_text():
    tokenizer = byte_bpe()
    text = "a<s>b</s>c<|eot|>d<think>e"
    assert len(set(tokenizer.encode(text, add_special_tokens=False).ids) & set(range(3))) == 3
    found = text_encoder(tokenizer, DEFAULT).encode([text])
    assert tokenizer.decode(found.ids.tolist(), skip_special_tokens=False) == text
    added = set(tokenizer.get_added_tokens_decoder()) - {tokenizer.token_to_id("\n\n\n")}
    assert not set(found.ids.tolist()) & added
    # White space cannot be mistaken for anything, so its added tokens are left to it.
    assert text_encoder(tokenizer, DEFAULT).encode(["\n\n\n"]).ids.tolist() == [tokenizer.token_to_id("\n\n\n")]
    # The model of a SentencePiece vocabulary knows its special tokens, and would write them.
    piece = TOKENIZERS["unigram"]()
    plain = Tokenizer.from_str(piece.to_str())
    plain.encode_special_tokens = True
    assert piece.token_to_id("[SEP]") in plain.encode("x[SEP]x", add_special_tokens=False).ids
    encoder = text_encoder(piece, DEFAULT)
    found = encoder.encode(["x[SEP]x", "ok"])
    assert not encoder.forbidden[found.ids].any()
    assert found.escaped.tolist() == [1, 0]


@settings(max_examples=60, deadline=None)
@given(text=TEXT, forbidden=st.lists(st.sampled_from(["[Answer A]", "--------", "(1)", "[SEP]"]), min_size=1))
def test_guard(text, forbidden):
    guard = Guard(tuple(forbidden), "\\")
    (safe,), (count,) = guard.escape_all([text + "⑴"])
    assert not any(_fold(f)[0] in _fold(safe)[0] for f in forbidden)
    assert (count > 0) == any(_fold(f)[0] in _fold(text + "⑴")[0] for f in forbidden)
    assert guard.suspects([safe]).size == 0
    assert "(1)" in forbidden or safe.replace("\\", "") == (text + "⑴").replace("\\", "")


def test_identical_and_canonical():
    rows = [("p", "same", "same"), ("p", "one", "two"), ("p", "two", "one"), (["p", "q"], ["a", "b"], ["a", "c"])]
    found = tokenize(battles(*rows), "default", byte_bpe(), 300)
    assert found.identical.tolist() == [True, False, False, False]
    assert not found.exchange[0]
    assert found.exchange[1] != found.exchange[2]
    # How turns are split tells answers apart: "ab", "c" is not "a", "bc".
    split = tokenize(battles((["p", "q"], ["ab", "c"], ["a", "bc"])), "default", byte_bpe(), 300)
    assert not split.identical[0]


def test_too_small_windows_and_unusable_tokenizers():
    with pytest.raises(RecipeError, match=r"a window of 64 tokens is too small .* need \d+"):
        tokenize(battles(("p", "a", "b")), "default", byte_bpe(), 64)
    with pytest.raises(RecipeError, match="too small"):
        tokenize(battles(("p", "a", "b")), "notebook", byte_bpe(), 1)
    with pytest.raises(EngineError, match="needs a fast one"):
        tokenize(battles(("p", "a", "b")), "default", object(), 256)
    blind = Tokenizer(models.WordLevel({"<unk>": 0, "a": 1}, unk_token="<unk>"))
    with pytest.raises(EngineError, match="cannot write"):
        tokenize(battles(("p", "a", "b")), "default", blind, 256)
    with pytest.raises(DataError, match="'b1'"):
        tokenize(battles(("p", "a", "b"), (["p", "q"], ["a"], ["b"])), "default", byte_bpe(), 256)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda t: t.name)
def test_no_battles(template):
    found = tokenize(battles(("p", "a", "b")).take([]), template, byte_bpe(), 300)
    assert (len(found), len(found.swapped), found.cut.height) == (0, 0, 0)
    full = tokenize(battles(("p", "a", "b")), template, byte_bpe(), 300)
    assert found.cut.schema == full.cut.schema
    assert same(found.concat(full).given, full.given)


def test_cache(tmp_path, monkeypatch):
    rows = battles(("p", "a " * 400, "b"), (["p", "q"], ["x", "y"], ["x", "z"]))
    cache = TokenCache(tmp_path / "tokens", keep=1)
    fresh = tokenize(rows, "default", byte_bpe(), 300, cache=cache)
    assert tokenize(rows, "default", byte_bpe(), 300, cache=cache) is fresh
    other = tokenize(rows, "default", byte_bpe(), 301, cache=cache)
    assert other is not fresh
    read = tokenize(rows, "default", byte_bpe(), 300, cache=cache)  # from the file: memory keeps one
    assert read is not fresh
    assert same(read.given, fresh.given)
    assert same(read.swapped, fresh.swapped)
    assert read.cut.equals(fresh.cut)
    assert read.cut.schema == fresh.cut.schema
    assert np.array_equal(read.exchange, fresh.exchange)
    assert read.given.ids.dtype == np.int32
    files = list((tmp_path / "tokens").iterdir())
    assert sorted(f.suffix for f in files) == [".arrow", ".arrow"]
    for file in files:
        file.write_bytes(file.read_bytes()[:200])
    again = tokenize(rows, "default", byte_bpe(), 300, cache=TokenCache(tmp_path / "tokens"))
    assert same(again.given, fresh.given)
    changed = rows.with_columns(response_b=pl.Series([["c"], ["x", "z"]]))
    assert not same(tokenize(changed, "default", byte_bpe(), 300, cache=cache).given, fresh.given)
    empty = rows.take([])
    tokenize(empty, "default", byte_bpe(), 300, cache=TokenCache(tmp_path / "tokens"))
    assert len(tokenize(empty, "default", byte_bpe(), 300, cache=TokenCache(tmp_path / "tokens"))) == 0


def test_transformers_tokenizers_are_taken_as_they_are():
    from tiny import tiny_tokenizer

    for encoder in (False, True):
        tokenizer = tiny_tokenizer(encoder)
        found = tokenize(battles(("p </s> [SEP]", "a", "b")), "default", tokenizer, 400)
        ids = found.given[0].tolist()
        assert ids[0] == (tokenizer.cls_token_id if encoder else tokenizer.bos_token_id)
        assert (ids[-1] == tokenizer.sep_token_id) == encoder
        assert not set(ids[1:-1]) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize("family", FAMILIES)
def test_notebook_counts_tokens_where_they_begin(family):
    tokenizer = TOKENIZERS[family]()
    prompt, a, b = "the  cat \n", "\n\n sat on  ", " 🙂 the mat"
    found = tokenize(battles((prompt, a, b)), "notebook", tokenizer, 4000).cut.row(0, named=True)
    pieces = ["User prompt: ", prompt, "\n\nModel A :\n", a, "\n\n--------\n\nModel B:\n", b]
    ends = np.cumsum([len(piece) for piece in pieces])
    begins = [first for first, _ in tokenizer.encode("".join(pieces), add_special_tokens=False).offsets]
    wanted = [sum(ends[k - 1] <= x < ends[k] for x in begins) for k in (1, 3, 5)]
    assert [found[f"{f}_tokens"] for f in ("prompt", "response_a", "response_b")] == wanted


@pytest.mark.parametrize("template", [load_template("notebook"), RIGHT.model_copy(update={"suffix": ""})])
def test_a_prompt_that_fills_the_window_leaves_a_token_to_read(template):
    found = tokenize(battles(("word " * 900, "yes", "no")), template, byte_bpe(), 200)
    assert (found.given.lengths[0], found.given.prefix[0]) == (200, 199)
