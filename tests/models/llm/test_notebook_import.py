"""The notebook's weights: the same probabilities as the notebook's own way, and nothing loose."""

import peft
import polars as pl
import pytest
import torch
from safetensors.torch import save_file
from saved import save_backbone
from tiny import tiny_tokenizer
from transformers import AutoTokenizer, LlamaForSequenceClassification

import prefcast
from prefcast.battles import Battles, simulate
from prefcast.errors import ArtifactError, EngineError, RecipeError
from prefcast.models.llm._notebook_import import notebook_llm
from prefcast.models.llm._quiet import quiet
from prefcast.pipeline import import_notebook

WINDOW = 224


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("notebook")
    save_backbone(path / "base")
    tiny_tokenizer().save_pretrained(path / "tokenizer")
    return path


def notebook_model(base):
    """As the notebook makes it, in float32."""
    with quiet():
        model = LlamaForSequenceClassification.from_pretrained(base, num_labels=3)
        model.config.pad_token_id = 0
        config = peft.LoraConfig(
            r=16, lora_alpha=32, lora_dropout=0.10, bias="none", inference_mode=True,
            task_type=peft.TaskType.SEQ_CLS, target_modules=["o_proj", "v_proj"],
        )  # fmt: skip
        return peft.get_peft_model(model, config).eval()


@pytest.fixture(scope="module")
def reference(folder):
    """The trained model whose state dict is imported."""
    model = notebook_model(folder / "base")
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or "modules_to_save" in name:
                parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)
    return model


def trained_part(model):
    """What the notebook's training saved: the parameters that were trained."""
    return {k: v for k, v in model.state_dict().items() if "lora_" in k or "modules_to_save" in k}


def bare(model):
    with quiet():
        return peft.get_peft_model_state_dict(model, save_embedding_layers=False)


FORMS = {
    "the trained part": trained_part,
    "as peft saves it": bare,
    "everything": lambda model: model.state_dict(),
    "data parallel": lambda model: {f"module.{k}": v for k, v in trained_part(model).items()},
    "compiled": lambda model: {f"_orig_mod.{k}": v for k, v in trained_part(model).items()},
    "without the outer name": lambda model: {k.removeprefix("base_model.model."): v for k, v in bare(model).items()},
    "another adapter name": lambda model: {k.replace(".default.", ".mine."): v for k, v in trained_part(model).items()},
    "before base_layer": lambda model: {k.replace(".base_layer.", "."): v for k, v in model.state_dict().items()},
}


@pytest.fixture
def write(tmp_path):
    def to(tensors, name="model"):
        torch.save(tensors, tmp_path / name)
        return tmp_path / name

    return to


@pytest.fixture
def load(folder, write):
    def run(tensors, **options):
        path = tensors if not isinstance(tensors, dict) else write(tensors)
        given = {"max_tokens": WINDOW, **options}
        return notebook_llm(str(folder / "base"), str(folder / "tokenizer"), path, **given)

    return run


def the_notebooks_way(model, tokenizer, battles, limit):
    """Texts joined, cut on the right, padded to the window, read by transformers' own forward in one batch."""
    frame = battles.frame
    texts = [
        f"User prompt: {' '.join(p)}\n\nModel A :\n{' '.join(a)}\n\n--------\n\nModel B:\n{' '.join(b)}"
        for p, a, b in zip(frame["prompt"], frame["response_a"], frame["response_b"], strict=True)
    ]
    tokens = tokenizer(texts, padding="max_length", max_length=limit, truncation=True, return_tensors="pt")
    with torch.no_grad():
        logits = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).logits
    return torch.softmax(logits, dim=-1).double().numpy()


def some_battles():
    """Shorter than the window and padded, of several turns, and longer and cut."""
    frame = pl.DataFrame(
        {
            "id": ["1", "2", "3", "4"],
            "prompt": [["Hi"], ["What is 2+2?", "And 3+3?"], ["Say it."], ["Tell me\na story"]],
            "response_a": [["Hello."], ["4", "6"], ["no " * 90], ["Once " * 20]],
            "response_b": [["Go away"], ["It is four.", "Six"], ["yes"], ["There was " * 30]],
        }
    )
    return Battles.from_frame(frame)


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_the_state_dict_gives_the_notebooks_probabilities(form, folder, reference, load):
    battles = some_battles()
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    wanted = the_notebooks_way(reference, tokenizer, battles, WINDOW)
    model = load(FORMS[form](reference), orders="given")
    assert abs(model.predict_proba(battles) - wanted).max() < 1e-5
    assert wanted.std(axis=0).max() > 1e-2
    assert (model.cut["response_b_cut"] > 0).to_list() == [False, False, True, True]


def test_by_default_both_orders_are_read(reference, load):
    battles = simulate(4, seed=3).battles
    model = load(trained_part(reference))
    p = model.predict_proba(battles)
    assert (model.predict_proba(battles.swap())[:, [1, 0, 2]] == p).all()
    assert (model.template.name, model.orders) == ("notebook", "both")
    given, swapped = (load(trained_part(reference), orders="given").predict_proba(b) for b in (battles, battles.swap()))
    assert abs((given + swapped[:, [1, 0, 2]]) / 2 - p).max() < 1e-6


def test_merged_it_needs_no_backbone(folder, reference, load, write):
    battles = simulate(4, seed=3).battles
    apart = load(trained_part(reference)).predict_proba(battles)
    merged = load(trained_part(reference), merge=True)
    assert merged._fitted().joinpath("model.safetensors").is_file()
    assert abs(merged.predict_proba(battles) - apart).max() < 0.02  # rounded to bfloat16


def test_it_is_saved_with_what_is_known_of_it(folder, reference, write, tmp_path):
    weights = write(trained_part(reference))
    found = import_notebook(str(folder / "base"), str(folder / "tokenizer"), weights, max_tokens=WINDOW, orders="given")
    found.save(tmp_path / "saved")
    again = prefcast.load(tmp_path / "saved")
    battles = simulate(4, seed=3).battles
    assert (again.predict_proba(battles) == found.predict_proba(battles)).all()
    assert not again.training.swap_symmetric
    assert "**Not swap-symmetric**" in again.training.card
    assert "prefcast evaluate" in again.training.card
    training = again.model.training
    assert (training.lora_rank, training.lora_alpha, training.lora_targets) == (16, 32.0, ("o_proj", "v_proj"))
    import_notebook(str(folder / "base"), str(folder / "tokenizer"), weights, max_tokens=WINDOW, orders="given").save(
        tmp_path / "twin"
    )
    assert prefcast.load(tmp_path / "twin").fingerprint == again.fingerprint


def without(part):
    return lambda t: {k: v for k, v in t.items() if part not in k}


def replaced(part, make):
    return lambda t: {k: make(v) if part in k else v for k, v in t.items()}


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (without("score"), "lacks 1 of 13 tensors .*score"),
        (without("layers.1.self_attn.o_proj.lora_B"), "lacks 1 of 13"),
        (without("lora"), "lacks 12 of 13"),
        (lambda t: {}, "lacks 13 of 13"),
        (lambda t: t | {"base_model.model.stray.weight": torch.ones(2)}, "also has 1 of 13"),
        (lambda t: t | {"base_model.model.model.layers.7.self_attn.v_proj.lora_A.weight": torch.ones(2)}, "also has 1"),
        (replaced("score", lambda v: v[:2]), "misshapes 1 of 13"),
        (replaced("lora_A", lambda v: v[:8]), "misshapes 6 of 13"),
        (replaced("score", lambda v: v * torch.nan), "not finite"),
        (replaced("lora_B", torch.zeros_like), "never trained"),
        (lambda t: t | {"base_model.model.score.weight": torch.ones(3, 32)}, "stands twice"),
    ],
)
def test_what_the_notebook_took_without_a_word_is_refused(edit, words, reference, load):
    with pytest.raises(ArtifactError, match=words):
        load(edit(trained_part(reference)))


def test_another_rank_or_other_targets_are_refused(reference, load):
    with pytest.raises(ArtifactError, match="misshapes 12"):
        load(trained_part(reference), rank=8)
    with pytest.raises(ArtifactError, match="lacks"):
        load(trained_part(reference), targets=["q_proj", "v_proj"])
    with pytest.raises(ArtifactError, match="does not fit its backbone"):
        load(trained_part(reference), targets=["nothing"])


def test_weights_of_another_backbone_are_never_taken(reference, load):
    with pytest.raises(ArtifactError, match=r"is not that of .*base"):
        load(replaced("layers.0.mlp.up_proj", lambda v: v + 1)(reference.state_dict()))
    with pytest.raises(ArtifactError, match=r"is not that of .*base"):
        load(replaced("v_proj.base_layer", lambda v: (v * 10).to(torch.int8))(reference.state_dict()))
    halved = {k: v.half() if "lora" not in k and "score" not in k else v for k, v in reference.state_dict().items()}
    load(halved)  # the same weights as 16 bits hold them


class Harmful:
    def __reduce__(self):
        return (print, ("this must never run",))


def test_a_file_that_holds_code_or_no_tensors_is_refused(reference, load, write, tmp_path, capsys):
    for tensors in ({"a": Harmful()}, {"a": 1}):
        with pytest.raises(ArtifactError, match=r"without running code in it|holds no dict of tensors"):
            load(write(tensors))
    assert "never run" not in capsys.readouterr().out
    (tmp_path / "text").write_text("hello")
    with pytest.raises(ArtifactError, match="without running code"):
        load(tmp_path / "text")
    with pytest.raises(ArtifactError, match="there is no file"):
        load(tmp_path / "nothing")


def test_safetensors_are_read_too(reference, load, tmp_path):
    save_file({k: v.contiguous() for k, v in bare(reference).items()}, tmp_path / "weights.safetensors")
    load(tmp_path / "weights.safetensors")


def test_a_window_longer_than_the_backbone_reads_is_refused(load, reference):
    with pytest.raises(RecipeError, match="positions for 512: set max_tokens = 512"):
        load(trained_part(reference), max_tokens=513)


def test_torchs_advice_to_run_code_is_not_passed_on(load, tmp_path):
    (tmp_path / "junk.pth").write_bytes(b"no pickle at all")
    with pytest.raises(ArtifactError, match="without running code") as found:
        load(tmp_path / "junk.pth")
    assert "weights_only" not in str(found.value)


def test_a_backbone_or_tokenizer_that_is_not_there(folder, reference, write):
    weights = write(trained_part(reference))
    with pytest.raises(EngineError, match="/nowhere/base"):
        notebook_llm("/nowhere/base", str(folder / "tokenizer"), weights)
    with pytest.raises(EngineError, match="/nowhere/tokenizer"):
        notebook_llm(str(folder / "base"), "/nowhere/tokenizer", weights)
    larger = tiny_tokenizer()
    larger.add_tokens(["<more>"])
    larger.save_pretrained(weights.parent / "larger")
    with pytest.raises(ArtifactError, match="ids up to 264"):
        notebook_llm(str(folder / "base"), str(weights.parent / "larger"), weights)
