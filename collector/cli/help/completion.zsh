#compdef ktrail
# zsh completion for ktrail
_ktrail() {
  local -a lines offers
  local line
  lines=("${(@f)$("$words[1]" completion words -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $lines[1] == :files ]]; then
    compset -P '--*='
    _files
    return
  fi
  for line in $lines; do
    [[ -n $line ]] && offers+=("${${line%%$'\t'*}//:/\\:}:${line#*$'\t'}")
  done
  _describe -t words 'ktrail' offers
}
if [[ $funcstack[1] == _ktrail ]]; then
  _ktrail "$@"
else
  compdef _ktrail ktrail
fi
