# Completion of tagflow for bash.

_tagflow_completion() {
    local IFS=$'\n'
    COMPREPLY=($(env COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD="$COMP_CWORD" _TAGFLOW_COMPLETE=complete_bash "${1:-tagflow}" 2>/dev/null))
    if [[ ${#COMPREPLY[@]} -eq 1 && ${COMPREPLY[0]} == *[=:/] ]]; then
        compopt -o nospace 2>/dev/null
    fi
    return 0
}

# Before 4.4, bash can only sort: v1.10 then comes before v1.9.
complete -o default -o nosort -F _tagflow_completion tagflow 2>/dev/null ||
    complete -o default -F _tagflow_completion tagflow
