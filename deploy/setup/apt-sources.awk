# Prints the Debian sources of this machine, one a line: URI|suite|signed-by
# Input: the files of /etc/apt/sources.list and sources.list.d (.list one-line, .sources deb822).
# Only suites of the release itself (CODENAME, CODENAME-updates, CODENAME-security) with the component `main`
# count: third parties name their suites or components otherwise.

function emit(uri, suite, components, signed) {
  if (suite != CODENAME && suite != CODENAME "-updates" && suite != CODENAME "-security") return
  if (components !~ /(^| )main( |$)/) return
  print uri "|" suite "|" signed
}

function flush_stanza(   uris, suites, i, j, n, m) {
  if (field["types"] ~ /(^| )deb( |$)/ && tolower(field["enabled"]) != "no") {
    n = split(field["uris"], uris, " ")
    m = split(field["suites"], suites, " ")
    for (i = 1; i <= n; i++) for (j = 1; j <= m; j++) emit(uris[i], suites[j], field["components"], signed_by())
  }
  split("", field)
}

# A key embedded in the stanza cannot be named in one word: apt's own key ring then has to do.
function signed_by() { return field["signed-by"] ~ /^\/[^ ]*$/ ? field["signed-by"] : "" }

FNR == 1 { flush_stanza(); deb822 = FILENAME ~ /\.sources$/ }

/^[ \t]*#/ { next }

deb822 && /^[ \t]*$/ { flush_stanza(); next }
deb822 && /^[ \t]/ { sub(/^[ \t]+/, ""); field[key] = field[key] " " $0; next }
deb822 {
  key = tolower($0); sub(/:.*/, "", key)
  sub(/^[^:]*:[ \t]*/, ""); sub(/[ \t]+$/, "")
  field[key] = $0
  next
}

$1 == "deb" {
  signed = ""
  line = $0
  if (match(line, /\[[^]]*\]/)) {
    options = substr(line, RSTART + 1, RLENGTH - 2)
    if (match(options, /signed-by=[^ ]+/)) signed = substr(options, RSTART + 10, RLENGTH - 10)
    sub(/\[[^]]*\]/, "", line)
  }
  n = split(line, part, /[ \t]+/)
  components = ""
  for (i = 4; i <= n; i++) components = components " " part[i]
  emit(part[2], part[3], components, signed)
}

END { flush_stanza() }
