#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# bdus compress check and repair, on files. What is on them comes from, and is
# compared by, build/unit/test-compress-damage. Needs neither the kernel module
# nor privilege.

bats_require_minimum_version 1.5.0

setup() {
	top=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	bdus=$(realpath "${BDUS:-$top/build/bdus}")
	volume=$top/build/unit/test-compress-damage
	[[ -x $volume ]] || skip "no $volume: make tests"
	cd "$BATS_TEST_TMPDIR" || return
}

# make KIND [HOW]: disk, and the variables that tell where its structures are
make() {
	kind=$1
	eval "$("$volume" "${2:-image}" "$kind" disk)"
	cp disk whole
}

# junk OFFSET BYTES: overwrite a part of the disk
junk() {
	head -c "$2" /dev/urandom |
		dd of=disk bs=64K oflag=seek_bytes seek="$1" conv=notrunc status=none
}

check() { "$bdus" compress check "$@" disk; }
repair() { "$bdus" compress repair "$@" disk; }

# reads RIGHT ERRORS: so many blocks are; none is wrong
reads() {
	local found
	found=$("$volume" read "$kind" disk)
	[[ $found == "$1 right, $2 errors, 0 wrong" ]] || {
		echo "$found" >&2
		return 1
	}
}

# refused TEXT: the volume cannot be opened
refused() { [[ $("$volume" read "$kind" disk) == "refused: $1" ]]; }

# the last word on a repaired volume
clean() {
	run -0 check --verify-data
	[[ ! $output ]]
	run -0 repair
	[[ ! $output ]]
}

# check_unproven OPTION: a repair tells that there are blocks to be kept
check_unproven() {
	local found
	found=$(repair "$1" 2>&1)
	[[ $found == *"--accept-stale would keep it"* ]]
}

### nothing to do #############################################################

@test "a volume that is whole, clean or crashed: 0, and nothing is written" {
	local kind
	for kind in clean crashed raw wide; do
		make "$kind"
		run -0 check
		[[ ! $output ]]
		run -0 check --verify-data
		run -0 repair --force
		[[ ! $output ]]
		cmp disk whole
	done
}

@test "not a volume: 8" {
	truncate -s 1M disk
	run -8 check
	[[ $output == *"disk: is no compressed volume"* ]]
	run -8 repair -n
	run -8 "$bdus" compress check nothing
	[[ $output == *"nothing: cannot open"* ]]
}

@test "unknown options: 2" {
	run -2 check --repair
	run -2 repair --accept
}

### superblocks ###############################################################

@test "one superblock is damaged: check 4, repair 1, nothing is lost" {
	make crashed
	local at
	for at in 0 4096 "$end"; do
		cp whole disk
		junk "$at" 512
		run -4 check
		[[ $output == "superblock "*" is damaged" ]]
		run -1 repair --force
		reads 340 0
		clean
	done
}

@test "superblocks A and B are lost: nothing else is" {
	local kind
	for kind in clean crashed raw; do
		make "$kind"
		junk 0 8192
		run -4 check --json
		[[ $output == *'"may_be_stale": false,'* ]]
		run -1 repair --force
		[[ $("$volume" read "$kind" disk) == *" 0 errors, 0 wrong" ]]
		clean
	done
}

@test "all superblocks are lost: 4, nothing is written" {
	make clean
	junk 0 8192
	junk "$end" 4096
	cp disk damaged
	run -8 repair --force
	[[ $output == *"is no compressed volume"* ]]
	cmp disk damaged
}

### the map ###################################################################

@test "a page of the map is damaged: it is found again in the log" {
	make raw
	junk "$leaf" 4096
	run -4 check
	[[ ${lines[0]} == "pages of the map that are damaged: 1" ]]
	run -1 repair --force
	[[ $output == *"blocks of them that the log tells of: "* ]]
	[[ $("$volume" read raw disk) == *" 0 wrong" ]]
	clean
}

@test "the root is damaged: the volume is refused, repair restores all" {
	local kind
	for kind in clean crashed raw wide; do
		make "$kind"
		junk "$root" 4096
		refused "its map is damaged"
		run -4 check
		run -1 repair --force
		[[ $("$volume" read "$kind" disk) == *" 0 errors, 0 wrong" ]]
		clean
	done
}

### data and log ##############################################################

@test "a record is damaged: lost with --verify-data only" {
	make clean
	junk "$record" 64
	run -0 check
	run -4 check --verify-data
	[[ $output == *"blocks that cannot be read: 1"* ]]
	[[ $output == *"cannot be read: bytes "* ]]
	run -0 repair --force
	run -1 repair --force --verify-data
	reads 339 1
	run -0 check --verify-data
	[[ $output == "blocks that were lost before: 1" ]]
}

@test "the log is damaged: read-only, until --accept-stale" {
	make crashed
	junk "$log" 4096
	refused "its log is damaged"
	run -4 check
	[[ $output == *"batches of the log that are damaged: "* ]]
	[[ $output == *"any block may be older than it was"* ]]
	run -4 repair --force
	[[ $output == *"--accept-stale takes it"* ]]
	"$volume" read crashed disk
	run -4 check
	run -4 repair --force
	run -1 repair --force --accept-stale
	clean
}

@test "--accept-stale at once" {
	make crashed
	junk "$log" 4096
	run -1 repair --force --accept-stale
	clean
}

@test "what cannot be repaired is told after a repair, too" {
	make clean overlap
	run -4 check
	[[ $output == "places that belong to two records: "* ]]
	run -4 repair --force
	junk 0 512
	run -4 repair --force
	[[ $output == *"superblock A is damaged"* ]]
	run -4 check
	[[ $output != *superblock* ]]
}

@test "what --accept-stale would keep is told without a question, too" {
	make clean
	junk "$leaf" 4096
	junk "$other_leaf" 4096
	junk $((record / 4096 * 4096 - 65536)) 8192
	run -0 check_unproven --dry-run
	run -0 check_unproven --force
}

### how it is asked for #######################################################

# asks FIFO: repair, at a terminal that is typed at through a fifo
asks() {
	exec 7<>"$1"
	script -qefc "$bdus compress repair disk" screen <"$1" >/dev/null 7>&- &
	asker=$!
	local end=$((SECONDS + 10))
	until grep -q "Type YES" screen 2>/dev/null; do
		((SECONDS < end)) || return 1
		read -rt 0.02 <> <(:) || true
	done
}

@test "at a terminal it asks; meanwhile the volume is in use" {
	make crashed
	junk 0 512
	cp disk damaged
	mkfifo keyboard
	asks keyboard
	run -8 repair --force
	[[ $output == *"disk: is in use"* ]]
	echo no >&7
	status=0
	wait "$asker" || status=$?
	((status == 32))
	cmp disk damaged
	rm screen
	asks keyboard
	echo YES >&7
	status=0
	wait "$asker" || status=$?
	((status == 1))
	clean
}

@test "nobody to be asked: nothing is done without --force" {
	make crashed
	junk 0 512
	cp disk damaged
	run -32 repair </dev/null
	[[ $output == *"--force does it"* ]]
	cmp disk damaged
	run -1 repair -y
	clean
}

@test "--dry-run tells, and changes nothing" {
	make crashed
	junk "$leaf" 4096
	junk 4096 512
	cp disk damaged
	chmod 400 disk
	run -4 repair -n
	[[ $output == *"superblock B is damaged"* ]]
	[[ $output == *"pages of the map that are damaged: 1"* ]]
	cmp disk damaged
}

@test "--json" {
	make clean
	run -0 check --json
	[[ $output == '{"schema": 1, "status": 0, '* ]]
	[[ $output == *'"superblocks": ["good", "good", "good"], '* ]]
	[[ $output == *'"lost": [], "stale": [], "unreadable": []}' ]]
	junk 4096 512
	junk "$record" 64
	run -4 check --json --verify-data
	[[ $output == *'"superblocks": ["good", "damaged", "good"], '* ]]
	[[ $output == *'"blocks_unreadable": 1, '* ]]
	[[ $output == *'"unreadable": [{"offset": 1228800, "length": 4096}]'* ]]
	run -1 repair --json --force --verify-data
	[[ $output == '{"schema": 1, "status": 1, '* ]]
	[[ $output == *'"blocks_lost": 1, '* ]]
	[[ $output == *'"lost": [{"offset": 1228800, "length": 4096}], '* ]]
	run -0 check --json
	[[ $output == *'"blocks_lost_before": 1, '* ]]
}
