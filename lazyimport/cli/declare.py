"""Declaring commands: click's classes, with help that leaves nothing to guess.

Help shows the default and the environment variable of each option, arguments beside
options, options by section, and examples. A mistyped command or option is answered
with what may be meant.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

import click
from click.shell_completion import CompletionItem

from lazyimport.cli.exit_codes import MEANINGS
from lazyimport.cli.kinds import KINDS
from lazyimport.cli.signals import interruptible
from lazyimport.values import is_prefix

#: The variable by which a shell asks for completion.
COMPLETE = "_LAZYIMPORT_COMPLETE"
_VERBOSE = "lazyimport.verbose"


def command(
    name: str, *, cls: type[Command] | None = None, **attributes: Any
) -> Callable[[Callable[..., Any]], Command]:
    """Make a function the command *name*; *examples* end its help."""
    return click.command(name, cls=cls or Command, **attributes)


def group(name: str, **attributes: Any) -> Callable[[Callable[..., Any]], Group]:
    """Make a function the group of commands *name*."""
    return click.group(name, cls=Group, no_args_is_help=False, **attributes)


def option(
    spelling: str, text: str, name: str | None = None, **attributes: Any
) -> Callable[..., Any]:
    """Give a command an option, spelled as help shows it, such as ``-n, --limit N``.

    Without a value it is a flag; a value is of the kind that `KINDS` has for it.
    *name* is that of the function's argument, *section* a heading in help.
    """
    words = spelling.replace(",", "").split()
    names = [word for word in words if word.startswith("-")]
    metavar = " ".join(words[len(names) :])
    if metavar:
        attributes = {"metavar": metavar, "type": KINDS.get(metavar), **attributes}
    elif "flag_value" not in attributes:
        attributes["is_flag"] = True
    names += [name] if name else []
    return click.option(*names, cls=Option, help=text, **attributes)


def argument(
    spelling: str, text: str, name: str | None = None, **attributes: Any
) -> Callable[..., Any]:
    """Give a command an argument, spelled as help shows it, such as ``[FILE ...]``."""
    return click.argument(
        name or spelling.lower(),
        cls=Argument,
        text=text,
        metavar=spelling,
        required=not spelling.startswith("["),
        nargs=-1 if "..." in spelling else 1,
        **attributes,
    )


class Option(click.Option):
    """An option that help shows under the heading *section*."""

    def __init__(self, *names: Any, section: str = "Options", **options: Any) -> None:
        options = {"show_default": True, "show_envvar": True, **options}
        if options.get("multiple"):
            options["help"] += " May be repeated."
        super().__init__(*names, **options)
        self.section = section


class Argument(click.Argument):
    """An argument that help shows with a line of *text*."""

    section = "Arguments"

    def __init__(self, *names: Any, text: str, **options: Any) -> None:
        super().__init__(*names, **options)
        self.text = text

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:  # noqa: ARG002
        """Return the name that help shows, and the line."""
        return self.metavar or self.human_readable_name, self.text


class Command(click.Command):
    """A command that takes ``--verbose``; *examples* end its help as they are."""

    def __init__(self, *args: Any, examples: str = "", **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples
        verbose = Option(
            ["--verbose"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            envvar="LAZYIMPORT_VERBOSE",
            callback=_be_verbose,
            help="Show the traceback of an expected error too.",
        )
        self.params.append(verbose)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse *args*; an error knows whose they were, and what may be meant."""
        strict, ctx.allow_extra_args = not ctx.allow_extra_args, True
        try:
            rest = super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise
        if strict and rest and not ctx.resilient_parsing:
            raise click.UsageError(_unexpected(rest[0], self.params), ctx)
        return rest

    def invoke(self, ctx: click.Context) -> Any:
        """Do it; signals that end it raise KeyboardInterrupt."""
        with interruptible():
            return super().invoke(ctx)

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write arguments and options, each section under its heading."""
        sections: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None:
                section = getattr(parameter, "section", "Options")
                sections.setdefault(section, []).append(record)
        for heading, records in sections.items():
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_arguments(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write nothing: arguments stand beside the options (click 8.5 asks here)."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples, then the epilog."""
        if self.examples:
            with formatter.section("Examples"):
                for line in self.examples.strip().splitlines():
                    indent = formatter.current_indent if line else 0
                    formatter.write(f"{' ' * indent}{line}\n")
        super().format_epilog(ctx, formatter)


class Group(Command, click.Group):
    """A command with commands of its own, which are loaded before one is invoked."""

    command_class = Command

    invoke = click.Group.invoke

    def format_options(
        self, ctx: click.Context, formatter: click.HelpFormatter
    ) -> None:
        """Write the commands below the options."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that *args* call; an error says which may be meant."""
        name = args[0]
        if self.get_command(ctx, name) is None and not ctx.resilient_parsing:
            near = _nearest(name, self.list_commands(ctx))
            raise click.UsageError(f"no such command: {name}{near}", ctx)
        return super().resolve_command(ctx, args)


class LazyGroup(Group):
    """The commands in the modules of *package*, each loaded when it is called.

    *sections* has, by heading and by name, what help says of each in a line.
    """

    def __init__(
        self,
        *args: Any,
        package: str,
        sections: Mapping[str, Mapping[str, str]],
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.sections = sections
        self._package = package

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Return the names of all commands."""
        return [name for lines in self.sections.values() for name in lines]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command, loaded; None if there is none of that name."""
        if cmd_name not in self.list_commands(ctx):
            return None
        module = import_module(f"{self._package}.{cmd_name.replace('-', '_')}")
        found: click.Command = module.command
        return found

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002
        formatter: click.HelpFormatter,
    ) -> None:
        """Write the commands by section, and what exit codes say."""
        codes = {str(code): text for code, text in MEANINGS.items()}
        for heading, lines in {**self.sections, "Exit codes": codes}.items():
            with formatter.section(heading):
                formatter.write_dl(list(lines.items()))

    def shell_complete(
        self, ctx: click.Context, incomplete: str
    ) -> list[CompletionItem]:
        """Offer the commands without loading them, then the options."""
        found = [
            CompletionItem(name, help=text)
            for lines in self.sections.values()
            for name, text in lines.items()
            if name.startswith(incomplete)
        ]
        return found + click.Command.shell_complete(self, ctx, incomplete)


def is_verbose(context: click.Context) -> bool:
    """Whether ``--verbose`` was given, before the command or after it."""
    return bool(context.meta.get(_VERBOSE))


def describe(error: click.UsageError) -> str:
    """Return what was wrong with a command line, and what may be meant."""
    if not isinstance(error, click.NoSuchOption):
        text = error.format_message().removesuffix(".")
        text = text[:1].lower() + text[1:]
        if isinstance(error, click.MissingParameter):
            text = " ".join(text.split())  # which may have a line for each choice
        if (
            text == "missing command"
            and isinstance(error.cmd, click.Group)
            and error.ctx
        ):
            text += f": {', '.join(error.cmd.list_commands(error.ctx))}"
        return text
    text = f"no such option: {error.option_name}"
    if error.ctx is not None:
        known = error.ctx.command.get_params(error.ctx)
        text += _nearest(error.option_name, [n for p in known for n in p.opts])
        if isinstance(error.ctx.command, LazyGroup):
            text += "; options of a command follow its name"
    return text


def _be_verbose(context: click.Context, _: click.Parameter, value: bool) -> None:
    if value:
        context.meta[_VERBOSE] = True


def _unexpected(word: str, known: Iterable[click.Parameter]) -> str:
    """Return what to say of an argument that a command does not take."""
    kind = "ROOT" if os.path.exists(word) else ""
    kind = "URL" if "://" in word else kind
    kind = "HASH" if is_prefix(word) else kind
    for parameter in known:
        if isinstance(parameter, click.Option) and parameter.metavar == kind:
            return f"unexpected argument {word}; write {parameter.opts[-1]} {word}"
    takes = [p.human_readable_name for p in known if isinstance(p, Argument)]
    return f"unexpected argument {word}; it takes {', '.join(takes) or 'none'}"


def _nearest(word: str, known: Iterable[str]) -> str:
    near = get_close_matches(word, list(known), 1)
    return f"; did you mean {near[0]}?" if near else ""
