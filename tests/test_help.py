"""Every command of both packages, every argument and option of each, says what it is."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from lora_phy.__main__ import main, parser


def radio_commands() -> dict[str, argparse.ArgumentParser]:
    [commands] = [action for action in parser()._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(commands.choices)


def bridge_commands() -> dict[str, Any]:
    typer = pytest.importorskip("typer.main", reason="needs the extra chirpbridge[bridge]")
    from llm_bridge.__main__ import app

    def leaves(command: Any, path: str) -> dict[str, Any]:
        inner = getattr(command, "commands", None)
        found = {path: command}
        for name, child in (inner or {}).items():
            found |= leaves(child, f"{path} {name}")
        return found

    return leaves(typer.get_command(app), "llm_bridge")


@pytest.mark.parametrize("name", radio_commands())
def test_every_option_of_a_radio_command_has_help(name: str) -> None:
    command = radio_commands()[name]
    assert command.description
    assert [action.dest for action in command._actions if not (action.help or "").strip()] == []


def test_every_option_of_a_bridge_command_has_help() -> None:
    commands = bridge_commands()
    assert len(commands) > 10
    for path, command in commands.items():
        assert command.help, path
        unsaid = [param.name for param in command.params if not (getattr(param, "help", None) or "").strip()]
        assert unsaid == [], path


def test_the_help_tells_defaults_and_fits_80_columns(capsys, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in radio_commands():
        with pytest.raises(SystemExit) as done:
            main([name, "--help"])
        out = capsys.readouterr().out
        # without the usage, whose choices argparse keeps together, and the commands to copy
        told = out.split("\n\n", 1)[1].split("\nexamples:")[0].split("\nFILE.toml")[0]
        assert done.value.code == 0 and max(map(len, told.splitlines())) <= 80, name
        if name == "waterfall":
            assert "(default: 1000)" in out and "noise and fading (default: 0)" in out and "(default: None)" not in out
