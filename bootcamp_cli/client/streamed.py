"""An answer that arrives in pieces: the events of a stream put together; pure."""

from bootcamp_cli.client.failures import bad_response, html_words, server_words
from bootcamp_cli.client.reply import (
    MAX_BODY_BYTES,
    first_choice,
    load_object,
    make_answer,
    reasoning_of,
    refuse_error,
    text_of,
)
from bootcamp_cli.client.sse import EventDecoder, ServerEvent
from bootcamp_cli.records import Answer, ApiMode


class StreamedAnswer:
    """Takes the bytes of a stream and makes the answer of it.

    `complete` says that everything that decides the answer is in: a finish_reason or `[DONE]` was seen. What a stream
    may still hold after that is the usage. Raises TryFailed of kind bad_response like `parse_reply`.
    """

    def __init__(self, api_mode: ApiMode, *, max_bytes: int = MAX_BODY_BYTES) -> None:
        self._api_mode: ApiMode = api_mode
        self._max_bytes = max_bytes
        self._events = EventDecoder()
        self._n_bytes = 0
        self._beginning = b""
        self._texts: list[str] = []
        self._reasoning: list[str] = []
        self._finish_reason: object = None
        self._usage: object = None
        self._model: object = None
        self.done = False

    @property
    def complete(self) -> bool:
        """Whether the answer is whole, even if the stream should break now."""
        return self.done or bool(self._finish_reason)

    @property
    def n_pending_bytes(self) -> int:
        """Bytes of the event that is not complete."""
        return self._events.n_pending_bytes

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes, cut anywhere."""
        self._n_bytes += len(chunk)
        if self._n_bytes > self._max_bytes:
            raise bad_response(f"a stream of more than {self._max_bytes} bytes")
        if len(self._beginning) < 500:
            self._beginning += chunk[:500]
        for event in self._events.feed(chunk):
            self._take(event)

    def answer(self) -> Answer:
        """The answer, at the end of the stream."""
        if not self.complete:
            for event in self._events.close():
                self._take(event)
        if not self.complete:
            if self._beginning.lstrip().startswith((b"<", b"{")):
                raise bad_response("no event stream", html_words(self._beginning))
            raise bad_response("a stream that ends before the answer does")
        return make_answer(
            text="".join(self._texts),
            reasoning="".join(self._reasoning) or None,
            finish_reason=self._finish_reason,
            usage=self._usage,
            model=self._model,
        )

    def _take(self, event: ServerEvent) -> None:
        if self.done:
            return
        if event.data.strip() == b"[DONE]":
            self.done = True
            return
        if not event.data.strip():
            return
        if event.name == "error":
            raise bad_response("an error in the stream", server_words(load_object(event.data)))
        piece = load_object(event.data)
        refuse_error(piece)
        self._usage = piece.get("usage") or self._usage
        self._model = piece.get("model") or self._model
        choice = first_choice(piece)
        if choice is None or choice.get("index"):
            return
        delta = choice
        if self._api_mode == "chat_completion":
            delta = choice.get("delta") or choice.get("message") or {}
            if not isinstance(delta, dict):
                raise bad_response("a choice whose delta is no object")
        self._texts.append(text_of(delta.get("text" if self._api_mode == "completion" else "content")) or "")
        self._reasoning.append(reasoning_of(delta) or "")
        self._finish_reason = choice.get("finish_reason") or self._finish_reason
