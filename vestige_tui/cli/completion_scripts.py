"""The completion scripts of bash, zsh and fish, written from the commands of the parser."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from vestige_tui.cli.completed_commands import CompletedArgument, CompletedCommand

FILES = "@files"
"""In the tables of values: the names of files."""

_BASH = """\
# Completion of vestige-tui for bash. Made by `vestige-tui completion bash`; load it with `source`.
_vestige_tui_commands() {
    case "$1" in
%(commands)s
    esac
}
_vestige_tui_options() {
    case "$1" in
%(options)s
    esac
}
# Values of an option of a command, or of its arguments; status 1: the option takes none.
_vestige_tui_values() {
    case "$1:$2" in
%(values)s
        *) return 1 ;;
    esac
}
_vestige_tui() {
    local cur="${COMP_WORDS[COMP_CWORD]}" prev="" path="" word values index
    # Readline splits --option=value at the sign.
    [[ $cur == = ]] && cur=""
    for ((index = 1; index < COMP_CWORD; index++)); do
        word="${COMP_WORDS[index]}"
        if [[ $word == = ]]; then
            continue
        elif [[ -n $prev ]]; then
            prev=""
        elif [[ $word == -* ]]; then
            _vestige_tui_values "$path" "$word" >/dev/null && prev="$word"
        elif [[ " $(_vestige_tui_commands "$path") " == *" $word "* ]]; then
            path="${path:+$path }$word"
        fi
    done
    if [[ -n $prev ]]; then
        values="$(_vestige_tui_values "$path" "$prev")"
    elif [[ $cur == -* ]]; then
        values="$(_vestige_tui_options "$path")"
    else
        values="$(_vestige_tui_commands "$path")"
        [[ -n $values ]] || values="$(_vestige_tui_values "$path" "")"
    fi
    COMPREPLY=()
    # An empty answer leaves the names of files to readline.
    [[ $values == @files ]] && return
    compopt +o default +o bashdefault 2>/dev/null
    COMPREPLY=($(compgen -W "$values" -- "$cur"))
}
complete -o bashdefault -o default -F _vestige_tui vestige-tui
"""

_ZSH = """\
#compdef vestige-tui
# Completion of vestige-tui for zsh. Made by `vestige-tui completion zsh`; put it into a folder of $fpath.
_vestige_tui_commands() {
    reply=()
    case "$1" in
%(commands)s
    esac
}
_vestige_tui_options() {
    reply=()
    case "$1" in
%(options)s
    esac
}
# Values of an option of a command, or of its arguments; status 1: the option takes none.
_vestige_tui_values() {
    reply=()
    case "$1:$2" in
%(values)s
        *) return 1 ;;
    esac
}
_vestige_tui() {
    local cur="${words[CURRENT]}" prev="" at="" word index
    local -a reply names
    for ((index = 2; index < CURRENT; index++)); do
        word="${words[index]}"
        if [[ -n $prev ]]; then
            prev=""
        elif [[ $word == -* ]]; then
            _vestige_tui_values "$at" "$word" && prev="$word"
        else
            _vestige_tui_commands "$at"
            names=("${(@)reply%%%%:*}")
            (( ${names[(Ie)$word]} )) && at="${at:+$at }$word"
        fi
    done
    if [[ $cur == --*=* ]] && _vestige_tui_values "$at" "${cur%%%%=*}"; then
        compset -P '*='
    elif [[ -n $prev ]]; then
        _vestige_tui_values "$at" "$prev"
    elif [[ $cur == -* ]]; then
        _vestige_tui_options "$at"
        _describe option reply
        return
    else
        _vestige_tui_commands "$at"
        if (( $#reply )); then
            _describe command reply
            return
        fi
        _vestige_tui_values "$at" ""
    fi
    if [[ ${reply[1]} == @files ]]; then
        _files
    elif (( $#reply )); then
        compadd -a reply
    fi
}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _vestige_tui "$@"
else
    compdef _vestige_tui vestige-tui
fi
"""

_FISH = """\
# Completion of vestige-tui for fish. Made by `vestige-tui completion fish`; put it into ~/.config/fish/completions.
# The command that stands on the line, without its options and their values.
function __vestige_tui_path
    set -l path
    set -l skip 0
    for word in (commandline -opc)[2..-1]
        if test $skip = 1
            set skip 0
        else if string match -q -- '-*' $word
            contains -- $word %(valued)s; and set skip 1
        else if contains -- (string join ' ' $path $word) %(paths)s
            set -a path $word
        end
    end
    string join ' ' $path
end
function __vestige_tui_at
    test (__vestige_tui_path | string collect -a) = "$argv[1]"
end
complete -c vestige-tui -f
%(lines)s
"""


def bash_script(commands: Sequence[CompletedCommand]) -> str:
    """Return the script for bash."""
    return _BASH % {
        "commands": _cases((each.words, " ".join(name for name, _ in each.commands)) for each in commands),
        "options": _cases((each.words, " ".join(flags(each.options))) for each in commands),
        "values": _cases((subject, " ".join(words) or " ") for subject, words in _values(commands)),
    }


def zsh_script(commands: Sequence[CompletedCommand]) -> str:
    """Return the script for zsh."""

    def described(pairs: Iterable[tuple[str, str]]) -> str:
        return " ".join(_quoted(f"{name}:{_unescaped(help)}") for name, help in pairs)

    return _ZSH % {
        "commands": _reply_cases((each.words, described(each.commands)) for each in commands),
        "options": _reply_cases(
            (each.words, described((flag, option.help) for option in each.options for flag in option.flags))
            for each in commands
        ),
        "values": _reply_cases((subject, " ".join(map(_quoted, words)) or " ") for subject, words in _values(commands)),
    }


def fish_script(commands: Sequence[CompletedCommand]) -> str:
    """Return the script for fish."""
    lines: list[str] = []
    for command in commands:
        head = f"complete -c vestige-tui -n {_fish_quoted(f'__vestige_tui_at {_fish_quoted(command.words)}')}"
        lines += [f"{head} -a {name} -d {_fish_quoted(_unescaped(help))}" for name, help in command.commands]
        lines += [f"{head} {_fish_option(option)}" for option in command.options]
        lines += [f"{head} {values}" for argument in command.positionals if (values := _fish_values(argument))]
    valued = {flag for command in commands for each in command.options if each.takes_value for flag in each.flags}
    return _FISH % {
        "valued": " ".join(sorted(valued)),
        "paths": " ".join(_fish_quoted(each.words) for each in commands if each.words),
        "lines": "\n".join(lines),
    }


def flags(options: Iterable[CompletedArgument]) -> list[str]:
    return [flag for option in options for flag in option.flags]


def _values(commands: Iterable[CompletedCommand]) -> list[tuple[str, Sequence[str]]]:
    """Return the values by ``command:flag``; the flag is empty for the arguments that are no options."""
    values: list[tuple[str, Sequence[str]]] = []
    for command in commands:
        for option in command.options:
            if option.takes_value:
                values += [(f"{command.words}:{flag}", _offered([option])) for flag in option.flags]
        values.append((f"{command.words}:", _offered(command.positionals)))
    return values


def _offered(arguments: Iterable[CompletedArgument]) -> list[str]:
    words = [word for each in arguments for word in each.words]
    return words or ([FILES] if any(each.is_file for each in arguments) else [])


def _cases(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"        {_quoted(subject)}) echo {_quoted(words)} ;;" for subject, words in pairs if words)


def _reply_cases(pairs: Iterable[tuple[str, str]]) -> str:
    return "\n".join(f"        {_quoted(subject)}) reply=({words}) ;;" for subject, words in pairs if words)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _unescaped(help: str) -> str:
    """Return the help of an argument as it is printed: argparse writes a percent sign twice."""
    return help.replace("%%", "%")


def _fish_option(option: CompletedArgument) -> str:
    names = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    values = f" -r {_fish_values(option)}".rstrip() if option.takes_value else ""
    return f"{' '.join(names)}{values} -d {_fish_quoted(_unescaped(option.help))}"


def _fish_values(argument: CompletedArgument) -> str:
    if argument.words:
        return f"-a {_fish_quoted(' '.join(argument.words))}"
    return "-F" if argument.is_file else ""
