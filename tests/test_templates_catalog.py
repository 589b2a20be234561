"""Built-in and user templates, and how they render."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bootcamp_cli.errors import SettingsError
from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES, choose, template_catalog
from bootcamp_cli.templates.template import Template

PLACE = "./bootcamp.toml: templates.mine"


@pytest.mark.parametrize("template", BUILTIN_TEMPLATES, ids=lambda template: template.name)
@given(prompt=st.text() | st.sampled_from(["{input}", "{}", "{0}", "%s {input} \\1", "${input}", "{{x}}"]))
def test_prompts_pass_through_untouched(template: Template, prompt: str) -> None:
    """Whatever a prompt holds, it stands once and unchanged between the two halves of the template."""
    before, after = template.text.split("{input}")
    assert template.render(prompt) == before + prompt + after


def test_builtin_templates_render_as_specified() -> None:
    """Each built-in template gives the exact text of its model family."""
    catalog = template_catalog({})
    bos, user, assistant = (f"<\uff5c{word}\uff5c>" for word in ("begin\u2581of\u2581sentence", "User", "Assistant"))
    assert catalog["r1"].render("Q") == f"{bos}{user}Q{assistant}<think>\n"
    assert catalog["deepseek_v3"].render("Q") == f"{bos}{user}Q{assistant}"
    assert catalog["chatml"].render("Q") == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n"
    assert catalog["qwq"].render("Q") == "<|im_start|>user\nQ<|im_end|>\n<|im_start|>assistant\n<think>\n"
    system = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    assert catalog["qwen"].render("Q") == system + catalog["chatml"].render("Q")
    for name in ("internthinker", "internbootcamp", "internbootcamp_v2"):
        assert catalog[name].render("Q") == (
            f"<|im_start|>system\n{catalog[name].system_prompt}<|im_end|>\n{catalog['chatml'].render('Q')}"
        )


def test_builtin_stop_words_and_system_prompts() -> None:
    """Stop words and default system prompts are those of the model family."""
    catalog = template_catalog({})
    eos = ("<\uff5cend\u2581of\u2581sentence\uff5c>",)
    chatml = ("<|im_end|>", "<|endoftext|>")
    prompted = {"qwen", "internthinker", "internbootcamp", "internbootcamp_v2"}
    assert {name: template.stop for name, template in catalog.items()} == {
        "r1": eos,
        "deepseek_v3": eos,
        **dict.fromkeys((*prompted, "chatml", "qwq"), chatml),
    }
    assert {name for name, template in catalog.items() if template.system_prompt} == prompted
    prompt = catalog["internthinker"].system_prompt or ""
    assert prompt.startswith(
        "You are an expert reasoner with extensive experience in mathematical and code competitions. "
    )
    assert prompt.endswith("Please put your thinking process within <think>...</think> tags.")


def test_system_prompts_of_the_later_script(shared: Path) -> None:
    """The templates of the later reference script have its system prompts, word for word."""
    prompts = json.loads((shared / "templates.json").read_text("utf-8"))
    catalog = template_catalog({})
    assert {name: catalog[name].system_prompt for name in prompts} == prompts


def test_user_templates_join_and_replace() -> None:
    """User templates are added, may replace built-in ones, and say where they are from."""
    table = {"text": "[{input}]", "stop": "END", "system_prompt": "Be brief."}
    catalog = template_catalog({"mine": (table, PLACE), "r1": ({"text": "{input}"}, "u.toml: templates.r1")})
    assert catalog["mine"] == Template(
        name="mine", text="[{input}]", stop=("END",), system_prompt="Be brief.", origin=PLACE
    )
    assert catalog["r1"].origin == "u.toml: templates.r1 (replaces the built-in)"
    assert catalog["r1"].render("x") == "x"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({}, f"{PLACE}.text: must be a string that contains {{input}}"),
        ({"text": 1}, f"{PLACE}.text: must be a string"),
        ({"text": "no place"}, f"{PLACE}: text: must contain {{input}} exactly once, not 0 times"),
        ({"text": "{input}{input}"}, "exactly once, not 2 times"),
        ({"text": "{input}", "stop": [1]}, f"{PLACE}.stop: must be a string or a list of strings"),
        ({"text": "{input}", "stop": [""]}, "none of them empty"),
        ({"text": "{input}", "system_prompt": 1}, f"{PLACE}.system_prompt: must be a string"),
        ({"text": "{input}", "chat-template": "x"}, f"{PLACE}.chat-template: unknown key; did you mean text?"),
        ({"text": "{input}", "sys_prompt": "x"}, "did you mean system_prompt?"),
        ({"text": "{input}", "zzz": "x"}, "unknown key; a template has text, stop, system_prompt"),
    ],
)
def test_wrong_tables_are_named(table: dict[str, Any], message: str) -> None:
    """What is wrong in a template table is named with its place."""
    with pytest.raises(SettingsError) as caught:
        template_catalog({"mine": (table, PLACE)})
    assert message in str(caught.value)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "\x1b[1m", "-x"])
def test_wrong_names_are_refused(name: str) -> None:
    """A template's name can be typed and printed as it is."""
    with pytest.raises(SettingsError, match="a template's name consists of letters"):
        template_catalog({name: ({"text": "{input}"}, PLACE)})


def test_unknown_template_suggests_a_known_one() -> None:
    """An unknown name is refused with its place, the name that was meant, and all there are."""
    catalog = template_catalog({})
    assert choose(catalog, "qwq", "--template").name == "qwq"
    with pytest.raises(SettingsError) as caught:
        choose(catalog, "deepseek-v3", "--template")
    assert str(caught.value).startswith(
        "--template: unknown template 'deepseek-v3'; did you mean deepseek_v3? known are r1"
    )


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("internbootcamp", "2adac363925778379d1eb86ad315cffc1db39c3e0776a2470a04a1d332d802b4"),
        ("internbootcamp_v2", "0413e917177bb403f5dbc4124d229a7ff6cc7a42a7c4c1fdcbc4f4d7a5ad5a1b"),
    ],
)
def test_system_prompts_of_the_later_script_are_word_for_word(name: str, digest: str) -> None:
    """The two system prompts of the later reference script are its own, to the last character."""
    prompt = template_catalog({})[name].system_prompt or ""
    assert hashlib.sha256(prompt.encode()).hexdigest() == digest
