# fish completion for ktrail
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
        string join \n -- $lines
    end
end
complete -c ktrail -f -a '(__ktrail_offers)'
