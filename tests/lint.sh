#!/bin/bash
# Judges the sources: lint.sh shellcheck|format|tidy|tidy-deep [BUILD_FOLDER]. Silent when there is nothing to say.
# The files are looked for at each run, so a new one is never forgotten.
set -uo pipefail
cd -- "$(dirname -- "$(readlink -f -- "$0")")/.." || exit 1

case ${1:-} in
shellcheck)
    find . -path ./.git -prune -o -path './build*' -prune -o -name '*.sh' -type f -print0 |
        xargs -0 shellcheck .ci/run src/cli/completion.bash
    ;;
format)
    find src tests examples -name '*.[ch]' -print0 |
        xargs -0 clang-format --dry-run -Werror --ferror-limit=1
    ;;
tidy | tidy-deep)
    # The analyzer follows each function's paths until it has seen so many states. Its own limit, 225000, is for those who
    # have time.
    limit=()
    [[ $1 == tidy-deep ]] || limit=(--extra-arg={-Xclang,-analyzer-config,-Xclang,max-nodes=50000})
    # The biggest files first: the last one must not be a long one that leaves the other processor idle.
    find src -name '*.c' -size +0 -printf '%s %p\n' | sort -rn | cut -d ' ' -f 2- | tr '\n' '\0' |
        xargs -0 -n 1 -P "$(nproc)" clang-tidy -p "${2:?which build folder?}" --quiet "${limit[@]}" 2>&1 |
        grep -v ' warnings\? generated\.$'
    exit "${PIPESTATUS[4]}"
    ;;
*)
    echo "usage: lint.sh shellcheck|format|tidy|tidy-deep [BUILD_FOLDER]" >&2
    exit 2
    ;;
esac
