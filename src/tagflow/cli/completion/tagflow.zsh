#compdef tagflow
# Completion of tagflow for zsh: put into a folder of $fpath as _tagflow, or evaluated after compinit.

_tagflow_completion() {
    local line value
    local -a lines open described
    lines=("${(@f)$(env _TYPER_COMPLETE_ARGS="${(j: :)words[1,CURRENT]}" _TAGFLOW_COMPLETE=complete_zsh "${words[1]}" 2>/dev/null)}")
    for line in "${lines[@]}"; do
        value=${line%%$'\t'*}
        if [[ -z $value ]]; then
            continue
        elif [[ $value == *[=:/] ]]; then
            open+=("$value")
        elif [[ $line == *$'\t'* ]]; then
            described+=("${value//:/\\:}:${line#*$'\t'}")
        else
            described+=("${value//:/\\:}")
        fi
    done
    if (( ${#open} + ${#described} == 0 )); then
        _files
        return
    fi
    local found=1
    (( ${#open} )) && compadd -S '' -- "${open[@]}" && found=0
    (( ${#described} )) && _describe -V 'tagflow' described && found=0
    return found
}

if [[ ${funcstack[1]} == _tagflow ]]; then
    _tagflow_completion "$@"
else
    compdef _tagflow_completion tagflow
fi
