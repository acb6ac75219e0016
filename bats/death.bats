#!/usr/bin/env bats
# Drivers that die, at every point, with clients at work: the clients get an
# answer within 5 s, and nothing is left.

load lib

# Points at which rawdrv kills itself, each this often.
rounds=${BDUS_DEATH_ROUNDS:-5}

# Clients with requests of every kind in flight; they end with the device.
start_clients() {
	fio --name=a --filename="$dev" --direct=1 --rw=randrw --bs=4k \
		--iodepth=32 --ioengine=libaio --size=32M --fsync=8 \
		--time_based --runtime=60 --allow_file_create=0 \
		>fio.out 2>&1 3>&- 4>&- &
	clients=($!)
	dd if="$dev" of=/dev/null bs=64k 2>dd.out 3>&- 4>&- &
	clients+=($!)
}

clients_have_ended() {
	local client
	for client in "${clients[@]}"; do
		has_ended "$client" || return 1
	done
}

# What a client notices starts when the driver is dead, however long it took to
# get there.
device_ends() {
	wait_until 30 has_ended "$pid"
	wait_until 5 clients_have_ended
	wait_until 5 is_gone "$dev"
	wait_until 5 unload
	modprobe kbdus
}

die_unstarted() { # POINT
	for ((round = 0; round < rounds; round++)); do
		run -137 rawdrv --at "$1"
		wait_until 5 no_device
		wait_until 5 unload
		modprobe kbdus
	done
}

die_under_load() { # POINT [OPTION...]
	for ((round = 0; round < rounds; round++)); do
		start_raw --at "$@"
		start_clients
		device_ends
	done
}

@test "a driver that dies after CREATE leaves nothing" {
	die_unstarted created
}

@test "a driver that dies before START leaves nothing" {
	die_unstarted attached
}

@test "a driver that dies in the partition scan leaves nothing" {
	die_unstarted scan
}

@test "death with requests delivered" {
	for ((n = 1; n <= rounds; n++)); do
		rounds=1 die_under_load delivered --after $((n * 37))
	done
}

@test "death with half a batch answered" {
	die_under_load answered --after 100
}

@test "death while a flush waits" {
	die_under_load flush
}

@test "death while a read's data waits for a page" {
	die_under_load copy-in
}

@test "death while a write's data waits for a page" {
	die_under_load copy-out
}

@test "death while the driver reads its own device" {
	for ((round = 0; round < rounds; round++)); do
		run -137 rawdrv --at self
		wait_until 5 no_device
		wait_until 5 unload
		modprobe kbdus
	done
}

@test "a driver that stops itself is killed after its timeout" {
	die_under_load stop --timeout 1000
}

@test "a driver that answers nothing is killed after its timeout" {
	die_under_load ignore --timeout 1000
}

# SIGKILL from outside, at no chosen moment
kill_at_random() { # COMMAND...
	local k
	for ((k = 0; k < ${BDUS_KILLS:-12}; k++)); do
		start "$@"
		start_clients
		wait_until 30 is_under_load $((RANDOM % 1000))
		kill -9 "$pid"
		device_ends
	done
}

is_under_load() { # REQUESTS
	(($(attribute write_requests 2>/dev/null || echo "$1") >= $1))
}

@test "kill -9 of ram under load" {
	kill_at_random bdus ram --size 64M
}

@test "kill -9 of zero under load" {
	kill_at_random bdus zero --size 64M
}

@test "kill -9 of loop under load" {
	truncate -s 64M file
	kill_at_random bdus loop file
}

@test "kill -9 of loop on a block device under load" {
	start bdus ram --size 64M
	lower=$dev
	for ((k = 0; k < ${BDUS_KILLS:-12}; k++)); do
		start bdus loop "$lower"
		start_clients
		wait_until 30 is_under_load $((RANDOM % 1000))
		kill -9 "$pid"
		wait_until 5 clients_have_ended
		wait_until 5 is_gone "$dev"
		wait_until 5 has_ended "$pid"
	done
}

@test "what loop acknowledged is in the file after kill -9" {
	truncate -s 64M file
	for ((k = 0; k < 5; k++)); do
		start bdus loop file
		fill_pattern data.$k 1048576
		dd if=data.$k of="$dev" bs=64k seek=$((k * 16)) oflag=direct \
			conv=notrunc status=none
		kill -9 "$pid"
		wait_until 5 is_gone "$dev"
		cmp -n 1048576 data.$k <(dd if=file bs=1M skip=$k status=none)
	done
}

@test "a mounted file system survives the death of its driver as errors" {
	start bdus ram --size 128M
	mkfs.ext4 -q "$dev"
	mount "$dev" /mnt
	kill -9 "$pid"
	wait_until 5 is_gone "$dev"
	run ! cp /usr/bin/bash /mnt/
	umount /mnt
}
