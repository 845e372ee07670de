"""Parameters out of range are refused before any training."""

import numpy as np
import pytest

from prefcast.errors import RecipeError
from prefcast.models import GBDT, Linear, _boosting
from prefcast.pipeline import Recipe, load_recipe


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        (GBDT, {"num_leaves": 1}),
        (GBDT, {"feature_fraction": 2.0}),
        (GBDT, {"lambda_l2": -1.0}),
        (GBDT, {"learning_rate": "fast"}),
        (GBDT, {"rounds": 5.5}),
        (GBDT, {"rounds": 0}),
        (GBDT, {"max_bin": 1}),
        (GBDT, {"seed": -1}),
        (GBDT, {"views": ["none"]}),
        (Linear, {"l2": -5.0}),
        (Linear, {"l2": float("nan")}),
        (Linear, {"l2": "1e3"}),
        (Linear, {"view": "none"}),
    ],
)
def test_a_parameter_out_of_range_is_refused(kind, given):
    (name,) = given
    with pytest.raises(RecipeError, match=name.removesuffix("s")):
        kind(**given)


def test_a_recipe_survives_any_name(tmp_path):
    recipe = load_recipe("linear")
    odd = Recipe(name='a "b"\r\n\x01\x7f\\ é', training=recipe.training, members=recipe.members)
    (tmp_path / "odd.toml").write_text(odd.to_toml(), "utf-8", newline="")
    assert load_recipe(tmp_path / "odd.toml").name == odd.name


def test_rounds_of_one_set_do_not_depend_on_how_long_another_goes_on():
    rng = np.random.default_rng(0)

    def rows(n, noise):
        x = rng.normal(size=(n, 4))
        return _boosting.Rows(x, (x[:, 0] + noise * rng.normal(size=n) > 0).astype(int), np.ones(n))

    params = {"objective": "multiclass", "num_class": 3, "num_threads": 1, "verbose": -1, "min_data_in_leaf": 5}
    train, easy, hard = rows(300, 0.3), rows(100, 0.1), rows(100, 30.0)
    alone = [_boosting.boost(params, train, [part], rounds=200, patience=3)[1][0] for part in (easy, hard)]
    together = _boosting.boost(params, train, [easy, hard], rounds=200, patience=3)[1]
    assert together == alone
    assert alone[0] != alone[1]
