# Completion of tagflow for fish.

function __tagflow_completion
    set -l found (env _TAGFLOW_COMPLETE=complete_fish _TYPER_COMPLETE_ARGS=(commandline --cut-at-cursor --current-process | string collect) tagflow 2>/dev/null)
    if test -n "$found"
        printf '%s\n' $found
    else
        __fish_complete_path (commandline --current-token --cut-at-cursor)
    end
end

complete --command tagflow --no-files --keep-order --arguments '(__tagflow_completion)'
