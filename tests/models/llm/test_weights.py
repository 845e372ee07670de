"""Weights on disk: what is loaded is what was trained, or it is refused."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from saved import adapted, forecasts, save_backbone
from tiny import ARCHITECTURES, ENCODERS, tiny_tokenizer
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from prefcast.errors import ArtifactError, EngineError
from prefcast.models.llm._batches import pad
from prefcast.models.llm._checkpoint import find_base, fingerprint, load_tokenizer, read_checkpoint, read_facts
from prefcast.models.llm._forward import class_logits
from prefcast.models.llm._loading import head_names
from prefcast.models.llm._quiet import quiet
from prefcast.models.llm._sequences import Sequences
from prefcast.models.llm._weights import load_classifier, merge_classifier, new_classifier, save_classifier


@pytest.fixture(scope="module")
def llama(tmp_path_factory):
    return save_backbone(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def trained(llama, tmp_path_factory):
    """An adapter on disk and what it forecast before it was saved; tests that change files copy it."""
    model = adapted(llama)
    folder = save_classifier(model, tiny_tokenizer(), tmp_path_factory.mktemp("adapter"), base=llama)
    return folder, forecasts(model)


@pytest.fixture
def adapter(trained, tmp_path):
    return shutil.copytree(trained[0], tmp_path / "adapter")


@pytest.fixture(scope="module")
def whole_folder(trained, tmp_path_factory):
    return merge_classifier(trained[0], tmp_path_factory.mktemp("whole"), precision="fp32")


@pytest.fixture
def whole(whole_folder, tmp_path):
    return shutil.copytree(whole_folder, tmp_path / "whole")


def load(folder, **options):
    return load_classifier(read_checkpoint(folder), **options)


def change(file, edit):
    tensors = load_file(file)
    edit(tensors)
    save_file(tensors, file, metadata={"format": "pt"})


def change_json(file, **values):
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def digests(folder):
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in folder.iterdir()}


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_survives_saving_merging_and_the_auto_class(architecture, tmp_path):
    base = save_backbone(tmp_path / "base", architecture)
    model = adapted(base)
    before = forecasts(model)
    tokenizer = tiny_tokenizer(architecture in ENCODERS)
    save_classifier(model, tokenizer, tmp_path / "adapter", base=base)
    assert torch.equal(forecasts(load(tmp_path / "adapter", lora="apart")), before)
    torch.testing.assert_close(forecasts(load(tmp_path / "adapter")), before, atol=1e-5, rtol=0)
    merge_classifier(tmp_path / "adapter", tmp_path / "whole", precision="fp32")
    merged = forecasts(load(tmp_path / "whole"))
    torch.testing.assert_close(merged, before, atol=1e-5, rtol=0)
    with quiet():
        theirs = AutoModelForSequenceClassification.from_pretrained(tmp_path / "whole")
    assert torch.equal(forecasts(theirs.eval()), merged)
    assert theirs.config.id2label == {0: "a", 1: "b", 2: "tie"}
    assert theirs.config.label2id == {"a": 0, "b": 1, "tie": 2}
    assert theirs.config.pad_token_id == tokenizer.pad_token_id
    facts = read_facts(tmp_path / "whole")
    assert facts.read_out == ("first" if architecture in ENCODERS else "last")
    assert not set(head_names(theirs)) ^ set(facts.head)


def test_peft_loads_the_adapter_as_it_stands(trained, llama):
    import peft

    with quiet():
        model = peft.AutoPeftModelForSequenceClassification.from_pretrained(trained[0], num_labels=3)
    assert torch.equal(forecasts(model.eval()), trained[1])


@pytest.mark.parametrize("kind", ["adapter", "whole"])
def test_the_head_is_never_rounded(kind, adapter, whole, llama):
    folder = {"adapter": adapter, "whole": whole}[kind]
    exact = adapted(llama).state_dict()["base_model.model.score.modules_to_save.default.weight"]
    assert not torch.equal(exact, exact.bfloat16().float())
    for precision in ("fp32", "bf16", "fp16"):
        model = load(folder, precision=precision)
        assert model.score.weight.dtype == torch.float32
        assert torch.equal(model.score.weight, exact)
        assert not model.training
        assert not any(p.requires_grad for p in model.parameters())
    assert model.model.embed_tokens.weight.dtype == torch.float16


def test_a_merge_is_rounded_once(trained, llama):
    """In 16 bits the merged weight is the nearest one to the sum, not to a sum of rounded parts."""
    model = adapted(llama)
    exact = model.merge_and_unload().model.layers[0].mlp.up_proj.weight
    merged = load(trained[0], precision="fp32").model.layers[0].mlp.up_proj.weight
    torch.testing.assert_close(merged, exact, atol=1e-6, rtol=0)
    rounded = load(trained[0], precision="bf16").model.layers[0].mlp.up_proj.weight
    base = load_file(f"{llama}/model.safetensors")["layers.0.mlp.up_proj.weight"].bfloat16().float()
    tensors = load_file(trained[0] / "adapter_model.safetensors")
    a, b = (tensors[f"base_model.model.model.layers.0.mlp.up_proj.lora_{k}.weight"] for k in "AB")
    assert torch.equal(rounded, (base + 2.0 * (b @ a)).bfloat16())


def test_a_fresh_head_is_the_same_for_a_seed_and_small(llama):
    first, again, other = (new_classifier(llama, dtype="fp32", seed=seed).score.weight for seed in (1, 1, 2))
    torch.manual_seed(5)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    half = new_classifier(llama, dtype="bf16", seed=1)
    assert torch.equal(half.score.weight, first)
    assert half.model.embed_tokens.weight.dtype == torch.bfloat16
    assert (forecasts(new_classifier(llama, dtype="fp32")) - 1 / 3).abs().max() < 0.2


@pytest.mark.parametrize("architecture", ["bert", "deberta-v2", "modernbert"])
def test_what_an_encoder_has_no_weights_for_is_drawn_from_the_seed(architecture, tmp_path):
    base = save_backbone(tmp_path / "base", architecture)
    first = new_classifier(base, dtype="fp32", seed=1).state_dict()
    torch.rand(3)
    again = new_classifier(base, dtype="fp32", seed=1).state_dict()
    assert all(torch.equal(first[k], again[k]) for k in first)


def test_the_same_model_gives_the_same_bytes(llama, tmp_path):
    for name in ("one", "two"):
        save_classifier(adapted(llama), tiny_tokenizer(), tmp_path / name, base=llama)
        merge_classifier(tmp_path / name, tmp_path / f"{name}-whole")
    assert digests(tmp_path / "one") == digests(tmp_path / "two")
    assert digests(tmp_path / "one-whole") == digests(tmp_path / "two-whole")


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.pop("base_model.model.score.weight"), "lacks 1 of"),
        (lambda t: t.pop(next(k for k in t if "lora_B" in k)), "lacks 1 of"),
        (lambda t: t.update(stray=torch.ones(2)), "also has 1 of"),
        (lambda t: t.update({"base_model.model.score.weight": torch.ones(2, 32)}), "misshapes 1 of"),
        (lambda t: t["base_model.model.score.weight"].fill_(torch.nan), "not finite"),
        (lambda t: t.update({"base_model.model.score.weight": torch.ones(3, 32).half()}), "saved in float32"),
    ],
)
def test_an_adapter_that_is_not_whole_is_refused(adapter, edit, words):
    change(adapter / "adapter_model.safetensors", edit)
    for lora in ("merged", "apart"):
        with pytest.raises(ArtifactError, match=words):
            load(adapter, lora=lora)


@pytest.mark.parametrize(
    ("edit", "words"),
    [
        (lambda t: t.pop("score.weight"), "lack 1 tensors .*score.weight"),
        (lambda t: t.update({"classifier.weight": t.pop("score.weight")}), "lack 1 tensors"),
        (lambda t: t.update({"score.weight": torch.ones(2, 32)}), "misshape 1 tensors"),
        (lambda t: t.pop("model.layers.1.mlp.up_proj.weight"), "lack 1 tensors"),
        (lambda t: t.update(stray=torch.ones(2)), "have besides 1 tensors"),
        (lambda t: t.update({"score.weight": t["score.weight"].bfloat16()}), "saved in float32"),
    ],
)
def test_a_whole_classifier_that_is_not_whole_is_refused(whole, edit, words):
    change(whole / "model.safetensors", edit)
    with pytest.raises(ArtifactError, match=words):
        load(whole)


def test_files_that_are_gone_or_garbage_are_refused(adapter, whole):
    (whole / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(ArtifactError, match="cannot be read"):
        load(whole)
    (adapter / "adapter_model.safetensors").unlink()
    with pytest.raises(ArtifactError, match=r"no adapter_model.safetensors"):
        load(adapter)
    (adapter / "prefcast.json").write_text("{}")
    with pytest.raises(ArtifactError, match="missing or damaged"):
        load(adapter)


def test_another_backbone_is_refused(adapter, llama, tmp_path):
    other = save_backbone(tmp_path / "other", seed=9)  # the same shapes and config, other weights
    with pytest.raises(ArtifactError, match=r"not the one that the adapter was trained on"):
        load_classifier(read_checkpoint(adapter, other))
    moved = shutil.copytree(llama, tmp_path / "moved")
    assert load_classifier(read_checkpoint(adapter, str(moved))).score.weight.shape == (3, 32)


def test_the_fingerprint_does_not_hang_on_how_a_model_is_split(llama, tmp_path):
    with quiet():
        model = AutoModelForSequenceClassification.from_pretrained(llama, num_labels=3)
        model.save_pretrained(tmp_path / "one")
        model.save_pretrained(tmp_path / "many", max_shard_size="10KB")
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 1
    assert fingerprint(tmp_path / "one") == fingerprint(tmp_path / "many")
    next((tmp_path / "many").glob("*.safetensors")).unlink()
    with pytest.raises(EngineError, match="lacks"):
        find_base(str(tmp_path / "many"))


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("/nowhere/llama", "--backbone PATH"),
        ("some-one/some-model", r"not on this machine, and it is offline.*--backbone PATH.*hf download some-one"),
        ("some-one/some-model@main", r"not on this machine.*hf download some-one/some-model$"),
    ],
)
def test_a_backbone_that_is_not_here_says_what_to_type(base, words):
    with pytest.raises(EngineError, match=words):
        new_classifier(base)


def test_a_backbone_without_safetensors_or_of_another_kind_is_refused(llama, tmp_path):
    bare = shutil.copytree(llama, tmp_path / "bare")
    (bare / "model.safetensors").unlink()
    with pytest.raises(EngineError, match="reads only safetensors"):
        new_classifier(str(bare))
    odd = shutil.copytree(llama, tmp_path / "odd")
    change_json(odd / "config.json", model_type="of-tomorrow")
    with pytest.raises(EngineError, match="not a model that this transformers can read"):
        new_classifier(str(odd))


def test_a_backbone_that_lacks_a_layer_is_refused(llama, tmp_path):
    broken = shutil.copytree(llama, tmp_path / "broken")
    change(broken / "model.safetensors", lambda t: t.pop("layers.0.mlp.up_proj.weight"))
    with pytest.raises(ArtifactError, match="lack 1 tensors"):
        new_classifier(str(broken))


def test_the_head_of_another_task_is_replaced(tmp_path):
    from tiny import tiny_classifier

    with quiet():
        model = tiny_classifier("llama")
        model.score = torch.nn.Linear(32, 1, bias=False)
        model.config.num_labels = 1
        model.save_pretrained(tmp_path / "reward")
    tiny_tokenizer().save_pretrained(tmp_path / "reward")
    assert new_classifier(str(tmp_path / "reward"), dtype="fp32").score.weight.shape == (3, 32)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"pad_token": "</s>", "pad_token_id": 2}, "was changed"),
        ({"pad_side": "left"}, "padding on the left"),
        ({"read_out": "first"}, "read at the first token"),
        ({"labels": ["b", "a", "tie"]}, "labels"),
        ({"format": 9}, "format 9"),
        ({"head": ["classifier"]}, "classifier"),
    ],
)
def test_what_was_written_beside_the_weights_is_asserted(whole, values, words):
    change_json(whole / "prefcast.json", **values)
    with pytest.raises(ArtifactError, match=words):
        load(whole)


def test_a_config_of_other_labels_is_refused(whole):
    change_json(whole / "config.json", id2label={"0": "b", "1": "a", "2": "tie"})
    with pytest.raises(ArtifactError, match="was changed"):
        load(whole)


def test_a_tokenizer_of_another_model_is_refused(whole, llama):
    facts = read_facts(whole)
    assert load_tokenizer(str(whole), facts=facts).padding_side == "right"
    tokenizer = AutoTokenizer.from_pretrained(whole)
    tokenizer.pad_token = "</s>"
    tokenizer.save_pretrained(whole)
    with pytest.raises(ArtifactError, match="pads with '</s>'"):
        load_tokenizer(str(whole), facts=facts)
    (whole / "tokenizer.json").unlink()
    with pytest.raises(ArtifactError, match=r"tokenizer"):
        load_tokenizer(str(whole), facts=facts)


def test_a_tokenizer_larger_than_the_embedding_is_refused(llama, tmp_path):
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<more>"])
    base = shutil.copytree(llama, tmp_path / "base")
    tokenizer.save_pretrained(base)
    with pytest.raises(ArtifactError, match=r"ids up to 264, but the model knows only 264"):
        new_classifier(str(base))


def test_without_a_pad_token_the_end_token_pads(llama, tmp_path):
    base = shutil.copytree(llama, tmp_path / "base")
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = None
    tokenizer.save_pretrained(base)
    assert load_tokenizer(str(base)).pad_token == "</s>"
    assert new_classifier(str(base)).config.pad_token_id == 2


def test_an_adapter_that_would_lose_its_head_is_not_saved(llama, tmp_path):
    import peft

    model = new_classifier(llama, dtype="fp32")
    with quiet():
        model = peft.get_peft_model(model, peft.LoraConfig(r=2, target_modules=["q_proj"]))
    with pytest.raises(ArtifactError, match="not plain LoRA with the head"):
        save_classifier(model, tiny_tokenizer(), tmp_path / "lost", base=llama)


def test_forms_of_lora_with_another_sum_are_refused(llama, tmp_path):
    with pytest.raises(ArtifactError, match="not plain LoRA"):
        save_classifier(adapted(llama, use_dora=True), tiny_tokenizer(), tmp_path / "dora", base=llama)


def test_scaling_by_the_root_of_the_rank_is_known(llama, tmp_path):
    model = adapted(llama, use_rslora=True)
    save_classifier(model, tiny_tokenizer(), tmp_path / "rs", base=llama)
    torch.testing.assert_close(forecasts(load(tmp_path / "rs")), forecasts(model), atol=1e-5, rtol=0)


def test_a_diverged_model_is_not_saved(llama, tmp_path):
    model = new_classifier(llama, dtype="fp32")
    model.score.weight.data[0, 0] = torch.inf
    with pytest.raises(ArtifactError, match="diverged"):
        save_classifier(model, tiny_tokenizer(), tmp_path / "out")
    with pytest.raises(ArtifactError, match="not empty"):
        save_classifier(model, tiny_tokenizer(), tmp_path)


@pytest.mark.parametrize("precision", ["bnb-int8", "bnb-nf4", "int8"])
def test_quantized_forms_keep_the_head_and_come_near(precision, tmp_path):
    wide = {"hidden_size": 64, "intermediate_size": 128, "num_key_value_heads": 4, "head_dim": 16}  # as kernels want
    base = save_backbone(tmp_path / "base", **wide)
    adapter = save_classifier(adapted(base, rank=16), tiny_tokenizer(), tmp_path / "adapter", base=base)
    whole = merge_classifier(adapter, tmp_path / "whole", precision="fp32")
    with quiet():
        pytest.importorskip("bitsandbytes" if precision.startswith("bnb") else "torchao")
    sequences = Sequences.of([range(10, 40), range(60, 77)])

    def read(model):
        with torch.inference_mode():
            return class_logits(model, pad(sequences, [0, 1], pad_id=0)).softmax(-1)

    before = read(load(adapter))
    for folder, lora in ((adapter, "merged"), (adapter, "apart"), (whole, "merged")):
        if (precision, lora) == ("int8", "apart"):
            with pytest.raises(EngineError, match="needs the adapter merged"):
                load(folder, precision=precision, lora=lora)
            continue
        with quiet():
            model = load(folder, precision=precision, lora=lora)
        assert type(model.score) is torch.nn.Linear
        assert model.score.weight.dtype == torch.float32
        kinds = {type(m).__name__ for m in model.model.modules()} | {type(p).__name__ for p in model.model.parameters()}
        assert kinds & {"Linear8bitLt", "Linear4bit", "Int8Tensor", "LinearActivationQuantizedTensor"}, kinds
        # So narrow a model is the worst case; another model or order of classes would be off by far more.
        assert (read(model) - before).abs().max() < (0.25 if precision == "bnb-nf4" else 0.12)


def test_a_precision_that_is_none_is_refused(whole, adapter, tmp_path):
    with pytest.raises(EngineError, match="not in int8"):
        merge_classifier(adapter, tmp_path / "merged", precision="int8")
    with pytest.raises(EngineError, match="fp64"):
        load(whole, precision="fp64")


@pytest.mark.parametrize("precision", ["bnb-int8", "int8"])
def test_the_16_bit_weights_never_go_to_the_device_whole(precision, tmp_path, monkeypatch):
    import prefcast.models.llm._weights as weights

    wide = {"hidden_size": 64, "intermediate_size": 128, "num_key_value_heads": 4, "head_dim": 16}
    base = save_backbone(tmp_path / "base", **wide)
    adapter = save_classifier(adapted(base), tiny_tokenizer(), tmp_path / "adapter", base=base)
    places, quantized = [], []
    load_base, quantize_ = weights.load_base, weights.quantize_
    monkeypatch.setattr(
        weights,
        "load_base",
        lambda name, kind, place, **more: (places.append(place), load_base(name, kind, place, **more))[1],
    )
    monkeypatch.setattr(
        weights, "quantize_", lambda model, kind, to: (quantized.append(to), quantize_(model, kind, "cpu"))[1]
    )
    monkeypatch.setattr(weights, "dtype_of", lambda *_: torch.bfloat16)
    monkeypatch.setattr(weights, "fuse_", lambda core: core)
    with quiet():
        load(adapter, precision=precision, device="cuda:0")
    assert (places, quantized) == (["cpu"], ["cuda:0"])


def test_a_backbone_in_a_folder_is_stored_by_its_full_path(llama, tmp_path, monkeypatch):
    monkeypatch.chdir(Path(llama).parent)
    name = Path(llama).name
    folder = save_classifier(adapted(name), tiny_tokenizer(), tmp_path / "adapter", base=name)
    monkeypatch.chdir(tmp_path)
    assert read_checkpoint(folder).base == str(Path(llama).resolve())
    load(folder)


def test_four_bits_of_a_narrow_model_on_a_cpu_are_refused(adapter, whole):
    pytest.importorskip("bitsandbytes")
    for folder, lora in ((adapter, "merged"), (adapter, "apart"), (whole, "merged")):
        with pytest.raises(EngineError, match=r"multiple of 64 inputs.*--precision int8"):
            load(folder, precision="bnb-nf4", lora=lora)


def test_loading_says_nothing_of_other_libraries(adapter):
    code = (
        "import sys; from pathlib import Path\n"
        "from prefcast.models.llm._checkpoint import read_checkpoint\n"
        "from prefcast.models.llm._weights import load_classifier\n"
        "load_classifier(read_checkpoint(Path(sys.argv[1])))"
    )
    run = subprocess.run([sys.executable, "-c", code, str(adapter)], capture_output=True, text=True, check=True)
    assert (run.stdout, run.stderr) == ("", "")
