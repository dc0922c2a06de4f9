# shellcheck shell=bash disable=SC2034	# used where this is sourced
#
# common.sh - what contrib/try and contrib/check share: the lists of Debian
# packages, how they are installed, and how a tree is built.
#
# The idea: neither script may leave a surprise behind.  Packages are installed
# only when one is missing, no daemon is started by their installation, and a
# server that came with them is not enabled for the next boot.  Everything is
# built outside the source tree, apart from what autoreconf writes there.
#
# Sourced by bash scripts that run with "set -u"; they set $top (the source
# tree) before.  Every function says what failed and returns non-zero.

# The one place where the packages are listed (names of Debian 12).
packages_build="ca-certificates gcc libc6-dev make autoconf automake pkg-config
	libuv1-dev libgnutls28-dev libnghttp2-dev libyaml-dev libjansson-dev libmicrohttpd-dev libsystemd-dev"
packages_try="bind9-dnsutils nsd"
packages_check="libcmocka-dev python3 python3-pytest
	python3-dnspython python3-cryptography python3-h2
	bind9-dnsutils knot-dnsutils ldnsutils nsd unbound dnsdist nghttp2-proxy
	iproute2 util-linux prometheus python3-prometheus-client python3-yaml"
# A browser, for the status page.  Debian has it for these architectures; elsewhere those tests are skipped.
packages_browser="chromium chromium-driver"
architectures_browser="amd64 arm64 armhf i386 ppc64el"
# Servers among them, with the name of the service where that differs: never
# started and never enabled by us.
packages_daemons="nsd unbound prometheus dnsdist nghttp2-proxy/nghttpx"

# Debian keeps servers in sbin, which is not on everybody's path.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

say()
{
	printf '%s\n' "$*"
}

# Nothing asks a question, and nobody is kept waiting for a password that
# cannot be typed.
as_root()
{
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif [ -t 0 ]; then
		sudo "$@"
	else
		sudo -n "$@"
	fi
}

packages_missing()
{
	local p
	for p in "$@"; do
		case $(dpkg-query -W -f '${Status}' "$p" 2>/dev/null) in
		*" installed") ;;
		*) printf '%s ' "$p" ;;
		esac
	done
}

# Run as root, in a shell of its own: $1 are the servers among the packages that
# follow.  A policy-rc.d that answers 101 forbids every start of a service while the
# packages are being set up; one that is there already is the administrator's
# and stays as it is.
# shellcheck disable=SC2016	# expanded by the shell that runs it
packages_install_as_root='
set -u
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ] && [ ! -L "$policy" ]; then
	trap "rm -f $policy" EXIT
	trap "exit 130" INT TERM HUP
	printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy" || exit 1
fi
apt="apt-get -q -o Acquire::Retries=2 -o Acquire::http::Timeout=20
	-o Acquire::https::Timeout=20 -o DPkg::Lock::Timeout=120"
daemons=$1
shift
# A failed update is not the end: the lists at hand may do.
timeout 120 $apt update || echo "apt-get update failed; trying the package lists at hand"
timeout 900 $apt install -y --no-install-recommends "$@" || exit 1
for d in $daemons; do
	systemctl disable "$d.service" 2>/dev/null ||
		deb-systemd-helper disable "$d.service" 2>/dev/null
	update-rc.d "$d" disable 2>/dev/null
done
exit 0
'

# packages_need LOG PACKAGE...: installs what is missing of them.
packages_need()
{
	local log=$1 missing daemons d
	shift
	command -v dpkg-query >/dev/null ||
		{ say "this is not Debian: make sure that these are there: $*"; return 0; }
	missing=$(packages_missing "$@")
	[ -n "$missing" ] || return 0
	daemons=
	for d in $packages_daemons; do
		case " $missing " in *" ${d%/*} "*) daemons="$daemons ${d#*/}" ;; esac
	done
	say "installing: $missing"
	if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
		say "no root and no sudo here; as root, run:"
		say "    apt-get update && apt-get install --no-install-recommends $missing"
		return 1
	fi
	# word splitting of the list is wanted
	# shellcheck disable=SC2086
	as_root bash -c "$packages_install_as_root" install "$daemons" $missing \
		</dev/null >"$log" 2>&1 && return 0
	tail -n 10 "$log"
	say "packages could not be installed; the whole story is in $log"
	return 1
}

# tree_prepare DIR: sets $source to a tree that can be configured from outside,
# with an up-to-date configure.  That is $top itself, unless it was configured
# in place (automake then refuses other build directories) or cannot be written
# to; then it is a copy in DIR.
tree_prepare()
{
	local log=$1/autoreconf.log newer=
	mkdir -p "$1" || return 1
	# shellcheck disable=SC2154	# set by the script that sources this
	source=$top
	if [ -e "$top/config.status" ] || [ ! -w "$top" ]; then
		source=$1/source
		say "$top is configured in place or read-only: building a copy of it"
		rm -rf "$source"
		mkdir -p "$source" || return 1
		tar -C "$top" --exclude=./build --exclude=./.git --exclude=.deps \
			--exclude='*.o' --exclude='*.a' --exclude='*.trs' --exclude='*.log' \
			--exclude=./config.status \
			--exclude=./config.h --exclude=./stamp-h1 --exclude=./Makefile \
			-cf - . | tar -C "$source" -xf - || return 1
		# Programs built in place would pass for up to date through VPATH.
		find "$source" -type f -perm -u+x \
			-exec grep -q -a -m 1 '^.ELF' {} \; -delete
	fi
	if [ -e "$source/configure" ] && [ -e "$source/Makefile.in" ]; then
		newer=$(find "$source" -path "$source/build" -prune -o \
			\( -name configure.ac -o -name Makefile.am -o -name local.mk \) \
			-newer "$source/Makefile.in" -print)
		[ -n "$newer" ] || return 0
	fi
	(cd "$source" && autoreconf -fi) >"$log" 2>&1 </dev/null && return 0
	tail -n 30 "$log"
	say "autoreconf failed; the whole story is in $log"
	return 1
}

# tree_build DIR [CONFIGURE-OPTION...]: configures $source in DIR and makes it.
# What the tools say goes to DIR/build.log and is shown when they fail.
tree_build()
{
	local dir=$1 log=$1/build.log
	shift
	mkdir -p "$dir" || return 1
	(cd "$dir" && "$source/configure" "$@" && make -j"$(nproc)") \
		>"$log" 2>&1 </dev/null && return 0
	tail -n 30 "$log"
	say "the build failed; the whole story is in $log"
	return 1
}
