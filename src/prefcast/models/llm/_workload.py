"""How much there is to read: lengths in tokens, counted, estimated from characters, or assumed. No torch."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles import Battles
from prefcast.errors import EngineError
from prefcast.models.llm._geometry import plan_data

__all__ = ["Workload", "find_tokenizer"]

_AROUND = 40  # tokens of a template's fixed parts
_SAMPLE = 2000  # battles whose texts are tokenised to learn how many characters a token has


@dataclass(frozen=True, eq=False)
class Workload:
    """How much there is to read.

    Parameters
    ----------
    lengths
        Tokens of each battle in one order, or of a sample of them, (n,).
    battles
        How many battles there are.
    prompt
        Share of the tokens that is the prompt, whose work both orders can share.
    known
        How the lengths are known, for people.
    """

    lengths: npt.NDArray[np.float64]
    battles: int
    prompt: float
    known: str

    @classmethod
    def typical(cls, battles: int, tokens: float | None = None, max_tokens: int = 2048) -> Workload:
        """Assume lengths that spread as the arena's do.

        Parameters
        ----------
        battles
            How many.
        tokens
            Their mean tokens, before cutting; the arena's if None.
        max_tokens
            Where longer ones are cut.

        Returns
        -------
        Workload
            With a sample of lengths, the same every time.

        Examples
        --------
        >>> work = Workload.typical(25_000, tokens=500, max_tokens=1024)
        >>> work.battles, work.longest, work.mean < 500
        (25000, 1024, True)
        """
        from scipy.special import ndtri

        assumed = plan_data()["assumed"]
        mean = float(tokens or assumed["tokens"])
        # Quantiles of a lognormal distribution with that mean: no chance in it.
        shape = np.exp(assumed["spread"] * np.asarray(ndtri((np.arange(512) + 0.5) / 512), dtype=np.float64))
        lengths = np.minimum(shape * mean / shape.mean(), max_tokens)
        known = f"assumed: a mean of {mean:g} tokens before cutting at {max_tokens:,}, spread as in the arena"
        return cls(lengths, battles, float(assumed["prompt"]), known)

    @classmethod
    def of(cls, battles: Battles, max_tokens: int = 2048, tokenizer: Path | None = None) -> Workload:
        """Estimate the lengths of battles from their characters.

        Parameters
        ----------
        battles
            The battles.
        max_tokens
            Where longer ones are cut.
        tokenizer
            A tokenizer.json to learn from how many characters a token has, on some of the battles; 4 if None.

        Returns
        -------
        Workload
            With the length of every battle.

        Raises
        ------
        EngineError
            There are no battles, or the tokenizer cannot be read.
        """
        if not len(battles):
            raise EngineError("there are no battles to plan for.")
        texts = battles.frame.select(
            pl.col(c).list.join("\n").fill_null("") for c in ("prompt", "response_a", "response_b")
        )
        sizes = texts.select(pl.all().str.len_chars()).to_numpy().astype(np.float64)
        each = plan_data()["assumed"]["characters"]
        known = f"estimated: {each:g} characters to a token"
        if tokenizer is not None:
            each = _characters_per_token(texts, tokenizer)
            known = f"estimated: {each:.2f} characters to a token, by the tokenizer on a sample of the texts"
        lengths = np.minimum(sizes.sum(1) / each + _AROUND, max_tokens)
        prompt = np.minimum(sizes[:, 0] / each, max_tokens / 5)
        return cls(lengths, len(battles), float(prompt.sum() / lengths.sum()), known)

    @property
    def mean(self) -> float:
        """Mean tokens of a battle in one order."""
        return float(self.lengths.mean())

    @property
    def longest(self) -> int:
        """Tokens of the longest."""
        return math.ceil(float(self.lengths.max()))

    def cut(self, max_tokens: int) -> Workload:
        """Cut longer battles."""
        return replace(self, lengths=np.minimum(self.lengths, max_tokens))


def find_tokenizer(folder: str | Path) -> Path | None:
    """Find the tokenizer.json of a backbone or a trained model; None if there is none here."""
    found = sorted(Path(folder).rglob("tokenizer.json")) if Path(folder).is_dir() else []
    return found[0] if found else None


def _characters_per_token(texts: pl.DataFrame, tokenizer: Path) -> float:
    from tokenizers import Tokenizer

    step = max(1, texts.height // _SAMPLE)
    some = [text for column in texts.gather_every(step).iter_columns() for text in column.to_list()]
    try:
        encoder = Tokenizer.from_file(str(tokenizer))
    except Exception as error:  # tokenizers raises nothing narrower
        raise EngineError(f"{tokenizer} cannot be read as a tokenizer ({error}).") from error
    encoder.no_truncation()
    tokens: int = sum(len(one.ids) for one in encoder.encode_batch(some, add_special_tokens=False))
    return max(1, sum(map(len, some))) / max(1, tokens)
