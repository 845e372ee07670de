"""Battles from a known vote model, with their true probabilities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from prefcast.battles._conversations import Answers, Prompts
from prefcast.battles._table import Battles
from prefcast.battles._vocabulary import LANGUAGES
from prefcast.battles._vote_model import VoteModel, best_possible
from prefcast.errors import DataError

__all__ = ["Simulation", "simulate"]

_Float = npt.NDArray[np.float64]
_Int = npt.NDArray[np.int64]

_NAMES: Final = (
    "amber", "birch", "cedar", "dune", "ember", "fjord", "grove", "heron", "iris", "juniper", "kestrel", "lark",
)  # fmt: skip
_SKILL: Final = 1.0


@dataclass(frozen=True, eq=False)
class Simulation:
    """Simulated battles and what is true of them.

    Parameters
    ----------
    battles
        n battles with votes and model names.
    truth
        True probabilities of A, B and tie, (n, 3).
    vote_model
        How people vote.
    utility
        Utility of A less that of B, without the position effect, (n,).
    quality
        Quality of the answers of A and B, (n, 2): the skill of the model and the luck of the answer.
    prompt
        Which prompt each battle is of, (n,): true groups, of which `find_groups` sees only the texts.
    identical
        Whether both answers are the same text, (n,).
    """

    battles: Battles
    truth: _Float
    vote_model: VoteModel
    utility: _Float
    quality: _Float
    prompt: _Int
    identical: npt.NDArray[np.bool_]

    @property
    def best_log_loss(self) -> float:
        """Log loss to be expected of the true probabilities: no forecast does better on average."""
        return best_possible(self.truth)

    def swapped_truth(self) -> _Float:
        """True probabilities of `battles.swap()`, (n, 3): a position effect stays with the first place."""
        return self.vote_model.probabilities(-self.utility, self.identical)


def simulate(
    n: int = 1_000,
    *,
    models: int | Sequence[str] = 8,
    prompts: int | None = None,
    skill: Sequence[float] | None = None,
    length_taste: float = 0.5,
    markdown_taste: float = 0.25,
    position_effect: float = 0.0,
    tie_width: float = 0.7,
    noise: float = 1.0,
    votes_per_pair: int = 1,
    turns: float = 0.15,
    seed: int = 0,
) -> Simulation:
    """Simulate battles from a known vote model.

    The utility of an answer is its quality, plus `length_taste` times its log length, plus `markdown_taste` times the
    log of its markdown elements; `VoteModel` says how the difference becomes a vote. What can be learned from the
    texts: lengths and markdown exactly; quality in part, since better answers take more words from the topic of their
    prompt, use a richer vocabulary and have fewer misspellings. An empty answer has quality -4. The truth knows the
    quality, so a forecast comes near `Simulation.best_log_loss` but does not reach it.

    Prompts return (some slightly reworded), one in eight is in Russian or Chinese, a few are small talk, about 0.4 %
    of answers are empty and 1.5 % of pairs are identical. The same arguments give the same battles.

    Parameters
    ----------
    n
        Number of battles (votes).
    models
        How many models, or their names; at least 2.
    prompts
        How many different prompts to draw from; half the number of pairs if None.
    skill
        Mean quality of each model; if None, evenly from -1 to 1, in an order of the seed.
    length_taste, markdown_taste, position_effect, tie_width, noise
        See `VoteModel`.
    votes_per_pair
        Votes on each pair of answers: each has a row of its own.
    turns
        Probability of another turn after each one, below 1; at most 6 turns.
    seed
        Of every random choice.

    Returns
    -------
    Simulation
        Battles, truth and the vote model.

    Raises
    ------
    DataError
        An argument is out of range.

    Examples
    --------
    >>> from prefcast.battles import simulate
    >>> simulation = simulate(100, seed=1)
    >>> simulation.battles
    Battles(100 rows, 100 with votes)
    >>> simulation.truth.shape
    (100, 3)
    """
    names = _names(models)
    _refuse(n < 1, "n", n, "a number of battles above 0")
    _refuse(votes_per_pair < 1, "votes_per_pair", votes_per_pair, "a number of votes above 0")
    _refuse(not 0 <= turns < 1, "turns", turns, "a probability of another turn, from 0 to below 1")
    _refuse(prompts is not None and prompts < 1, "prompts", prompts, "a number of prompts above 0")
    _refuse(seed < 0, "seed", seed, "a whole number from 0")
    _refuse(skill is not None and len(skill) != len(names), "skill", skill, f"a number for each of {len(names)} models")
    rng = np.random.default_rng(seed)
    usual = rng.permutation(np.linspace(-_SKILL, _SKILL, len(names)))
    skills = usual if skill is None else np.asarray(skill, np.float64)
    vote_model = VoteModel(
        dict(zip(names, skills.tolist(), strict=True)), length_taste, markdown_taste, position_effect, tie_width, noise
    )
    pairs = -(-n // votes_per_pair)
    asked = Prompts.draw(prompts or max(-(-pairs // 2), 1), turns, rng)
    prompt = asked.choose(pairs, rng)
    first = rng.integers(0, len(names), pairs)
    sides = np.column_stack([first, (first + rng.integers(1, len(names), pairs)) % len(names)])
    answers = Answers.draw(asked, prompt, sides, skills, rng)
    utility = (
        (answers.quality[:, 0] - answers.quality[:, 1])
        + length_taste * _difference(np.log1p(answers.characters))
        + markdown_taste * _difference(np.log1p(answers.elements))
    )
    rows = np.arange(n) // votes_per_pair
    truth = vote_model.probabilities(utility, answers.identical)[rows]
    table = pl.DataFrame({
        "prompt": asked.worded(prompt, rng),
        "response_a": answers.side(0),
        "response_b": answers.side(1),
        "model_a": [names[m] for m in sides[:, 0].tolist()],
        "model_b": [names[m] for m in sides[:, 1].tolist()],
        "language": [LANGUAGES[k].name for k in asked.language[prompt].tolist()],
    })  # fmt: skip
    frame = table[rows].with_columns(_votes(truth, rng), id=pl.Series(np.arange(1, n + 1).astype(str)))
    if votes_per_pair > 1:
        frame = frame.with_columns(annotator=pl.format("person-{}", pl.Series(np.arange(n) % votes_per_pair + 1)))
    return Simulation(
        battles=Battles.from_frame(frame),
        truth=truth,
        vote_model=vote_model,
        utility=utility[rows],
        quality=answers.quality[rows],
        prompt=prompt[rows],
        identical=answers.identical[rows],
    )


def _names(models: int | Sequence[str]) -> list[str]:
    if isinstance(models, int):
        rounds = [f"-{k + 1}" if k else "" for k in range(models // len(_NAMES) + 1)]
        names = [f"{name}{suffix}" for suffix in rounds for name in _NAMES][: max(models, 0)]
    else:
        names = list(models)
    _refuse(len(set(names)) < max(len(names), 2), "models", models, "at least 2 models with different names")
    return names


def _refuse(wrong: bool, name: str, given: object, needed: str) -> None:
    if wrong:
        raise DataError(f"simulate was given {name} = {given!r}; it needs {needed}.", columns=[name])


def _difference(values: npt.NDArray[np.float64]) -> _Float:
    return np.asarray(values[:, 0] - values[:, 1], np.float64)


def _votes(truth: _Float, rng: np.random.Generator) -> list[pl.Series]:
    """One vote drawn from each row of the truth, as the three columns of the table."""
    drawn = (rng.random(len(truth))[:, None] >= np.cumsum(truth[:, :2], axis=1)).sum(axis=1)
    return [pl.Series(f"vote_{c}", (drawn == k).astype(np.float64)) for k, c in enumerate(("a", "b", "tie"))]
