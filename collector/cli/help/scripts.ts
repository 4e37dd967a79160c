/**
 * Completion scripts. They pass the words before the cursor to `ktrail completion words` and show what it prints; only the cutting of words and
 * the display differ between shells.
 */

/** bash cuts words at `=` and `:` too: words that follow each other without a space are put together again. */
const BASH = `# bash completion for ktrail
_ktrail() {
  local line=\${COMP_LINE:0:COMP_POINT} words last offers
  read -ra words <<<"$line"
  [[ $line == *[[:space:]] ]] && words+=('')
  last=\${words[-1]}
  mapfile -t offers < <("\${COMP_WORDS[0]}" completion words -- "\${words[@]:1}" 2>/dev/null)
  COMPREPLY=()
  if [[ \${offers[0]-} == :files ]]; then
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen -f -- "\${last#--*=}")
    return
  fi
  # What bash takes for the word to replace begins after the last = or :.
  local cut=\${last%"\${last##*[=:]}"} offer
  for offer in "\${offers[@]}"; do
    offer=\${offer%%$'\\t'*}
    COMPREPLY+=("\${offer#"$cut"}")
  done
}
complete -F _ktrail ktrail
`

const ZSH = `#compdef ktrail
# zsh completion for ktrail
_ktrail() {
  local -a lines offers
  local line
  lines=("\${(@f)$("$words[1]" completion words -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ $lines[1] == :files ]]; then
    compset -P '--*='
    _files
    return
  fi
  for line in $lines; do
    [[ -n $line ]] && offers+=("\${\${line%%$'\\t'*}//:/\\\\:}:\${line#*$'\\t'}")
  done
  _describe -t words 'ktrail' offers
}
if [[ $funcstack[1] == _ktrail ]]; then
  _ktrail "$@"
else
  compdef _ktrail ktrail
fi
`

const FISH = `# fish completion for ktrail
function __ktrail_offers
    set -l words (commandline -opc) (commandline -ct)
    set -l lines ($words[1] completion words -- $words[2..-1] 2>/dev/null)
    if test "$lines[1]" = :files
        set -l word (commandline -ct)
        set -l option (string match -r -- '^--[a-z-]+=' $word)
        for file in (__fish_complete_path (string replace -- "$option" '' $word))
            echo "$option$file"
        end
    else
        string join \\n -- $lines
    end
end
complete -c ktrail -f -a '(__ktrail_offers)'
`

/** By the name of the shell. */
export const SCRIPTS: Readonly<Record<string, string>> = { bash: BASH, zsh: ZSH, fish: FISH }
