"""Every layout of battles is recognised and read the same from every kind of source."""

import gzip
import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from prefcast.battles import iter_battles, read_battles
from prefcast.errors import DataError

COMPETITION = [
    {
        "id": 30192,
        "model_a": "gpt-4",
        "model_b": "llama",
        "prompt": '["Hi","And \\u00e9?"]',
        "response_a": '["Hello, \\"you\\"!\\nHow?","\\ud83d\\ude00"]',
        "response_b": '["Yo",null]',
        "winner_model_a": 1,
        "winner_model_b": 0,
        "winner_tie": 0,
    },
    {
        "id": 53567,
        "model_a": "m,1",
        "model_b": 'm"2',
        "prompt": '["2+2?"]',
        "response_a": '["4"]',
        "response_b": '["5"]',
        "winner_model_a": 0,
        "winner_model_b": 0,
        "winner_tie": 1,
    },
]
MESSAGES_A = [
    {"role": "user", "content": "Hi"},
    {"role": "assistant", "content": "Hello"},
    {"role": "user", "content": "And?"},
    {"role": "assistant", "content": "Bye"},
]
MESSAGES_B = [m | {"content": m["content"].upper()} if m["role"] == "assistant" else m for m in MESSAGES_A]


def _sources(folder):
    frame = pl.DataFrame(COMPETITION)
    frame.write_csv(folder / "b.csv")
    (folder / "bom.csv").write_bytes(b"\xef\xbb\xbf" + (folder / "b.csv").read_bytes())
    (folder / "crlf.csv").write_bytes(frame.write_csv(line_terminator="\r\n").encode())
    (folder / "b.csv.gz").write_bytes(gzip.compress((folder / "b.csv").read_bytes()))
    frame.write_parquet(folder / "b.parquet")
    frame.write_ndjson(folder / "b.jsonl")
    frame.write_ndjson(folder / "b.ndjson")
    (folder / "b.json").write_text(json.dumps(COMPETITION, indent=1))
    lists = [row | {c: json.loads(row[c]) for c in ("prompt", "response_a", "response_b")} for row in COMPETITION]
    pl.DataFrame(lists).write_parquet(folder / "lists.parquet")
    (folder / "lists.jsonl").write_text("\n".join(json.dumps(row) for row in lists) + "\n\n")
    files = {path.name: path for path in folder.iterdir()}
    return files | {
        "str path": str(folder / "b.csv"),
        "polars": frame,
        "lazy": frame.lazy(),
        "pandas": frame.to_pandas(),
        "pandas objects": pd.DataFrame(lists),
        "pandas numpy lists": pd.DataFrame([_with_arrays(row) for row in lists]),
        "arrow": frame.to_arrow(),
        "arrow dictionary": frame.with_columns(pl.col("model_a", "prompt").cast(pl.Categorical)).to_arrow(),
        "dicts": COMPETITION,
        "dicts of lists": lists,
    }  # fmt: skip


def _with_arrays(row):
    return {k: np.array(v) if isinstance(v, list) else v for k, v in row.items()}


def test_every_kind_of_source_reads_the_same(tmp_path):
    for name, source in _sources(tmp_path).items():
        battles = read_battles(source)
        frame = battles.frame
        assert frame["id"].to_list() == ["30192", "53567"], name
        assert frame["prompt"].to_list() == [["Hi", "And é?"], ["2+2?"]], name
        assert frame["response_a"].to_list() == [['Hello, "you"!\nHow?', "😀"], ["4"]], name
        assert frame["response_b"].to_list() == [["Yo", ""], ["5"]], name
        assert frame["model_a"].to_list() == ["gpt-4", "m,1"], name
        assert battles.votes.tolist() == [[1, 0, 0], [0, 0, 1]], name
        assert battles.repairs.rows() == [(0, "30192", "response_b", "null turn read as an empty turn")], name


def test_extra_columns_of_ours_are_kept_and_others_ignored(tmp_path):
    frame = pl.DataFrame(COMPETITION).with_columns(
        source=pl.lit("arena"), group_id=pl.Series(["g1", None]), annotator=pl.Series([7, 8]), language=pl.lit("en"),
        weight=pl.Series([2.0, None]), meta=pl.lit("{}"), odd=pl.Series([[1], [2]]),
    )  # fmt: skip
    frame.write_parquet(tmp_path / "x.parquet")
    got = read_battles(tmp_path / "x.parquet", source_name="mine").frame
    assert got.select("source", "group", "annotator", "language", "weight").rows() == [
        ("arena", "g1", "7", "en", 2.0),
        ("arena", None, "8", "en", 1.0),
    ]
    assert read_battles(COMPETITION, source_name="mine").frame["source"].to_list() == ["mine", "mine"]


def test_a_test_file_has_no_votes(data_dir):
    battles = read_battles(data_dir / "arena100" / "test.csv")
    assert battles.ids.to_list() == ["136060", "211333", "1233961"]
    assert not battles.has_votes.any()
    assert battles.n_turns.tolist() == [1, 1, 2]
    assert battles.frame["prompt"].to_list()[2][1] == "I want to do full finetuning"
    assert "he/him" in battles.frame["prompt"].to_list()[1][0]


def test_real_files_are_read_like_python_reads_them(data_dir):
    import csv

    battles = read_battles(data_dir / "arena100" / "train.csv")
    with (data_dir / "arena100" / "train.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for column in ("prompt", "response_a", "response_b"):
        assert battles.frame[column].to_list() == [json.loads(row[column]) for row in rows]
    assert battles.ids.to_list() == [row["id"] for row in rows]
    assert battles.repairs.height == 0


def test_plain_strings_are_single_turns():
    rows = [{"prompt": "Hi [there]", "response_a": "one\ntwo", "response_b": "123", "winner": "tie"}] * 2
    battles = read_battles(rows)
    assert battles.frame["prompt"].to_list() == [["Hi [there]"]] * 2
    assert battles.frame["response_a"].to_list() == [["one\ntwo"]] * 2
    assert battles.ids.to_list() == ["0", "1"]


def test_plain_texts_that_look_like_json_need_the_layout_said():
    rows = [
        {"id": 1, "prompt": "List?", "response_a": '["a"]', "response_b": "no"},
        {"id": 2, "prompt": "Other", "response_a": "x", "response_b": "y"},
    ]
    with pytest.raises(DataError, match="--layout plain") as error:
        read_battles(rows)
    assert error.value.rows[0] == 0
    battles = read_battles(rows, layout="plain")
    assert battles.frame["response_a"].to_list() == [['["a"]'], ["x"]]


def test_plain_texts_first_and_json_in_a_later_part_is_refused_too(tmp_path):
    frame = pl.DataFrame({"prompt": ["p"] * 30, "response_a": ["a"] * 29 + ['["a"]'], "response_b": ["b"] * 30})
    frame.write_parquet(tmp_path / "p.parquet")
    with pytest.raises(DataError, match="JSON list among plain texts") as error:
        list(iter_battles(tmp_path / "p.parquet", rows=10))
    assert error.value.rows == (29,)
    assert sum(map(len, iter_battles(tmp_path / "p.parquet", rows=10, layout="plain"))) == 30


def test_a_list_cut_off_is_broken_json_and_not_a_plain_text():
    with pytest.raises(DataError, match="broken JSON"):
        read_battles([{"prompt": '["cut', "response_a": '["of', "response_b": '["f'}])


@pytest.mark.parametrize("as_json", [False, True])
def test_arena_100k(as_json, tmp_path):
    rows = [
        {"question_id": f"q{i}", "model_a": "a", "model_b": "b", "winner": w, "conversation_a": MESSAGES_A,
         "conversation_b": MESSAGES_B, "turn": 2, "anony": True, "language": "English", "tstamp": 1.5,
         "conv_metadata": {"sum_user_tokens": 3}, "judge_hash": "j"}
        for i, w in enumerate(["model_a", "model_b", "tie", "tie (bothbad)", None])
    ]  # fmt: skip
    if as_json:
        for row in rows:
            row["conversation_a"] = json.dumps(row["conversation_a"])
            row["conversation_b"] = json.dumps(row["conversation_b"])
        pl.DataFrame(rows).drop("conv_metadata").write_csv(tmp_path / "x.csv")
        battles = read_battles(tmp_path / "x.csv")
    else:
        pl.DataFrame(rows).write_parquet(tmp_path / "x.parquet")
        battles = read_battles(tmp_path / "x.parquet")
    assert battles.frame["prompt"].to_list() == [["Hi", "And?"]] * 5
    assert battles.frame["response_a"].to_list() == [["Hello", "Bye"]] * 5
    assert battles.frame["response_b"].to_list() == [["HELLO", "BYE"]] * 5
    assert battles.ids.to_list() == ["q0", "q1", "q2", "q3", "q4"]
    assert np.nan_to_num(battles.votes).tolist() == [[1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 1], [0, 0, 0]]
    assert battles.frame["both_bad"].to_list() == [False, False, False, True, False]
    assert battles.frame["annotator"].unique().to_list() == ["j"]
    assert battles.repairs.height == 0


def test_arena_140k_with_parts(tmp_path):
    def talk(answer):
        return [
            {"role": "user", "content": [_part("text", "Look:"), _part("image", None, "http://x/y.png")]},
            {"role": "assistant", "content": [_part("text", answer)]},
        ]

    row = {"id": "u-1", "model_a": "a", "model_b": "b", "winner": "both_bad", "evaluation_session_id": "s",
           "evaluation_order": 1, "conversation_a": talk("x"), "conversation_b": talk("y"), "language": "pl",
           "full_conversation": [], "is_code": False}  # fmt: skip
    pl.DataFrame([row]).write_parquet(tmp_path / "x.parquet")
    battles = read_battles(tmp_path / "x.parquet")
    assert battles.frame.select("id", "prompt", "response_a", "response_b").row(0) == ("u-1", ["Look:"], ["x"], ["y"])
    assert battles.frame.select("language", "both_bad", "annotator").row(0) == ("pl", True, "s")
    assert battles.repairs["what"].unique().to_list() == ["content that is not text left out"]


def _part(kind, text, image=None):
    return {"type": kind, "text": text, "image": image, "mimeType": None}


def test_chatbot_arena_conversations():
    row = {"question_id": "q", "model_a": "a", "model_b": "b", "winner": "tie (bothbad)", "judge": "arena_user_1",
           "conversation_a": MESSAGES_A, "conversation_b": MESSAGES_B, "turn": 2, "anony": True, "language": "English",
           "tstamp": 1.0, "openai_moderation": {}, "toxic_chat_tag": {}}  # fmt: skip
    battles = read_battles([row])
    assert battles.frame.select("id", "annotator", "both_bad").row(0) == ("q", "arena_user_1", True)
    assert battles.n_turns.tolist() == [2]


def test_mt_bench_judgments_keep_the_turns_voted_on():
    rows = [
        {"question_id": 81, "model_a": "a", "model_b": "b", "winner": "model_b", "judge": f"expert_{turn}",
         "conversation_a": MESSAGES_A, "conversation_b": MESSAGES_B, "turn": turn}
        for turn in (1, 2)
    ]  # fmt: skip
    battles = read_battles(pl.DataFrame(rows))
    assert battles.frame["prompt"].to_list() == [["Hi"], ["Hi", "And?"]]
    assert battles.frame["response_b"].to_list() == [["HELLO"], ["HELLO", "BYE"]]
    assert battles.ids.to_list() == ["0", "1"]  # question_id names the prompt, not the battle
    assert battles.frame["group"].to_list() == ["81", "81"]
    assert battles.repairs["row"].to_list() == [0]
    assert "turn 1 of 2" in battles.repairs["what"].item()


def test_conversations_that_are_not_regular():
    a = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Hi"},
        {"role": "user", "content": "You?"},
        {"role": "assistant", "content": None},
        {"role": "user", "content": "Bye"},
    ]
    b = [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "\ud83d"}]
    battles = read_battles([{"id": 1, "conversation_a": a, "conversation_b": b, "winner": "a"}])
    row = battles.frame.row(0, named=True)
    assert row["prompt"] == ["Be kind.\n\nHi\n\nYou?", "Bye"]
    assert row["response_a"] == ["", ""]
    assert row["response_b"] == ["\ufffd", ""]
    said = " | ".join(battles.repairs["what"])
    for part in ("joined", "null message", "differ", "U+FFFD", "padded"):
        assert part in said


@pytest.mark.parametrize(
    "message", [{"role": "tool", "content": "x"}, {"role": "user", "content": 5}, "text", {"content": "x"}]
)
def test_messages_of_the_wrong_type_are_refused(message):
    with pytest.raises(DataError, match="wrong type"):
        read_battles([{"conversation_a": [message], "conversation_b": MESSAGES_B}])


CHOSEN = [
    {"id": f"r{i}", "prompt": f"p{i}", "chosen": f"good{i}", "rejected": f"bad{i}", "margin": 0.4} for i in range(200)
]


def test_chosen_and_rejected_stand_in_a_recorded_random_order(tmp_path):
    frame = pl.DataFrame(CHOSEN)
    battles = read_battles(frame)
    flipped = battles.frame["flipped"].to_numpy()
    assert 60 < flipped.sum() < 140
    good = battles.frame.with_columns(
        good=pl.when("flipped").then("response_b").otherwise("response_a"),
        voted=pl.when("flipped").then("vote_b").otherwise("vote_a"),
    )
    assert good["good"].to_list() == [[r["chosen"]] for r in CHOSEN]
    assert good["voted"].to_list() == [1.0] * 200
    assert (read_battles(frame, seed=1).frame["flipped"].to_numpy() != flipped).any()
    frame.write_csv(tmp_path / "c.csv")
    parts = list(iter_battles(tmp_path / "c.csv", rows=7))
    assert np.concatenate([p.frame["flipped"].to_numpy() for p in parts]).tolist() == flipped.tolist()
    assert read_battles(frame.reverse()).frame["flipped"].to_list() == flipped[::-1].tolist()


def test_chosen_and_rejected_without_ids_go_by_row_number():
    frame = pl.DataFrame(CHOSEN).drop("id")
    whole = read_battles(frame).frame["flipped"].to_list()
    assert [f for part in iter_battles(frame, rows=11) for f in part.frame["flipped"]] == whole
    assert len(set(whole)) == 2


TALKS = (MESSAGES_A[:3], MESSAGES_A[3:], MESSAGES_B[3:])


@pytest.mark.parametrize(
    "row",
    [
        {"chosen": MESSAGES_A, "rejected": MESSAGES_B},
        {"prompt": "Hi", "chosen": MESSAGES_A, "rejected": MESSAGES_B},
        {"prompt": MESSAGES_A[:3], "chosen": MESSAGES_A[3:], "rejected": MESSAGES_B[3:]},
        {k: json.dumps(v) for k, v in zip(("prompt", "chosen", "rejected"), TALKS, strict=True)},
        {"prompt": ["Hi", "And?"], "chosen": ["Hello", "Bye"], "rejected": ["Hello", "BYE"]},
        {
            "chosen": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: And?\n\nAssistant: Bye",
            "rejected": "\n\nHuman: Hi\n\nAssistant: Hello\n\nHuman: And?\n\nAssistant: BYE",
        },
    ],
)  # fmt: skip
def test_ways_to_write_chosen_and_rejected(row):
    got = read_battles([row]).frame.row(0, named=True)
    better = "response_b" if got["flipped"] else "response_a"
    assert got["prompt"] == ["Hi", "And?"]
    assert got[better][1] == "Bye"


def test_chosen_without_any_prompt_is_said():
    battles = read_battles([{"chosen": "yes", "rejected": "no"}])
    assert battles.frame["prompt"].to_list() == [[""]]
    assert "no prompt" in battles.repairs["what"][0]


def test_what_prefcast_writes_is_read_back():
    battles = read_battles(CHOSEN)
    again = read_battles(battles.frame)
    assert again.frame.equals(battles.frame)


def test_a_folder_reads_all_its_files_and_says_what_it_left_out(tmp_path):
    frame = pl.DataFrame(COMPETITION)
    frame.write_csv(tmp_path / "b.csv")
    frame.write_parquet(tmp_path / "a.parquet")
    (tmp_path / "notes.txt").write_text("no battles")
    (tmp_path / "sample_submission.csv").write_text("id,winner_tie\n1,1\n")
    battles = read_battles(tmp_path)
    assert len(battles) == 4
    left, first, second = battles.repairs.rows()
    assert left[3].startswith("sample_submission.csv left out")
    assert (first[0], second[0]) == (0, 2)


def test_rows_without_ids_are_numbered_over_a_folder(tmp_path):
    for name in "ab":
        pl.DataFrame(COMPETITION).drop("id").write_csv(tmp_path / f"{name}.csv")
    assert read_battles(tmp_path).ids.to_list() == ["0", "1", "2", "3"]


def test_a_folder_of_odd_files_says_what_the_first_lacks(tmp_path):
    (tmp_path / "x.csv").write_text("id,winner_tie\n1,1\n")
    with pytest.raises(DataError, match="lacks the columns prompt"):
        read_battles(tmp_path)


def test_arrow_large_and_view_types():
    table = pa.table({
        "prompt": pa.array([["a", None]], type=pa.large_list(pa.large_string())),
        "response_a": pa.array([["x", "y"]], type=pa.list_(pa.string_view())),
        "response_b": pa.array([["x", "y"]], type=pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    })  # fmt: skip
    battles = read_battles(table)
    assert battles.frame.select("prompt", "response_a", "response_b").row(0) == (["a", ""], ["x", "y"], ["x", "y"])
