"""``prefcast import-notebook`` as a person types it."""

import os
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import prefcast
from prefcast.cli import app
from prefcast.errors import ArtifactError

torch = pytest.importorskip("torch", reason="needs the llm extra: pip install 'prefcast[llm]'")
os.environ["HF_HUB_OFFLINE"] = "1"
torch.set_num_threads(1)
sys.path.insert(0, str(Path(__file__).parent.parent / "models" / "llm"))  # for saved.py and tiny.py


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    from saved import adapted, save_backbone
    from tiny import tiny_tokenizer

    folder = tmp_path_factory.mktemp("import-cli")
    base = save_backbone(folder / "base")
    tiny_tokenizer().save_pretrained(folder / "tokenizer")
    model = adapted(base, targets=["o_proj", "v_proj"], rank=16, alpha=32)
    trained = {k: v for k, v in model.state_dict().items() if "lora_" in k or "modules_to_save" in k}
    torch.save(trained, folder / "model.pt")
    trained.popitem()
    torch.save(trained, folder / "headless.pt")
    return folder


def given(place, weights="model.pt"):
    names = {"--base": "base", "--tokenizer": "tokenizer", "--weights": weights}
    return [part for option, name in names.items() for part in (option, str(place / name))]


def run(*arguments):
    return CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=False)


@pytest.mark.parametrize("merge", [False, True])
def test_imported_weights_predict_like_any_other_model(place, tmp_path, merge):
    more = ["--max-tokens", 512, *(["--merge"] if merge else [])]
    result = run("import-notebook", *given(place), "-o", tmp_path / "m", *more)
    assert result.exit_code == 0
    assert "Every tensor of the adapter and the head was there" in result.stdout
    run("simulate", "-o", tmp_path / "test.csv", "--n", 4)
    result = run("predict", tmp_path / "m", tmp_path / "test.csv", "-o", tmp_path / "s.csv", "--precision", "fp32")
    assert "4 rows" in result.stdout
    assert "both orders, fp32" in result.stdout
    model = prefcast.load(tmp_path / "m").model
    assert (model.template.name, model.max_tokens, model.orders) == ("notebook", 512, "both")


def test_the_notebooks_single_order_is_there_and_said(place, tmp_path):
    run("import-notebook", *given(place), "-o", tmp_path / "m", "--orders", "given", "--max-tokens", 300)
    trained = prefcast.load(tmp_path / "m")
    assert not trained.training.swap_symmetric
    assert trained.model.max_tokens == 300


def test_nothing_is_written_of_weights_that_are_not_whole(place, tmp_path):
    with pytest.raises(ArtifactError, match="lacks 1 of"):
        run("import-notebook", *given(place, "headless.pt"), "-o", tmp_path / "m")
    with pytest.raises(ArtifactError, match="misshapes"):
        run("import-notebook", *given(place), "-o", tmp_path / "m", "--rank", 8)
    with pytest.raises(ArtifactError, match="lacks"):
        run("import-notebook", *given(place), "-o", tmp_path / "m", "--target", "q_proj")
    assert not (tmp_path / "m").exists()
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="not empty"):
        run("import-notebook", *given(place), "-o", tmp_path / "full")
