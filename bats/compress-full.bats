#!/usr/bin/env bats
# compress: no space, and a backing that fails: what is promised fits, errors
# are clear, nothing that was acknowledged is lost, and nothing hangs.

load lib
load backing
load compress

# Whoever waits for space goes first: all else waits for them.
teardown() {
	[[ -z ${writer-} ]] || kill "$writer" || true
	no_device || bdus destroy --all --force --no-flush --timeout 5 || true
	umount -q /mnt || true
	[[ ! -d /sys/module/dm_mod ]] || dmsetup remove_all
	[[ ! -d /sys/module/brd ]] || wait_until 5 rmmod brd
	common_teardown
}

# fill_by DATA SIZE: go on behind the first $n blocks
fill_by() {
	run dd if="$1" of="$dev" bs="$2" skip="$((n * 4))k" \
		seek="$((n * 4))k" iflag=skip_bytes oflag=direct,seek_bytes
	# shellcheck disable=SC2154 # bats sets it
	[[ $output =~ ([0-9]+)\+[01]\ records\ out ]]
	n=$((n + BASH_REMATCH[1] * ${2%k} / 4))
}

# fill DATA: $dev with it until there is no space, to the last block; the first
# $n blocks are acknowledged, and there
fill() {
	n=0
	fill_by "$1" 32k
	fill_by "$1" 4k
	cmp -n $((n * 4096)) "$1" "$dev"
}

was_refused() { [[ $output == *'No space left on device'* ]]; }

# fill_all DATA: likewise, and there is space for all
fill_all() {
	fill "$1"
	((n * 4096 == $(blockdev --getsize64 "$dev")))
}

# fio_raw [FIO-OPTION...]: blocks that cannot be packed, in random order, one
# after the other, each flushed, and read back
fio_raw() {
	fio --name=raw --filename="$dev" --direct=1 --ioengine=psync \
		--rw=randwrite --bs=4k --fsync=1 --refill_buffers \
		--buffer_compress_percentage=0 --verify=crc32c \
		--verify_fatal=1 --verify_state_save=0 --allow_file_create=0 \
		--minimal "$@" >fio.out 2>&1
}

# text FILE BYTES: what can be packed well, and differs in each block
text() {
	seq -f 'line %.0f of what can be packed' 1000000 | head -c "$2" >"$1"
}

# on_device: $dev is a volume on /dev/ram0, of 8 MiB
on_device() {
	below $((8 * MiB))
	bdus compress format --level 1 /dev/ram0
	start bdus compress --log log /dev/ram0
}

# endures BACKING: all of $dev is there after a kill, and after an end
endures() {
	local before
	before=$(sum "$dev")
	kill_driver
	wait_until 5 no_device
	is_sound "$1"
	start bdus compress --log log "$1"
	[[ $(sum "$dev") == "$before" ]]
	timeout 20 bdus destroy "$dev"
	is_clean "$1"
	is_sound "$1"
	start bdus compress --log log "$1"
	[[ $(sum "$dev") == "$before" ]]
}

### what is promised ##########################################################

@test "a device, full of what was packed well: none of it fails" {
	on_device
	text data "$(blockdev --getsize64 "$dev")"
	fill_all data
	(($(json .stored) < $(blockdev --getsize64 "$dev") / 2))
	fio_raw
	(($(json .stored) > $(blockdev --getsize64 "$dev") * 9 / 10))
	fio_raw --number_ios=300
	[[ $(json .full) == false ]]
	endures /dev/ram0
	blkdiscard "$dev"
	fill_all data
}

@test "a device that cannot discard: likewise" {
	below $((8 * MiB))
	echo 0 >/sys/block/ram0/queue/discard_max_bytes
	bdus compress format --level 1 /dev/ram0
	start bdus compress /dev/ram0
	text data "$(blockdev --getsize64 "$dev")"
	fill_all data
	fio_raw
	blkdiscard "$dev"
	fill_all data
}

# crowded: /mnt/file is a volume of 32 MiB; somebody else fills /mnt
crowded() {
	truncate -s 32M /mnt/file
	bdus compress format --level 1 /mnt/file
	start bdus compress /mnt/file
	fill_pattern data "$MiB"
	fill_pattern other $((16 * MiB))
	put data 20
	run ! dd if=/dev/zero of=/mnt/other bs=64k conv=fsync
	was_refused
	# what was allocated ahead takes some, then it is told
	fill other
	was_refused
	holds data 20
	timeout 20 bdus flush "$dev"
	timeout 20 blkdiscard -l 64k "$dev"
	timeout 20 bdus flush "$dev"
	endures /mnt/file
	rm /mnt/other
	put data 21
	holds data 21
	holds data 20
	bdus destroy "$dev"
	is_sound /mnt/file
}

@test "a sparse file on a tmpfs that others fill" {
	mount -t tmpfs -o size=16M tmpfs /mnt
	crowded
}

@test "a sparse file on an ext4 that others fill" {
	ext4_below $((20 * MiB))
	crowded
}

### more than fits ############################################################

# over OPTION...: a disk of 32 MiB on 8 MiB
over() {
	below $((8 * MiB))
	bdus compress format --level 1 --size 32M --overcommit /dev/ram0
	start bdus compress --log log "$@" /dev/ram0
	fill_pattern data $((8 * MiB))
}

@test "more than fits: ENOSPC, and what was acknowledged is there" {
	over
	fill data
	was_refused
	((n * 4096 > 5 * MiB))
	[[ $(json '[.full, .overcommitted] | tojson') == '[true,true]' ]]
	for level in 80 90 95; do
		[[ $(grep -c "$level% of the space is in use" log) == 1 ]]
	done
	# what makes as much dead as it takes can be written
	fio_raw --size=1M
	text words "$MiB"
	put words 1
	holds words 1
	cmp -n $((2 * MiB)) -i $((2 * MiB)) data "$dev"
	timeout 20 bdus flush "$dev"
	endures /dev/ram0
	blkdiscard "$dev"
	fill data
	((n * 4096 > 5 * MiB))
	SECONDS=0
	bdus destroy "$dev"
	((SECONDS < 10))
}

@test "more than fits: what is packed is overwritten until there is no space" {
	over
	text words $((16 * MiB))
	fill words
	((n == 4096))
	fill data
	was_refused
	((n > 512 && n < 2048))
	# what was refused is as it was
	cmp -n $((8 * MiB)) -i $((8 * MiB)) words "$dev"
	run ! fio_raw --offset=8M --size=2M
	grep -q 'No space left on device' fio.out
	timeout 20 bdus flush "$dev"
	timeout 20 blkdiscard -o 16M "$dev"
	timeout 20 blkdiscard -l 2M "$dev"
	fio_raw --size=1M
	endures /dev/ram0
}

@test "more than fits: a file system goes on after fstrim" {
	below $((16 * MiB))
	bdus compress format --level 1 --size 48M --overcommit /dev/ram0
	start bdus compress --on-full queue=300s --log log /dev/ram0
	mkfs.ext4 -q "$dev"
	mount "$dev" /mnt
	fill_pattern data $((7 * MiB))
	fallocate -l 7M /mnt/b
	cp data /mnt/a
	sync -f /mnt
	rm /mnt/a
	sync -f /mnt
	dd if=data of=/mnt/b bs=64k oflag=direct conv=notrunc,fsync status=none \
		3>&- 4>&- &
	writer=$!
	wait_until 60 waits
	timeout 30 fstrim /mnt
	succeeds
	cmp data /mnt/b
	umount /mnt
	e2fsck -fn "$dev"
	endures /dev/ram0
}

# Does $writer?
succeeds() {
	local pid=$writer
	wait_until 60 has_ended "$pid"
	writer=
	wait "$pid"
}

fails() { if succeeds; then return 1; fi; }

waits() { [[ $(json '.waiting > 0') == true ]]; }
is_written() { (($(json .written) > $1)); } # BYTES

# queued OPTION...: likewise, and a write waits for space, by $writer
queued() {
	over "$@"
	dd if=data of="$dev" bs=64k oflag=direct status=none 2>dd.out \
		3>&- 4>&- &
	writer=$!
	wait_until 60 waits
}

@test "writes that wait: flushes and discards do not, and are why they go on" {
	queued --on-full queue=300s
	timeout 20 bdus flush "$dev"
	before=$(json .written)
	timeout 20 blkdiscard -l 2M "$dev"
	wait_until 60 is_written "$before"
	wait_until 60 waits
	timeout 20 blkdiscard "$dev"
	succeeds
	timeout 20 bdus destroy "$dev"
	is_sound /dev/ram0
}

@test "writes that wait: they fail when their time is over" {
	queued --on-full queue=2s
	fails
	grep -q 'No space left on device' dd.out
	timeout 20 bdus destroy "$dev"
	is_sound /dev/ram0
}

@test "writes that wait: a rerun is refused, until they do not" {
	queued --on-full queue=300s
	run -5 --separate-stderr timeout 20 bdus rerun "$id" compress /dev/ram0
	# shellcheck disable=SC2154 # bats sets it
	[[ $stderr == *'/dev/ram0: '[0-9]*' writes wait for space'* ]]
	[[ $(attribute pid) == "$pid" ]]
	timeout 20 blkdiscard "$dev"
	succeeds
	bdus rerun "$id" compress /dev/ram0
	timeout 20 bdus destroy "$dev"
	is_sound /dev/ram0
}

@test "writes that wait: destroy is refused, or ends them" {
	queued --on-full queue=300s
	SECONDS=0
	run -5 bdus destroy "$dev"
	[[ $output == *'in use: dd'* ]]
	waits
	bdus destroy --force --timeout 5 "$dev"
	((SECONDS < 12))
	fails
	is_sound /dev/ram0
}

@test "writes that wait: a driver that is killed: they fail with the next one" {
	queued --on-full queue=300s --supervise
	kill_driver
	fails
	grep -q 'No space left on device' dd.out
	timeout 20 blkdiscard "$dev"
	timeout 20 bdus destroy "$dev"
	is_sound /dev/ram0
}

### a backing that fails ######################################################

# lower TABLE...: what /dev/mapper/lower is from now on
lower() {
	dmsetup suspend --nolockfs lower
	dmsetup load lower --table "0 $sectors $*"
	dmsetup resume lower
}

whole() { lower linear /dev/ram0 0; }
refuses_writes() { lower flakey /dev/ram0 0 0 60 1 error_writes; }
refuses_all() { lower error; }

# on_lower OPTION...: $dev is a volume on /dev/mapper/lower; it has data
on_lower() {
	below $((16 * MiB))
	sectors=$((16 * MiB / 512))
	dmsetup create lower --table "0 $sectors linear /dev/ram0 0"
	bdus compress format --level 1 /dev/mapper/lower
	start bdus compress --log log "$@" /dev/mapper/lower
	fill_pattern data "$MiB"
	fill_pattern other $((MiB / 2))
	put data
	put data 2
	bdus flush "$dev"
}

# gives_up BACKING: it has failed, which is told, and is over when it is whole
gives_up() {
	run -1 timeout 20 bdus flush "$dev"
	[[ $output == *'I/O error'* ]]
	run ! dd if=other of="$dev" bs=4k count=1 oflag=direct
	run ! timeout 20 blkdiscard -l 1M "$dev"
	run -1 timeout 20 bdus flush "$dev"
	[[ $(json '[.failed, .needs_check] | tojson') == '[true,true]' ]]
	[[ $(grep -c "$1: the backing has failed: I/O error" log) == 1 ]]
	run -1 timeout 20 bdus destroy "$dev"
	[[ $output == *'cannot flush, so it stays: I/O error'* ]]
}

# is_marked BACKING: a failure is all that there was
is_marked() {
	run -4 bdus compress check --verify-data "$1"
	[[ $output == 'a write has failed while it was in use' ]]
	run -1 bdus compress repair --force "$1"
	is_sound "$1"
}

@test "a backing that refuses writes: told, reads go on, whole afterwards" {
	on_lower
	refuses_writes
	dd if=other of="$dev" bs=4k oflag=direct status=none
	gives_up /dev/mapper/lower
	holds data 2
	timeout 20 bdus destroy --no-flush "$dev"
	whole
	is_sound /dev/mapper/lower
	start bdus compress --log log /dev/mapper/lower
	# where data was flushed before, that or what was written since
	cmp -n $((MiB / 2)) other "$dev" || cmp -n $((MiB / 2)) data "$dev"
	cmp -n $((MiB / 2)) -i $((MiB / 2)) data "$dev"
	holds data 2
	put data 4
	endures /dev/mapper/lower
}

@test "a backing that is gone: reads fail, nothing hangs, whole afterwards" {
	on_lower
	refuses_all
	run timeout 20 dd if=other of="$dev" bs=64k seek=64 oflag=direct
	gives_up /dev/mapper/lower
	echo 3 >/proc/sys/vm/drop_caches
	run ! timeout 20 cmp -n $((MiB / 2)) data "$dev"
	timeout 20 bdus destroy --no-flush "$dev"
	whole
	is_sound /dev/mapper/lower
	start bdus compress --log log /dev/mapper/lower
	holds data
	holds data 2
	endures /dev/mapper/lower
}

@test "a driver after one whose backing has failed: it does not make it good" {
	on_lower --recoverable
	refuses_writes
	dd if=other of="$dev" bs=4k oflag=direct status=none
	gives_up /dev/mapper/lower
	whole
	run -1 bdus rerun "$id" compress /dev/mapper/lower
	run -1 timeout 20 bdus flush "$dev"
	timeout 20 bdus destroy --no-flush "$dev"
	start bdus compress /dev/mapper/lower
	holds data 2
	bdus destroy "$dev"
	is_sound /dev/mapper/lower
}

# What could not be written is in the page cache as if it had been.
@test "a file whose file system loses writes: nothing is built on these" {
	below $((32 * MiB))
	sectors=$((32 * MiB / 512))
	dmsetup create lower --table "0 $sectors linear /dev/ram0 0"
	mkfs.ext4 -q -O ^has_journal /dev/mapper/lower
	mount /dev/mapper/lower /mnt
	truncate -s 16M /mnt/file
	bdus compress format --level 1 /mnt/file
	start bdus compress --log log /mnt/file
	fill_pattern data "$MiB"
	fill_pattern other $((MiB / 2))
	put data
	put data 2
	bdus flush "$dev"
	sync -f /mnt
	refuses_writes
	dd if=other of="$dev" bs=4k oflag=direct status=none
	gives_up /mnt/file
	timeout 20 bdus destroy --no-flush "$dev"
	whole
	start bdus compress --log log /mnt/file 2>warning
	grep -q 'writes were lost once' warning
	put data 4
	bdus flush "$dev"
	echo 3 >/proc/sys/vm/drop_caches
	cmp -n $((MiB / 2)) -i $((MiB / 2)) data "$dev"
	holds data 2
	holds data 4
	cmp -n $((MiB / 2)) other "$dev" || cmp -n $((MiB / 2)) data "$dev"
	bdus destroy "$dev"
	echo 3 >/proc/sys/vm/drop_caches
	is_marked /mnt/file
}

@test "a backing without space of its own: told, usable when it has some" {
	over
	lower=$dev lower_id=$id
	# 4 MiB of it are somebody else's
	fill_pattern junk $((4 * MiB))
	put junk 28
	echo "0 $((28 * MiB / 512)) linear $dev 0" | dmsetup create lower
	bdus compress format --level 1 /dev/mapper/lower
	start bdus compress --log upper.log /dev/mapper/lower
	fill_pattern other "$MiB"
	put other
	bdus flush "$dev"
	run ! dd if=data of="$dev" bs=1M seek=2 oflag=direct conv=fsync
	# which is what the kernel makes of it
	[[ $output == *'Input/output error'* ]]
	run -1 timeout 20 bdus flush "$dev"
	grep -q '/dev/mapper/lower: the backing has failed: ' upper.log
	holds other
	timeout 20 bdus destroy --no-flush "$dev"
	blkdiscard --force -o 28M "$lower"
	is_marked /dev/mapper/lower
	start bdus compress --log upper.log /dev/mapper/lower
	holds other
	put other 1
	bdus destroy "$dev"
	is_sound /dev/mapper/lower
	dmsetup remove lower
	dev=$lower id=$lower_id
	bdus destroy "$dev"
	is_sound /dev/ram0
}

# Each write is to another page of the map.
fio_pages() { # [FIO-OPTION...]
	fio --name=pages --filename="$dev" --size=2G --direct=1 --bs=4k \
		--rw=write:2093056 --ioengine=libaio --iodepth=16 \
		--verify=crc32c --verify_state_save=0 --allow_file_create=0 \
		--minimal "$@" >fio.out
}

@test "a log that needs more than the map cache is replayed and checked" {
	truncate -s 512M disk.img
	bdus compress format --overcommit --size 4G disk.img
	start bdus compress disk.img
	fio_pages --do_verify=0 --end_fsync=1
	kill_driver
	wait_until 10 is_gone "$dev"
	start bdus compress --check-on-open --map-cache 4M --on-full queue \
		disk.img
	fio_pages --verify_only
	bdus destroy "$dev"
	bdus compress check disk.img
}
