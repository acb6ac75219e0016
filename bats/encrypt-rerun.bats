#!/usr/bin/env bats
# encrypt: drivers that are replaced or killed while the volume is in use, and
# who is asked for the passphrase then.

load lib
load encrypt
load terminal

# How often, where the number matters (200 for the figures of the README).
reruns=${BDUS_RERUNS:-20}
recoveries=${BDUS_RECOVERIES:-20}

# From now on nobody can know the passphrase.
forget() { rm key; }

# rerun [OPTION...] FILE: with nobody to be asked
rerun() { bdus rerun "$id" encrypt "$@" </dev/null; }

# asked [OPTION...] FILE: a rerun fails since nobody tells the passphrase, and
# the driver serves on
asked() {
	local before
	before=$(attribute pid)
	run -1 rerun "$@"
	[[ $output == *"passphrase"* ]]
	[[ $(attribute pid) == "$before" ]]
	read_block
}

read_block() {
	dd if="$dev" of=/dev/null bs=4k count=1 iflag=direct status=none
}

### under load ################################################################

@test "reruns under load: no error, no bad block, nobody is asked" {
	volume 80M
	opened --keep-key file
	forget
	start_verify
	for ((n = 1; n <= reruns; n++)); do
		rerun --keep-key file
	done
	[[ $(attribute restarts) == "$reruns" ]]
	end_verify
	[[ $(attribute last_reason) == replaced ]]
	[[ $(pgrep -xc bdus) == 1 ]]
}

@test "kill -9 under load: no error, no bad block, nobody is asked" {
	volume 80M
	opened --supervise file
	forget
	start_verify
	for ((n = 1; n <= recoveries; n++)); do
		kill_driver
		wait_until 10 has_restarts "$n"
	done
	(($(attribute attempts) > 0))
	end_verify
	[[ $(attribute last_reason) == exited ]]
}

@test "LUKS1, sectors of 512, --direct on a device: both, in turns" {
	below $((80 * MiB))
	made bdus pbkdf2 --type luks1 /dev/ram0
	opened --supervise --keep-key --direct /dev/ram0
	forget
	start_verify --bsrange=512-64k
	for ((n = 1; n <= recoveries / 2; n++)); do
		rerun --keep-key --direct /dev/ram0
		kill_driver
		wait_until 10 has_restarts $((2 * n))
	done
	end_verify
}

# kill_or_rerun N: in turns
kill_or_rerun() {
	if (($1 % 2)); then kill_driver; else rerun --keep-key file; fi
}

# mounted TYPE SIZE FSCK...: under reruns and kills
mounted() {
	volume "$2"
	opened --supervise --keep-key file
	forget
	files_stay "$1" $((recoveries / 2)) kill_or_rerun "${@:3}"
	bdus destroy "$dev"
}

@test "ext4, mounted: files stay what they are, fsck is clean" {
	mounted ext4 144M e2fsck -fn
}

@test "xfs, mounted: files stay what they are, fsck is clean" {
	mounted xfs 320M xfs_repair -n
}

### who has the key ###########################################################

@test "without --keep-key a rerun asks, and without an answer changes nothing" {
	volume 20M
	opened file
	fill_pattern data "$MiB"
	put data
	asked file
	asked --keep-key file
	run -3 rerun --key-file key2 file
	[[ $(attribute pid) == "$pid" ]]
	rerun --key-file key file
	holds data
	[[ $(attribute restarts) == 1 ]]
	# the next one does not have it either
	asked file
}

@test "a supervised device hands its key on without --keep-key, too" {
	volume 20M
	opened --supervise file
	forget
	fill_pattern data "$MiB"
	put data
	for ((n = 1; n <= 3; n++)); do
		rerun file
		holds data
		kill_driver
		wait_until 10 has_restarts $((2 * n))
		holds data
	done
	[[ $(pgrep -xc bdus) == 2 ]]
}

@test "a passphrase that is typed: three tries, and the old driver serves on" {
	volume 20M
	opened file
	fill_pattern data "$MiB"
	put data
	prompt="Passphrase of file: "
	for options in '' --foreground; do
		run -3 ask "bdus rerun $id encrypt $options file" \
			"$prompt" 'wrong\n' "$prompt" 'wrong\n' "$prompt" '\x20\n'
		shows "wrong passphrase" 3
		[[ $(attribute pid) == "$pid" ]]
		holds data
	done
	ask "bdus rerun $id encrypt file" \
		"$prompt" 'wrong\n' "$prompt" "$passphrase\n"
	shows "$dev"
	run ! grep -q "$passphrase" screen
	[[ $(attribute restarts) == 1 && $(attribute pid) != "$pid" ]]
	holds data
}

@test "a question of a rerun is interrupted: echo is back, nothing changed" {
	volume 20M
	mv file other # a supervised device's key is not for this one
	volume 20M
	for options in '' --recoverable --supervise; do
		# shellcheck disable=SC2086 # none or one
		opened $options file
		count=$(pgrep -xc bdus)
		ask "trap : INT
			bdus rerun $id encrypt other
			until stty -a | grep -q ' echo '; do sleep 0.1; done
			echo it is back" \
			"Passphrase of other: " 'secr\x03' "it is back" ''
		wait_until 10 are_left "$count"
		[[ $(attribute pid) == "$pid" && $(attribute restarts) == 0 ]]
		read_block
		bdus destroy "$dev"
	done
}

are_left() { [[ $(pgrep -xc bdus) == "$1" ]]; } # PROCESSES

@test "--keep-key: the next driver has it, and the one after if it keeps it" {
	volume 20M
	opened --keep-key file
	forget
	fill_pattern data "$MiB"
	put data
	rerun --keep-key file
	rerun --keep-key file
	holds data
	rerun file
	holds data
	asked file
	asked --keep-key file
}

@test "--keep-key: to an upgraded binary, from wherever it is run" {
	volume 20M
	opened --keep-key file
	forget
	fill_pattern data "$MiB"
	put data
	mkdir -p new/bin
	cp "$(command -v bdus)" new/bin/bdus
	(cd / && "$dir/new/bin/bdus" rerun "$id" encrypt --keep-key \
		"$dir/file" </dev/null)
	[[ $(readlink "/proc/$(attribute pid)/exe") == "$dir/new/bin/bdus" ]]
	holds data
	# it is replaced while it runs, as packages are
	cp new/bin/bdus new/bin/bdus.new
	mv new/bin/bdus.new new/bin/bdus
	new/bin/bdus rerun "$id" encrypt --keep-key file </dev/null
	holds data
}

@test "--keep-key: not for another volume" {
	volume 20M
	mv file one
	cp one copy
	volume 20M
	opened --keep-key one
	asked --keep-key file
	rerun --keep-key --key-file key file
	[[ $(attribute backing) == */file ]]
	asked --keep-key one
	rerun --keep-key --key-file key one
	# the same volume, wherever it is
	rerun --keep-key copy
	[[ $(attribute backing) == */copy ]]
}

@test "--keep-key: not for another plain volume" {
	truncate -s 8M one
	truncate -s 8M two
	plain=(--type plain --cipher aes-xts-plain64 --key-size 512bit
		--hash sha256)
	start bdus encrypt "${plain[@]}" --keep-key one <key
	fill_pattern data "$MiB"
	put data
	asked "${plain[@]}" --keep-key two
	[[ $(attribute backing) == */one ]]
	rerun "${plain[@]}" --keep-key one
	holds data
	asked "${plain[@]/512/256}" --keep-key one
	# a driver that is killed has it again
	bdus destroy "$dev"
	start bdus encrypt "${plain[@]}" --supervise one <key
	kill_driver
	wait_until 10 has_restarts 1
	holds data
}

@test "--keep-key: whatever has become of passphrases since" {
	volume 20M
	opened --keep-key file
	fill_pattern data "$MiB"
	put data
	bdus encrypt change-key --key-file key --new-key-file key2 \
		--pbkdf pbkdf2 --pbkdf-force-iterations 1000 file
	rerun --keep-key file
	holds data
	bdus encrypt erase --force file
	rerun --keep-key file
	holds data
}

@test "a driver that is killed: the detached header is not needed again" {
	truncate -s 8M file
	made bdus pbkdf2 --header header file
	opened --supervise --header header file
	forget
	rm header
	fill_pattern data "$MiB"
	put data
	kill_driver
	wait_until 10 has_restarts 1
	holds data
}

@test "a supervisor that was replaced has the key as well" {
	volume 20M
	opened --supervise --keep-key file
	forget
	fill_pattern data "$MiB"
	put data
	rerun --keep-key file
	for ((n = 2; n <= 4; n++)); do
		kill_driver
		wait_until 10 has_restarts "$n"
		holds data
	done
	[[ $(pgrep -xc bdus) == 2 ]]
}

@test "a driver without a supervisor that is killed: the next one asks" {
	volume 20M
	opened --recoverable --keep-key file
	kill_driver
	wait_until 5 is_in_state waiting
	run -1 rerun --keep-key file
	rerun --key-file key file
	read_block
}
