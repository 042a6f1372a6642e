"""Http_request: what is sent, what comes back, and what must never get out."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import StructuredTool
from pydantic import ValidationError

from openmanus_graph.config.sections import CredentialSettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.context import ToolContext, using_tool_context
from openmanus_graph.errors import AddressRefusedError, SettingsError, ToolArgumentsError, ToolError
from openmanus_graph.plan import Plan
from openmanus_graph.tools.http_request import http_request
from openmanus_graph.tools.spec import effect_of

from .conftest import Service

SECRET = 'sk-test/a"b+c'


@pytest.fixture
def call(tmp_path: Path) -> ToolContext:
    settings = Settings(allow_hosts=("127.0.0.1",))
    return ToolContext(thread_id="t", subtask_id="s", workspace=tmp_path, settings=settings, call_id="c1")


async def send(call: ToolContext, **args: Any) -> dict[str, Any]:
    with using_tool_context(call):
        return await http_request.ainvoke({"method": "GET", **args})


async def test_a_json_answer(call: ToolContext, service: Service) -> None:
    url = service.gives("/a", '{"list": [1, "x"]}', headers=[("X-Rate", "9"), ("Set-Cookie", "s=1")])

    out = await send(call, url=url)

    assert set(out) == {"status", "headers", "json", "text", "truncated", "error"}
    assert (out["status"], out["json"], out["text"], out["error"]) == (200, {"list": [1, "x"]}, "", None)
    assert out["headers"]["x-rate"] == "9"
    assert "set-cookie" not in out["headers"]


@pytest.mark.parametrize(
    ("body", "kind", "text"),
    [
        ("plain", "text/plain", "plain"),
        ("{broken", "application/json", "{broken"),
        (b"\x89PNG\0", "image/png", "[image/png, 5 bytes, not shown]"),
        ("null", "application/json", "null"),
        ("\udcff".encode("utf-8", "surrogateescape"), "text/plain; charset=utf-8", "\ufffd"),
    ],
)
async def test_other_answers_are_text(
    call: ToolContext, service: Service, body: bytes | str, kind: str, text: str
) -> None:
    out = await send(call, url=service.gives("/a", body, kind=kind))

    assert (out["json"], out["text"]) == (None, text)


async def test_what_a_checkpoint_cannot_hold_is_made_text(call: ToolContext, service: Service) -> None:
    out = await send(
        call, url=service.gives("/a", '{"big": 99999999999999999999, "nul": "a\\u0000", "half": "\\ud800"}')
    )

    assert out["json"] == {"big": "99999999999999999999", "nul": "a\ufffd", "half": "\ufffd"}


async def test_query_headers_and_body_are_sent(call: ToolContext, service: Service) -> None:
    url = service.gives("/a", "{}")

    await send(call, method="post", url=f"{url}?x=1", query={"y": ["a b", True], "z": None}, json={"k": [1]})
    await send(call, method="PUT", url=url, body="k=v", headers={"Content-Type": "application/x-www-form-urlencoded"})

    first, second = service.asked
    assert (first.method, first.path) == ("POST", "/a?x=1&y=a+b&y=true")
    assert json.loads(first.body) == {"k": [1]}
    assert first.headers["content-type"] == "application/json"
    assert (second.method, second.body) == ("PUT", b"k=v")
    assert second.headers["content-type"] == "application/x-www-form-urlencoded"


class TestIdempotencyKey:
    async def test_a_request_that_changes_something_carries_the_key_of_its_call(
        self, call: ToolContext, service: Service
    ) -> None:
        url = service.gives("/a", "{}")
        await send(replace(call, idempotency_key="k1"), method="POST", url=url, json=1)
        await send(call, method="POST", url=url, json=1)

        assert [asked.headers.get("idempotency-key") for asked in service.asked] == ["k1", None]

    async def test_reading_has_none_and_a_given_one_stays(self, call: ToolContext, service: Service) -> None:
        url = service.gives("/a", "{}")

        call = replace(call, idempotency_key="k1")
        await send(call, url=url)
        await send(call, method="POST", url=url, headers={"Idempotency-Key": "mine"})

        assert "idempotency-key" not in service.asked[0].headers
        assert service.asked[1].headers["idempotency-key"] == "mine"


class TestFailures:
    async def test_a_status_of_failure_is_an_error_with_its_body(self, call: ToolContext, service: Service) -> None:
        out = await send(call, url=service.gives("/a", '{"why": "gone"}', status=404))

        assert out["error"] == "The server answered 404 Not Found."
        assert out["json"] == {"why": "gone"}

    async def test_whether_the_outcome_is_known(self, call: ToolContext, service: Service) -> None:
        broken, slow = service.gives("/broken", "{}", broken=True), service.gives("/slow", "{}", wait_s=5)

        with pytest.raises(ToolError, match="broke off"):
            await send(call, url=broken)
        with pytest.raises(ConnectionError, match="broke off"):
            await send(call, method="POST", url=broken)
        with pytest.raises(ToolError, match=r"within 0\.2 s"):
            await send(call, url=slow, timeout=0.2)
        with pytest.raises(TimeoutError, match=r"within 0\.2 s"):
            await send(call, method="POST", url=slow, timeout=0.2)
        with pytest.raises(ToolError, match="cannot be reached"):
            await send(call, method="POST", url="http://127.0.0.1:9/")

    @pytest.mark.parametrize(
        "args",
        [
            {"json": {}},
            {"method": "POST", "json": {}, "body": "x"},
            {"method": "POST", "json": float("nan")},
            {"headers": {"X-HTTP-Method-Override": "DELETE"}},
            {"headers": {"Host": "elsewhere"}},
            {"headers": {"a b": "c"}},
            {"headers": {"a": "é"}},
            {"headers": {"a": "b\r\nc: d"}},
            {"headers": {"A": "1", "a": "2"}},
            {"credential": "unknown"},
        ],
    )
    async def test_what_cannot_be_sent_is_refused_before(
        self, call: ToolContext, service: Service, args: dict[str, Any]
    ) -> None:
        with pytest.raises(ToolArgumentsError):
            await send(call, url=service.url, **args)
        assert service.asked == []

    async def test_a_wrong_argument_is_named(self, call: ToolContext) -> None:
        with pytest.raises(ValidationError, match="method"):
            await send(call, method="GETT", url="http://x")
        with pytest.raises(ValidationError, match="urll"):
            await send(call, urll="http://x")


class TestWhereItLeads:
    @pytest.mark.parametrize("url", ["http://localhost:1/", "http://169.254.169.254/latest", "http://[::1]/"])
    async def test_inner_addresses_are_refused(self, call: ToolContext, url: str) -> None:
        with pytest.raises(AddressRefusedError):
            await send(call, url=url, method="POST", json={})

    async def test_a_redirect_to_an_inner_address_is_refused(self, call: ToolContext, service: Service) -> None:
        url = service.gives("/a", status=302, headers=[("Location", "http://127.0.0.2:1/")])

        with pytest.raises(AddressRefusedError):
            await send(call, url=url)

    async def test_only_reading_follows_redirects(self, call: ToolContext, service: Service) -> None:
        service.gives("/b", '"there"')
        url = service.gives("/a", status=307, headers=[("Location", "/b")])

        assert (await send(call, url=url))["json"] == "there"
        out = await send(call, method="POST", url=url, json={})

        assert (out["status"], out["headers"]["location"]) == (307, "/b")
        assert "did nothing" in out["error"]
        assert [asked.path for asked in service.asked] == ["/a", "/b", "/a"]

    async def test_a_token_in_the_headers_stays_with_its_host(
        self, call: ToolContext, service: Service, elsewhere: Service
    ) -> None:
        target = elsewhere.gives("/b", "{}")
        url = service.gives("/a", status=302, headers=[("Location", target)])

        await send(call, url=url, headers={"Authorization": "Bearer token", "X-Other": "1"})

        assert service.asked[0].headers["authorization"] == "Bearer token"
        assert "authorization" not in elsewhere.asked[0].headers
        assert elsewhere.asked[0].headers["x-other"] == "1"


class TestCredentials:
    @pytest.fixture
    def with_secret(self, call: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch) -> ToolContext:
        monkeypatch.setenv("SHOP_KEY", SECRET)
        host = service.url.removeprefix("http://")
        shop = CredentialSettings(env="SHOP_KEY", hosts=(host, "*.shop.example"))
        return replace(call, settings=Settings(allow_hosts=("127.0.0.1",), credentials={"shop": shop}))

    async def test_the_secret_is_sent_and_never_seen(self, with_secret: ToolContext, service: Service) -> None:
        echo = json.dumps({"sent": f"Bearer {SECRET}", SECRET: [SECRET]})
        url = service.gives("/a", echo, headers=[("X-Echo", SECRET)])
        spellings = [SECRET, json.dumps(SECRET), "sk-test%2Fa%22b%2bc", "sk-test/a%22b+c", r"sk-test\/a\u0022b\u002Bc"]
        spellings += ["sk-test/a&quot;b+c", "sk-test&#47;a&#x22;b+c", base64.b64encode(SECRET.encode()).decode()]
        text = service.gives("/b", " ".join(spellings), kind="text/plain")

        outs = [await send(with_secret, url=one, credential="shop") for one in (url, text)]

        assert service.asked[0].headers["authorization"] == f"Bearer {SECRET}"
        assert outs[0]["json"] == {"sent": "Bearer [credential shop]", "[credential shop]": ["[credential shop]"]}
        assert outs[0]["headers"]["x-echo"] == "[credential shop]"
        assert set(outs[1]["text"].replace('"', "").split()) == {"[credential", "shop]"}

    async def test_a_password_inside_a_basic_secret_is_not_seen_either(
        self, call: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("ERP", base64.b64encode(b"ann:hunter22").decode())
        host = service.url.removeprefix("http://")
        erp = CredentialSettings(env="ERP", header="X-Login", prefix="Basic ", hosts=(host,))
        context = replace(call, settings=Settings(allow_hosts=("127.0.0.1",), credentials={"erp": erp}))

        out = await send(
            context, url=service.gives("/a", "ann:hunter22, hunter22", kind="text/plain"), credential="erp"
        )

        assert base64.b64decode(service.asked[0].headers["x-login"].removeprefix("Basic ")) == b"ann:hunter22"
        assert out["text"] == "[credential erp], [credential erp]"

    @pytest.mark.parametrize("secret", ["ann:hunter 22:é", base64.b64encode("ann:hunter 22:é".encode()).decode()])
    async def test_a_user_and_password_are_encoded_unless_they_are(
        self, call: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch, secret: str
    ) -> None:
        monkeypatch.setenv("ERP", secret)
        erp = CredentialSettings(env="ERP", prefix="basic", hosts=(service.url.removeprefix("http://"),))
        context = replace(call, settings=Settings(allow_hosts=("127.0.0.1",), credentials={"erp": erp}))
        echo = "hunter 22:é, ann:hunter 22:é, " + base64.b64encode("ann:hunter 22:é".encode()).decode()

        out = await send(context, url=service.gives("/a", echo, kind="text/plain; charset=utf-8"), credential="erp")

        kind, _, sent = service.asked[0].headers["authorization"].partition(" ")
        assert (kind, base64.b64decode(sent).decode()) == ("Basic", "ann:hunter 22:é")
        assert out["text"] == "[credential erp], [credential erp], [credential erp]"

    @pytest.mark.parametrize(("place", "name"), [("query", "api_key"), ("cookie", "session")])
    async def test_it_goes_into_a_parameter_or_a_cookie_of_its_hosts(
        self,
        call: ToolContext,
        service: Service,
        elsewhere: Service,
        monkeypatch: pytest.MonkeyPatch,
        place: str,
        name: str,
    ) -> None:
        monkeypatch.setenv("SHOP_KEY", "k/1+x&y")
        given = {"env": "SHOP_KEY", "in": place, "name": name, "hosts": [service.url.removeprefix("http://")]}
        shop = CredentialSettings.model_validate(given)
        context = replace(call, settings=Settings(allow_hosts=("127.0.0.1",), credentials={"shop": shop}))
        reported: list[str] = []
        context = replace(context, report=reported.append)
        url = service.gives("/a", "k%2F1%2Bx%26y k/1+x&y", kind="text/plain")

        out = await send(context, url=f"{url}?{name}=mine&q=1", headers={"Cookie": "a=b"}, credential="shop")
        away = service.gives("/away", status=302, headers=[("Location", elsewhere.gives("/b", "{}"))])
        await send(context, url=away, credential="shop")
        with pytest.raises(ToolArgumentsError, match="not for the host"):
            await send(context, url=elsewhere.url, credential="shop")

        asked = service.asked[0]
        if place == "query":
            assert (asked.path, asked.headers["cookie"]) == (f"/a?q=1&{name}=k%2F1%2Bx%26y", "a=b")
        else:
            assert asked.headers["cookie"] == "a=b; session=k/1+x&y"
        assert out["text"] == "[credential shop] [credential shop]"
        assert all("k/1" not in text and "k%2F1" not in text for text in reported)
        assert "cookie" not in elsewhere.asked[0].headers
        assert elsewhere.asked[0].path == "/b"

    async def test_a_secret_in_an_address_is_in_no_error(
        self, call: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("SHOP_KEY", "k/1+x")
        given = {"env": "SHOP_KEY", "in": "query", "name": "key", "hosts": [service.url.removeprefix("http://")]}
        shop = CredentialSettings.model_validate(given)
        context = replace(call, settings=Settings(allow_hosts=("127.0.0.1",), credentials={"shop": shop}))

        with pytest.raises(ToolError, match=r"\[credential shop\]") as caught:
            await send(context, url=service.gives("/a", "{}", broken=True), credential="shop")

        assert "k/1" not in str(caught.value)
        assert "k%2F1" not in str(caught.value)

    @pytest.mark.parametrize(
        ("given", "why"),
        [
            ({"in": "query"}, "has None as its 'name'"),
            ({"in": "cookie", "name": "a b"}, "has 'a b' as its 'name'"),
            ({"in": "cookie", "name": "s"}, "characters that a cookie cannot have"),
        ],
    )
    async def test_a_place_that_cannot_be_sent(
        self, call: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch, given: dict[str, str], why: str
    ) -> None:
        monkeypatch.setenv("SHOP_KEY", "a;b")
        shop = CredentialSettings.model_validate({"env": "SHOP_KEY", "hosts": ["127.0.0.1"], **given})
        context = replace(call, settings=Settings(allow_hosts=("127.0.0.1",), credentials={"shop": shop}))

        with pytest.raises(ToolArgumentsError, match=why):
            await send(context, url=service.url, credential="shop")
        assert service.asked == []

    async def test_it_goes_to_its_hosts_only(
        self, with_secret: ToolContext, service: Service, elsewhere: Service
    ) -> None:
        target = elsewhere.gives("/b", "{}")
        url = service.gives("/a", status=302, headers=[("Location", target)])

        await send(with_secret, url=url, credential="shop")
        with pytest.raises(ToolArgumentsError, match="not for the host"):
            await send(with_secret, url=target, credential="shop")
        for host in ("shop.example.evil.example", "evilshop.example", "shop.example"):
            with pytest.raises(ToolArgumentsError, match="not for the host"):
                await send(with_secret, url=f"https://{host}/", credential="shop")
        with pytest.raises(ToolArgumentsError, match="https only"):
            await send(with_secret, url="http://api.shop.example/", credential="shop")

        assert [("authorization" in asked.headers) for asked in elsewhere.asked] == [False]

    async def test_errors_do_not_show_it(self, with_secret: ToolContext, service: Service) -> None:
        url = service.gives("/a", status=302, headers=[("Location", f"ftp://{SECRET}/")])

        with pytest.raises(ToolError) as caught:
            await send(with_secret, url=url, credential="shop")

        assert "sk-test" not in str(caught.value)
        assert "[credential shop]" in str(caught.value)

    @pytest.mark.parametrize("value", ["", "two words", "line\nbreak"])
    async def test_a_variable_that_cannot_be_sent(
        self, with_secret: ToolContext, service: Service, monkeypatch: pytest.MonkeyPatch, value: str
    ) -> None:
        monkeypatch.setenv("SHOP_KEY", value)

        with pytest.raises(ToolArgumentsError, match="SHOP_KEY") as caught:
            await send(with_secret, url=service.url, credential="shop")

        assert not value or value not in str(caught.value)


def test_reading_is_no_external_effect() -> None:
    assert effect_of(http_request, {"method": "GET"}) == "read"
    assert effect_of(http_request, {"method": "DELETE"}) == "external"
    odd = StructuredTool.from_function(func=print, name="odd", description="Odd.", metadata={"reads_when": "GET"})
    with pytest.raises(SettingsError, match="reads_when"):
        effect_of(odd, {"method": "GET"})


def test_a_plan_names_its_arguments_as_other_clients_do() -> None:
    plan = {
        "subtasks": [{"id": "a", "tool": "http_request", "args": {"method": "POST", "url": "http://x", "json": {}}}]
    }

    Plan.parse(plan).check({"http_request": http_request}, agents=())
