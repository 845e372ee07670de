"""Style counts against a slow reference that reads one text at a time, and their independence of everything else."""

import re
import zlib

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.battles import Battles
from prefcast.models.features import ANSWER_FEATURES, PAIR_FEATURES, PROMPT_FEATURES, Style, _style, style

WHITE = " \t\v\f\r\0"
# A character of three bytes from E3 to ED is a word; other letters, digits, _ and ' and what is not ASCII run on.
WORD = re.compile("[\u3000-\udfff]|[A-Za-z0-9_'\u0080-\u2fff\ue000-\U0010ffff]+")
TONE = {
    "first_person": "i i'm i've i'll i'd me my mine we our us",
    "second_person": "you your you're yours you'll you've yourself",
    "sorry": "sorry apologize apologies unfortunately regret",
    "refusal": "cannot can't unable won't inappropriate illegal unethical decline",
    "hedges": "may might could perhaps possibly generally typically often usually likely seems probably",
    "connectives": "however therefore because additionally furthermore moreover finally overall first second example",
}


def words_of(text):
    """Words as bytes in ASCII lower case; those over 16 bytes as what names them."""
    found = [word.encode().lower() for word in WORD.findall(text)]
    return [w if len(w) <= 16 else (w[:8], w[-8:], len(w)) for w in found]


def length_of(word):
    return word[2] if isinstance(word, tuple) else len(word)


def trigrams_of(text):
    words = words_of(text)
    return list(zip(words, words[1:], words[2:], strict=False))


def ratio(part, whole):
    return part / max(whole, 1)


def of_lines(text):
    lines = [line.strip(WHITE) for line in text.split("\n")]
    filled = [line for line in lines if line]
    bullets = [line for line in filled if re.match(r"[-*+] |[•‣]", line)]
    # Stripping must not take the blank that makes "- " a bullet.
    bullets += [line for line in text.split("\n") if re.fullmatch(f"[{WHITE}]*[-*+] [{WHITE}]*", line)]
    numbered = [line for line in filled if re.match(r"[0-9]{1,2}[.)]", line)]
    return {
        "lines": len(filled),
        "paragraphs": sum(bool(line) and not before for line, before in zip(lines, ["", *lines], strict=False)),
        "headings": sum(line.startswith("#") for line in filled),
        "bullets": len(bullets),
        "numbered": len(numbered),
        "list_lines": ratio(len(bullets) + len(numbered), len(filled)),
        "line_length": ratio(len(text), len(filled)),
    }


def of_answer(text, prompt, other):
    data, chars, words = text.encode(), len(text), words_of(text)
    unique, n = set(words), len(words)
    trigrams = trigrams_of(text)
    sentences = max(len(re.findall(r"[.!?](?=[ \t\n\v\f\r\0]|\Z)", text)), min(n, 1))
    last = text.rstrip(WHITE + "\n*_`\"')")[-1:]
    asked = set(words_of(prompt))

    def count(members):
        return sum(text.count(c) for c in members)

    return of_lines(text) | {
        "chars": chars,
        "words": n,
        "sentences": sentences,
        "sentence_length": ratio(n, sentences),
        "unique_words": len(unique),
        "type_token": ratio(len(unique), n),
        "root_type_token": len(unique) / np.sqrt(max(n, 1)),
        "compression": min(ratio(len(zlib.compress(data, 1)), len(data)), 1.0),
        "repeated_trigrams": ratio(len(trigrams) - len(set(trigrams)), len(trigrams)),
        "word_length": ratio(sum(map(length_of, words)), n),
        "long_words": ratio(sum(length_of(w) > 7 for w in words), n),
        "bold": count("*"),
        "code": count("`"),
        "tables": count("|"),
        "digits": ratio(count("0123456789"), chars),
        "capitals": ratio(count("ABCDEFGHIJKLMNOPQRSTUVWXYZ"), chars),
        "non_ascii": ratio(sum(c > "\x7f" for c in text), chars),
        "commas": ratio(count(","), chars),
        "colons": ratio(count(":;"), chars),
        "quotes": ratio(count("\"'"), chars),
        "brackets": ratio(count("()[]{}<>"), chars),
        "questions": count("?"),
        "exclamations": count("!"),
        "prompt_covered": ratio(len(unique & asked), len(asked)),
        "from_prompt": ratio(len(unique & asked), len(unique)),
        "shared_words": ratio(len(unique & set(words_of(other))), len(unique)),
        "ends_sentence": last in tuple(".!。！"),
        "ends_question": last in tuple("?？"),
        "ends_open": bool(re.match("[A-Za-z,]", last)),
        **{name: sum(w in members.encode().split() for w in words) for name, members in TONE.items()},
    }


def of_prompt(text, turns):
    return {
        "turns": turns,
        "prompt_words": len(words_of(text)),
        "prompt_lines": text.count("\n"),
        "prompt_questions": text.count("?"),
        "prompt_digits": ratio(sum(c in "0123456789" for c in text), len(text)),
        "prompt_non_ascii": ratio(sum(c > "\x7f" for c in text), len(text)),
        "prompt_code": text.count("`"),
    }


def of_pair(a, b):
    words_a, words_b = set(words_of(a)), set(words_of(b))
    phrases_a, phrases_b = set(trigrams_of(a)), set(trigrams_of(b))
    start_a, start_b = ([*text.encode()[:24], *[-1] * 24][:24] for text in (a, b))
    return {
        "similarity": ratio(len(words_a & words_b), len(words_a | words_b)),
        "phrase_similarity": ratio(len(phrases_a & phrases_b), len(phrases_a | phrases_b)),
        "same_start": next((k for k in range(24) if start_a[k] != start_b[k]), 24) / 24,
        "identical": a == b,
    }


def reference(battles):
    turns = battles.frame.select("prompt", "response_a", "response_b").rows()
    rows = [tuple("\n\n".join(part) for part in row) for row in turns]

    def table(features, dicts):
        return np.array([[d[f.name] for f in features] for d in dicts], dtype=float).reshape(-1, len(features))

    return Style(
        table(ANSWER_FEATURES, [of_answer(a, p, b) for p, a, b in rows]),
        table(ANSWER_FEATURES, [of_answer(b, p, a) for p, a, b in rows]),
        table(PROMPT_FEATURES, [of_prompt(row[0], len(t[0])) for row, t in zip(rows, turns, strict=True)]),
        table(PAIR_FEATURES, [of_pair(a, b) for _, a, b in rows]),
    )


def battles_of(rows):
    """Battles from (prompt, a, b), each a string or a list of turns."""
    columns = [[[turn] if isinstance(turn, str) else turn for turn in column] for column in zip(*rows, strict=True)]
    prompt, a, b = columns or ([], [], [])
    ids = [str(k) for k in range(len(rows))]
    return Battles.from_frame(
        pl.DataFrame(
            {"id": ids, "prompt": prompt, "response_a": a, "response_b": b},
            schema={"id": pl.String, **dict.fromkeys(["prompt", "response_a", "response_b"], pl.List(pl.String))},
        )
    )


PARTS = {"a": ANSWER_FEATURES, "b": ANSWER_FEATURES, "prompt": PROMPT_FEATURES, "pair": PAIR_FEATURES}


def assert_same(found, wanted, rows=slice(None)):
    for part, features in PARTS.items():
        x, y = getattr(found, part), getattr(wanted, part)[rows]
        assert x.shape == y.shape
        wrong = [f.name for k, f in enumerate(features) if not np.array_equal(x[:, k], y[:, k])]
        assert not wrong, f"{part}: {wrong}"


# fmt: off
FRAGMENTS = [
    "- ", "* ", "+ ", "-", "• ", "‣", "“", "12. ", "3) ", "123. ", "# ", "#", "  ", "\t", "I'm ", "can't", "sorry ",
    "HOWEVER", "you. ", "Yes", "No", "a", "B", "é", "Привет", "中文", "字", "ｗ。", "！", "？", "한국", "😀",
    "👩\u200d👩\u200d👧", "...", "?!", ". ", ".", ",", ": ", ";", '"', "'", "`", "**", "_", "(", "]}", "<b>", "\\", "x",
    "0", "2024", "|", "\n", "\n\n", "\r\n", "\0", "\n   \n", " " * 12, "z" * 40, "ab " * 5, "\v",
    "\f", "\u2028", "\ufeff",
    "antidisestablishmentarianism", "aaaaaaaaaaaaaaaa", "aaaaaaaa", "bc",
]
EDGES = [
    "", " ", "\n", "\n\n\n", " \n \r\n", "\0", "\0\0", "a", "-", "- ", "  - x", "12", "12.", "*", "'", "é", "中",
    "a中b", "。", "x" * 1000, "word " * 300, "1.\n2.\n", "- a\n- b", "\n- a\n", "   " * 200,
    "a\n" + " " * 30 + "- b", "Yes", "Yes\0",
    "ends.", "ends." + "\n" * 12, "ends?\"'", "it breaks off,", "end。", "end？", "a\r\nb\r\n\r\nc\r\n", "#", "•",
    "\ud7ff", "\U0010ffff",
]
# fmt: on
TEXTS = st.lists(st.sampled_from(FRAGMENTS) | st.text(max_size=4), max_size=12).map("".join)
ROWS = st.lists(st.tuples(TEXTS, TEXTS, TEXTS), max_size=6)


@settings(max_examples=150, deadline=None)
@given(rows=ROWS)
def test_counts_are_those_of_the_reference(rows):
    battles = battles_of(rows)
    assert_same(style(battles, workers=1), reference(battles))


def test_edges_beside_each_other():
    # Every edge stands before and behind every other somewhere: what one text leaves open must not reach the next.
    n = len(EDGES)
    rows = [(EDGES[i], EDGES[(i * k + 1) % n], EDGES[(i + k) % n]) for k in (1, 2, 5, 11) for i in range(n)]
    rows += [("", "Yes", "Yes\0"), ("", "“Quoted.”\n‣ listed\n— said", "•listed")]
    battles = battles_of(rows)
    assert_same(style(battles), reference(battles))


def test_words_that_look_alike_to_a_weak_hash_are_different():
    # Long words are named by both ends and their length; sums of these must not coincide.
    pairs = [
        ("xbaaaaaaay", "xbaaaaaay"),
        ("abcdefghijklmnop", "ijklmnopabcdefgh"),
        ("a" * 9, "a" * 10),
        ("ab ba ab", "ba ab ba"),
    ]
    counts = style(battles_of([("", a, b) for a, b in pairs]))
    names = [f.name for f in PAIR_FEATURES]
    assert counts.pair[:3, names.index("similarity")].tolist() == [0, 0, 0]
    assert counts.pair[3, names.index("phrase_similarity")] == 0


def test_turns_are_joined_by_a_blank_line():
    turns = battles_of([(["One?", "Two?"], ["- a", "- b"], ["x", ""])])
    joined = battles_of([("One?\n\nTwo?", "- a\n\n- b", "x\n\n")])
    found, wanted = style(turns), style(joined)
    assert found.prompt[0, 0] == 2
    assert wanted.prompt[0, 0] == 1
    found.prompt[0, 0] = 1
    assert_same(found, wanted)


@pytest.fixture(scope="module")
def real(data_dir):
    """Some hundred battles of four sets, as read."""
    from prefcast.battles import read_battles

    parts = [read_battles(data_dir / name / "votes.parquet") for name in ("llmeval2", "mt_bench", "pandalm", "tulu")]
    return [part.take(np.arange(0, len(part), len(part) // 80)) for part in parts]


def test_counts_of_real_votes_are_those_of_the_reference(real):
    battles = real[0].concat(*real[1:])
    assert len(battles) > 300
    assert_same(style(battles), reference(battles))


def test_counts_do_not_depend_on_what_stands_beside(real, monkeypatch):
    battles = real[0].concat(*real[1:])
    whole = style(battles, workers=1)
    order = np.random.default_rng(0).permutation(len(battles))
    assert_same(style(battles.take(order)), whole, order)
    for k in order[:40]:
        assert_same(style(battles.take([k])), whole, [k])
    for size in (1, 2_000, 50_000):
        monkeypatch.setattr(_style, "_CHUNK_BYTES", size)
        for workers in (1, 3):
            assert_same(style(battles, workers=workers), whole)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, data=st.data())
def test_swapping_battles_swaps_the_counts_and_nothing_else(rows, data):
    battles = battles_of(rows)
    counts = style(battles)
    assert_same(style(battles.swap()), counts.swap())
    order = data.draw(st.permutations(range(len(rows))))
    assert_same(style(battles.take(order)), counts, order)


def test_no_battle_no_row():
    counts = style(battles_of([]))
    assert len(counts) == 0
    assert [getattr(counts, part).shape for part in PARTS] == [(0, len(f)) for f in PARTS.values()]


def test_chunks_hold_what_keys_can_number():
    parts = list(_style._slices(np.zeros(200_000, dtype=np.int64)))
    assert max(p.stop - p.start for p in parts) <= 1 << 16
    assert np.concatenate([np.arange(p.start, p.stop) for p in parts]).tolist() == list(range(200_000))


def test_a_row_larger_than_a_chunk_is_a_chunk():
    n_bytes = np.array([10, 10**9, 10, 10])
    assert [(p.start, p.stop) for p in _style._slices(n_bytes)] == [(0, 1), (1, 2), (2, 4)]


def test_names_are_unique_and_fit_for_code():
    names = [f.name for f in (*ANSWER_FEATURES, *PROMPT_FEATURES, *PAIR_FEATURES)]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch("[a-z_]+", name) for name in names)
    assert all(f.label and f.family for f in (*ANSWER_FEATURES, *PROMPT_FEATURES, *PAIR_FEATURES))


def test_take_selects_rows():
    counts = style(battles_of([("p", "a", "b"), ("q", "c d", "e")]))
    assert_same(counts.take(np.array([1])), counts, [1])
