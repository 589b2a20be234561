"""Faults that are said by the status: refusals, gateways' pages, redirects."""

import time
from email.utils import formatdate

from bootcamp_cli.demo.exchange import Exchange
from bootcamp_cli.demo.faults import Fault
from bootcamp_cli.demo.protocol import error_body, json_reply, no_such_model, too_long
from bootcamp_cli.demo.wire import Reply


async def status(_exchange: Exchange, fault: Fault) -> Reply:
    """Answer with the status that the fault is named by."""
    options = dict(fault.options)
    headers: tuple[tuple[str, str], ...] = ()
    if "retry-after" in options:
        headers = (("retry-after", _plain(options["retry-after"])),)
    elif "retry-after-date" in options:
        headers = (("retry-after", formatdate(time.time() + options["retry-after-date"], usegmt=True)),)
    number = int(fault.name)
    return json_reply(number, error_body(number, f"scripted fault {number}"), headers=headers)


async def nonsense_429(_exchange: Exchange, _fault: Fault) -> Reply:
    """Ask for patience in words that no client can read."""
    return json_reply(429, error_body(429, "scripted fault 429"), headers=(("retry-after", "in a while"),))


async def html(_exchange: Exchange, fault: Fault) -> Reply:
    """Answer with a gateway's page."""
    page = b"<html><head><title>502 Bad Gateway</title></head><body><h1>Bad Gateway</h1></body></html>\n"
    return Reply(status=int(fault.option("status", 200)), pieces=(page,), content_type="text/html")


async def markup(_exchange: Exchange, fault: Fault) -> Reply:
    """Answer with a page of opening tags that are never closed."""
    page = b"<style " * 3000 + b"<title " * 3000
    return Reply(status=int(fault.option("status", 500)), pieces=(page,), content_type="text/html")


async def no_content(_exchange: Exchange, _fault: Fault) -> Reply:
    """Answer with an empty body."""
    return Reply(status=200, pieces=(b"",))


async def error_200(_exchange: Exchange, _fault: Fault) -> Reply:
    """Answer with an error body and status 200."""
    return json_reply(200, error_body(500, "scripted fault: an error with status 200", kind="InternalServerError"))


async def redirect(exchange: Exchange, fault: Fault) -> Reply:
    """Name the same path on another port."""
    target = f"http://127.0.0.1:{int(fault.option('port', 9))}{exchange.path}"
    number = int(fault.option("status", 307))
    return json_reply(number, error_body(number, "moved"), headers=(("location", target),))


async def model_404(exchange: Exchange, _fault: Fault) -> Reply:
    """Say that the model does not exist."""
    raise no_such_model(exchange.ask.model if exchange.ask else "demo")


async def context_400(exchange: Exchange, fault: Fault) -> Reply:
    """Refuse where max_tokens is not below the limit."""
    limit = int(fault.option("limit", 4096))
    if exchange.ask and exchange.ask.max_tokens >= limit:
        raise too_long(exchange.ask, limit)
    return await exchange.regular()


def _plain(number: float) -> str:
    """A number without an exponent, which no header takes."""
    return f"{number:.9f}".rstrip("0").rstrip(".")
