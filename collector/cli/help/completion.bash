# bash completion for ktrail
_ktrail() {
  local line=${COMP_LINE:0:COMP_POINT} words last offers
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  last=${words[-1]}
  mapfile -t offers < <("${COMP_WORDS[0]}" completion words -- "${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  if [[ ${offers[0]-} == :files ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "${last#--*=}")
    return
  fi
  # Bash cuts words at = and : too: the word that it replaces begins after the last of them.
  local cut=${last%"${last##*[=:]}"} offer
  for offer in "${offers[@]}"; do
    offer=${offer%%$'\t'*}
    COMPREPLY+=("${offer#"$cut"}")
  done
}
complete -F _ktrail ktrail
