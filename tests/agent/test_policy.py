"""Policy: which calls are made, asked about or refused, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.tools import BaseTool, StructuredTool

from openmanus_graph.config.sections import PolicySettings
from openmanus_graph.config.settings import Settings
from openmanus_graph.errors import SettingsError
from openmanus_graph.policy import Policy


def made(name: str, effect: str | None = None, **metadata: Any) -> BaseTool:
    stated = metadata if effect is None else {"effect": effect, **metadata}
    return StructuredTool.from_function(func=lambda **_: None, name=name, description=name, metadata=stated)


READER = made("reader", "read")
BASH = made("bash", "write")
DEPLOY = made("deploy", "external")
HTTP = made("http_request", "external", reads_when=("method", ("get", "head")))
EDITOR = made("str_replace_editor", "write")
FETCH = made("fetch_page", "read")


def load(given: Any = None, **settings: Any) -> Policy:
    return Policy.load(given, Settings(**settings))


def rules(*given: dict[str, Any], default: str | None = None) -> Policy:
    return load({"default": default, "rules": list(given)})


def verdict(policy: Policy, tool: BaseTool, **args: Any) -> str:
    return policy.decide(tool, args).verdict


class TestDefault:
    @pytest.mark.parametrize(
        ("tool", "args", "expected"),
        [
            (READER, {}, "allow"),
            (BASH, {"command": "ls"}, "allow"),
            (DEPLOY, {}, "ask"),
            (made("unstated"), {}, "ask"),
            (HTTP, {"method": "GET"}, "allow"),
            (HTTP, {"method": "head"}, "allow"),
            (HTTP, {"method": "POST"}, "ask"),
            (HTTP, {"method": ["GET"]}, "ask"),
            (HTTP, {}, "ask"),
        ],
    )
    def test_only_external_effects_are_asked_about(self, tool: BaseTool, args: dict[str, Any], expected: str) -> None:
        decision = load().decide(tool, args)

        assert decision.verdict == expected
        assert decision.rule is None

    @pytest.mark.parametrize("word", ["allow", "ask", "deny"])
    def test_a_word_holds_for_every_call(self, word: str) -> None:
        assert {verdict(load(word), tool) for tool in (READER, BASH, DEPLOY)} == {word}

    def test_the_setting_counts_when_nothing_is_given(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("OPENMANUS_GRAPH_POLICY", "deny")

        assert verdict(Policy.load(None, Settings()), READER) == "deny"
        assert verdict(Policy.load("allow", Settings()), DEPLOY) == "allow"


class TestRules:
    def test_the_first_rule_that_fits_decides(self) -> None:
        policy = rules(
            {"tool": "bash", "args": {"command": "git push*"}, "action": "ask", "reason": "it publishes"},
            {"tool": "bash", "args": {"command": "git *"}, "action": "allow"},
            {"tool": "bash", "action": "deny"},
        )

        assert policy.decide(BASH, {"command": "git push origin"}).reason == "it publishes"
        assert policy.decide(BASH, {"command": "git log"}).rule == 2
        assert policy.decide(BASH, {"command": "ls"}).verdict == "deny"
        assert policy.decide(BASH, {}).rule == 3

    def test_tools_by_pattern_and_effect(self) -> None:
        policy = rules({"tool": "mcp_*", "action": "deny"}, {"effect": "external", "action": "allow"})

        assert verdict(policy, made("mcp_mail_send")) == "deny"
        assert verdict(policy, DEPLOY) == "allow"
        assert verdict(policy, HTTP, method="GET") == "allow"
        assert policy.decide(HTTP, {"method": "GET"}).rule is None

    def test_case_counts(self) -> None:
        policy = rules({"tool": "bash", "args": {"command": "rm *"}, "action": "deny"})

        assert verdict(policy, BASH, command="RM x") == "allow"
        assert verdict(policy, BASH, command="rm x") == "deny"

    def test_all_patterns_must_fit_and_a_star_means_given(self) -> None:
        policy = rules({"tool": "bash", "args": {"command": "*", "restart": "true"}, "action": "deny"})

        assert verdict(policy, BASH, command="ls", restart=True) == "deny"
        assert verdict(policy, BASH, command="ls", restart=False) == "allow"
        assert verdict(policy, BASH, command=None, restart=True) == "allow"

    def test_what_is_no_text_is_compared_as_json(self) -> None:
        policy = rules({"tool": "deploy", "args": {"target": '*"production"*'}, "action": "deny"}, default="allow")

        assert verdict(policy, DEPLOY, target={"name": "production"}) == "deny"
        assert verdict(policy, DEPLOY, target={"name": "staging"}) == "allow"

    def test_an_alias_is_under_the_rules_of_what_it_stands_for(self) -> None:
        policy = rules({"tool": "fetch_page", "action": "deny"})

        assert verdict(policy, made("crawl4ai", "read", alias_of="fetch_page")) == "deny"


class TestEvasions:
    @pytest.mark.parametrize("command", ["rm -rf x", "rm  -rf x", "rm\t-rf x", " rm -rf x", "rm -rf\nx"])
    def test_spaces_do_not_get_around_a_refusal(self, command: str) -> None:
        policy = rules({"tool": "bash", "args": {"command": "rm -rf *"}, "action": "deny"})

        assert verdict(policy, BASH, command=command) == "deny"

    @pytest.mark.parametrize("path", ["secret/a", "./secret/a", "x/../secret/a", "secret//a", "/srv/t/secret/a"])
    def test_a_path_is_read_in_its_plain_form(self, path: str) -> None:
        policy = rules({"args": {"path": "secret/*"}, "action": "deny"})

        assert policy.decide(EDITOR, {"path": path}, workspace=Path("/srv/t")).verdict == "deny"

    @pytest.mark.parametrize(
        "url",
        [
            "https://evil.example/a",
            "HTTPS://EVIL.EXAMPLE/a",
            "https://evil.example.:443/a",
            "https://name:word@evil.example/a",
            "https://evil.example/b/../a",
            "https://evil.example/%61",
        ],
    )
    def test_an_address_is_read_in_its_plain_form(self, url: str) -> None:
        policy = rules({"tool": "fetch_page", "args": {"urls": "https://evil.example/a*"}, "action": "deny"})

        assert verdict(policy, FETCH, urls=url) == "deny"
        assert verdict(policy, FETCH, urls=["https://good.example/", url]) == "deny"

    def test_a_rule_that_allows_must_fit_every_reading(self) -> None:
        policy = rules(
            {"args": {"path": "docs/*"}, "action": "allow"},
            {"args": {"urls": "https://good.example/*"}, "action": "allow"},
            default="deny",
        )

        assert verdict(policy, EDITOR, path="docs/a.md") == "allow"
        assert verdict(policy, EDITOR, path="docs/../secret/a") == "deny"
        assert verdict(policy, FETCH, urls=["https://good.example/a", "https://good.example/b"]) == "allow"
        assert verdict(policy, FETCH, urls=["https://good.example/a", "https://evil.example/"]) == "deny"
        assert verdict(policy, FETCH, urls="https://good.example/@evil.example/") == "allow"
        assert verdict(policy, FETCH, urls="https://good.example/x:y@evil.example:99999/") == "allow"
        assert verdict(policy, FETCH, urls=[]) == "deny"


class TestFiles:
    def test_a_file_with_or_without_the_table(self, tmp_path: Path) -> None:
        bare = '[[rules]]\ntool = "bash"\naction = "deny"\n'
        for name, text in {"bare": bare, "table": bare.replace("[[rules", "[[policy.rules")}.items():
            (tmp_path / name).write_text(text)

            assert verdict(load(str(tmp_path / name)), BASH) == "deny"

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("default = \n", "line 1"),
            ('default = "maybe"', "'default' cannot be 'maybe'"),
            ('[[rules]]\naction = "ask"\n[[rules]]\naction = "no"', "rule 2: 'action' cannot be 'no'"),
            ('[[rules]]\ntool = "x"', "rule 1: 'action' is missing"),
            ('[[rules]]\naction = "ask"\ntol = "x"', "rule 1: 'tol' is unknown"),
            ('[[rules]]\naction = "ask"\nargs = {a = 3}', "rule 1: 'args.a' cannot be 3"),
            ("rules = 3", "'rules' cannot be 3"),
            ("policy = 3", "'policy' as 3"),
        ],
    )
    def test_a_bad_file_is_refused_with_the_place(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "policy.toml").write_text(text)

        with pytest.raises(SettingsError) as caught:
            load(str(tmp_path / "policy.toml"))

        assert said in caught.value.message
        assert "policy.toml" in caught.value.message

    def test_neither_word_nor_file(self) -> None:
        with pytest.raises(SettingsError, match="'alow'"):
            load("alow")

    def test_a_thread_can_keep_it(self) -> None:
        policy = rules({"tool": "bash", "args": {"command": "rm *"}, "action": "deny", "reason": "no"}, default="ask")
        kept = load(json.loads(json.dumps(policy.plain())))

        assert kept.chosen == policy.chosen
        assert load(PolicySettings()).plain() == load().plain()


def test_a_refusal_says_what_and_why() -> None:
    decision = rules({"tool": "bash", "action": "deny"}).decide(BASH, {"command": "ls"})

    assert decision.refusal("bash") == "The policy refuses this call of 'bash': rule 1 says 'deny' for bash."
