"""`python -m bootcamp_cli.cli.completion_scripts [--check]`: write completions/ from the command line itself.

The command line as data, and from it the scripts for bash (3.2 and later), zsh (a function file for a directory of
`fpath`) and fish (3.0 and later). These scripts answer a TAB within a millisecond; typer's would start Python each
time, which takes a hundred.
"""

import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from typer.core import TyperArgument, TyperOption

from bootcamp_cli.cli.app import COMMANDS, Entry, EntryGroup, load_command
from bootcamp_cli.cli.command import BootcampCommand
from bootcamp_cli.cli.docs import update
from bootcamp_cli.cli.help_text import OptionNote, argument_name

COMPLETIONS = Path(__file__).parents[2] / "completions"


def scripts() -> Mapping[str, str]:
    """The scripts by the file names that shells look for."""
    nodes = command_tree()
    return {"bootcamp.bash": bash_script(nodes), "_bootcamp": zsh_script(nodes), "bootcamp.fish": fish_script(nodes)}


Place = Literal["DIR", "FILE", "ROWS", "RUN_DIR"]
"""Values that are on the disk: a directory, any file, a directory or test file, a directory with an eval_args.json."""

Table = Literal["PROFILE", "TEMPLATE"]
"""Values that settings files name: `[profile.NAME]`, `[templates.NAME]`; there are templates besides."""

Values = tuple[str, ...] | Place | Table | None
"""What a value may be: one of these words, something on the disk or in a settings file, or anything."""

_TABLES: Mapping[Table, str] = {"PROFILE": "profile", "TEMPLATE": "templates"}
_NAMES = r's/^[[:space:]]*\[[[:space:]]*{}\."\{{0,1\}}\([A-Za-z0-9_-]\{{1,\}}\)"\{{0,1\}}[[:space:]]*\].*/\1/p'
"""A script of sed that prints the names of the tables of a kind; of what is not a plain name none."""

_CLOSED = re.compile(r"[a-z0-9_-]+(\|[a-z0-9_-]+)+")


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionNode:
    """An option: one that ends everything (`bare`), a boolean one, or one with a value.

    `negation` is set where it is worth offering: where another source may have set the option.
    """

    name: str
    help: str
    kind: Literal["bare", "boolean", "value"]
    negation: str = ""
    repeatable: bool = False
    values: Values = None

    @property
    def names(self) -> tuple[str, ...]:
        """The names to offer."""
        return (self.name, self.negation) if self.negation else (self.name,)


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandNode:
    """The words that call a command, what may follow, and what its arguments may be.

    A group has commands with their help, and the arguments of the one that it calls by itself; a command has options
    and the values of each argument by its name. Where it is variadic, the last argument may be several.
    """

    path: tuple[str, ...]
    help: str
    commands: Mapping[str, str]
    options: tuple[OptionNode, ...]
    arguments: Mapping[str, Values]
    is_variadic: bool = False


HELP = OptionNode(name="--help", help="show the help and exit", kind="bare")
VERSION = OptionNode(name="--version", help="print the version and exit", kind="bare")


def command_tree() -> tuple[CommandNode, ...]:
    """Every command with its group before it; imports all commands."""
    root = _group((), "", COMMANDS, (VERSION, HELP))
    return (root, *(node for name, entry in COMMANDS.items() for node in _nodes((name,), entry)))


def _nodes(path: tuple[str, ...], entry: Entry | EntryGroup) -> list[CommandNode]:
    if isinstance(entry, EntryGroup):
        group = _group(path, entry.help, entry.entries, (HELP,))
        below = [node for name, child in entry.entries.items() for node in _nodes((*path, name), child)]
        called = [node for node in below if node.path == (*path, entry.default)]
        return [*(replace(group, arguments=node.arguments) for node in called), *([] if called else [group]), *below]
    command = load_command(path[-1], entry)
    if not isinstance(command, BootcampCommand):
        raise TypeError(f"{entry.target} is not a command")
    options = [
        param
        for param in command.params
        if isinstance(param, TyperOption) and not param.hidden and param.name != "help"
    ]
    arguments = [param for param in command.params if isinstance(param, TyperArgument)]
    return [
        CommandNode(
            path=path,
            help=entry.help,
            commands={},
            options=(*(_option(option, command.notes) for option in options), HELP),
            arguments={argument_name(argument): _values(argument_name(argument)) for argument in arguments},
            is_variadic=any(argument.nargs == -1 for argument in arguments),
        )
    ]


def _group(
    path: tuple[str, ...], text: str, entries: Mapping[str, Entry | EntryGroup], options: tuple[OptionNode, ...]
) -> CommandNode:
    commands = {name: entry.help for name, entry in entries.items()}
    return CommandNode(path=path, help=text, commands=commands, options=options, arguments={})


def _option(option: TyperOption, notes: Mapping[str, OptionNote]) -> OptionNode:
    return OptionNode(
        name=option.opts[0],
        help=_brief(option.help or ""),
        kind="boolean" if option.is_flag else "value",
        negation=option.secondary_opts[0] if option.is_flag and option.name in notes else "",
        repeatable=option.multiple,
        values=None if option.is_flag else _values(option.metavar or ""),
    )


def _brief(text: str) -> str:
    """The first clause of a help text, as a shell shows it beside a completion."""
    return text.split("; ", maxsplit=1)[0].rstrip(".")


def _values(metavar: str) -> Values:
    match metavar:
        case "DIR" | "FILE" | "RUN_DIR" | "PROFILE" | "TEMPLATE":
            return metavar
        case "[FILE]":
            return "FILE"
        case "PATH":
            return "ROWS"
        case "BOOTCAMP":
            return _bootcamp_names()
        case _:
            return tuple(metavar.split("|")) if _CLOSED.fullmatch(metavar) else None


def _template_names() -> tuple[str, ...]:
    from bootcamp_cli.templates.catalog import BUILTIN_TEMPLATES

    return tuple(template.name for template in BUILTIN_TEMPLATES)


def _names_of(table: Table) -> tuple[str, ...]:
    """The names that there are without a settings file."""
    return _template_names() if table == "TEMPLATE" else ()


def _bootcamp_names() -> tuple[str, ...]:
    from bootcamp_cli.bootcamps.registry import CATALOG

    return tuple(sorted(CATALOG))


_BASH_HEAD = """\
# bash completion for bootcamp; generated by `python -m bootcamp_cli.cli.completion_scripts`

_bootcamp_words() {
    local word
    for word in "$@"; do
        [[ $word == "$cur"* ]] && COMPREPLY+=("$word")
    done
}

_bootcamp_paths() {
    local path
    compopt -o filenames 2>/dev/null
    while IFS= read -r path; do
        COMPREPLY+=("$path")
    done < <(compgen "$1" -- "$cur")
}

_bootcamp_rows() {
    local path
    _bootcamp_paths -d
    while IFS= read -r path; do
        [[ $path == *.jsonl || $path == *.jsonl.gz ]] && COMPREPLY+=("$path")
    done < <(compgen -f -- "$cur")
}

_bootcamp_named() {
    local file
    for file in "${BOOTCAMP_CONFIG:-bootcamp.toml}" "${XDG_CONFIG_HOME:-$HOME/.config}/bootcamp/config.toml"; do
        [[ -f $file ]] && sed -n "$1" "$file" 2>/dev/null
    done
}

_bootcamp_run_dirs() {
    local file
    compopt -o filenames 2>/dev/null
    for file in "$cur"*/eval_args.json; do
        [[ -f $file ]] && COMPREPLY+=("${file%/eval_args.json}")
    done
    if [[ $cur != output/* ]]; then
        for file in output/*/eval_args.json; do
            [[ -f $file && $file == "$cur"* ]] && COMPREPLY+=("${file%/eval_args.json}")
        done
    fi
    [[ ${#COMPREPLY[@]} -eq 0 ]] && _bootcamp_paths -d
}

_bootcamp() {
    local cur option path="" i attached=""
    COMPREPLY=()
    cur=${COMP_WORDS[COMP_CWORD]}
    option=${COMP_WORDS[COMP_CWORD - 1]}
    if [[ $cur == "=" ]]; then
        cur="" attached=1
    elif [[ $option == "=" && COMP_CWORD -gt 2 ]]; then
        option=${COMP_WORDS[COMP_CWORD - 2]} attached=1
    fi
    option=${option//_/-}
    cur=${cur#[\\"\\']}
    cur=${cur//\\\\/}
"""

_BASH_TAIL = """\
}

complete -F _bootcamp bootcamp
"""


def bash_script(nodes: Sequence[CommandNode]) -> str:
    """The script for bash."""
    parts = (_bash_path_lines(nodes), [""], _bash_value_lines(nodes), [""], _bash_word_lines(nodes))
    return "\n".join((_BASH_HEAD, *(line for lines in parts for line in lines), _BASH_TAIL))


def _bash_path_lines(nodes: Sequence[CommandNode]) -> list[str]:
    """Find the command: the words before the first that does not name a command."""
    lines = ["    for ((i = 1; i < COMP_CWORD; i++)); do", '        case "$path/${COMP_WORDS[i]}" in']
    for node in nodes:
        if node.path:
            *above, name = node.path
            lines.append(f'            "{" ".join(above)}/{name}") path="{" ".join(node.path)}" ;;')
    return [*lines, "            *) break ;;", "        esac", "    done"]


def _bash_value_lines(nodes: Sequence[CommandNode]) -> list[str]:
    """Complete the value of the option before the cursor."""
    actions = _bash_value_actions(nodes)
    patterns: dict[str, list[str]] = {}
    for (name, action), paths in actions.items():
        everywhere = sum(other == name for other, _ in actions) == 1
        places = ["*"] if everywhere else [f'"{path}"' for path in paths]
        patterns.setdefault(action, []).extend(f"{place}:{name}" for place in places)
    lines = ['    case "$path:$option" in']
    for action, found in patterns.items():
        lines += [f"        {' | '.join(found)})", *([f"            {action}"] if action else []), "            ;;"]
    return [*lines, "    esac"]


def _bash_value_actions(nodes: Sequence[CommandNode]) -> dict[tuple[str, str], list[str]]:
    """The commands, by the name of an option and how its value is completed."""
    found: dict[tuple[str, str], list[str]] = {}
    for node in nodes:
        for option in node.options:
            if option.kind != "bare":
                action = _bash_value_action(option)
                found.setdefault((option.name, action), []).append(" ".join(node.path))
    return found


def _bash_value_action(option: OptionNode) -> str:
    if option.kind == "boolean":
        return "[[ $attached || $cur == [tf]* ]] && _bootcamp_words true false; [[ $attached ]] && return"
    return f"{_bash_action(option.values)}; return".lstrip("; ")


def _bash_word_lines(nodes: Sequence[CommandNode]) -> list[str]:
    """Complete an option, a command or an argument."""
    lines = ["    if [[ $cur == -* ]]; then", "        cur=${cur//_/-}", '        case "$path" in']
    for node in nodes:
        names = [name for option in node.options for name in option.names]
        lines.append(f'            "{" ".join(node.path)}") _bootcamp_words {" ".join(names)} ;;')
    lines += ["        esac", "        return", "    fi", '    case "$path" in']
    for node in nodes:
        actions = _bash_action(tuple(node.commands)), _bash_argument_action(node)
        action = "; ".join(filter(None, actions))
        if action:
            lines.append(f'        "{" ".join(node.path)}") {action} ;;')
    return [*lines, "    esac"]


def _bash_argument_action(node: CommandNode) -> str:
    return next((_bash_action(values) for values in node.arguments.values()), "")


def _bash_action(values: Values) -> str:
    match values:
        case None | ():
            return ""
        case "DIR" | "FILE" | "ROWS" | "RUN_DIR":
            return _BASH_PLACES[values]
        case "PROFILE" | "TEMPLATE":
            named = f"$(_bootcamp_named '{_NAMES.format(_TABLES[values])}')"
            return " ".join(("_bootcamp_words", *_names_of(values), named))
        case _:
            return f"_bootcamp_words {' '.join(values)}"


_BASH_PLACES: Mapping[Place, str] = {
    "DIR": "_bootcamp_paths -d",
    "FILE": "_bootcamp_paths -f",
    "ROWS": "_bootcamp_rows",
    "RUN_DIR": "_bootcamp_run_dirs",
}


_ZSH_HEAD = """\
#compdef bootcamp
# zsh completion for bootcamp; generated by `python -m bootcamp_cli.cli.completion_scripts`

_bootcamp_named() {
    local file
    for file in "${BOOTCAMP_CONFIG:-bootcamp.toml}" "${XDG_CONFIG_HOME:-$HOME/.config}/bootcamp/config.toml"; do
        [[ -f $file ]] && sed -n "$1" "$file" 2>/dev/null
    done
}

_bootcamp_run_dirs() {
    local -a runs
    runs=(output/*/eval_args.json(N:h) ${(Q)PREFIX}*/eval_args.json(N:h))
    runs=(${(u)runs})
    (( $#runs )) && compadd "$@" -f -a runs || _files -/
}
"""

_ZSH_TAIL = """\
if [[ $funcstack[1] == _bootcamp ]]; then
    _bootcamp "$@"
else
    compdef _bootcamp bootcamp
fi
"""


def zsh_script(nodes: Sequence[CommandNode]) -> str:
    """The script for zsh: a function for each command."""
    functions = [_zsh_group_function(node) if node.commands else _zsh_command_function(node) for node in nodes]
    return "\n".join((_ZSH_HEAD, *map(_zsh_table_function, _TABLES), *functions, _ZSH_TAIL))


def _zsh_table_function(table: Table) -> str:
    """A function that completes the names of profiles or templates."""
    names = " ".join((*_names_of(table), f"${{(f)\"$(_bootcamp_named '{_NAMES.format(_TABLES[table])}')\"}}"))
    lines = ["    local -a names", f"    names=({names})", '    compadd "$@" -a names']
    return "\n".join((f"_bootcamp_named_{_TABLES[table]}() {{", *lines, "}", ""))


def _zsh_group_function(node: CommandNode) -> str:
    """A function that completes the name of a command, or hands over to its function."""
    lines = [
        f"{_zsh_function_name(node.path)}() {{",
        '    local curcontext="$curcontext" state state_descr ret=1',
        "    local -a line commands",
        "    local -A opt_args",
        "    _arguments -C \\",
        *(f"        {_zsh_option(option)} \\" for option in node.options),
        "        '1:command:->command' \\",
        "        '*::argument:->argument' && ret=0",
        "    case $state in",
        "        command)",
        "            commands=(",
        *(f"                {_zsh_quoted(f'{name}:{text}')}" for name, text in node.commands.items()),
        "            )",
        "            _describe -t commands command commands && ret=0",
        *(f"            {_zsh_action(values)} && ret=0" for values in node.arguments.values()),
        "            ;;",
        "        argument)",
        "            case $line[1] in",
        *(f"                {name}) {_zsh_function_name((*node.path, name))} && ret=0 ;;" for name in node.commands),
        "            esac",
        "            ;;",
        "    esac",
        "    return ret",
        "}",
        "",
    ]
    return "\n".join(lines)


def _zsh_command_function(node: CommandNode) -> str:
    """A function that completes the options and arguments of a command."""
    places = [*map(str, range(1, len(node.arguments) + 1))]
    if node.is_variadic:
        places[-1] = "*"
    arguments = [
        f"{place}:{name}:{_zsh_action(v)}" for place, (name, v) in zip(places, node.arguments.items(), strict=True)
    ]
    specs = [spec for option in node.options for spec in _zsh_specs(option)] + [_zsh_quoted(text) for text in arguments]
    lines = [
        f"{_zsh_function_name(node.path)}() {{",
        "    local i",
        "    for (( i = 2; i < CURRENT; i++ )); do",  # zsh takes back what a function changes of the words
        "        [[ $words[i] == --*_* && $words[i] != *=* ]] && words[i]=${words[i]//_/-}",
        "    done",
        "    _arguments -M 'm:{_}={-} r:|[_-]=* r:|=*' \\",
        *(f"        {spec} \\" for spec in specs[:-1]),
        f"        {specs[-1]}",
        "}",
        "",
    ]
    return "\n".join(lines)


def _zsh_function_name(path: Sequence[str]) -> str:
    return "_".join(("_bootcamp", *path)).replace("-", "_")


def _zsh_specs(option: OptionNode) -> list[str]:
    if option.kind != "boolean":
        return [_zsh_option(option)]
    names = f"({' '.join(option.names)})"
    specs = [_zsh_quoted(f"{names}{option.name}=-[{_zsh_description(option.help)}]::boolean:(true false)")]
    return [*specs, _zsh_quoted(f"{names}{option.negation}[the opposite]")] if option.negation else specs


def _zsh_option(option: OptionNode) -> str:
    """An option after which nothing else counts, or one with a value."""
    if option.kind == "bare":
        return _zsh_quoted(f"(- *){option.name}[{_zsh_description(option.help)}]")
    before = "*" if option.repeatable else ""
    return _zsh_quoted(f"{before}{option.name}=[{_zsh_description(option.help)}]:value:{_zsh_action(option.values)}")


def _zsh_action(values: Values) -> str:
    match values:
        case None | ():
            return " "
        case "DIR" | "FILE" | "ROWS" | "RUN_DIR":
            return _ZSH_PLACES[values]
        case "PROFILE" | "TEMPLATE":
            return f"_bootcamp_named_{_TABLES[values]}"
        case _:
            return f"({' '.join(values)})"


_ZSH_PLACES: Mapping[Place, str] = {
    "DIR": "_files -/",
    "FILE": "_files",
    "ROWS": '_files -g "*.jsonl(|.gz)(-.)"',
    "RUN_DIR": "_bootcamp_run_dirs",
}


def _zsh_description(text: str) -> str:
    return text.replace("\\", "\\\\").replace("[", "\\[").replace("]", "\\]").replace(":", "\\:")


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_FISH_HEAD = """\
# fish completion for bootcamp; generated by `python -m bootcamp_cli.cli.completion_scripts`

function __bootcamp_at --description 'whether the words so far are these commands and nothing else'
    set -l words (commandline -opc)
    test "$words[2..-1]" = "$argv"
end

function __bootcamp_in --description 'whether the words so far begin with these commands'
    set -l words (commandline -opc)
    set -l n (math (count $argv) + 1)
    test (count $words) -ge $n; and test "$words[2..$n]" = "$argv"
end

function __bootcamp_underscored --description 'whether an option is written with underscores'
    set -l words (commandline -opc)
    string match -qr -- '^--[a-z-]*_' (commandline -ct) $words[-1]
end

function __bootcamp_named --description 'the names that settings files give, by a script of sed'
    set -l files bootcamp.toml
    set -q BOOTCAMP_CONFIG; and set files $BOOTCAMP_CONFIG
    if set -q XDG_CONFIG_HOME
        set -a files $XDG_CONFIG_HOME/bootcamp/config.toml
    else
        set -a files $HOME/.config/bootcamp/config.toml
    end
    for file in $files
        test -f $file; and sed -n $argv[1] $file 2>/dev/null
    end
end

function __bootcamp_rows
    set -l word (commandline -ct)
    __fish_complete_directories $word
    for file in $word*.jsonl $word*.jsonl.gz
        echo $file
    end
end

function __bootcamp_run_dirs
    set -l word (commandline -ct)
    set -l runs
    for file in output/*/eval_args.json $word*/eval_args.json
        set -a runs (string replace -r '/eval_args.json$' '' -- $file)
    end
    if count $runs >/dev/null
        printf '%s\\n' $runs
    else
        __fish_complete_directories $word
    end
end

complete -c bootcamp -f
"""


def fish_script(nodes: Sequence[CommandNode]) -> str:
    """The script for fish."""
    return "\n".join((_FISH_HEAD, *(line for node in nodes for line in _fish_lines(node)), ""))


def _fish_lines(node: CommandNode) -> Iterator[str]:
    here = " ".join(node.path)
    at = f"complete -c bootcamp -n {_fish_quoted(f'__bootcamp_at {here}'.rstrip())}"
    within = at if node.commands else f"complete -c bootcamp -n {_fish_quoted(f'__bootcamp_in {here}')}"
    for name, text in node.commands.items():
        yield f"{at} -a {name} -d {_fish_quoted(text)}"
    for values in node.arguments.values():
        if values:
            yield f"{within} -a {_fish_quoted(_fish_candidates(values))}"
    for option in node.options:
        yield from _fish_option_lines(option, within)
    if not node.commands:
        underscored = f"complete -c bootcamp -n {_fish_quoted(f'__bootcamp_underscored; and __bootcamp_in {here}')}"
        for option in node.options:
            if "-" in option.name[2:]:
                written = replace(option, name=f"--{option.name[2:].replace('-', '_')}", negation="")
                yield from _fish_option_lines(written, underscored)
    switches = [option.name for option in node.options if option.kind == "boolean"]
    if switches:
        after = f"__bootcamp_in {here}; and __fish_prev_arg_in {' '.join(switches)}"
        yield f"complete -c bootcamp -n {_fish_quoted(after)} -a 'true false'"
    yield ""


def _fish_option_lines(option: OptionNode, condition: str) -> Iterator[str]:
    if option.kind != "value":
        yield f"{condition} -l {option.name[2:]} -d {_fish_quoted(option.help)}"
        if option.negation:
            yield f"{condition} -l {option.negation[2:]} -d 'the opposite'"
    elif option.values == "FILE":
        yield f"{condition} -l {option.name[2:]} -r -F -d {_fish_quoted(option.help)}"
    else:
        candidates = f" -a {_fish_quoted(_fish_candidates(option.values))}" if option.values else ""
        yield f"{condition} -l {option.name[2:]} -x{candidates} -d {_fish_quoted(option.help)}"


def _fish_candidates(values: Values) -> str:
    match values:
        case None:
            return ""
        case "DIR" | "FILE":
            return "(__fish_complete_directories)"
        case "ROWS":
            return "(__bootcamp_rows)"
        case "PROFILE" | "TEMPLATE":
            return " ".join((*_names_of(values), f"(__bootcamp_named '{_NAMES.format(_TABLES[values])}')"))
        case "RUN_DIR":
            return "(__bootcamp_run_dirs)"
        case _:
            return " ".join(values)


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


if __name__ == "__main__":
    sys.exit(update({COMPLETIONS / name: text for name, text in scripts().items()}, check="--check" in sys.argv[1:]))
