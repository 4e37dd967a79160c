# shellcheck shell=bash
# Fetches Debian packages without installing them and without touching the machine's apt: lists, cache and
# sources are private and lie in the cache folder. Sourced after lib.sh. No host is named here: the addresses are
# those of the machine's own Debian sources, for its own suites and for others of the same archive.

APT=$CACHE/apt
# The processor whose packages are fetched, as Debian names it; a script may set another one.
APT_ARCH=$(debian_arch)

# The machine's Debian sources as URI|suite|signed-by lines.
machine_sources() {
  local files=() file codename
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  [ -n "$codename" ] || die 'cannot determine this Debian release: no VERSION_CODENAME in /etc/os-release'
  for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    [ ! -r "$file" ] || files+=("$file")
  done
  [ ${#files[@]} -gt 0 ] || die 'this machine has no apt sources: /etc/apt/sources.list and sources.list.d are empty'
  awk -v "CODENAME=$codename" -f "$ROOT/deploy/setup/apt-sources.awk" "${files[@]}"
}

# apt-get and friends on the private folder. Unsigned lists are refused as usual.
private_apt() {
  local tool=$1
  shift
  "$tool" -q -o "APT::Architecture=$APT_ARCH" -o "APT::Architectures=$APT_ARCH" \
    -o "Dir::Etc::SourceList=$APT/suites.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::Preferences=/dev/null \
    -o Dir::Etc::PreferencesParts=/dev/null -o "Dir::State=$APT/state" -o "Dir::State::lists=$APT/lists" \
    -o "Dir::State::status=$APT/status" -o "Dir::Cache=$APT/cache" -o Acquire::Languages=none -o Acquire::Retries=3 \
    -o APT::Get::List-Cleanup=false -o APT::Sandbox::User=root "$@"
}

# Reads the lists of one more suite (`own` = those of the machine's release). Fails if the archive does not have it.
read_suite() {
  local wanted=$1 sources uri suite signed lines='' archive='' option
  sources=$(machine_sources)
  while IFS='|' read -r uri suite signed; do
    option=''
    [ -z "$signed" ] || option="[signed-by=$signed] "
    if [ "$wanted" = own ]; then
      lines+="deb $option$uri $suite main"$'\n'
    elif [ -z "$archive" ] && [[ $suite != *-* ]]; then
      archive="deb $option$uri $wanted main"$'\n'
    fi
  done <<<"$sources"
  lines+=$archive
  [ -n "$lines" ] || die 'no Debian archive among the apt sources of this machine: expected one with this release and "main"'
  mkdir -p "$APT/lists/partial" "$APT/state" "$APT/cache/archives/partial"
  # The folder is one for all: others wait until this process ends.
  exec 6>"$APT/lock"
  flock 6
  : >"$APT/status"
  printf '%s' "$lines" >"$APT/suites.list"
  # No Contents, icons and translations: only the package lists.
  private_apt apt-get update -o Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false >"$APT/log" 2>&1
}

# Prints the newest package of the lists just read whose name matches the extended regular expression.
newest_package() {
  private_apt apt-cache pkgnames 2>/dev/null | grep -E "^$1\$" | sort -V | tail -n 1
}

# Downloads packages and unpacks them into a folder, whose dpkg then lists them. `--whole`: with all that they depend on, as for a machine that has nothing.
unpack_packages() {
  local folder=$1 package command=(apt-get download)
  shift
  if [ "$1" = --whole ]; then
    command=(apt-get install --download-only --yes --no-install-recommends -o "Dir::Cache::archives=$APT/cache/deb")
    shift
  fi
  mkdir -p "$APT/cache/deb/partial" "$folder/var/lib/dpkg"
  (cd "$APT/cache/deb" && rm -f ./*.deb && private_apt "${command[@]}" "$@" >"$APT/log" 2>&1) || return 1
  for package in "$APT"/cache/deb/*.deb; do
    # Where Debian merged /lib into /usr/lib, a folder of the package may be a link here.
    dpkg-deb --fsys-tarfile "$package" | tar -xp --keep-directory-symlink -C "$folder" || return 1
    {
      dpkg-deb --field "$package" | sed '/^Package:/a Status: install ok installed'
      printf 'SHA256: %s\n\n' "$(digest "$package")"
    } >>"$folder/var/lib/dpkg/status"
    rm -f "$package"
  done
}

# unpack_debian FOLDER WHAT PACKAGE...: makes FOLDER a Debian that has these packages. WHAT: for the message of a failure.
unpack_debian() {
  local root=$1 name
  mkdir -p "$root"/{dev,proc,sys,run,tmp,root,etc} "$root"/usr/{bin,sbin,lib}
  for name in bin sbin lib; do ln -s "usr/$name" "$root/$name"; done
  read_suite own && unpack_packages "$root" --whole "${@:3}" || {
    tail -n 5 "$APT/log" >&2
    die "cannot fetch $2 for $APT_ARCH: see the output of apt-get above; check the network and the machine's apt sources"
  }
  # The needed part of their install scripts.
  for name in passwd group; do cp "$root/usr/share/base-passwd/$name.master" "$root/etc/$name"; done
  ln -sf dash "$root/usr/bin/sh"
}
