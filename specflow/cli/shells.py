"""Shell completion: the scripts, and how each shell wants to be answered."""

import os
import shlex
from collections.abc import Iterable

__all__ = ["SHELLS", "answer", "script"]

_BASH = """\
# Completion of specflow in bash:  source <(specflow completion bash)
_specflow() {
    local line="${COMP_LINE:0:COMP_POINT}" word
    # bash cuts words at = and :, and replaces the last part alone.
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
    local -a whole whole_said begun begun_said
    while IFS=$'\\t' read -r word text; do
        if [[ $word == *[=./] ]]; then
            begun+=("$word")
            begun_said+=("$word${text:+  -- $text}")
        else
            whole+=("$word")
            whole_said+=("$word${text:+  -- $text}")
        fi
    done < <("${words[1]}" completion zsh --line "$line" 2>/dev/null)
    (( $#begun )) && compadd -Q -l -S '' -d begun_said -a begun
    (( $#whole )) && compadd -Q -l -d whole_said -a whole
    (( $#begun + $#whole ))
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
    """What a shell reads to complete specflow's commands.

    Args:
        shell: which one.
        config_dirs: folders of configs of which it completes, wherever it stands.
    """
    options = "".join(
        f" {shlex.quote(f'--config-dir={os.path.abspath(folder)}')}"
        for folder in config_dirs
    )
    asks = f"completion {shell}"
    return SHELLS[shell].replace(f"{asks} --line", f"{asks}{options} --line")


def answer(shell: str, candidates: Iterable[tuple[str, str]]) -> str:
    r"""Candidates as a shell's script reads them, one a line.

    Args:
        shell: which one.
        candidates: (word, what it means) of each.

    >>> answer("bash", [("mesh=", ""), ("mesh=data", "A copy on every device.")])
    'mesh=\nmesh=data \n'
    >>> answer("fish", [("mesh=data", "A copy on every device.")])
    'mesh=data\tA copy on every device.\n'
    """
    if shell == "bash":  # It is told itself where a word has come to its end.
        ends = ((word, "" if word[-1:] in "=./" else " ") for word, _ in candidates)
        return "".join(f"{word}{end}\n" for word, end in ends)
    return "".join(
        f"{word}\t{text}\n" if text else f"{word}\n" for word, text in candidates
    )
