"""Templates are data: packaged or of one's own, checked, and the same after being stored."""

import json

import pytest

from prefcast.errors import RecipeError
from prefcast.models.llm._template import Template, load_template, template_names


def test_packaged_templates_survive_json():
    assert template_names() == ["default", "notebook"]
    for name in template_names():
        template = load_template(name)
        assert template.name == name
        assert Template.from_dict(json.loads(json.dumps(template.to_dict()))) == template
        assert load_template(template) is template


def test_a_template_of_ones_own(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('name = "mine"\nprompt = "Q "\nanswer_a = " [1] "\nanswer_b = " [2] "\n', "utf-8")
    mine = load_template(path)
    assert (mine.name, mine.layout, mine.cut, mine.answer_b) == ("mine", "rounds", "middle", " [2] ")
    assert mine.marks == ("Q", "[1]", "[2]", "[… cut …]")


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sufix": "x"}, "sufix"),
        ({"answer_b": "\n\n[Answer A]\n"}, "two different marks"),
        ({"answer_a": " "}, "neither blank"),
        ({"cut": "left"}, "cut"),
        ({"minimum": 0}, "minimum"),
        ({"minimum": "16"}, "minimum"),
        ({"joined": True}, "joined = true needs"),
        ({"escape": "xx"}, "escape must be"),
        ({"escape": "["}, "no mark may contain the escape"),
    ],
)
def test_what_does_not_fit_is_refused(changes, says):
    with pytest.raises(RecipeError, match=says):
        Template.from_dict(load_template("default").to_dict() | changes)


def test_missing_and_broken_templates(tmp_path):
    with pytest.raises(RecipeError, match=r"packaged ones are default, notebook.*ends in \.toml"):
        load_template("chatml")
    with pytest.raises(RecipeError, match="cannot read the template"):
        load_template(tmp_path / "none.toml")
    path = tmp_path / "broken.toml"
    path.write_text("name = ", "utf-8")
    with pytest.raises(RecipeError, match="is not TOML"):
        load_template(path)
    with pytest.raises(RecipeError, match="answer_a: Field required"):
        Template.from_dict({"name": "x"})
