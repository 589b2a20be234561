"""A prompt template: what completion mode puts around a prompt."""

from dataclasses import dataclass, replace

from bootcamp_cli.errors import SettingsError

PLACEHOLDER = "{input}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A chat template as text.

    `text` contains `{input}` exactly once, `stop` are the stop words sent in completion mode, `system_prompt` is the
    default system prompt of chat mode (in completion mode it is part of the text), `bos` the begin-of-sentence token
    that the text begins with, `origin` says where the template comes from.
    """

    name: str
    text: str
    stop: tuple[str, ...] = ()
    system_prompt: str | None = None
    bos: str = ""
    origin: str = "built-in"

    def __post_init__(self) -> None:
        n_found = self.text.count(PLACEHOLDER)
        if n_found != 1:
            raise SettingsError(f"{self.origin}: text: must contain {PLACEHOLDER} exactly once, not {n_found} times")

        if not self.text.startswith(self.bos):
            raise SettingsError(f"{self.origin}: bos: the text must begin with it")

    def without_bos(self) -> "Template":
        """The same template for a server that puts the begin-of-sentence token before every prompt by itself."""
        return replace(self, text=self.text.removeprefix(self.bos), bos="")

    def render(self, prompt: str) -> str:
        """The prompt in its place; braces in it, even a literal `{input}`, pass through untouched."""
        before, _, after = self.text.partition(PLACEHOLDER)
        return f"{before}{prompt}{after}"
