#!/usr/bin/env bats
# Devices that outlive their drivers: waiting, restarting, fencing, poison.

load lib

# How often, where the number matters (500 for the figures of the README).
recoveries=${BDUS_RECOVERIES:-20}

teardown() {
	[[ ! -e frozen ]] || fsfreeze --unfreeze /mnt || true
	common_teardown
}

has_waiting() { (($(attribute waiting) >= $1)); }

read_block() { # OFFSET
	dd if="$dev" of=/dev/null bs=4k skip=$(($1 / 4096)) count=1 \
		iflag=direct status=none
}

write_block() { # OFFSET FILE
	dd if="$2" of="$dev" bs=4k seek=$(($1 / 4096)) count=1 oflag=direct \
		status=none
}

# A client in the background; $client, its status in $client_status
client_waits() { # COMMAND...
	"$@" >client.out 2>&1 3>&- 4>&- &
	client=$!
}

@test "a supervised driver under load: kill -9, no error, no bad block" {
	truncate -s 64M file
	start bdus loop --supervise file
	start_verify
	for ((n = 1; n <= recoveries; n++)); do
		kill_driver
		wait_until 10 has_restarts "$n"
	done
	(($(attribute attempts) > 0))
	end_verify
	[[ $(attribute last_reason) == exited ]]
}

@test "a supervised driver under a mounted file system" {
	truncate -s 128M file
	start bdus loop --supervise file
	files_stay ext4 "$recoveries" kill_driver e2fsck -fn
}

@test "a device without a driver waits, says so, and takes the next one" {
	truncate -s 64M file
	start bdus loop --recoverable file
	kill_driver
	wait_until 5 is_in_state waiting
	fill_pattern block 4096
	client_waits write_block 8192 block
	wait_until 5 has_waiting 1
	wait_until 5 has_ended "$pid"
	[[ $(attribute pid) == 0 && $(attribute last_reason) == exited ]]
	(($(attribute waiting_ms) > 0 && $(attribute oldest_ms) >= 0))
	bdus list | grep -q 'waiting'
	bdus why "$id" | grep -q 'bdus rerun'
	bdus rerun "$id" loop file
	wait "$client"
	cmp -n 4096 -i 8192:0 file block
	[[ $(attribute waiting_ms) == 0 && $(attribute restarts) == 1 ]]
}

@test "after the recovery timeout requests fail, and the next driver serves" {
	truncate -s 64M file
	start bdus loop --recoverable --recovery-timeout 3 file
	kill_driver
	run -1 read_block 0
	[[ $output == *'Connection timed out'* ]]
	# from then on at once: not 3 s each
	start_s=$SECONDS
	for ((n = 0; n < 10; n++)); do
		run -1 read_block 0
	done
	((SECONDS - start_s < 20))
	bdus rerun "$id" loop file
	read_block 0
}

@test "0 as recovery timeout waits until there is a driver" {
	truncate -s 64M file
	start bdus loop --recoverable --recovery-timeout 0 file
	kill_driver
	client_waits read_block 0
	wait_until 5 has_waiting 1
	wait_until 10 is_older_than 3000
	bdus rerun "$id" loop file
	wait "$client"
}

is_older_than() { (($(attribute oldest_ms) > $1)); } # MS

@test "a file system that waits can be destroyed by force" {
	truncate -s 64M file
	start bdus loop --recoverable --recovery-timeout 0 file
	kill_driver
	client_waits read_block 0
	wait_until 5 has_waiting 1
	run -1 --separate-stderr bdus destroy "$id"
	[[ $stderr == *'has no driver'* ]]
	run -5 bdus destroy --no-flush "$id"
	bdus destroy --force "$id"
	wait "$client" && return 1
	grep -q 'Input/output error' client.out
	wait_until 5 is_gone "$dev"
}

@test "without a driver and not open, --no-flush is enough" {
	truncate -s 64M file
	start bdus loop --recoverable file
	kill_driver
	wait_until 5 is_in_state waiting
	bdus destroy --no-flush "$id"
	is_gone "$dev"
}

# --- every point at which a driver can die ---

# A driver that is killed at POINT; the next one finds all in order.
die_and_recover() { # POINT [OPTION...]
	truncate -s 64M file
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		start_raw --file file --recovery 30000 --at "$@"
		start_verify --fsync=16
		wait_until 10 is_in_state waiting
		bdus rerun "$id" loop file
		wait_until 30 has_written $(($(attribute write_requests) + 200))
		end_verify
		bdus destroy "$id"
	done
}

@test "death with requests delivered" {
	die_and_recover delivered --after 150
}

@test "death with half a batch answered" {
	die_and_recover answered --after 150
}

@test "death while a flush waits" {
	truncate -s 64M file
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		start_raw --file file --recovery 30000 --at flush
		fill_pattern data 65536
		client_waits dd if=data of="$dev" bs=64k oflag=direct conv=fsync
		wait_until 10 is_in_state waiting
		bdus rerun "$id" loop file
		wait "$client"
		cmp data <(head -c 65536 file)
		bdus destroy "$id"
	done
}

@test "death while a read's data waits for a page" {
	truncate -s 64M file
	fill_pattern data 65536
	dd if=data of=file conv=notrunc status=none
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		start_raw --file file --recovery 30000 --at copy-in
		client_waits dd if="$dev" of=read.out bs=64k count=1 iflag=direct
		wait_until 10 is_in_state waiting
		bdus rerun "$id" loop file
		wait "$client"
		cmp data read.out
		bdus destroy "$id"
	done
}

@test "death while a write's data waits for a page" {
	truncate -s 64M file
	fill_pattern data 65536
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		start_raw --file file --recovery 30000 --at copy-out
		client_waits dd if=data of="$dev" bs=64k oflag=direct
		wait_until 10 is_in_state waiting
		bdus rerun "$id" loop file
		wait "$client"
		cmp data <(head -c 65536 file)
		bdus destroy "$id"
	done
}

@test "death before the device is usable takes it along" {
	truncate -s 64M file
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		run -137 rawdrv --file file --recovery 30000 --at scan
		wait_until 5 no_device
	done
}

@test "death while the next driver attaches" {
	truncate -s 64M file
	start bdus loop --recoverable file
	start_verify
	kill_driver
	wait_until 5 is_in_state waiting
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		bdus rerun "$id" loop file >rerun.out 2>&1 3>&- 4>&- &
		rerun=$!
		# anywhere between the start of the process and the end of START
		pkill -9 -n -x bdus || true
		wait "$rerun" || true
	done
	wait_until 5 no_rerun
	is_in_state live || bdus rerun "$id" loop file
	wait_until 30 has_written $(($(attribute write_requests) + 200))
	end_verify
}

no_rerun() { (($(pgrep -xc bdus) <= 1)); }

# --- fencing ---

# The client's write is with the driver, or about to be, when that one stops.
stop_driver() {
	kill -STOP "$(attribute pid)"
}

@test "a driver that is stopped before it fetches is fenced" {
	truncate -s 64M file
	start bdus loop --supervise --timeout 2 file
	fill_pattern block 4096
	stop_driver
	write_block 8192 block
	[[ $(attribute last_reason) == hung ]]
	has_ended "$pid"
	cmp -n 4096 -i 8192:0 file block
}

# What the driver held is not in its queue but on its way to the backing: it is
# stopped between fetch and write, and the byte that it holds differs from the
# one that is written after it.
@test "what a fenced driver held never reaches the backing" {
	truncate -s 64M file
	head -c 4096 /dev/zero | tr '\0' a >block.a
	head -c 4096 /dev/zero | tr '\0' b >block.b
	for ((round = 0; round < ${BDUS_DEATH_ROUNDS:-5}; round++)); do
		start_raw --file file --recovery 30000 --at stop --timeout 1000 \
			--on-hang 1
		client_waits write_block 8192 block.a
		wait_until 10 is_in_state waiting
		wait_until 10 has_ended "$pid"
		bdus rerun "$id" loop file
		wait "$client"
		write_block 8192 block.b
		kill -CONT "$pid" 2>/dev/null && return 1
		cmp -n 4096 -i 8192:0 file block.b
		[[ $(attribute attempts) == 1 ]]
		bdus destroy "$id"
	done
}

@test "a supervised driver that hangs under load is restarted" {
	truncate -s 64M file
	start bdus loop --supervise --timeout 1 file
	start_verify
	for ((n = 1; n <= 3; n++)); do
		stop_driver
		wait_until 20 has_restarts "$n"
		wait_until 10 is_in_state live
	done
	end_verify
}

@test "--on-hang=error: what waits fails, and the device waits" {
	truncate -s 64M file
	start bdus loop --recoverable --timeout 1 file
	[[ $(attribute on_hang) == error ]]
	stop_driver
	run -1 read_block 0
	[[ $output == *'Connection timed out'* ]]
	wait_until 5 is_in_state waiting
	bdus rerun "$id" loop file
	read_block 0
}

@test "--on-hang=hold: what waits goes on waiting" {
	truncate -s 64M file
	start bdus loop --recoverable --recovery-timeout 1 --timeout 1 \
		--on-hang hold file
	stop_driver
	client_waits read_block 0
	wait_until 10 is_in_state waiting
	wait_until 20 is_older_than 5000
	bdus rerun "$id" loop file
	wait "$client"
}

@test "a driver that hangs takes a device along that cannot wait" {
	truncate -s 64M file
	start bdus loop --timeout 1 file
	stop_driver
	run -1 read_block 0
	[[ $output == *'Connection timed out'* ]]
	wait_until 5 is_gone "$dev"
	wait_until 5 has_ended "$pid"
}

@test "a driver that cannot be killed: nothing is written behind its back" {
	truncate -s 64M lower
	bdus loop --timeout 0 --no-partscan lower
	mkfs.ext4 -q /dev/bdus-0
	mount /dev/bdus-0 /mnt
	truncate -s 16M /mnt/file
	start bdus loop --recoverable --timeout 1 --recovery-timeout 2 \
		--on-hang restart --direct --block-size 4096 /mnt/file
	lower=$(cat /sys/block/bdus-0/bdus/pid)
	fill_pattern block 4096
	# its O_DIRECT write waits in D state for the driver below
	kill -STOP "$lower"
	client_waits write_block 8192 block
	wait_until 10 is_in_state waiting
	wait "$client" && return 1
	grep -q 'timed out' client.out
	# no new driver while the old one may still write: it has the lock, too
	run -5 --separate-stderr bdus rerun "$id" loop --direct \
		--block-size 4096 /mnt/file
	[[ $stderr == *'is in use'* ]]
	run -1 read_block 0
	kill -CONT "$lower"
	wait_until 10 has_ended "$pid"
	bdus rerun "$id" loop --direct --block-size 4096 /mnt/file
	read_block 0
	bdus destroy "$id"
	umount /mnt
}

# Another backing has another lock: only the device itself can wait.
@test "what a killed driver held is not sent again while that one lives" {
	bdus ram --size 64M
	mkfs.ext4 -q -b 4096 /dev/bdus-0
	mount /dev/bdus-0 /mnt
	truncate -s 16M /mnt/file other
	start bdus loop --recoverable --timeout 1 --on-hang restart /mnt/file
	fill_pattern block 4096
	# its write waits in D state for the end of the freeze
	fsfreeze --freeze /mnt
	touch frozen
	client_waits write_block 8192 block
	wait_until 10 is_in_state waiting
	bdus rerun "$id" loop other 3>&- 4>&- &
	rerun=$!
	# this is for what must not happen
	sleep 1
	kill -0 "$pid"
	is_in_state waiting
	cmp -n 4096 -i 8192:0 other /dev/zero
	fsfreeze --unfreeze /mnt
	rm frozen
	wait "$rerun"
	wait "$client"
	wait_until 5 has_ended "$pid"
	cmp -n 4096 -i 8192:0 other block
	bdus destroy "$id"
	umount /mnt
}

# --- requests that kill ---

# Restarts a raw driver for as long as its device is there; but not for ever,
# so that what waits fails if nothing else ends it.
keep_raw_running() { # OPTION...
	(while (($(attribute restarts 2>/dev/null || echo 30) < 30)); do
		rawdrv --rerun "$id" "$@" || true
	done) >raw.log 2>&1 3>&- 4>&- &
}

@test "a poison request fails alone, after its limit" {
	truncate -s 64M file
	start_raw --file file --recovery 30000 --at poison --after 1048576
	keep_raw_running --file file --recovery 30000 --at poison \
		--after 1048576
	# neighbours in the same plug, which would be merged with it
	fill_pattern data 2097152
	fio --name=poison --filename="$dev" --size=2M --direct=1 --rw=write \
		--bs=4k --ioengine=libaio --iodepth=32 --iodepth_batch=32 \
		--iodepth_batch_complete_min=32 --continue_on_error=write \
		--verify=crc32c --do_verify=0 --allow_file_create=0 \
		--verify_state_save=0 --output-format=json >fio.json || true
	[[ $(jq '.jobs[0].total_err' fio.json) == 1 ]]
	(($(attribute restarts) >= 5 && $(attribute restarts) <= 12))
	run -1 read_block 1048576
	[[ $output == *'Input/output error'* ]]
	is_in_state live || wait_until 10 is_in_state live
	# everything else is what was written
	for part in '0 1M' '1052672 996k'; do
		read -r offset length <<<"$part"
		fio --name=poison --filename="$dev" --offset="$offset" \
			--size="$length" --direct=1 --rw=write --bs=4k \
			--verify=crc32c --verify_only --verify_fatal=1 \
			--allow_file_create=0 --verify_state_save=0 --minimal
	done
	bdus destroy --force "$id"
	wait
}

@test "one bad sector fails alone, though it was merged with others" {
	truncate -s 64M file
	start_raw --file file --error EIO --error-op write --error-off 1048576
	fio --name=bad --filename="$dev" --size=2M --direct=1 --rw=write \
		--bs=4k --ioengine=libaio --iodepth=32 --iodepth_batch=32 \
		--iodepth_batch_complete_min=32 --continue_on_error=write \
		--allow_file_create=0 --output-format=json >fio.json || true
	[[ $(jq '.jobs[0].total_err' fio.json) == 1 ]]
}

@test "--retries: a read is tried again, a write and a flush are not" {
	truncate -s 64M file
	start_raw --file file --retries 3 --error EIO --errors 3
	read_block 0
	bdus destroy "$id"
	start_raw --file file --retries 3 --error EIO --errors 4
	run -1 read_block 0
	bdus destroy "$id"
	start_raw --file file --retries 3 --error EIO --error-op write --errors 1
	run -1 write_block 0 file
	bdus destroy "$id"
	start_raw --file file --retries 3 --error EIO --error-op flush --errors 1
	run -1 dd if=file of="$dev" bs=4k count=1 oflag=direct conv=fsync
	bdus destroy "$id"
}

# --- the supervisor ---

@test "a supervisor gives up after restarts without progress" {
	truncate -s 64M file
	start bdus loop --supervise --log "$dir/log" file
	supervisor=$(parent_of "$pid")
	wait_until 180 has_given_up
	wait_until 5 has_ended "$supervisor"
	[[ $(attribute state) == waiting ]]
	grep -q 'killed by signal 9' log
	# not for ever: the next one starts afresh
	bdus rerun "$id" loop file
	read_block 0
	[[ $(attribute supervised) == 1 ]]
}

# Every new driver is killed at once.
has_given_up() {
	pkill -9 -P "$supervisor" || true
	grep -q 'gave up' log
}

@test "SIGTERM to the supervisor ends the device" {
	truncate -s 64M file
	start bdus loop --supervise --pidfile "$dir/pid" file
	[[ $(cat pid) == "$(parent_of "$pid")" ]]
	kill "$(cat pid)"
	wait_until 10 is_gone "$dev"
	wait_until 5 is_gone "$dir/pid"
	wait_until 5 has_ended "$pid"
}

@test "a supervisor in the foreground" {
	truncate -s 64M file
	bdus loop -f --supervise file >out 3>&- 4>&- &
	supervisor=$!
	wait_until 10 test -s out
	dev=$(cat out)
	id=${dev#/dev/bdus-}
	kill_driver
	wait_until 10 has_restarts 1
	read_block 0
	bdus destroy "$id"
	wait "$supervisor"
}

@test "a supervised rerun whose log cannot be opened says so once" {
	truncate -s 64M file
	start bdus loop --supervise file
	run -0 --separate-stderr bdus rerun "$id" loop --log no/such/log file
	[[ $(grep -c 'no/such/log: cannot open (--log)' <<<"$stderr") == 1 ]]
	read_block 0
}

# Its driver has been replaced, and the next one is dead too, before it looks.
@test "a supervisor restarts no driver that somebody has replaced" {
	truncate -s 64M file other
	start bdus loop --supervise file
	supervisor=$(parent_of "$pid")
	kill -STOP "$supervisor"
	bdus rerun "$id" loop other
	kill -9 "$(parent_of "$(attribute pid)")"
	kill_driver
	wait_until 5 is_in_state waiting
	kill -CONT "$supervisor"
	wait_until 5 has_ended "$supervisor"
	is_in_state waiting
	[[ $(attribute backing) == */other ]]
	bdus rerun "$id" loop other
	read_block 0
}

@test "the driver survives its supervisor" {
	truncate -s 64M file
	start bdus loop --supervise file
	kill -9 "$(parent_of "$pid")"
	read_block 0
	[[ $(attribute pid) == "$pid" ]]
	kill_driver
	wait_until 5 is_in_state waiting
	bdus rerun "$id" loop file
	read_block 0
}

@test "the backing stays locked between two drivers, and is the same file" {
	truncate -s 64M file
	fill_pattern data 1048576
	dd if=data of=file conv=notrunc status=none
	start bdus loop --supervise file
	mv file elsewhere
	truncate -s 64M file
	(until [[ -e finished ]]; do
		! bdus loop elsewhere 2>>taken || touch stolen
	done) 3>&- 4>&- &
	for ((n = 1; n <= 5; n++)); do
		kill_driver
		wait_until 10 has_restarts "$n"
	done
	touch finished
	wait
	[[ ! -e stolen ]]
	cmp -n 1048576 data "$dev"
}

@test "a driver that cannot start is reported, and nothing is left" {
	run -1 --separate-stderr bdus loop --supervise no/such
	[[ $stderr == *'no/such: cannot open'* ]]
	truncate -s 64M file
	# these fail when the disk is there already
	for how in --recoverable --supervise; do
		run -1 --separate-stderr bdus loop $how --log no/such/log file
		[[ $stderr == *'no/such/log: cannot open'* ]]
		wait_until 5 no_device
		wait_until 5 no_driver
	done
	run -2 --separate-stderr bdus ram --supervise --size 64M
	[[ $stderr == *'lost with its driver'* ]]
	run -2 --separate-stderr bdus ram --recoverable --size 64M
	run -2 --separate-stderr bdus zero --size 1M --recovery-timeout 3
	[[ $stderr == *'add --recoverable or --supervise'* ]]
	run -2 --separate-stderr bdus zero --size 1M --on-hang restart
	no_device
}

# The kernel tells of a write that the page cache lost once. A driver that was
# told may die before it can pass it on.
@test "a lost write is not forgotten by the next driver" {
	start_raw --error EIO --error-op write --error-off 1048576
	lower=$dev raw=$pid
	start bdus loop --supervise "$lower"
	run -1 dd if=/dev/urandom of="$dev" bs=4k count=1 seek=256 \
		oflag=direct conv=fsync
	# nothing is left to be written, so a new sync would succeed
	sync_block
	for ((n = 1; n <= 3; n++)); do
		kill_driver
		wait_until 10 has_restarts "$n"
		sync_block
	done
	bdus destroy --no-flush "$id"
	bdus destroy --no-flush "$lower"
	wait "$raw"
}

sync_block() {
	run -1 dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct \
		conv=fsync
	[[ $output == *'Input/output error'* ]]
}
