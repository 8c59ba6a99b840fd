"""`aether completion bash|zsh|fish`: scripts that ask the command itself what could stand next."""

from __future__ import annotations

import argparse
from typing import Final

BASH: Final = """\
# aether completion for bash; load it with: source <(aether completion bash)
_aether() {
    local line="${COMP_LINE:0:COMP_POINT}" words typed current
    IFS=$' \\t\\n' read -ra words <<<"$line"
    [[ "$line" == *[[:space:]] ]] && words+=("")
    typed="${words[-1]}"
    current="${COMP_WORDS[COMP_CWORD]}"  # bash cuts words at = and :, and puts in only what stands behind
    [[ "$current" =~ ^[=:]+$ ]] && current=""
    mapfile -t COMPREPLY < <("${words[0]}" __complete "${words[@]:1}" 2>/dev/null | cut -f1)
    COMPREPLY=("${COMPREPLY[@]#"${typed%"$current"}"}")
    [ ${#COMPREPLY[@]} -gt 0 ] || compopt -o default
}
complete -F _aether aether ./aether
"""

ZSH: Final = """\
#compdef aether
# aether completion for zsh; load it with: source <(aether completion zsh)
_aether() {
    local -a found
    local line word
    while IFS= read -r line; do
        word="${line%%$'\\t'*}"
        if [[ "$line" == *$'\\t'* ]]; then
            found+=("${word//:/\\\\:}:${line#*$'\\t'}")
        else
            found+=("${word//:/\\\\:}")
        fi
    done < <("${words[1]}" __complete "${(@)words[2,$CURRENT]}" 2>/dev/null)
    if (( ${#found} )); then _describe aether found; else _files; fi
}
compdef _aether aether
"""

FISH: Final = """\
# aether completion for fish; load it with: aether completion fish | source
function __aether_complete
    set -l words (commandline -opc) (commandline -ct)
    set -l found ($words[1] __complete $words[2..-1] 2>/dev/null)
    if test (count $found) -gt 0
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end
complete -c aether -f -a '(__aether_complete)'
"""

SCRIPTS: Final = {"bash": BASH, "zsh": ZSH, "fish": FISH}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=SCRIPTS)
    parser.epilog = "Names of slices, nodes, blueprints and proposals are asked of the cluster as you type."


def run(arguments: argparse.Namespace) -> int:
    print(SCRIPTS[arguments.shell], end="")
    return 0
