#compdef fota_monitor
# zsh completion of fota_monitor. What fits is known to the program itself, which asks the running monitor.

_fota_monitor() {
    local -a answer fitting described
    local kind line word
    answer=("${(@f)$(${(Q)words[1]/#\~/$HOME} -complete "${(@Q)words[2,CURRENT-1]}" "${(Q)PREFIX}" 2>/dev/null)}")
    kind=$answer[1]
    case $kind in
    files | folders)
        [[ $PREFIX == -*=* ]] && compset -P '*='
        if [[ $kind == files ]]; then _files; else _files -/; fi
        ;;
    words)
        for line in "${(@)answer[2,-1]}"; do
            word=${line%%$'\t'*}
            [[ -n $word ]] || continue
            fitting+=("$word")
            described+=("$word  ${line#*$'\t'}")
        done
        if [[ ${#fitting} -eq 1 && $fitting[1] == *= ]]; then
            compadd -S '' -a fitting
        else
            compadd -l -d described -a fitting
        fi
        ;;
    esac
}

_fota_monitor "$@"
