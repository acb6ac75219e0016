#!/usr/bin/env bats
# compress: a compressed volume as a disk, its end in order and otherwise, and
# drivers that are replaced or killed while it is in use.

load lib
load backing
load compress

# How often, where the number matters (200 and 500 for the README's figures).
reruns=${BDUS_RERUNS:-20}
recoveries=${BDUS_RECOVERIES:-20}

# made SIZE [OPTION...]: "file" is an empty volume of that size
made() {
	truncate -s "$1" file
	bdus compress format --level 1 "${@:2}" file
}

# volume SIZE [OPTION...]: likewise, and $dev its disk
volume() {
	made "$1"
	start bdus compress "${@:2}" file
}

rerun() { bdus rerun "$id" compress file; }

# refused STATUS TEXT ARG...: bdus compress ARG... ends with STATUS, says TEXT
refused() {
	run -"$1" --separate-stderr timeout 10 bdus compress "${@:3}"
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $output && $stderr == "bdus compress"*": "*"$2"* ]] || {
		echo "$output" "$stderr"
		return 1
	}
}

# ends FILE: the end of $dev, which is all there when it is opened again
ends() {
	local before
	before=$(sum "$dev")
	bdus destroy "$dev"
	is_clean "$1"
	is_sound "$1"
	start bdus compress "$1"
	[[ $(sum "$dev") == "$before" ]]
	bdus destroy "$dev"
}

### data ######################################################################

@test "a file: random writes under load read back as written" {
	volume 96M
	verify "$dev" 48M --fsync=64
	ends file
}

@test "a block device: random writes under load read back as written" {
	below $((96 * MiB))
	bdus compress format --level 1 /dev/ram0
	start bdus compress /dev/ram0
	verify "$dev" 48M --fsync=64
	ends /dev/ram0
}

@test "a full volume: all of it is overwritten again and again" {
	volume 48M
	size=$(blockdev --getsize64 "$dev")
	for ((n = 0; n < 3; n++)); do
		verify "$dev" "$size" --buffer_compress_percentage=0 \
			--refill_buffers
	done
	ends file
}

@test "a file system, written, unmounted, opened again: fsck is clean" {
	volume 128M
	mkfs.ext4 -q "$dev"
	mount "$dev" /mnt
	cp -r "$BATS_TEST_DIRNAME"/../src /mnt/
	fill_pattern /mnt/data $((8 * MiB))
	tar -c -C /mnt --sort=name . | sha256sum >expected
	umount /mnt
	bdus destroy "$dev"
	start bdus compress file
	e2fsck -fn "$dev"
	mount -o ro "$dev" /mnt
	tar -c -C /mnt --sort=name . | sha256sum | cmp - expected
}

@test "what can be packed takes less than it is" {
	volume 64M
	yes 'all the same' | head -c $((32 * MiB)) >data
	put data
	bdus flush "$dev"
	# segments of 1 MiB, of which six are allocated ahead
	(($(used file) < 12 * MiB))
	holds data
	ends file
}

@test "--read-only: what is there, unchanged, after a crash as well" {
	volume 64M
	fill_pattern data $((4 * MiB))
	put data
	kill_driver
	wait_until 5 no_device
	run ! is_clean file
	before=$(sum file)
	start bdus compress --read-only file
	holds data
	run ! dd if=data of="$dev" bs=4k count=1 oflag=direct
	bdus destroy "$dev"
	[[ $(sum file) == "$before" ]]
	start bdus compress file
	holds data
	bdus destroy "$dev"
	is_clean file
}

@test "discard gives space back: on a file, and on a device" {
	volume 96M
	fill_pattern data $((32 * MiB))
	put data
	bdus flush "$dev"
	(($(used file) >= 32 * MiB))
	blkdiscard "$dev"
	cmp --bytes=$((32 * MiB)) /dev/zero "$dev"
	rerun
	wait_until 5 uses_less file $((16 * MiB))
	bdus destroy "$dev"
	start bdus ram --size 96M --lazy
	lower=$id
	bdus compress format --level 1 "$dev"
	start bdus compress "$dev"
	put data
	blkdiscard "$dev"
	bdus destroy "$dev"
	(($(<"/sys/block/bdus-$lower/bdus/discard_bytes") >= 16 * MiB))
}

uses_less() { (($(used "$1") < $2)); } # FILE BYTES

### what is refused ###########################################################

@test "what can be no volume is refused by what it is" {
	truncate -s 1M small
	refused 1 'small: is too small' format small
	truncate -s 64M file
	refused 1 'file: is no compressed volume' file
	[[ $stderr == *'"bdus compress format" makes a volume'* ]]
	mkfs.ext4 -q file
	refused 5 'file: is not empty' format file
	dumpe2fs -h file >/dev/null 2>&1
	bdus compress format --force file
	refused 5 'file: is not empty' format file
	refused 1 'too small for a disk of that size' format --force --size 64M \
		file
	head -c 65536 /dev/urandom | dd of=file conv=notrunc status=none
	refused 1 'file: ' file
	no_device
}

@test "a volume in use: 5, also for what would look at it" {
	volume 64M
	refused 5 'file: is in use' file
	refused 5 'file: is in use' --read-only file
	refused 5 'file: is in use' format --force file
	refused 5 'file: is in use' info file
	below $((64 * MiB))
	bdus compress format /dev/ram0
	start bdus compress /dev/ram0
	refused 5 '/dev/ram0: is in use' /dev/ram0
	refused 5 '/dev/ram0: ' format --force /dev/ram0
	refused 5 '/dev/ram0: is in use' info /dev/ram0
	refused 8 '/dev/ram0: is in use' check /dev/ram0
}

@test "one damaged superblock is no harm, two are told" {
	volume 64M
	fill_pattern data "$MiB"
	put data
	bdus destroy "$dev"
	dd if=/dev/urandom of=file bs=4k count=1 conv=notrunc status=none
	start bdus compress file
	holds data
	bdus destroy "$dev"
	is_sound file
	dd if=/dev/urandom of=file bs=4k count=2 conv=notrunc status=none
	refused 1 'file: ' file
}

### a backing without room ####################################################

@test "a full file system: ENOSPC, and nothing acknowledged is lost" {
	ext4_below $((128 * MiB))
	truncate -s 256M /mnt/file
	bdus compress format --level 1 /mnt/file
	start bdus compress /mnt/file
	fill_pattern data $((8 * MiB))
	put data
	run ! dd if=/dev/urandom of="$dev" bs=1M seek=8 oflag=direct
	[[ $output == *'No space left on device'* ]]
	holds data
	bdus flush "$dev"
	blkdiscard --offset 8M "$dev"
	rerun_below
	put data 16
	holds data 16
	holds data
	kill_driver
	wait_until 5 no_device
	start bdus compress /mnt/file
	holds data 16
	holds data
	bdus destroy "$dev"
	is_sound /mnt/file
}

rerun_below() { bdus rerun "$id" compress /mnt/file; }

### the end ###################################################################

@test "SIGTERM ends it as destroy does" {
	volume 64M
	fill_pattern data $((4 * MiB))
	dd if=data of="$dev" bs=1M status=none
	kill "$pid"
	wait_until 10 is_gone "$dev"
	wait_until 5 has_ended "$pid"
	is_clean file
	start bdus compress file
	holds data
}

@test "a backing that fails at the end: destroy says so" {
	below $((64 * MiB))
	echo '0 131072 linear /dev/ram0 0' | dmsetup create lower
	bdus compress format --level 1 /dev/mapper/lower
	start bdus compress /dev/mapper/lower
	fill_pattern data "$MiB"
	put data
	breaks
	put data
	run -1 bdus destroy "$dev"
	[[ $output == *'cannot flush, so it stays: I/O error'* ]]
	bdus destroy --no-flush "$dev"
}

# /dev/mapper/lower fails from now on.
breaks() {
	dmsetup suspend --nolockfs lower
	echo '0 131072 error' | dmsetup load lower
	dmsetup resume lower
}

@test "a backing that fails after the last flush: the driver says so" {
	below $((64 * MiB))
	echo '0 131072 linear /dev/ram0 0' | dmsetup create lower
	bdus compress format --level 1 /dev/mapper/lower
	start bdus compress --log log /dev/mapper/lower
	fill_pattern data "$MiB"
	put data
	bdus flush "$dev"
	breaks
	bdus destroy --no-flush "$dev"
	wait_until 5 has_ended "$pid"
	grep -q '/dev/mapper/lower: cannot be ended: I/O error' log
	dmsetup remove lower
	start bdus compress /dev/ram0
	holds data
}

### drivers that are replaced #################################################

@test "reruns under load: no error, no bad block" {
	volume 128M
	start_verify --fsync=32
	for ((n = 1; n <= reruns; n++)); do
		rerun
	done
	[[ $(attribute restarts) == "$reruns" ]]
	end_verify
	[[ $(attribute last_reason) == replaced ]]
	[[ $(pgrep -xc bdus) == 1 ]]
	ends file
}

@test "reruns under load of a volume that is nearly full" {
	volume 72M
	start_verify --buffer_compress_percentage=0 --refill_buffers \
		--size="$(blockdev --getsize64 "$dev")"
	for ((n = 1; n <= reruns; n++)); do
		rerun
	done
	end_verify
	ends file
}

@test "reruns under a mounted file system: files stay what they are" {
	volume 160M
	files_stay ext4 "$reruns" rerun e2fsck -fn
	ends file
}

@test "reruns of a volume that nobody writes to" {
	volume 64M
	fill_pattern data "$MiB"
	put data
	for ((n = 1; n <= 3; n++)); do
		rerun
		holds data
	done
	bdus flush "$dev"
	ends file
}

# A volume that can be opened, but not be started: its map is lost.
unreadable() {
	cp file "$1"
	dd if=/dev/zero of="$1" bs=4k seek=2 count=64 conv=notrunc status=none
}

@test "a candidate that cannot start leaves the old driver serving" {
	volume 64M
	fill_pattern data $((4 * MiB))
	put data
	bdus destroy "$dev"
	unreadable other
	before=$(sum other)
	start bdus compress file
	start_verify --offset=8M --size=24M
	for ((n = 1; n <= 5; n++)); do
		run -1 --separate-stderr bdus rerun "$id" compress other
		[[ $stderr == *'other: its map is damaged'* ]]
		[[ $(attribute pid) == "$pid" ]]
		holds data
	done
	end_verify
	[[ $(attribute restarts) == 0 && $(sum other) == "$before" ]]
	rerun
	holds data
	ends file
}

@test "candidates that are killed wherever they are change nothing" {
	volume 96M --recoverable
	start_verify --fsync=32
	for ((n = 1; n <= reruns; n++)); do
		rerun >rerun.out 2>&1 3>&- 4>&- &
		rerun=$!
		# anywhere from the start of the process to after the take-over
		sleep "0.$((RANDOM % 4))$((RANDOM % 10))"
		pkill -9 -n -x bdus || true
		wait "$rerun" || true
	done
	wait_until 60 goes_on $(($(attribute write_requests) + 200))
	end_verify
	ends file
}

# With the driver that it has; or with a new one, if it was the last candidate
# and died of it.
goes_on() { # REQUESTS
	has_written "$1" || { is_in_state waiting && rerun && false; }
}

@test "a device of another size is refused" {
	volume 64M
	truncate -s 80M other
	bdus compress format other
	run -1 --separate-stderr bdus rerun "$id" compress other
	[[ $stderr == *"has "*" bytes, the new driver "* ]]
	[[ $(attribute pid) == "$pid" ]]
}

### drivers that die ##########################################################

@test "kill -9 under load: no error, no bad block" {
	volume 128M --supervise
	start_verify --fsync=32
	for ((n = 1; n <= recoveries; n++)); do
		kill_driver
		wait_until 20 has_restarts "$n"
	done
	(($(attribute attempts) > 0))
	end_verify
	[[ $(attribute last_reason) == exited ]]
	ends file
}

@test "kill -9 under load of a volume that is nearly full" {
	volume 72M --supervise
	start_verify --buffer_compress_percentage=0 --refill_buffers \
		--size="$(blockdev --getsize64 "$dev")"
	for ((n = 1; n <= recoveries; n++)); do
		kill_driver
		wait_until 20 has_restarts "$n"
	done
	end_verify
	ends file
}

@test "kill -9 under a mounted file system: files stay what they are" {
	volume 160M --supervise
	files_stay ext4 "$recoveries" kill_driver e2fsck -fn
	ends file
}

@test "on a block device: killed and replaced in turns" {
	below $((128 * MiB))
	bdus compress format --level 1 /dev/ram0
	start bdus compress --supervise /dev/ram0
	start_verify --fsync=32
	for ((n = 1; n <= recoveries / 2; n++)); do
		bdus rerun "$id" compress /dev/ram0
		kill_driver
		wait_until 20 has_restarts $((2 * n))
	done
	end_verify
	ends /dev/ram0
}

@test "a driver that dies, and one that is started by hand" {
	volume 64M --recoverable
	fill_pattern data $((8 * MiB))
	put data
	for ((n = 1; n <= 5; n++)); do
		kill_driver
		wait_until 5 is_in_state waiting
		rerun
		holds data
		put data "$((8 * n % 32))"
	done
	ends file
}

@test "one that cannot start leaves the device waiting" {
	volume 64M
	fill_pattern data $((4 * MiB))
	put data
	bdus destroy "$dev"
	unreadable other
	start bdus compress --recoverable file
	holds data
	kill_driver
	wait_until 5 is_in_state waiting
	run -1 --separate-stderr bdus rerun "$id" compress other
	[[ $stderr == *'other: its map is damaged'* ]]
	wait_until 5 is_in_state waiting
	rerun
	holds data
	ends file
}

@test "kill -9 without another driver: the volume is sound, and all is there" {
	volume 96M
	for ((n = 1; n <= ${BDUS_DEATH_ROUNDS:-5}; n++)); do
		fill_pattern data $(((n + 4) * MiB))
		put data "$n"
		kill_driver
		wait_until 5 no_device
		is_sound file
		start bdus compress file
		holds data "$n"
	done
	ends file
}
