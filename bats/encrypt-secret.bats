#!/usr/bin/env bats
# encrypt: where keys and passphrases are, and above all where they are not.

load lib
load encrypt

setup() {
	common_setup
	passphrase=$(openssl rand -hex 32)
	printf %s "$passphrase" >key
	read -r suid_dumpable </proc/sys/fs/suid_dumpable
	read -r core_pattern </proc/sys/kernel/core_pattern
}

teardown() {
	echo "$suid_dumpable" >/proc/sys/fs/suid_dumpable
	echo "$core_pattern" >/proc/sys/kernel/core_pattern
	no_device || bdus destroy --all --no-flush || true
	[[ ! -d /sys/module/loop ]] || losetup --detach-all
	common_teardown
}

hex() { od -An -v -tx1 | tr -d ' \n'; }

# needle NAME: standard input is to be looked for: either half of it, since a
# part may have been overwritten
needle() {
	local bytes half
	bytes=$(hex)
	half=$((${#bytes} / 2))
	echo "$1.first ${bytes:0:half}"
	echo "$1.second ${bytes:half}"
}

header() { cryptsetup luksDump --dump-json-metadata file | jq -r "$1"; }

# The key of key slot 0, for LUKS2 with pbkdf2.
slot_key() {
	openssl kdf -binary -keylen "$(header '.keyslots."0".area.key_size')" \
		-kdfopt digest:sha256 -kdfopt "pass:$passphrase" \
		-kdfopt "hexsalt:$(header '.keyslots."0".kdf.salt' | base64 -d | hex)" \
		-kdfopt "iter:$(header '.keyslots."0".kdf.iterations')" PBKDF2
}

# make_volume: "file"; in "needles" what nobody may find once it is open, in
# "halves" those of the volume key, in "whole-key" all of it
make_volume() {
	volume 20M
	needle passphrase <key >needles
	slot_key | needle kek >>needles
	cryptsetup luksDump --batch-mode --dump-volume-key --key-file key \
		--volume-key-file vk file >/dev/null
	needle volume-key <vk >halves
	echo "all $(hex <vk)" >whole-key
	[[ $(wc -l <needles) == 4 && $(stat -c %s vk) == 64 ]]
}

# nowhere NEEDLES PID|FILE...: found in none of them
nowhere() {
	run -1 --separate-stderr memfind "$@"
	[[ -z $output && -z $stderr ]]
}

# processes: of ours, all that there are
processes() { pgrep -x bdus; }

# look: into /mnt/seen, all that anybody may see of ours
look() {
	local pid
	for pid in $(processes); do
		cat "/proc/$pid/cmdline" "/proc/$pid/environ"
	done >/mnt/seen
	dmesg >>/mnt/seen
	find /run /dev/shm /var/tmp -type f ! -path '/run/vm/*' \
		-exec cat {} + >>/mnt/seen
}

# in_use: the volume has been read and written
in_use() {
	fill_pattern data "$MiB"
	put data
	holds data
}

### memory ####################################################################

@test "what looks for secrets finds them" {
	make_volume
	memfind needles "$BASHPID" key >out
	grep -q "^passphrase.first in $BASHPID at" out
	grep -q "^passphrase.second in key at 20$" out
	nowhere needles file
	opened file
	in_use
	# a driver must have what it encrypts with
	memfind halves "$pid"
}

# searched [OPTION...]: opened so, passphrase and slot key are in no process
searched() {
	echo "# $*"
	"$@"
	in_use
	mapfile -t pids < <(processes)
	nowhere needles "${pids[@]}"
}

@test "of a volume that is open, passphrase and slot key are nowhere" {
	make_volume
	searched start bdus encrypt file <key
	nowhere whole-key "$pid"
	bdus destroy "$dev"
	searched opened --supervise --keep-key file
	searched bdus rerun "$id" encrypt --keep-key file
	kill -9 "$(attribute pid)"
	wait_until 10 has_restarts 2
	searched true
}

@test "all of libcrypto's memory of a driver is locked" {
	make_volume
	opened --no-mlock file
	# neither of the volume key's copies is where it can be swapped out
	memfind halves "$pid" >out
	while read -r _ _ _ _ place; do
		locked_at "$pid" "$place"
	done <out
}

# locked_at PID ADDRESS: is the mapping there locked, and in no core file?
locked_at() {
	awk -v place="$2" '
		function number(hex,  i, n) {
			for (i = 1; i <= length(hex); i++)
				n = n * 16 + index("123456789abcdef", substr(hex, i, 1))
			return n
		}
		/^[0-9a-f]+-[0-9a-f]+ / {
			split($1, ends, "-")
			is_it = number(ends[1]) <= number(place) &&
				number(place) < number(ends[2])
		}
		is_it && /^VmFlags:/ { found = / lo / && / dd / }
		END { exit !found }' "/proc/$1/smaps"
}

# confined KIB COMMAND...: as root, but with that limit of locked memory
confined() {
	prlimit "--memlock=$(($1 * 1024))" setpriv --bounding-set=-ipc_lock \
		--inh-caps=-ipc_lock "${@:2}"
}

@test "a key that cannot be locked: a warning, but not if it is to be kept" {
	make_volume
	open=(bdus encrypt --no-mlock --key-file key)
	run -0 --separate-stderr confined 8192 "${open[@]}" file
	[[ -z $stderr ]]
	bdus destroy "$output"
	run -0 --separate-stderr confined 64 "${open[@]}" file
	[[ $stderr == *"file: its key cannot be locked in memory"*"ulimit -l"* ]]
	dev=$output
	in_use
	bdus destroy "$dev"
	for how in --keep-key --supervise; do
		run -1 --separate-stderr confined 0 "${open[@]}" $how file
		[[ $stderr == *"cannot lock the volume key in memory"* ]]
	done
}

### core files ################################################################

# crash PID: SIGSEGV, as of a bug; waits for its end
crash() {
	kill -SEGV "$1"
	wait_until 10 has_ended "$1"
}

cores() { compgen -G "$dir/core.*" || true; }

prepare_cores() { # SUID_DUMPABLE
	echo "$dir/core.%e.%p" >/proc/sys/kernel/core_pattern
	echo "$1" >/proc/sys/fs/suid_dumpable
	ulimit -c unlimited
}

@test "a driver leaves no core file" {
	make_volume
	for suid in 0 2; do
		prepare_cores $suid
		sleep 100 3>&- 4>&- &
		wait_until 5 grep -q sleep "/proc/$!/comm"
		kill -SEGV $!
		wait $! || true
		[[ $(cores) == */core.sleep.* ]]
		rm -f core.*
		for options in '' --keep-key --recoverable; do
			echo "# $suid $options"
			# shellcheck disable=SC2086 # none or one
			opened $options file
			in_use
			crash "$pid"
			[[ -z $(cores) ]]
			[[ ! -e $dev ]] || bdus destroy --no-flush "$dev"
		done
		# nor does one that got the key from another
		opened --keep-key file
		bdus rerun "$id" encrypt --keep-key file
		crash "$(attribute pid)"
		[[ -z $(cores) ]]
	done
}

@test "a supervisor leaves no key in a core file" {
	make_volume
	prepare_cores 2
	opened --supervise --keep-key file
	in_use
	supervisor=$(parent_of "$pid")
	crash "$pid"
	wait_until 10 has_restarts 1
	[[ -z $(cores) ]]
	crash "$supervisor"
	for file in $(cores); do
		nowhere needles "$file"
		nowhere halves "$file"
	done
}

@test "what is asked for the passphrase leaves no core file either" {
	make_volume
	prepare_cores 2
	mkfifo pipe
	for action in '' test-key 'format --force --pbkdf pbkdf2'; do
		echo "# $action"
		# shellcheck disable=SC2086 # words
		bdus encrypt $action --key-file pipe file >out 2>&1 3>&- 4>&- &
		asked=$!
		exec {fd}>pipe
		cat key >&"$fd"
		wait_until 10 has_read_all
		mapfile -t pids < <(processes)
		# it is there, waiting for the end
		askers=$(memfind needles "${pids[@]}" | awk '{ print $3 }' |
			sort -u)
		[[ $askers ]]
		for pid in $(processes | tac); do
			kill -SEGV "$pid" || true
		done
		exec {fd}>&-
		wait "$asked" && return 1
		for pid in $askers; do
			[[ -z $(compgen -G "$dir/core.*.$pid") ]]
		done
		# who waits for the device has seen nothing of it
		for file in $(cores); do
			nowhere needles "$file"
		done
		rm -f core.*
	done
	no_device
	opened file
}

# The passphrase has left the pipe for the memory of who reads it.
has_read_all() {
	local pids
	mapfile -t pids < <(processes)
	((${#pids[@]})) && memfind needles "${pids[@]}" >/dev/null
}

### all the rest ##############################################################

@test "no secret is in arguments, environments, logs, or files" {
	make_volume
	rm vk
	mount -t tmpfs tmpfs /mnt
	for how in --keep-key --supervise; do
		printf %s "$passphrase" >key
		opened $how --log "$dir/log" file
		run -3 bdus encrypt test-key file <<<wrong
		rm key
		in_use
		bdus list >list.out
		bdus why "$id" >why.out || true
		bdus encrypt info --json file >info.out
		if [[ $how == --supervise ]]; then
			kill -9 "$pid"
			wait_until 10 has_restarts 1
		fi
		look
		nowhere needles /mnt/seen
		nowhere halves /mnt/seen
		bdus destroy "$dev"
		look
		nowhere needles /mnt/seen
		nowhere halves /mnt/seen
	done
}

files() { find /run /dev/shm -mindepth 1 ! -path "$dir*" ! -path '/run/vm*'; }

@test "nothing is left after the end" {
	modprobe brd rd_nr=1 rd_size=$((20 * 1024))
	made bdus pbkdf2 /dev/ram0
	files >before
	opened --supervise --keep-key /dev/ram0
	bdus rerun "$id" encrypt --keep-key /dev/ram0
	kill -9 "$(attribute pid)"
	wait_until 10 has_restarts 2
	bdus destroy "$dev"
	no_driver
	rmmod brd
	files >after
	diff before after
}
