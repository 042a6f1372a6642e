"""Providers: LiteLLM behind LangChain's chat model, imported on first use, or the LangChain object that was given."""

from __future__ import annotations

import asyncio
import functools
import hashlib
import importlib
import json
import logging
import os
import threading
import warnings
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, cast

from langchain_core.messages import AIMessageChunk, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from openmanus_graph.errors import NoModelError
from openmanus_graph.events import Usage
from openmanus_graph.models.catalog import ModelTarget, provider_of
from openmanus_graph.models.pictures import IMAGE_TOKENS
from openmanus_graph.models.request_adapter import Shape, without_images

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel
    from langchain_core.runnables import Runnable

UNKNOWN_WINDOW = 32_768
"""Tokens of context assumed for an unknown model."""

REPLAYED_WINDOW = 1_000_000
"""Tokens of context assumed for a recording, whose prompts did fit."""

NO_KEY = "no-key-is-set"
"""Sent to a server of one's own that asks for no key: its client does not start without one."""

_OF_LITELLM = (
    ".*conflict with protected namespace.*",
    ".*Accessing the.*attribute on the instance is deprecated.*",
    ".*`ReadOnly` qualifier.*",
)
_FREE = ("ollama", "ollama_chat")
CACHE_POINTS = ({"location": "message", "role": "system"}, {"location": "message", "index": -1})
"""Where a provider that caches only what it is told to is to look for what it has read already: the system prompt, and
all of the conversation so far."""
_starting = threading.RLock()


@functools.cache
def _litellm() -> Any:
    """LiteLLM, quiet and offline: nothing but the provider is called."""
    with _starting:
        os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")
        os.environ.setdefault("LITELLM_MODE", "PRODUCTION")  # else it loads whatever `.env` lies above its own files
        import litellm

        settable: Any = litellm
        settable.suppress_debug_info = True
        settable.telemetry = False
        settable.disable_hf_tokenizer_download = True
        for name in ("LiteLLM", "LiteLLM Router", "LiteLLM Proxy"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        if settable.aclient_session is None:
            settable.aclient_session = _client()
        return litellm


def _client() -> Any:
    """The HTTP client for OpenAI's interface: it reads along what LiteLLM's own ones get."""
    import httpx

    from openmanus_graph.models.wire import ReadingTransport

    # What the environment says of proxies holds for the inner clients.
    transport = ReadingTransport(_client_of_loop)
    return httpx.AsyncClient(transport=transport, follow_redirects=True, trust_env=False)


_clients: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncGenerator[None]]] = {}
"""LiteLLM's clients by the event loop that they belong to, each with what closes it."""


async def _client_of_loop() -> Any:
    """LiteLLM's client for the event loop that runs; the loop closes it with its generators, as it ends."""
    loop = asyncio.get_running_loop()
    if loop not in _clients:
        client = importlib.import_module("litellm.llms.custom_httpx.http_handler").AsyncHTTPHandler()
        _clients[loop] = client, (closing := _closing(loop, client))
        await anext(closing)
    return _clients[loop][0].client


async def _closing(loop: asyncio.AbstractEventLoop, client: Any) -> AsyncGenerator[None]:
    try:
        yield
    finally:
        _clients.pop(loop, None)
        await client.close()


@functools.cache
def _router() -> Any:
    """The one Router of this process; models are added to it as they are first called.

    It makes no retries and no fallbacks of its own: a reply that is empty or breaks off is seen only after it has
    handed the stream over, each attempt is an event, and what is sent differs from model to model.
    """
    with _starting:
        return _litellm().Router(model_list=[], num_retries=0, disable_cooldowns=True, max_fallbacks=0)


_added: set[str] = set()


def _hush() -> None:
    """Ignore warnings about LiteLLM's own lines, as it does itself when it is imported.

    At each call, because code that resets the filters (test runners do) takes these out, and where warnings are errors
    they would end a call.
    """
    there = {entry[1].pattern for entry in warnings.filters if entry[0] == "ignore" and entry[1] is not None}
    for message in _OF_LITELLM:
        if message not in there:
            warnings.filterwarnings("ignore", message=message)


def _group(target: ModelTarget) -> str:
    """The Router's name for a target, the same for the same settings, and without its key."""
    parameters = _parameters(target)
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True, default=str).encode()).hexdigest()[:16]
    group = f"{target.name}#{digest}"
    with _starting:
        if group not in _added:
            types: Any = importlib.import_module("litellm.types.router")
            deployment = types.Deployment(
                model_name=group, litellm_params=types.LiteLLM_Params(**parameters), model_info={"id": group}
            )
            _router().add_deployment(deployment)
            _added.add(group)
    return group


def _parameters(target: ModelTarget) -> dict[str, Any]:
    table = target.settings
    key = target.api_key or (NO_KEY if table.base_url else None)
    given: dict[str, Any] = {
        "model": target.litellm_name,
        "api_base": table.base_url,
        "api_key": key,
        "temperature": table.temperature,
        "max_tokens": table.max_tokens,
        "timeout": table.timeout_s,
        "stream_timeout": table.timeout_s,
        "keep_alive": table.keep_alive,
        "max_retries": 0,
        "cache_control_injection_points": list(CACHE_POINTS) if _caches_as_told(target.litellm_name) else None,
        **table.extra,
    }
    return {name: value for name, value in given.items() if value is not None}


def _caches_as_told(name: str) -> bool:
    """Whether a model's prompts are cached only up to breakpoints, as Anthropic's are wherever they are served."""
    return "claude" in name.lower() or name.startswith("anthropic/")


def usable(target: ModelTarget) -> None:
    """Check that a model's provider is known and that it has a key; the slow parts are done here, once, in a thread.

    Raises:
        NoModelError: With what to write or set.
    """
    if target.chat_model is not None or target.replay is not None:
        return
    litellm = _litellm()
    _hush()
    try:
        _, provider, _, _ = litellm.get_llm_provider(target.litellm_name, api_base=target.settings.base_url)
    except litellm.BadRequestError:
        raise NoModelError(
            f"The model {target.name!r} of the role {target.role!r} has no provider that LiteLLM knows.",
            hint="Write it as PROVIDER/MODEL, such as openai/gpt-5-mini or ollama_chat/qwen3, or set LLM_BASE_URL.",
        ) from None
    if not target.api_key and not target.settings.base_url and provider not in _FREE:
        _see_key(litellm, target)
    chat_model_of(target)


def _see_key(litellm: Any, target: ModelTarget) -> None:
    checked: Mapping[str, Any] = litellm.validate_environment(target.litellm_name)
    missing = [name for name in checked["missing_keys"] if name.endswith("_KEY")]
    if missing and not _has_key(target):
        raise NoModelError(
            f"The model {target.name!r} of the role {target.role!r} needs a key, and {missing[0]} is not set.",
            hint=f"Set {missing[0]}, or LLM_API_KEY beside LLM_MODEL.",
        )


def _has_key(target: ModelTarget) -> bool:
    return any(name.endswith(("api_key", "token", "credentials", "profile_name")) for name in target.settings.extra)


def chat_model_of(target: ModelTarget) -> BaseChatModel:
    """The LangChain chat model that calls a target."""
    if target.chat_model is not None:
        return target.chat_model
    _litellm()
    _hush()
    from openmanus_graph.models.litellm_model import LiteLLMModel

    group = _group(target)  # first, for it makes the Router under a lock: parallel first calls must share one
    return LiteLLMModel(router=_router(), model_name=group)


async def stream(target: ModelTarget, request: Shape) -> AsyncGenerator[AIMessageChunk]:
    """Call a model; the reply comes in pieces.

    Args:
        target: The model.
        request: The request in the model's form.
    """
    chat_model = chat_model_of(target)
    model: Runnable[Any, Any] = chat_model
    if request.tools:
        options: dict[str, Any] = {} if request.tool_choice is None else {"tool_choice": request.tool_choice}
        model = chat_model.bind_tools(list(request.tools), **options)
    elif request.response_format is not None:
        model = model.bind(response_format=request.response_format)
    pieces = cast("AsyncGenerator[Any]", model.astream(request.messages))
    async with aclosing(pieces):
        async for piece in pieces:
            yield piece


async def embed_once(target: ModelTarget, texts: Sequence[str]) -> Any:
    """Ask a model of vectors for those of some texts, once; LiteLLM's answer."""
    # Not every provider knows the format: of those LiteLLM leaves it out.
    return await ask_once(target, "aembedding", {"input": list(texts), "encoding_format": "float", "drop_params": True})


async def ask_once(target: ModelTarget, function: str, arguments: Mapping[str, Any]) -> Any:
    """Call one of LiteLLM's functions that are no chat, once; its answer.

    Args:
        target: The model.
        function: Its name, such as `aembedding`.
        arguments: What it is given besides the model, its place and its key.
    """
    litellm = await asyncio.to_thread(_litellm)
    _hush()
    wanted = {"model", "api_base", "api_key", "timeout", "max_retries", *target.settings.extra}
    given = {name: value for name, value in _parameters(target).items() if name in wanted}
    return await getattr(litellm, function)(**arguments, **given)


def price_of(target: ModelTarget, answer: Any) -> float | None:
    """US dollars of a call that is no chat, as LiteLLM knows them; `None` if it does not."""
    litellm = _litellm()
    try:
        return float(litellm.completion_cost(completion_response=answer, model=target.litellm_name))
    except Exception:  # noqa: BLE001 - LiteLLM raises what it likes for a model whose price it does not know
        return None


def known(target: ModelTarget) -> Mapping[str, Any]:
    """LiteLLM's own entry for a model, offline; empty for unknown models and LangChain objects."""
    if target.chat_model is not None or target.replay is not None:
        return {}
    listed: Mapping[str, Any] = _litellm().model_cost
    name = target.litellm_name
    if name in listed:
        return listed[name]
    provider, entry = provider_of(name), listed.get(name.partition("/")[2], {})
    return entry if provider and str(entry.get("litellm_provider", "")).startswith(provider) else {}


def window_of(target: ModelTarget) -> int:
    """Tokens of context: as set, as the LangChain object or LiteLLM knows, or a guess."""
    if target.settings.window is not None:
        return target.settings.window
    if target.replay is not None:
        return REPLAYED_WINDOW
    if target.chat_model is not None:
        profile = cast("Mapping[str, Any]", getattr(target.chat_model, "profile", None) or {})
        return int(profile.get("max_input_tokens") or UNKNOWN_WINDOW)
    entry = known(target)
    return int(entry.get("max_input_tokens") or entry.get("max_tokens") or UNKNOWN_WINDOW)


def sees_images(target: ModelTarget) -> bool:
    """Whether a model sees images: as set, as the LangChain object or LiteLLM knows, else not."""
    if target.settings.images is not None:
        return target.settings.images
    if target.chat_model is not None:
        profile = cast("Mapping[str, Any]", getattr(target.chat_model, "profile", None) or {})
        return bool(profile.get("image_inputs"))
    return bool(known(target).get("supports_vision"))


def count_tokens(target: ModelTarget, messages: Sequence[BaseMessage]) -> int:
    """Tokens of messages: by LiteLLM's tokenizer for the model, else about four characters each."""
    words, images = without_images(messages)  # LiteLLM would load those that are links
    of_images = images * IMAGE_TOKENS if images and sees_images(target) else 0
    if target.chat_model is not None or target.replay is not None:
        return count_tokens_approximately(words) + of_images
    from langchain_core.messages import convert_to_openai_messages

    counted = _litellm().token_counter(model=target.litellm_name, messages=convert_to_openai_messages(words))
    return int(counted) + of_images


def priced(target: ModelTarget, usage: Usage) -> float | None:
    """US dollars of a call: by the prices set, else by LiteLLM's; `None` when nobody knows them."""
    table = target.settings
    if table.input_usd_per_million is not None and table.output_usd_per_million is not None:
        dollars = usage["input_tokens"] * table.input_usd_per_million
        return (dollars + usage["output_tokens"] * table.output_usd_per_million) / 1_000_000
    if target.chat_model is not None or target.replay is not None:
        return None
    if provider_of(target.name) in _FREE:
        return 0.0
    if not known(target).get("input_cost_per_token"):
        return None
    prompt, completion = _litellm().cost_per_token(
        model=target.litellm_name,
        prompt_tokens=usage["input_tokens"],
        completion_tokens=usage["output_tokens"],
        cache_read_input_tokens=usage["cached_tokens"],
    )
    return float(prompt + completion)
