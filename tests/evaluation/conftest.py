"""Small battles for the tests of evaluation."""

import polars as pl
import pytest

from prefcast.battles import Battles


@pytest.fixture(scope="session")
def make_battles():
    """Build battles from votes (n, 3), with what else is given by column."""

    def make(votes, **columns):
        n = len(votes)
        frame = {
            "id": [str(i) for i in range(n)],
            "prompt": [[f"question {i}"] for i in range(n)],
            "response_a": [["first"]] * n,
            "response_b": [["second"]] * n,
        }
        for k, name in enumerate(("vote_a", "vote_b", "vote_tie")):
            frame[name] = [None if vote is None else float(vote[k]) for vote in votes]
        schema = {"vote_a": pl.Float64, "vote_b": pl.Float64, "vote_tie": pl.Float64}
        return Battles.from_frame(pl.DataFrame(frame | columns, schema_overrides=schema))

    return make
