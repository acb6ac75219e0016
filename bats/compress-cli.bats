#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The actions of compress, on regular files. Needs neither the kernel module nor
# privilege.

bats_require_minimum_version 1.5.0

setup() {
	top=$(cd "$BATS_TEST_DIRNAME/.." && pwd)
	bdus=$(realpath "${BDUS:-$top/build/bdus}")
	fill=$top/build/bats/compressfill
	cd "$BATS_TEST_TMPDIR" || return
}

fail() {
	echo "$*" >&2
	return 1
}

compress() { "$bdus" compress "$@"; }

# volume FILE SIZE [OPTION...]: a new one
volume() {
	truncate -s "$2" "$1"
	compress format "${@:3}" "$1"
}

# refused STATUS MESSAGE ACTION...: nothing on stdout
refused() {
	local status_wanted=$1 what=$2
	shift 2
	run "-$status_wanted" --separate-stderr "$bdus" compress "$@"
	[[ -z $output ]] || fail "prints to stdout: $*"
	# shellcheck disable=SC2154 # bats sets it
	[[ $stderr == "bdus compress $1: "*"$what"* ]] || fail "$*: $stderr"
}

sum() { sha256sum "$1" >"$1.sum"; }
unchanged() { sha256sum --quiet -c "$1.sum"; }

# field FILE FILTER: of info; lines FILE FILTER: of dump
field() { compress info --json "$1" | jq -r "$2"; }
lines() { compress dump --json "$1" | jq -r "$2"; }

# damage FILE OFFSET [BYTES]: overwrite with what makes no sense
damage() {
	head -c "${3:-64}" /dev/urandom |
		dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

### format ####################################################################

@test "format: what it is told, and what fits" {
	volume disk 64M --label "my data" --level 7 --segment 512K
	[[ $(field disk '[.schema, .label, .level, .segment_size, .clean,
		.medium, .data] | tojson') == \
		'[1,"my data",7,524288,true,67108864,0]' ]]
	(($(field disk .size) > 45000000 && $(field disk .size) < 64000000))
	[[ $(field disk .uuid) =~ ^[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}$ ]]
	compress format --force --size 10M disk
	[[ $(field disk .size) == 10485760 ]]
	compress format --force --size 1G --overcommit disk
	[[ $(field disk '[.size, .overcommitted] | tojson') == '[1073741824,true]' ]]
}

@test "format: refusals" {
	truncate -s 64M disk
	refused 1 "too small for a disk of that size" format --size 1G disk
	refused 1 "multiple of 4096" format --size 1000001 disk
	refused 1 "segment size is impossible" format --segment 100K disk
	refused 2 "longer than 47 bytes" format --label "$(printf '%048d' 0)" disk
	truncate -s 100K small
	refused 1 "too small" format small
	[[ -z $(tr -d '\0' <disk | head -c 1) ]]
	echo text | dd of=disk conv=notrunc status=none
	sum disk
	refused 5 "is not empty" format disk
	unchanged disk
	refused 1 "cannot open" format nothing
	refused 1 "is a character device" format /dev/null
	refused 2 "too few operands" format
	refused 2 "too many operands" format disk disk
	volume used 64M
	refused 5 "is not empty" format used
}

### info ######################################################################

@test "info: what is in a volume, for people and for programs" {
	volume disk 64M
	"$fill" disk write=0,300,1 discard=0,100
	[[ $(field disk '[.data, .clean, .sessions, .written, .read_only]
		| tojson') == '[819200,true,2,null,false]' ]]
	[[ $(field disk '.raw + .compressed == .data and .stored < .data
		and .ratio > 1 and .free + .physical + .map == .medium') == true ]]
	run -0 compress info disk
	[[ $output == *$'\ndata              800K\n'* ]]
	run -0 compress info --bytes disk
	[[ $output == *$'\ndata              819200\n'* ]]
}

@test "info: of a volume that was not closed, and writes nothing" {
	volume disk 64M
	"$fill" disk write=0,10,1 checkpoint write=10,30,1 kill
	sum disk
	[[ $(field disk '[.data, .clean, .recoveries, .replayed > 0] | tojson') == \
		'[163840,false,1,true]' ]]
	compress check --verify-data disk
	compress dump disk >/dev/null
	unchanged disk
}

@test "info: what is no volume, damaged, or in use" {
	truncate -s 64M blank
	refused 1 "is no compressed volume" info blank
	volume disk 64M
	"$fill" disk write=0,300,1
	flock_held disk refused 5 "is in use" info disk
	cp disk damaged
	damage damaged 300
	[[ $(field damaged .data) == 1228800 ]]
	damage damaged 4396
	refused 1 "checksum is wrong" info damaged
	cp disk damaged
	# the map, both slots
	damage damaged "$(lines disk 'select(.slot == "A") | .map_off_0')" 131072
	damage damaged "$(lines disk 'select(.slot == "A") | .map_off_1')" 131072
	run -1 --separate-stderr compress info damaged
	[[ $output == *"segment_size"* && $stderr == *"its map is damaged"* ]]
}

# flock_held FILE COMMAND...: while another process has the lock of a driver
flock_held() {
	perl -MFcntl -e '
		open my $f, "+<", $ARGV[0] or die;
		# F_OFD_SETLK, whole file
		my $l = pack "s s l! l! i x4", F_WRLCK, 0, 0, 0, 0;
		fcntl($f, 37, $l) or die "lock: $!";
		print "locked\n"; close STDOUT; <STDIN>' "$1" \
		>locked < <(sleep 100 & echo $! >sleeper; wait) 3>&- 4>&- &
	local holder=$! code=0
	until [[ -s locked ]]; do
		kill -0 "$holder" || return
		sleep 0.02
	done
	"${@:2}" || code=$?
	kill "$(cat sleeper)"
	wait "$holder" || true
	return "$code"
}

### check #####################################################################

@test "check: clean, damaged, none" {
	volume disk 64M
	"$fill" disk write=0,300,1
	run -0 compress check disk
	[[ -z $output ]]
	run -0 compress check --verify-data disk
	off=$(lines disk 'select(.type == "DATA") | .off' | sed -n 7p)
	damage disk $((off + 100))
	run -0 compress check disk
	run -4 compress check --verify-data disk
	[[ $output == *"blocks that cannot be read: "* ]]
	truncate -s 64M blank
	run -8 compress check blank
	run -8 compress check nothing
}

### dump ######################################################################

@test "dump: each structure is a line" {
	volume disk 64M
	"$fill" disk write=7,3,1 checkpoint discard=8,1 kill
	[[ $(lines disk 'select(.kind == "dump") | .schema') == 1 ]]
	[[ $(lines disk 'select(.kind == "superblock") |
		[.slot, .state] | join(" ")') == $'A valid\nB valid\nC valid' ]]
	[[ $(lines disk 'select(.kind == "record") |
		[.type, .lba, .blocks, .state] | join(" ")') == \
		$'DATA 7 1 valid\nDATA 8 1 valid\nDATA 9 1 valid\nTRIM 8 1 valid' ]]
	[[ $(lines disk 'select(.kind == "batch") | .state' | sort -u) == valid ]]
	[[ $(lines disk 'select(.kind == "segment" and .live_blocks > 0) |
		[.live_blocks, .table, .head] | join(" ")') == '3 used valid' ]]
	# as many without JSON, and all but the log without records
	[[ $(compress dump disk | wc -l) == $(lines disk .kind | wc -l) ]]
	run ! grep -qE '^(batch|record)' <(compress dump --no-records disk)
}

@test "dump: of a damaged volume, too; it ends" {
	local i
	volume disk 16M
	"$fill" disk write=0,400,1 checkpoint write=3,40,2 kill
	for ((i = 0; i < 60; i++)); do
		cp disk damaged
		damage damaged $((RANDOM * RANDOM % 16000000)) $((RANDOM % 200000))
		damage damaged $((8192 + RANDOM * 40)) $((RANDOM % 9000))
		timeout 20 "$bdus" compress dump --json damaged >out 2>err ||
			[[ $? == 1 ]]
		jq . out >/dev/null
	done
	cp disk damaged
	damage damaged 0 8192
	run -0 compress dump --no-records damaged
	[[ $output == *'slot "C"'*'state "valid"'* ]]
	damage damaged $((16777216 - 4096)) 4096
	run -1 --separate-stderr compress dump damaged
	[[ $stderr == *"has no good superblock"* ]]
}

### resize ####################################################################

@test "resize: to what the backing has, and to a size" {
	volume disk 32M
	"$fill" disk write=0,2000,1
	old=$(field disk .size)
	truncate -s 64M disk
	run -0 compress resize disk
	[[ $output == "disk: the disk has "* ]]
	(($(field disk .size) > 2 * old && $(field disk .medium) == 67108864))
	"$fill" disk verify=0,2000,1 write=9000,10,5
	compress check --verify-data disk
	[[ $(lines disk 'select(.slot == "C") | [.off, .state] | join(" ")') == \
		"$((67108864 - 4096)) valid" ]]
	compress resize --size 1G --overcommit disk
	[[ $(field disk '[.size, .overcommitted] | tojson') == '[1073741824,true]' ]]
	"$fill" disk verify=0,2000,1 verify=9000,10,5 write=200000,10,6
	compress check --verify-data disk
}

@test "resize: what was not closed is replayed first" {
	volume disk 32M
	"$fill" disk write=0,100,1 checkpoint write=50,100,2 kill
	truncate -s 48M disk
	compress resize disk
	"$fill" disk verify=0,50,1 verify=50,100,2
	compress check --verify-data disk
}

@test "resize: refusals change nothing" {
	volume disk 64M
	sum disk
	refused 1 "cannot be made smaller" resize --size 10M disk
	refused 1 "too small for a disk of that size" resize --size 1G disk
	refused 1 "multiple of 4096" resize --size 1000000001 disk
	flock_held disk refused 5 "is in use" resize disk
	unchanged disk
	truncate -s 48M disk
	refused 1 "longer than what it is on" resize disk
	truncate -s 64M blank
	refused 1 "is no compressed volume" resize blank
	# with nothing to do
	volume other 64M
	old=$(field other .size)
	compress resize other
	[[ $(field other .size) == "$old" ]]
}

### recompress ################################################################

@test "recompress: less is stored, the content stays, and it is done once" {
	volume disk 64M --level 1
	"$fill" disk write=0,3000,1
	before=$(field disk .stored)
	run -0 compress recompress --level 19 --json disk
	[[ $(jq -r '[.schema, .level, .done, .examined] | tojson' <<<"$output") == \
		'[1,19,true,12288000]' ]]
	saved=$(jq .saved <<<"$output")
	((saved > 0))
	(($(field disk .stored) == before - saved))
	"$fill" disk verify=0,3000,1
	compress check --verify-data disk
	[[ $(compress recompress --level 19 --json disk | jq .rewritten) == 0 ]]
	run -0 compress recompress --level 1 disk
	[[ $output == "disk: examined 11.7M, rewrote 0, saved 0" ]]
}

@test "recompress: refusals" {
	volume disk 64M
	flock_held disk refused 5 "is in use" recompress disk
	refused 2 "is no device of bdus" recompress --background disk
	refused 2 "is no device of bdus" recompress --stop disk
	refused 4 "no such device" recompress bdus-4711
	refused 1 "cannot open" recompress ./nothing
	truncate -s 64M blank
	refused 1 "is no compressed volume" recompress blank
}

### a disk ####################################################################

@test "open: refuses what it does not know" {
	volume disk 64M
	for what in nothing queue= queue=0 queue=2h; do
		refused 2 "--on-full: '$what' is not known" open \
			--on-full "$what" disk || break
	done
}
