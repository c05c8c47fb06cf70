# bash completion of fota_monitor. What fits is known to the program itself, which asks the running monitor.
# shellcheck shell=bash

_fota_monitor() {
    local line=${COMP_LINE:0:COMP_POINT} program=${1/#\~/$HOME} kind word fixed='' words=() answer=()
    COMPREPLY=()
    # The words as they were typed: bash itself would cut them at "=" and ":" too. Backslashes are taken as bash does.
    # shellcheck disable=SC2162
    read -a words <<<"$line"
    [[ $line == *[[:space:]] && $line != *'\ ' ]] && words+=('')
    ((${#words[@]} > 1)) || return 0
    mapfile -t answer < <("$program" -complete "${words[@]:1}" 2>/dev/null)
    kind=${answer[0]-}
    word=${words[-1]}
    # Bash puts its answer behind the last of these, so what stands before them is not part of it.
    [[ $COMP_WORDBREAKS == *=* && $word == *=* ]] && fixed=${word%"${word##*=}"}
    [[ $COMP_WORDBREAKS == *:* && $word == *:* ]] && fixed=${word%"${word##*[=:]}"}
    case $kind in
    files | folders)
        [[ $word == -*=* ]] && word=${word#*=}
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(if [[ $kind == files ]]; then compgen -f -- "$word"; else compgen -d -- "$word"; fi)
        ;;
    words)
        for word in "${answer[@]:1}"; do
            word=${word%%$'\t'*}
            printf -v word '%q' "${word#"$fixed"}"
            COMPREPLY+=("${word//\\,/,}") # a comma needs no backslash
        done
        if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *= ]]; then
            compopt -o nospace 2>/dev/null
        fi
        ;;
    esac
    return 0
}

complete -F _fota_monitor fota_monitor
