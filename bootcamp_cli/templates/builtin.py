"""The built-in templates, as data.

r1 and deepseek_v3 use the fullwidth bar U+FF5C and the lower one eighth block U+2581, as DeepSeek's tokens do.
"""

from bootcamp_cli.templates.model import Template

_INTERNTHINKER_SYSTEM_PROMPT = (
    "You are an expert reasoner with extensive experience in mathematical and code competitions. "
    "You approach problems through systematic thinking and rigorous reasoning. "
    "Your response should reflect deep understanding and precise logical thinking, "
    "making your solution path and reasoning clear to others. "
    "Please put your thinking process within <think>...</think> tags."
)
_QWEN_SYSTEM_PROMPT = "You are a helpful assistant."

_DEEPSEEK = "<｜begin▁of▁sentence｜><｜User｜>{input}<｜Assistant｜>"
_DEEPSEEK_STOP = ("<｜end▁of▁sentence｜>",)
_CHATML = "<|im_start|>user\n{input}<|im_end|>\n<|im_start|>assistant\n"
_CHATML_STOP = ("<|im_end|>", "<|endoftext|>")

BUILTIN_TEMPLATES: tuple[Template, ...] = (
    Template(name="r1", text=f"{_DEEPSEEK}<think>\n", stop=_DEEPSEEK_STOP),
    Template(
        name="qwen",
        text=f"<|im_start|>system\n{_QWEN_SYSTEM_PROMPT}<|im_end|>\n{_CHATML}",
        stop=_CHATML_STOP,
        system_prompt=_QWEN_SYSTEM_PROMPT,
    ),
    Template(
        name="internthinker",
        text=f"<|im_start|>system\n{_INTERNTHINKER_SYSTEM_PROMPT}<|im_end|>\n{_CHATML}",
        stop=_CHATML_STOP,
        system_prompt=_INTERNTHINKER_SYSTEM_PROMPT,
    ),
    Template(name="chatml", text=_CHATML, stop=_CHATML_STOP),
    Template(name="deepseek_v3", text=_DEEPSEEK, stop=_DEEPSEEK_STOP),
    Template(name="qwq", text=f"{_CHATML}<think>\n", stop=_CHATML_STOP),
)
