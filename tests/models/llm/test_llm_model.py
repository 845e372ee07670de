"""The language model as a preference model: prepare, fit, predict, write, read, in blends and calibrations."""

import json
import subprocess
import sys
from importlib.resources import files

import numpy as np
import polars as pl
import pytest
from saved import adapted, save_backbone
from tiny import tiny_tokenizer

import prefcast
from prefcast.artifact import TrainedModel, Training
from prefcast.battles import simulate
from prefcast.errors import ArtifactError, DataError, EngineError, RecipeError
from prefcast.models import Blend, Calibrated, Calibration, read_model, write_model
from prefcast.models._prior import Prior
from prefcast.models.llm import _llm
from prefcast.models.llm._device import choose_device, choose_precision
from prefcast.models.llm._llm import LLM
from prefcast.models.llm._tree import language_models, use_engine
from prefcast.models.llm._weights import save_classifier
from prefcast.pipeline import Member, Recipe, load_recipe, predict_file, recipe_names, train

QUICK = {"method": "full", "precision": "fp32", "device": "cpu", "validation": 0.0, "gradient_checkpointing": False}


@pytest.fixture(scope="module")
def battles():
    return simulate(12, seed=1).battles


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A backbone and an adapter that looks trained."""
    folder = tmp_path_factory.mktemp("weights")
    base = save_backbone(folder / "base")
    save_classifier(adapted(base), tiny_tokenizer(), folder / "adapter", base=base)
    return folder


@pytest.fixture
def model(weights):
    return LLM.of_weights(weights / "adapter", backbone=str(weights / "base"), max_tokens=224)


@pytest.fixture(scope="module")
def trained(battles):
    return LLM("tiny:llama", max_tokens=224, training=QUICK).fit(battles)


def swapped(p):
    return p[:, [1, 0, 2]]


def test_forecasts_are_probabilities_and_exchange_exactly(model, battles):
    p = model.predict_proba(battles)
    assert p.shape == (12, 3)
    assert p.dtype == np.float64
    np.testing.assert_allclose(p.sum(axis=1), 1)
    assert np.ptp(p[:, 0]) > 0.01
    assert np.array_equal(model.predict_proba(battles.swap()), swapped(p))
    np.testing.assert_allclose(model.predict_proba(battles.take(np.array([3]))), p[[3]], atol=1e-5)


def test_written_and_read_it_forecasts_the_same(model, battles, tmp_path):
    before = model.predict_proba(battles)
    write_model(model, tmp_path / "m")
    again = read_model(tmp_path / "m")
    assert np.array_equal(again.predict_proba(battles), before)
    assert again.params() == model.params()
    assert again.inputs_key() == model.inputs_key()
    write_model(again, tmp_path / "n")
    assert (tmp_path / "m" / "llm.json").read_bytes() == (tmp_path / "n" / "llm.json").read_bytes()
    inode = (tmp_path / "m" / "weights" / "adapter_model.safetensors").stat().st_ino
    assert (tmp_path / "n" / "weights" / "adapter_model.safetensors").stat().st_ino == inode  # no second copy


def test_what_cannot_be_linked_is_copied(model, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(18, "cross-device link")

    monkeypatch.setattr(_llm.os, "link", refuse)
    write_model(model, tmp_path / "m")
    assert (tmp_path / "m" / "weights" / "adapter_model.safetensors").stat().st_nlink == 1
    read_model(tmp_path / "m")


def test_training_is_the_same_for_a_seed_and_saved_without_a_trace_of_time(trained, battles, tmp_path):
    again = trained.clone().fit(battles)
    for name, one in (("one", trained), ("two", again)):
        write_model(one, tmp_path / name)
    one, two = (
        {p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*") if p.is_file()}
        for name in ("one", "two")
    )
    assert [name for name in one if one[name] != two[name]] == []
    assert np.array_equal(trained.predict_proba(battles), again.predict_proba(battles))
    other = LLM("tiny:llama", max_tokens=224, training=QUICK, seed=1).fit(battles)
    assert not np.array_equal(other.predict_proba(battles), again.predict_proba(battles))


def test_it_learns_from_tokens_prepared_before(trained, battles):
    inputs = trained.clone().prepare(battles)
    again = trained.clone().fit(battles, inputs=inputs)
    assert np.array_equal(again.predict_proba(battles, inputs=inputs), trained.predict_proba(battles))


def test_a_work_folder_is_one_for_each_training(battles, tmp_path):
    model = LLM("tiny:llama", max_tokens=224, training=QUICK)
    model.work = tmp_path / "work"
    assert model.clone().work == model.work
    model.fit(battles)
    model.clone().fit(battles.take(np.arange(6)))
    runs = sorted((tmp_path / "work").iterdir())
    assert len(runs) == 2
    stamps = [p.stat().st_mtime_ns for run in runs for p in (run / "model").iterdir()]
    model.clone().fit(battles)  # finished already: nothing is done again
    assert [p.stat().st_mtime_ns for run in runs for p in (run / "model").iterdir()] == stamps


def test_inputs_are_shared_only_where_they_are_the_same(model, weights):
    def key(**changes):
        return LLM(**{"backbone": "a", **changes}).inputs_key()

    keys = {key(), key(backbone="b"), key(template="notebook"), key(max_tokens=100), model.inputs_key()}
    assert len(keys) == 5
    assert key() == key(orders="given", seed=5, training={"epochs": 2.0})


def test_the_model_is_loaded_once_and_given_back(model, battles, monkeypatch):
    from prefcast.models.llm import _weights

    calls = []
    load = _weights.load_classifier
    monkeypatch.setattr(_weights, "load_classifier", lambda *a, **k: calls.append(k) or load(*a, **k))
    assert model.engine is None
    for _ in range(2):
        model.predict_proba(battles)
    assert len(calls) == 1
    assert calls[0] == {"precision": "fp32", "device": "cpu", "lora": "merged"}
    assert "both orders, fp32" in model.engine
    model.close()
    assert model.engine is None
    model.use_engine(lora="apart", precision="bf16")
    model.predict_proba(battles)
    assert calls[1] == {"precision": "bf16", "device": "cpu", "lora": "apart"}


@pytest.mark.parametrize("orders", ["both", "canonical", "given"])
def test_only_orders_as_given_give_up_symmetry_and_say_so(model, battles, orders):
    model.use_engine(orders=orders)
    p = model.predict_proba(battles)
    exact = np.array_equal(model.predict_proba(battles.swap()), swapped(p))
    assert exact == (orders != "given") == model.swap_symmetric == ("NOT swap-symmetric" not in model.engine)
    for whole in (Blend([model, Prior()], [0.5, 0.5]), Calibrated(model, Calibration(2.0))):
        assert whole.swap_symmetric == exact
    assert not Calibrated(Prior(), Calibration(position=0.1)).swap_symmetric


def test_options_reach_the_language_models_inside_a_model(model):
    whole = Calibrated(Blend([Prior(), model], [0.5, 0.5]), Calibration(2.0))
    assert language_models(whole) == [model]
    use_engine(whole, {"precision": "bf16", "orders": None})
    assert (model.options.precision, model.options.orders) == ("bf16", "both")
    with pytest.raises(EngineError, match=r"--batch-tokens, --precision: .* no language model"):
        use_engine(Prior(), {"batch_tokens": 5, "precision": "bf16", "orders": None})
    assert use_engine(Prior(), {"precision": None}) == []
    with pytest.raises(EngineError, match="precision is 'fp7'"):
        use_engine(model, {"precision": "fp7"})


def test_a_backbone_that_moved_is_named(model, weights, battles, tmp_path):
    before = model.predict_proba(battles)
    moved = LLM.of_weights(weights / "adapter", backbone="x", max_tokens=224)
    facts = weights / "adapter" / "prefcast.json"
    kept = facts.read_text()
    try:
        facts.write_text(kept.replace(str(weights / "base"), "/gone/base"))
        with pytest.raises(EngineError, match="--backbone PATH"):
            moved.predict_proba(battles)
        moved.use_engine(backbone=str(weights / "base"))
        assert np.array_equal(moved.predict_proba(battles), before)
    finally:
        facts.write_text(kept)


def test_a_whole_model_needs_no_backbone(trained):
    with pytest.raises(ArtifactError, match="leave out --backbone"):
        trained.use_engine(backbone="/elsewhere")


def test_what_was_cut_is_kept_and_written_row_by_row(model, battles, tmp_path):
    report = predict_file(TrainedModel(model), battles, tmp_path / "s.csv", rows=5)
    assert report.cuts.height == 12
    assert report.cuts["id"].to_list() == battles.ids.to_list()
    assert (report.cuts["response_a_cut"] > 0).any()
    assert report.engines == (model.engine,)
    assert predict_file(Prior().fit(battles), battles, tmp_path / "t.csv").cuts.is_empty()


def test_an_unfitted_model_and_missing_votes_are_refused(battles):
    model = LLM("tiny:llama")
    with pytest.raises(EngineError, match="not fitted"):
        model.predict_proba(battles)
    with pytest.raises(DataError, match="needs a vote"):
        model.fit(_bare(battles))


def _bare(battles):
    frame = battles.frame.with_columns(pl.lit(None, pl.Float64).alias(c) for c in ("vote_a", "vote_b", "vote_tie"))
    return prefcast.Battles.from_frame(frame)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"backbone": ""}, "backbone is ''"),
        ({"backbone": "x", "max_tokens": 3}, "max_tokens is 3"),
        ({"backbone": "x", "orders": "any"}, "orders is 'any'"),
        ({"backbone": "x", "precision": "fp8"}, "precision is 'fp8'"),
        ({"backbone": "x", "template": "none"}, "no template 'none'"),
        ({"backbone": "x", "training": {"epoch": 1}}, "no training setting epoch"),
        ({"backbone": "x", "training": {"epochs": -1}}, "epochs is -1"),
        ({"backbone": "x", "seed": 0.5}, "seed is 0.5"),
    ],
)
def test_wrong_parameters_are_refused_when_they_are_given(given, words):
    with pytest.raises(RecipeError, match=words):
        LLM(**given)


def test_a_template_of_ones_own_is_stored_with_the_model(tmp_path):
    values = LLM("x").template.to_dict() | {"name": "mine", "suffix": "\n\nWho wins?"}
    model = LLM("x", template=values)
    assert model.params()["template"] == values
    assert LLM(**json.loads(json.dumps(model.params()))).template.suffix == "\n\nWho wins?"
    recipe = Recipe(name="mine", members=[Member(kind="llm", **model.params())])
    (tmp_path / "mine.toml").write_text(recipe.to_toml())
    assert load_recipe(tmp_path / "mine.toml").members[0].build(0).params() == model.params()


def test_training_records_what_was_cut_and_how_it_was_run():
    recipe = load_recipe("tiny").with_training(folds=2)
    member = recipe.members[0].model_extra | {"max_tokens": 224, "orders": "given"}
    battles = simulate(24, seed=2).battles
    found = train(battles, recipe.model_copy(update={"members": (Member(kind="llm", **member),)}))
    (record,) = found.training.scores["language_models"]
    assert record["orders"] == "given"
    assert "NOT swap-symmetric" in record["engine"]
    assert record["cut_in_training"]["battles"] == 24
    assert record["cut_in_training"]["response_a_cut"] > 0
    assert not found.training.swap_symmetric
    assert "**Not swap-symmetric**" in found.training.card
    assert "`tiny:llama`" in found.training.card
    assert found.training.oof.height == 24


def test_the_backbone_is_looked_for_before_anything_else():
    recipe = load_recipe("qwen3-0.6b").with_backbone("no-one/nothing")
    with pytest.raises(EngineError, match=r"no-one/nothing is not on this machine.*--backbone PATH"):
        train("/no/such/file.csv", recipe)
    with pytest.raises(RecipeError, match="no language model"):
        load_recipe("linear").with_backbone("x")
    assert load_recipe("linear").with_backbone(None) == load_recipe("linear")


@pytest.mark.parametrize(("architecture", "window"), [("bert", 512), ("phi3", 40)])
def test_a_window_longer_than_the_backbone_can_read_is_refused(architecture, window, tmp_path):
    factors = {"short_factor": [1.0] * 4, "long_factor": [4.0] * 4}
    rope = {"rope_type": "longrope", "rope_theta": 10000.0, **factors}
    more = {"rope_parameters": rope, "original_max_position_embeddings": window} if architecture == "phi3" else {}
    base = save_backbone(tmp_path / "base", architecture, **more)
    LLM(base, max_tokens=window).check_ready()
    with pytest.raises(RecipeError, match=f"max_tokens is {window + 1} tokens.*set max_tokens = {window} or less"):
        LLM(base, max_tokens=window + 1).check_ready()


def test_several_processes_need_a_work_folder_to_share(battles, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(EngineError, match=r"share one work folder.*model\.work"):
        LLM("tiny:llama", max_tokens=224, training=QUICK).fit(battles)


LLM_RECIPES = [name for name in recipe_names() if any(m.kind == "llm" for m in load_recipe(name).members)]


@pytest.mark.parametrize("name", LLM_RECIPES)
def test_every_value_of_a_packaged_recipe_has_its_reason(name):
    text = (files("prefcast.recipes") / f"{name}.toml").read_text("utf-8")
    values = [
        line for line in text.splitlines() if "=" in line and not line.startswith(("name", "description", "kind"))
    ]
    assert len(values) > 10
    assert [line for line in values if "  # " not in line] == []


def test_there_are_the_recipes_that_were_promised():
    promised = {"notebook-llama3-8b", "llama3-8b", "gemma2-9b", "qwen3-4b", "qwen3-0.6b", "modernbert-base", "tiny"}
    assert set(LLM_RECIPES) == promised


def test_the_notebook_recipe_has_its_settings():
    member = load_recipe("notebook-llama3-8b").members[0].build(0)
    training = member.training
    assert (member.template.name, member.max_tokens, member.orders) == ("notebook", 2048, "given")
    assert member.precision == "bnb-int8"
    assert (training.lora_rank, training.lora_alpha, training.lora_dropout) == (16, 32.0, 0.1)
    assert set(training.lora_targets) == {"o_proj", "v_proj"}
    assert (training.learning_rate, training.epochs, training.batch_battles) == (5e-5, 1.0, 16)
    assert (training.orders_in_training, training.validation) == ("given", 0.0)


def test_a_saved_model_is_read_without_torch(model, battles, tmp_path):
    TrainedModel(model, Training()).save(tmp_path / "m")
    code = (
        "import sys\n"
        "class Block:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('torch', 'transformers', 'peft'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Block())\n"
        "import prefcast\n"
        f"model = prefcast.load({str(tmp_path / 'm')!r})\n"
        "assert model.model.max_tokens == 224\n"
        "try:\n    model.predict_proba(prefcast.Battles.from_frame(__import__('polars').DataFrame("
        "{'id': ['1'], 'prompt': [['a']], 'response_a': [['b']], 'response_b': [['c']]})))\n"
        "except prefcast.EngineError as error:\n    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert "pip install 'prefcast[llm]'" in run.stdout
    assert run.stdout.count("\n") == 1


def test_the_device_and_the_precision_are_chosen(monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto") == "cpu"
    with pytest.raises(EngineError, match="sees no GPU"):
        choose_device("cuda:1")
    for wrong in ("gpu", "cuda:x", "mps"):
        with pytest.raises(EngineError, match=f"no device '{wrong}'; choose cpu, cuda"):
            choose_device(wrong)
    assert choose_precision("auto", "cpu") == "fp32"
    assert choose_precision("int8", "cpu") == "int8"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == "cuda:0"
    monkeypatch.setenv("LOCAL_RANK", "3")
    assert choose_device("auto") == "cuda:3"
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert choose_device("cuda:1") == "cuda:1"
    with pytest.raises(EngineError, match="cuda:0 to cuda:1"):
        choose_device("cuda:2")
    for capability, precision in (((7, 5), "fp16"), ((8, 0), "bf16"), ((9, 0), "bf16")):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _, c=capability: c)
        assert choose_precision("auto", "cuda:0") == precision


def test_a_loaded_model_is_told_how_to_run(model, battles, tmp_path):
    TrainedModel(model, Training()).save(tmp_path / "m")
    both = prefcast.load(tmp_path / "m").predict_proba(battles)
    loaded = prefcast.load(tmp_path / "m")
    once = loaded.use_engine(orders="canonical", precision=None).predict_proba(battles)
    assert abs(once - both).max() > 1e-6
    assert (loaded.predict_proba(battles.swap())[:, [1, 0, 2]] == once).all()
    with pytest.raises(EngineError, match="no option precisoin; it has device, precision"):
        loaded.use_engine(precisoin="int8")


def test_vllm_is_asked_for_by_its_name(model, battles):
    use_engine(model, {"path": "vllm"})
    with pytest.raises(EngineError, match=r"vLLM|vllm"):  # an adapter, and no vLLM here: either way it is said
        model.predict_proba(battles)
