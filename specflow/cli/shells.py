"""Completion scripts of the shells, and the format in which each takes answers."""

import os
import shlex
from collections.abc import Iterable

__all__ = ["SHELLS", "answer", "script"]

_BASH = """\
# Completion of specflow in bash:  source <(specflow completion bash)
_specflow() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    # bash splits words at = and :, and replaces only the last part.
    local typed="${line##*[[:space:]]}"
    local kept="${typed%"$2"}"
    COMPREPLY=()
    while IFS= read -r word; do
        COMPREPLY+=("${word#"$kept"}")
    done < <("$1" completion bash --line "$line" 2>/dev/null)
}
complete -o nospace -F _specflow specflow
"""

_ZSH = """\
#compdef specflow
# Completion of specflow in zsh:  source <(specflow completion zsh)
_specflow() {
    local line="${(j: :)words[1,CURRENT-1]} $PREFIX" word text
    local -a complete complete_shown prefixes prefixes_shown
    while IFS=$'\\t' read -r word text; do
        if [[ $word == *[=./] ]]; then
            prefixes+=("$word")
            prefixes_shown+=("$word${text:+  -- $text}")
        else
            complete+=("$word")
            complete_shown+=("$word${text:+  -- $text}")
        fi
    done < <("${words[1]}" completion zsh --line "$line" 2>/dev/null)
    (( $#prefixes )) && compadd -Q -l -S '' -d prefixes_shown -a prefixes
    (( $#complete )) && compadd -Q -l -d complete_shown -a complete
    (( $#prefixes + $#complete ))
}
if [[ $funcstack[1] == _specflow ]]; then
    _specflow "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit }
    compdef _specflow specflow
fi
"""

_FISH = """\
# Completion of specflow in fish:  specflow completion fish | source
function __specflow_complete
    set -l line (commandline -cp | string collect)
    specflow completion fish --line "$line" 2>/dev/null
end
complete -c specflow -f -a '(__specflow_complete)'
"""

SHELLS = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def script(shell: str, config_dirs: Iterable[str] = ()) -> str:
    """The script with which a shell completes specflow's commands.

    Args:
        shell: bash, zsh or fish.
        config_dirs: config folders to complete from, in any working directory.
    """
    options = "".join(
        f" {shlex.quote(f'--config-dir={os.path.abspath(folder)}')}"
        for folder in config_dirs
    )
    asks = f"completion {shell}"
    return SHELLS[shell].replace(f"{asks} --line", f"{asks}{options} --line")


def answer(shell: str, candidates: Iterable[tuple[str, str]]) -> str:
    r"""Formats completions as a shell's script reads them, one a line.

    Args:
        shell: bash, zsh or fish.
        candidates: (completion, its description) of each.

    >>> answer("bash", [("mesh=", ""), ("mesh=data", "A copy on every device.")])
    'mesh=\nmesh=data \n'
    >>> answer("fish", [("mesh=data", "A copy on every device.")])
    'mesh=data\tA copy on every device.\n'
    """
    if shell == "bash":  # Bash adds no space after a complete word.
        ends = ((word, "" if word[-1:] in "=./" else " ") for word, _ in candidates)
        return "".join(f"{word}{end}\n" for word, end in ends)
    return "".join(
        f"{word}\t{text}\n" if text else f"{word}\n" for word, text in candidates
    )
