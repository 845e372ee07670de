"""The notebook's features as contrasts: what exchanging A and B does to each of them is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from prefcast.battles import Battles
from prefcast.models.features._ngrams import NGrams
from prefcast.models.features._plain import PLAIN_COUNTS, plain_counts

__all__ = ["NGramContrast", "NGramFeatures"]


@dataclass(frozen=True, eq=False)
class NGramContrast:
    """Features of n battles.

    Parameters
    ----------
    values
        (n, f), float32. The first ``n_signed`` columns change sign when A and B are exchanged, the others stay.
    n_signed
        How many those are.
    """

    values: sparse.csr_array
    n_signed: int

    def __len__(self) -> int:
        return int(self.values.shape[0])

    def take(self, rows: npt.NDArray[Any]) -> NGramContrast:
        """Select by position."""
        return NGramContrast(self.values[rows], self.n_signed)

    def matrix(self, *, swapped: bool = False) -> sparse.csr_matrix:
        """Features as LightGBM takes them, of the battles as they are or with A and B exchanged, bit for bit."""
        x, data = self.values, self.values.data
        if swapped:
            data = np.where(x.indices < self.n_signed, -data, data)
        return sparse.csr_matrix((data, x.indices, x.indptr), shape=x.shape)


@dataclass(frozen=True, eq=False)
class NGramFeatures:
    """Word and character n-grams and hand counts of battles, on a log scale: A - B, its absolute value, and sums.

    Parameters
    ----------
    words, characters
        The n-grams that are counted.
    """

    words: NGrams
    characters: NGrams

    @classmethod
    def fit(cls, battles: Battles, *, words: int, characters: int, longest: int, min_rows: int, seed: int) -> Self:
        """Learn both vocabularies from prompts and answers; a text that stands there often counts once.

        Parameters
        ----------
        battles
            Training battles only.
        words, characters
            Number of n-grams.
        longest
            Largest n.
        min_rows
            An n-gram in fewer different texts is not kept.
        seed
            Of the sample that is looked at.

        Returns
        -------
        NGramFeatures
            Ready to use.
        """
        texts = pl.concat([battles.frame[c].alias("text") for c in ("prompt", "response_a", "response_b")])
        texts = texts.to_frame().unique(maintain_order=True)["text"]
        return cls(
            NGrams.fit(texts, "word", size=words, longest=longest, min_rows=min_rows, seed=seed),
            NGrams.fit(texts, "character", size=characters, longest=longest, min_rows=min_rows, seed=seed),
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What each column is."""
        ngrams = [f"{ngrams.unit} {text!r}" for ngrams in (self.words, self.characters) for text in ngrams.vocabulary]
        both = (*ngrams, *PLAIN_COUNTS)
        return (
            *(f"{name}: A - B" for name in both),
            *(f"{name}: |A - B|" for name in both),
            *(f"{name}: A + B" for name in PLAIN_COUNTS),
            *(f"{name}: prompt" for name in PLAIN_COUNTS),
        )

    def contrast(self, battles: Battles) -> NGramContrast:
        """Turn battles into features, columns as in `names`."""
        a_words, b_words = _both(self.words, battles)
        a_characters, b_characters = _both(self.characters, battles)
        prompt, a, b = (
            np.log1p(plain_counts(battles.frame[c])).astype(np.float32) for c in ("prompt", "response_a", "response_b")
        )
        signed = sparse.hstack([a_words - b_words, a_characters - b_characters, sparse.csr_array(a - b)], format="csr")
        sums = sparse.csr_array(np.hstack([a + b, prompt]))
        return NGramContrast(sparse.hstack([signed, abs(signed), sums], format="csr"), signed.shape[1])

    def to_json(self) -> dict[str, list[str]]:
        """Return the vocabularies as JSON values."""
        return {"words": list(self.words.vocabulary), "characters": list(self.characters.vocabulary)}

    @classmethod
    def from_json(cls, saved: dict[str, Any]) -> Self:
        """Read what `to_json` returned."""
        return cls(NGrams("word", tuple(saved["words"])), NGrams("character", tuple(saved["characters"])))


def _both(ngrams: NGrams, battles: Battles) -> tuple[sparse.csr_array, sparse.csr_array]:
    """log(1 + count) of n-grams in A and in B."""
    n = len(battles)
    counts = ngrams.count(pl.concat([battles.frame["response_a"], battles.frame["response_b"].alias("response_a")]))
    table = np.log1p(np.arange(counts.data.max(initial=0) + 1)).astype(np.float32)  # counts are small whole numbers
    logs = sparse.csr_array((table[counts.data], counts.indices, counts.indptr), shape=counts.shape)
    return logs[:n], logs[n:]
