"""Fine-tuning: what is learned, what is saved, and that neither parts, order nor a kill change it."""

import json
import random

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from training_runs import Killed, battles, digest, killer, run

from prefcast.errors import DataError, EngineError, RecipeError
from prefcast.models.llm import _training
from prefcast.models.llm._checkpoint import read_checkpoint
from prefcast.models.llm._collate import Collator, TrainingData, loss_of, mean_forecast
from prefcast.models.llm._forward import class_logits
from prefcast.models.llm._journal import Journal
from prefcast.models.llm._sequences import Sequences
from prefcast.models.llm._settings import TrainingSettings
from prefcast.models.llm._snapshots import Snapshot, Snapshots
from prefcast.models.llm._trainer import BattleTrainer, training_arguments
from prefcast.models.llm._weights import load_classifier


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with everything on, and its work folder."""
    out = tmp_path_factory.mktemp("trained") / "run"
    said = []
    model = run(out, epochs=3.0, progress=lambda what, share: said.append((what, share)))
    return out, model, said


def losses(model):
    return [line["loss"] for line in json.loads((model / "training.json").read_text())["training"]]


def test_the_loss_falls_and_the_classifier_is_saved(trained):
    _, model, _ = trained
    found = losses(model)
    assert np.mean(found[-3:]) < np.mean(found[:2]) - 0.02
    loaded = load_classifier(read_checkpoint(model), lora="apart")
    inputs, *_ = battles()
    logits = class_logits(loaded, Collator("cpu", False, 0).batch(inputs.given, np.arange(5)))
    assert logits.shape == (5, 3)


def test_a_run_leaves_a_log_a_curve_and_no_checkpoints(trained):
    out, model, said = trained
    lines = Journal(out / "log.jsonl").lines()
    steps = [line["step"] for line in lines if "loss" in line]
    assert steps == list(range(1, len(steps) + 1))
    assert [line["step"] for line in lines if "validation_log_loss" in line] == [*range(3, len(steps), 3), len(steps)]
    assert (model / "training.svg").read_text().startswith("<?xml")
    assert not (out / "checkpoints").exists()
    assert said[-1][1] == 1.0
    assert "loss" in said[-1][0]
    assert "tokens/s" in said[-1][0]
    assert [share for _, share in said] == sorted(share for _, share in said)


def test_a_finished_run_is_not_run_again(trained):
    out, model, _ = trained
    before = digest(model)
    assert run(out, epochs=3.0, progress=killer(1)) == model
    assert digest(model) == before


def test_training_says_nothing_by_itself(tmp_path, capfd):
    run(tmp_path, epochs=0.5)
    assert capfd.readouterr() == ("", "")


def test_the_same_seed_gives_the_same_bytes_and_another_one_others(tmp_path):
    random_state = random.getstate(), torch.get_rng_state()
    one = digest(run(tmp_path / "one"))
    assert one == digest(run(tmp_path / "two"))
    assert one["adapter_model.safetensors"] != digest(run(tmp_path / "three", seed=1))["adapter_model.safetensors"]
    # The generators of the caller are as they were.
    assert random.getstate() == random_state[0]
    assert torch.equal(torch.get_rng_state(), random_state[1])


@pytest.mark.parametrize("settings", [{}, {"method": "full", "orders_in_training": "random"}, {"path": "packed"}])
def test_a_run_that_dies_goes_on_to_the_same_bytes(tmp_path, settings):
    whole = digest(run(tmp_path / "whole", **settings))
    for step in (1, 4, 5):
        with pytest.raises(Killed):
            run(tmp_path / "killed", progress=killer(step), **settings)
    log = tmp_path / "killed" / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 5, "lo')
    # A checkpoint that was being written, and one that was being removed.
    for name in (".writing-5", ".gone-2"):
        (tmp_path / "killed" / "checkpoints" / name).mkdir()
    assert digest(run(tmp_path / "killed", **settings)) == whole


def test_a_work_folder_is_only_for_its_own_run(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path, progress=killer(1))
    with pytest.raises(RecipeError, match=r"holds another run: learning_rate is 0\.003 there"):
        run(tmp_path, learning_rate=1e-4)
    with pytest.raises(RecipeError, match="its data is another"):
        run(tmp_path, data=battles(seed=5))
    with pytest.raises(RecipeError, match="seed is 0 there"):
        run(tmp_path, seed=3)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RecipeError, match="is damaged"):
        run(tmp_path)


def one_step(out, **changes):
    """Whole weights after one step; its gradient is so small that AdamW moves in proportion to it, not to its sign."""
    still = {
        "epochs": 0.2,
        "validation": 0.0,
        "lora_dropout": 0.0,
        "method": "full",
        "warmup": 0.0,
        "max_grad_norm": 1e-7,
    }
    return load_file(run(out, **{**still, **changes}) / "model.safetensors")


def largest(one, other):
    return max(float((one[k] - other[k]).abs().max()) for k in one)


def test_a_step_does_not_depend_on_its_parts(tmp_path):
    before = one_step(tmp_path / "before", learning_rate=1e-8)
    whole = one_step(tmp_path / "whole", batch_tokens=100_000)
    moved = largest(before, whole)
    for k, other in enumerate([{"batch_tokens": 1}, {"path": "packed"}, {"path": "packed", "batch_tokens": 60}]):
        assert largest(whole, one_step(tmp_path / str(k), **other)) < 1e-3 * moved
    # The measure can tell: with other weights of the battles the step is another.
    inputs, votes, weights, groups = battles()
    assert largest(whole, one_step(tmp_path / "other", data=(inputs, votes, weights**2, groups))) > 1e-2 * moved


def data_of(n=6):
    inputs, votes, weights, _ = battles(n)
    return TrainingData(inputs.given.concat(inputs.swapped), votes, weights)


def test_a_part_holds_both_orders_and_votes_that_follow():
    data = data_of()
    part = Collator("cpu", False, 0).part(data, np.array([4, 1]), None)
    assert len(part.batch) == 4
    for row, sequence in enumerate([4, 4 + 6, 1, 1 + 6]):
        tokens = data.sequences[sequence]
        assert part.batch.ids[row, : len(tokens)].tolist() == tokens.tolist()
    np.testing.assert_allclose(part.votes[:, 0], data.votes[[4, 1]], rtol=1e-6)
    np.testing.assert_allclose(part.votes[:, 1], data.votes[[4, 1]][:, [1, 0, 2]], rtol=1e-6)
    one = Collator("cpu", True, 0).part(data, np.array([4, 1]), np.array([True, False]))
    assert one.batch.ids[0].tolist() == [*data.sequences[10], *data.sequences[1]]
    np.testing.assert_allclose(one.votes[:, 0], [data.votes[4][[1, 0, 2]], data.votes[1]], rtol=1e-6)


def test_a_part_without_battles_counts_nothing():
    part = Collator("cpu", False, 0).part(data_of(), np.empty(0, np.int64), None)
    assert float(loss_of(torch.randn(2, 3), part, 0.5)) == 0.0


def test_the_loss_is_the_weighted_cross_entropy_of_both_orders_and_their_divergence():
    data = data_of()
    part = Collator("cpu", False, 0).part(data, np.array([0, 3]), None)
    logits = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    p = torch.softmax(logits, -1).numpy().astype(float)
    expected = divergence = 0.0
    for k, battle in enumerate([0, 3]):
        first, second, vote = p[2 * k], p[2 * k + 1][[1, 0, 2]], data.votes[battle]
        expected -= data.weights[battle] * (vote @ np.log(first) + vote @ np.log(second)) / 2
        kl = first @ np.log(first / second) + second @ np.log(second / first)
        divergence += data.weights[battle] * kl / 2
    assert float(loss_of(logits, part, 0.0)) == pytest.approx(expected, rel=1e-5)
    assert float(loss_of(logits, part, 0.7)) == pytest.approx(expected + 0.7 * divergence, rel=1e-5)
    mean = mean_forecast(logits).numpy()
    np.testing.assert_allclose(mean[0], (p[0] + p[1][[1, 0, 2]]) / 2, rtol=1e-6)


def test_consistency_brings_the_two_orders_together(tmp_path):
    def distance(model):
        loaded = load_classifier(read_checkpoint(model))
        inputs, *_ = battles()
        logits = [
            class_logits(loaded, Collator("cpu", False, 0).batch(s, np.arange(40)))
            for s in (inputs.given, inputs.swapped)
        ]
        p, q = (torch.softmax(x, -1) for x in logits)
        return float((p - q[:, [1, 0, 2]]).abs().mean())

    plain, tied = (distance(run(tmp_path / str(c), epochs=3.0, validation=0.0, consistency=c)) for c in (0.0, 20.0))
    assert tied < 0.7 * plain


def test_the_best_weights_are_kept_and_training_stops_in_time(tmp_path, monkeypatch):
    looks = iter([1.0, 0.8, 0.9, 0.85])
    monkeypatch.setattr(BattleTrainer, "look", lambda self: next(looks))
    kept = {}
    write = Snapshots.write

    def spy(self, snapshot, *, keep=None):
        kept[snapshot.step] = {k: t.clone() for k, t in snapshot.weights.items()}
        write(self, snapshot, keep=keep)
        assert set(self.steps()) <= set(kept)
        assert len(self.steps()) <= 3

    monkeypatch.setattr(Snapshots, "write", spy)
    model = run(tmp_path, epochs=4.0, evaluate_every=2, save_every=1, patience=2)
    lines = Journal(tmp_path / "log.jsonl").lines()
    assert max(line["step"] for line in lines) == 8  # of 18: two looks without a gain
    saved = load_file(model / "adapter_model.safetensors")
    name = "base_model.model.score"
    best = kept[4]["base_model.model.score.modules_to_save.default.weight"]
    assert torch.equal(saved[f"{name}.weight"], best)
    assert not torch.equal(best, kept[8]["base_model.model.score.modules_to_save.default.weight"])


def test_a_run_killed_after_its_end_is_finished_without_training(tmp_path, monkeypatch):
    def dies(*_):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(_training, "draw_curve", dies)
        with pytest.raises(Killed):
            run(tmp_path / "killed")
    monkeypatch.setattr(BattleTrainer, "training_step", dies)
    model = run(tmp_path / "killed")
    monkeypatch.undo()
    assert digest(model) == digest(run(tmp_path / "whole"))


def test_held_out_battles_weigh_in_no_step(tmp_path, monkeypatch):
    seen = []
    original = Collator.part

    def spy(self, data, rows, swapped):
        seen.append((data, rows))
        return original(self, data, rows, swapped)

    monkeypatch.setattr(Collator, "part", spy)
    inputs, votes, weights, groups = battles()
    weights[7] = 0.0
    run(tmp_path, (inputs, votes, weights, groups), validation=0.25)
    sizes = {len(data) for data, _ in seen}
    assert sum(sizes) == 39  # the battle without weight is neither learned from nor looked at
    assert min(sizes) in (9, 10)


@pytest.mark.parametrize(
    ("change", "error", "said"),
    [
        ({"votes": lambda v: v * 2}, DataError, "no vote to learn from, first in row 0"),
        ({"votes": lambda v: np.where(np.arange(40)[:, None] == 3, np.nan, v)}, DataError, "first in row 3"),
        ({"votes": lambda v: v[:5]}, DataError, r"votes of shape \(40, 3\)"),
        ({"weights": lambda w: w * 0}, DataError, "not all 0"),
        ({"weights": lambda w: -w}, DataError, "0 or more"),
        ({"groups": lambda g: g * 0}, DataError, "too few to hold out 0.1"),
    ],
)
def test_data_that_cannot_be_learned_from_are_refused(tmp_path, change, error, said):
    data = dict(zip(("inputs", "votes", "weights", "groups"), battles(), strict=True))
    for name, what in change.items():
        data[name] = what(data[name])
    with pytest.raises(error, match=said):
        run(tmp_path, tuple(data.values()))
    assert not (tmp_path / "run.json").exists()


def test_divergence_is_an_error(tmp_path, monkeypatch):
    losses = iter([1.0, 1.0, float("nan")])
    monkeypatch.setattr("prefcast.models.llm._trainer.loss_of", lambda logits, *_: logits.sum() * 0 + next(losses))
    with pytest.raises(EngineError, match="no number any more in step 3: training diverged"):
        run(tmp_path, validation=0.0, batch_tokens=10_000, save_every=3)
    assert Snapshots(tmp_path / "checkpoints").steps() == []


def test_a_tracker_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RecipeError, match="'mlflow', which is not installed: pip install mlflow"):
        run(tmp_path, tracker="mlflow")


def test_no_gpu_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(EngineError, match="torch sees no GPU here"):
        run(tmp_path, device="cuda")


def test_memory_that_runs_out_halves_the_parts(tmp_path, monkeypatch):
    calls = []
    original = BattleTrainer._logits

    def scarce(self, model, part):
        calls.append(part.batch.ids.numel())
        if part.batch.ids.numel() > 120:
            raise torch.OutOfMemoryError("out of memory. Tried")
        return original(self, model, part)

    monkeypatch.setattr(BattleTrainer, "_logits", scarce)
    settings = {"validation": 0.0, "epochs": 0.5, "method": "full", "batch_battles": 10}
    one = load_file(run(tmp_path / "one", batch_tokens=400, **settings) / "model.safetensors")
    assert max(calls) > 120
    monkeypatch.undo()
    assert largest(one, load_file(run(tmp_path / "two", batch_tokens=100, **settings) / "model.safetensors")) < 1e-5
    monkeypatch.setattr(BattleTrainer, "_logits", lambda *_: scarce_always())
    with pytest.raises(EngineError, match="does not fit the memory"):
        run(tmp_path / "three", batch_tokens=400, **settings)


def scarce_always():
    raise torch.OutOfMemoryError("out of memory. Tried")


def test_memory_that_runs_out_in_the_optimiser_is_said(tmp_path, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")

    monkeypatch.setattr(torch.optim.AdamW, "step", full)
    with pytest.raises(EngineError, match=r"does not fit the memory of cpu \(CUDA out of memory\)"):
        run(tmp_path)


def test_sequences_without_positions_are_refused(tmp_path):
    inputs, *rest = battles()
    inputs.given = Sequences.of([[1, *[5] * 4096], *(inputs.given[k] for k in range(1, 40))])
    with pytest.raises(RecipeError, match=r"4,097 tokens.*set max_tokens = 4096"):
        run(tmp_path, (inputs, *rest))


def test_the_precision_is_that_of_the_settings(tmp_path, monkeypatch):
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")  # as accelerate launch sets it
    arguments = training_arguments(TrainingSettings(), tmp_path, steps=1, precision="fp32", cpu=True)
    assert arguments.mixed_precision == "no"
    assert training_arguments(TrainingSettings(), tmp_path, steps=1, precision="bf16", cpu=True).bf16


def test_a_checkpoint_half_written_is_not_one(tmp_path):
    snapshots = Snapshots(tmp_path / "checkpoints")
    assert snapshots.steps() == []
    (tmp_path / "checkpoints" / ".writing-9").mkdir(parents=True)
    for step in (1, 2, 3, 4):
        weights = {"w": torch.full((2,), float(step))}
        snapshots.write(Snapshot(step, weights, {"0/step": torch.tensor(1.0)}, {"best_step": min(step, 2)}), keep=2)
    assert snapshots.steps() == [2, 3, 4]  # the last two and the best
    assert snapshots.read(3).weights["w"].tolist() == [3.0, 3.0]
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == [f"step-{k:08d}" for k in (2, 3, 4)]
