"""A prompt template: what completion mode puts around a prompt."""

from dataclasses import dataclass

from bootcamp_cli.errors import SettingsError

PLACEHOLDER = "{input}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A chat template as text.

    `text` contains `{input}` exactly once, `stop` are the stop words sent in completion mode, `system_prompt` is the
    default system prompt of chat mode (in completion mode it is part of the text), `origin` says where the template
    comes from.
    """

    name: str
    text: str
    stop: tuple[str, ...] = ()
    system_prompt: str | None = None
    origin: str = "built-in"

    def __post_init__(self) -> None:
        n_found = self.text.count(PLACEHOLDER)
        if n_found != 1:
            raise SettingsError(f"{self.origin}: text: must contain {PLACEHOLDER} exactly once, not {n_found} times")

    def render(self, prompt: str) -> str:
        """The prompt in its place; braces in it, even a literal `{input}`, pass through untouched."""
        before, _, after = self.text.partition(PLACEHOLDER)
        return f"{before}{prompt}{after}"
