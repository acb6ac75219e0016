# Shared by the scripts of this folder: building the tools, and small helpers.
# shellcheck shell=bash

project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
tools=$project/build/bench

say() { echo "${0##*/}: $*" >&2; }

die() {
	say "$@"
	exit 1
}

need_build() {
	[[ -x $project/build/bdus ]] || die "build/bdus is missing: run make first"
}

# musl's headers lack the kernel's; 6.1's lack what ublk can do since then.
build_headers() {
	local header
	header=$(find /usr/src -path '*/include/uapi/linux/ublk_cmd.h' |
		sort -V | tail -n 1)
	[[ $header ]] || die "linux/ublk_cmd.h is missing: install linux-headers"
	mkdir -p "$tools/include/linux"
	cp "$header" "$tools/include/linux/"
}

# Static, since the guest runs them from memory. With glibc, whose memcpy is
# the faster one under emulation, where ublk-ram has to copy by itself.
build_tool() { # NAME
	local source=$project/bench/$1.c
	[[ ! $tools/$1 -nt $source || ! $tools/$1 -nt $project/bench/ring.h ]] ||
		return 0
	gcc -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -static \
		-I"$tools/include" -o "$tools/$1" "$source" -lpthread
}

build_tools() {
	build_headers
	build_tool load
	build_tool ublk-ram
}

median() { sort -n | awk '{ v[NR] = $1 } END { print v[int((NR + 1) / 2)] }'; }
