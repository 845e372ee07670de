"""The table of kinds, and models as folders."""

import json

import numpy as np
import pytest

from prefcast.errors import ArtifactError, RecipeError
from prefcast.models import KINDS, PreferenceModel, model_class, read_model, write_model
from prefcast.models._prior import Prior


class Pair(PreferenceModel):
    """Two models, and their mean."""

    kind = "pair"

    def __init__(self, first=None, second=None):
        self.first, self.second = first, second

    def params(self):
        return {}

    def fit(self, battles, groups=None, *, inputs=None, progress=None):
        return self

    def predict_proba(self, battles, *, inputs=None):
        return (self.first.predict_proba(battles) + self.second.predict_proba(battles)) / 2

    def write(self, folder):
        write_model(self.first, folder / "first")
        write_model(self.second, folder / "second")

    @classmethod
    def read(cls, folder):
        return cls(read_model(folder / "first"), read_model(folder / "second"))


@pytest.fixture(autouse=True)
def _pair_is_known(monkeypatch):
    monkeypatch.setitem(KINDS, "pair", ("kinds_of_the_tests", "Pair"))
    import sys
    import types

    module = types.ModuleType("kinds_of_the_tests")
    module.Pair = Pair
    monkeypatch.setitem(sys.modules, "kinds_of_the_tests", module)


def prior(tie):
    model = Prior()
    model._tie = tie
    return model


def test_every_kind_is_there_and_knows_its_name():
    for kind in KINDS:
        assert issubclass(model_class(kind), PreferenceModel)
        assert model_class(kind).kind == kind


def test_an_unknown_kind_names_the_known_ones_and_the_nearest():
    with pytest.raises(RecipeError, match=r"'priro'.*pair.*prior.*mean 'prior'"):
        model_class("priro")
    with pytest.raises(RecipeError, match="the kinds are") as caught:
        model_class("zzzzzz")
    assert "mean" not in str(caught.value)


def test_a_model_of_models_is_folders_in_folders(tmp_path):
    write_model(Pair(prior(0.25), Pair(prior(0.5), prior(0.75))), tmp_path / "m")
    assert json.loads((tmp_path / "m" / "model.json").read_text()) == {"format": 1, "kind": "pair"}
    assert (tmp_path / "m" / "second" / "first" / "prior.json").is_file()
    again = read_model(tmp_path / "m")
    np.testing.assert_allclose(again.predict_proba([0])[0, 2], (0.25 + (0.5 + 0.75) / 2) / 2)


def test_a_model_is_only_written_into_an_empty_folder(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ArtifactError, match="not empty"):
        write_model(prior(0.5), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_kind_that_could_not_be_read_again_is_not_written(tmp_path):
    class Stray(Prior):
        kind = "stray"

    with pytest.raises(RecipeError, match="stray"):
        write_model(Stray(), tmp_path / "m")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "holds no model"),
        ("{", "not JSON"),
        ("[]", "must be like"),
        ('{"format": 1}', "must be like"),
        ('{"format": 1, "kind": "of-tomorrow"}', "'of-tomorrow'.*pip install -U prefcast"),
        ('{"format": 2, "kind": "prior"}', "format 2.*pip install -U prefcast"),
    ],
)
def test_a_folder_that_is_no_model_says_what_to_do(tmp_path, content, words):
    if content is not None:
        (tmp_path / "model.json").write_text(content)
    with pytest.raises(ArtifactError, match=words):
        read_model(tmp_path)


@pytest.mark.parametrize("content", ["", "{}", '{"params": {"smoothing": "x"}, "tie": 0.5}', "\udcff"])
def test_a_broken_file_of_a_model_is_one_error(tmp_path, content):
    write_model(prior(0.5), tmp_path / "m")
    (tmp_path / "m" / "prior.json").write_bytes(content.encode("utf-8", "surrogateescape"))
    with pytest.raises(ArtifactError, match=r"the prior model in .* cannot be read"):
        read_model(tmp_path / "m")
