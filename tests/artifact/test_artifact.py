"""Artifacts: the same bytes again, whole or not at all, and no changed byte gets through."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefcast.artifact import TrainedModel, Training, load, load_training, read_manifest, save
from prefcast.artifact._manifest import KindTree, kind_tree, write_manifest
from prefcast.battles import CLASSES, Battles
from prefcast.errors import ArtifactError
from prefcast.models._prior import Prior

FILES = ["README.md", "features.json", "folds.json", "model/model.json", "model/prior.json"]
FILES += ["notes/more.txt", "oof.arrow", "recipe.toml", "scores.json"]


def battles():
    frame = pl.DataFrame(
        {
            "id": ["1", "2", "3"],
            "prompt": [["Hi"]] * 3,
            "response_a": [["Yes"]] * 3,
            "response_b": [["No"]] * 3,
            "vote_a": [1.0, 0.0, 0.0],
            "vote_b": [0.0, 1.0, 0.0],
            "vote_tie": [0.0, 0.0, 1.0],
        }
    )
    return Battles.from_frame(frame)


def trained():
    oof = pl.DataFrame({"id": ["1", "2", "3"], "fold": [0, 1, 0], "p_a": [0.2, 1 / 3, 0.1]})
    record = Training(
        recipe="cpu",
        recipe_toml='name = "cpu"  # été\r\n',
        fingerprint=battles().fingerprint(),
        n_battles=3,
        n_groups=2,
        features={"prior": [], "other": ["length of the answer", "…"]},
        scores={"log_loss": (np.float64(1.05), float("nan"), [np.int64(3)])},
        folds={"sha256": "ab" * 32, "n": 2},
        oof=pl.concat([oof[:1], oof[1:]], rechunk=False),
        card="# A model\n\nWith a card.\n",
    )
    return TrainedModel(Prior().fit(battles()), record)


def saved(folder, **options):
    return trained().save(folder, extra={"notes/more.txt": "more"}, **options)


def content(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def forge(folder, **changes):
    """Write a manifest that agrees with itself, as somebody who means harm would."""
    write_manifest(read_manifest(folder).model_copy(update=changes), folder)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    return saved(tmp_path_factory.mktemp("original") / "model")


@pytest.fixture
def artifact(original, tmp_path):
    return Path(shutil.copytree(original, tmp_path / "model"))


def test_what_is_saved_comes_back(artifact):
    before, after = trained(), load(artifact)
    np.testing.assert_array_equal(after.predict_proba(battles()), before.predict_proba(battles()))
    assert after.classes_ == CLASSES
    assert after.fingerprint == before.fingerprint
    for name in ("recipe", "recipe_toml", "fingerprint", "n_battles", "n_groups", "swap_symmetric", "features", "card"):
        assert getattr(after.training, name) == getattr(before.training, name)
    assert after.training.scores == {"log_loss": [1.05, None, [3]]}
    assert after.training.folds == before.training.folds
    assert after.training.oof.equals(before.training.oof)
    assert load_training(artifact).card == before.training.card
    assert repr(after) == "TrainedModel(prior, Training(recipe 'cpu', 3 battles, 2 groups))"


def test_the_manifest_says_what_it_is(artifact):
    manifest = read_manifest(artifact)
    assert sorted(manifest.files) == FILES
    assert manifest.model.kind == "prior"
    assert manifest.libraries.keys() >= {"numpy", "polars", "lightgbm"}
    assert (manifest.recipe, manifest.n_battles, manifest.n_groups, manifest.classes) == ("cpu", 3, 2, list(CLASSES))
    assert manifest.model_fingerprint == load(artifact).fingerprint


def test_saving_twice_gives_the_same_bytes(tmp_path):
    one, two = saved(tmp_path / "one"), saved(tmp_path / "two")
    assert content(one) == content(two)
    load(one).save(tmp_path / "three")
    again = content(tmp_path / "three")
    assert {n: b for n, b in content(one).items() if n in again and n != "manifest.json"} == {
        n: b for n, b in again.items() if n != "manifest.json"
    }


def test_a_model_without_a_record_can_be_saved(tmp_path):
    save(TrainedModel(Prior().fit(battles())), tmp_path / "m")
    assert load(tmp_path / "m").training.oof.is_empty()


def test_the_fingerprint_is_of_the_model_alone(tmp_path):
    one = trained()
    other = TrainedModel(Prior(smoothing=2.0).fit(battles()), one.training)
    assert one.fingerprint == TrainedModel(one.model).fingerprint
    assert one.fingerprint != other.fingerprint


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_one_changed_byte_of_any_file_is_refused(artifact, name):
    path = artifact / name
    good = path.read_bytes()
    for at in range(0, len(good), max(1, len(good) // 50)):
        for flip in (1, 0x20, 0x80):
            path.write_bytes(good[:at] + bytes([good[at] ^ flip]) + good[at + 1 :])
            with pytest.raises(ArtifactError, match=name):
                load(artifact)
    path.write_bytes(good)
    load(artifact)


@pytest.mark.parametrize("name", [*FILES, "manifest.json"])
def test_a_shortened_lengthened_or_missing_file_is_refused(artifact, name):
    path = artifact / name
    good = path.read_bytes()
    for bad in (good[:-1], good + b"\n", b""):
        path.write_bytes(bad)
        with pytest.raises(ArtifactError, match=name):
            load(artifact)
    path.unlink()
    with pytest.raises(ArtifactError, match=f"{name}.*prefcast train" if name != "manifest.json" else "not a saved"):
        load(artifact)


def test_a_file_added_to_the_model_is_refused_and_one_beside_it_is_not(artifact):
    (artifact / ".gitattributes").write_text("* -text")
    load(artifact)
    (artifact / "model" / "deeper").mkdir()
    (artifact / "model" / "deeper" / "more.json").write_text("{}")
    with pytest.raises(ArtifactError, match=r"model/deeper/more\.json is not in the manifest"):
        load(artifact)


def test_links_are_refused(artifact, tmp_path):
    (artifact / "scores.json").rename(tmp_path / "scores.json")
    (artifact / "scores.json").symlink_to(tmp_path / "scores.json")
    with pytest.raises(ArtifactError, match=r"scores\.json is a link"):
        load(artifact)
    (tmp_path / "scores.json").replace(artifact / "scores.json")
    load(artifact)
    (artifact / "model").rename(tmp_path / "elsewhere")
    (artifact / "model").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ArtifactError, match="model is a link"):
        load(artifact)


def test_a_link_to_the_whole_folder_is_fine(artifact, tmp_path):
    (tmp_path / "current").symlink_to(artifact)
    load(tmp_path / "current")


@pytest.mark.parametrize(
    "path", ["../up", "/etc/passwd", "model/../../up", "a\\b", "C:/x", "a//b", "manifest.json", ""]
)
def test_a_path_out_of_the_folder_is_refused(artifact, path):
    files = read_manifest(artifact).files
    forge(artifact, files={**files, path: files["scores.json"]})
    with pytest.raises(ArtifactError, match="does not stay inside"):
        load(artifact)
    with pytest.raises(ArtifactError, match="does not stay inside"):
        trained().save(artifact.parent / "new", extra={path: b""})
    assert [p.name for p in artifact.parent.iterdir()] == ["model"]


def test_a_manifest_that_leaves_files_out_is_refused(artifact):
    files = dict(read_manifest(artifact).files)
    del files["scores.json"]
    forge(artifact, files=files)
    with pytest.raises(ArtifactError, match=r"lists no scores\.json"):
        load(artifact)


def test_other_classes_are_refused(artifact):
    forge(artifact, classes=["b", "a", "tie"])
    with pytest.raises(ArtifactError, match="classes"):
        load(artifact)


def test_a_newer_format_says_to_upgrade(artifact):
    text = (artifact / "manifest.json").read_text().replace('"format": 1', '"format": 2')
    (artifact / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"format 2.*pip install -U prefcast"):
        load(artifact)


@pytest.mark.parametrize(
    "text", ["", "{", "[1]", '"x"', "{}", '{"format": "1"}', '{"format": true}', '{"format": 1}', "[" * 100_000]
)
def test_a_manifest_of_something_else_is_refused(artifact, text):
    (artifact / "manifest.json").write_text(text)
    with pytest.raises(ArtifactError, match=r"manifest\.json"):
        load(artifact)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@settings(max_examples=60, deadline=None)
@given(key=st.sampled_from(["format", "model", "files", "classes", "libraries", "n_battles", "sha256"]), value=JSON)
def test_a_strange_manifest_is_one_error(original, tmp_path_factory, key, value):
    folder = tmp_path_factory.mktemp("strange")
    good = json.loads((original / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**good, key: value}))
    with pytest.raises(ArtifactError):
        load(folder)


def test_what_is_no_artifact_says_how_to_make_one(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ArtifactError, match=r"nowhere does not exist.*prefcast train votes\.csv -o"):
        load(tmp_path / "nowhere")
    with pytest.raises(ArtifactError, match=r"is a file.*prefcast train"):
        load(tmp_path / "file")
    with pytest.raises(ArtifactError, match=r"no manifest\.json.*prefcast train"):
        load(tmp_path / "empty")


def test_a_folder_that_is_not_empty_is_kept(artifact, tmp_path):
    before = content(tmp_path)
    with pytest.raises(ArtifactError, match=r"not empty.*--overwrite"):
        saved(artifact)
    assert content(tmp_path) == before
    saved(tmp_path / "deeper" / "still")
    (tmp_path / "empty").mkdir()
    saved(tmp_path / "empty")
    load(tmp_path / "empty")


def test_overwrite_replaces_an_artifact_and_nothing_else(artifact, tmp_path):
    TrainedModel(Prior(smoothing=3.0).fit(battles())).save(artifact, overwrite=True)
    assert load(artifact).model.params() == {"smoothing": 3.0}
    assert not (artifact / "notes").exists()
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    (artifact / "thesis.tex").write_text("mine")
    before = content(tmp_path)
    with pytest.raises(ArtifactError, match=r"thesis\.tex"):
        saved(artifact, overwrite=True)
    other = tmp_path / "photos"
    other.mkdir()
    (other / "cat.png").write_text("mine")
    with pytest.raises(ArtifactError, match="holds no saved model"):
        saved(other, overwrite=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ArtifactError, match="is a file"):
        saved(tmp_path / "file", overwrite=True)
    assert content(tmp_path) == {**before, "photos/cat.png": b"mine", "file": b"mine"}


def test_a_save_that_fails_leaves_what_was_there(artifact, tmp_path, monkeypatch):
    before = content(tmp_path)

    class Failing(Prior):
        def write(self, folder):
            super().write(folder)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TrainedModel(Failing().fit(battles())).save(artifact, overwrite=True)
    with pytest.raises(KeyboardInterrupt):
        TrainedModel(Failing().fit(battles())).save(tmp_path / "new")
    assert content(tmp_path) == before
    rename = Path.rename

    def full_disk(self, target):
        if self.name.endswith(".partial"):
            raise OSError("no space left")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", full_disk)
    with pytest.raises(ArtifactError, match="no space left"):
        saved(artifact, overwrite=True)
    assert content(tmp_path) == before
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_place_that_cannot_be_written_is_one_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ArtifactError, match="cannot save to"):
        saved(tmp_path / "file" / "model")


def test_extra_files_do_not_replace_those_of_the_artifact(tmp_path):
    with pytest.raises(ArtifactError, match="cannot save"):
        trained().save(tmp_path / "m", extra={"scores.json": b"{}"})
    assert list(tmp_path.iterdir()) == []


def test_the_kinds_of_a_model_of_models_are_a_tree(tmp_path):
    folders = {"m": "calibrated", "m/model": "blend", "m/model/parts/0": "gbdt", "m/model/parts/1": "linear"}
    for folder, kind in folders.items():
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / "model.json").write_text(json.dumps({"format": 1, "kind": kind}))
    parts = {"parts/0": KindTree(kind="gbdt"), "parts/1": KindTree(kind="linear")}
    expected = KindTree(kind="calibrated", parts={"model": KindTree(kind="blend", parts=parts)})
    assert kind_tree(tmp_path / "m") == expected
