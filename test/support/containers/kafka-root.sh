#!/bin/bash
# kafka-root.sh JARS FOLDER: makes the root file system of an image that runs Apache Kafka: a Java of this machine's Debian
# archive with the libraries it needs, one static binary as shell, the jars and kafka-entry.sh.
# Packages are unpacked, never installed: none of their scripts runs.
set -euo pipefail
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
. "$here/../../../deploy/setup/lib.sh"
. "$ROOT/deploy/setup/apt.sh"
jars=$1 root=$2

command -v apt-get >/dev/null || die 'cannot build an image of Apache Kafka: this machine has no apt-get'
read_suite own || log 'not all package lists could be read, going on'
# Kafka 4 brokers need Java 17 or later.
java=$(newest_package 'openjdk-(17|21|25)-jre-headless') || die 'no Java 17 or later among the packages of this Debian'
packages=("$java" libc6 libgcc-s1 libstdc++6 zlib1g busybox-static)
unpack_packages "$root" "${packages[@]}" || {
  die "cannot fetch ${packages[*]}: $(grep -m 1 '^E:' "$APT/log" || echo 'a package cannot be unpacked'); check the network and the apt sources"
}

# Packages of Debian 13 have everything below usr and rely on these.
for folder in bin lib lib64; do
  if [ -d "$root/usr/$folder" ] && [ ! -e "$root/$folder" ]; then ln -s "usr/$folder" "$root/$folder"; fi
done
rm -rf "$root"/usr/share/{doc,man,locale,lintian,bug}
program=$(cd "$root" && find . -path '*/jvm/*/bin/java' -type f | head -n 1)
[ -n "$program" ] || die "no bin/java in the package $java"
mkdir -p "$root"/{usr/bin,tmp,opt/kafka/libs}
chmod 1777 "$root/tmp"
ln -s "${program#.}" "$root/usr/bin/java"
cp "$jars"/*.jar "$root/opt/kafka/libs/"
install -m 755 "$here/kafka-entry.sh" "$root/kafka-entry.sh"
