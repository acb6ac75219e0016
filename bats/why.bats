#!/usr/bin/env bats
# why: what keeps a device from moving, and what to try next.

load lib

teardown() {
	local client
	for client in "${clients[@]}"; do
		kill -9 "$client" 2>/dev/null || true
	done
	[[ ! -e frozen ]] || fsfreeze --unfreeze /var/tmp/lower || true
	destroy_all
	umount -q /var/tmp/lower || true
	common_teardown
}

# In the order that the stack of the frozen test needs.
destroy_all() { bdus destroy --all --force --no-flush --timeout 5 || true; }

# json FILTER: of what why prints about $id
json() { bdus why --json "$id" | jq -r "$1"; }

# is VERDICT: about $id
is() { [[ $(json .verdict) == "$1" ]]; }

# load OP: a client that keeps requests in flight until its device goes
load_with() {
	fio --name=load --filename="$dev" --direct=1 --rw="$1" --bs=4k \
		--iodepth=16 --ioengine=libaio --size=1M --time_based \
		--runtime=60 --allow_file_create=0 --thread \
		>fio.out 2>&1 3>&- 4>&- &
	clients+=($!)
}

# answers_soon COMMAND...: within 10 s, whatever the device does
answers_soon() { timeout --signal=KILL 10 "$@"; }

@test "a device at rest: nothing is wrong, and nothing to try" {
	truncate -s 1M file
	start bdus loop file
	run -0 --separate-stderr bdus why "$dev"
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $stderr ]]
	[[ ${lines[0]} == "$dev: nothing is wrong: no request waits" ]]
	[[ $output == *"  driver    loop, pid $pid, on $dir/file"* ]]
	[[ $output == *'  requests  with the driver: 0, waiting: 0'* ]]
	[[ $output == *'  open      0 times'* ]]
	[[ $output == *'bdus: waits for requests'* ]]
	[[ $output != *'try:'* ]]
	strace -o trace bdus why "$dev"
	grep -q 'open.*"/sys/block' trace
	run ! grep 'open.*"/dev/' trace
	for name in "$id" "bdus-$id"; do
		[[ $(bdus why "$name") == "$dev: nothing is wrong"* ]]
	done
}

@test "a device under load: moving" {
	start bdus ram --size 1M
	load_with randread
	wait_until 10 is moving
	(($(json .completed) > 0))
	[[ $(json .command) == null ]]
	run -0 bdus why "$dev"
	[[ $output == *'(pid '* && $output == *'fio'* ]]
}

@test "who has it open" {
	start bdus ram --size 16M
	mkfs.ext4 -q "$dev"
	mount "$dev" /mnt
	exec {fd}<"$dev"
	run -0 bdus why "$dev"
	[[ $output == *'  open      2 times: mounted on /mnt'*"(pid $BASHPID)"* ]]
	exec {fd}<&-
	[[ $(json .holders) == 'mounted on /mnt' ]]
	umount /mnt
}

@test "a driver that is stopped: kill -CONT, which helps" {
	start bdus ram --timeout 300 --size 1M
	load_with randwrite
	wait_until 10 is moving
	kill -STOP "$pid"
	wait_until 5 is stopped
	run -0 answers_soon bdus why "$dev"
	echo "$output"
	[[ ${lines[0]} == "$dev: its driver (pid $pid) is stopped; its time-out kills it "* ]]
	[[ $output == *'; completed within 200ms: 0'* ]]
	[[ $output == *"thread    $pid bdus: is stopped"* ]]
	[[ ${lines[-1]} == "try: kill -CONT $pid" ]]
	eval "${lines[-1]#try: }"
	wait_until 5 is moving
}

@test "a stopped driver of a device at rest: stopped, with no time-out near" {
	start bdus ram --size 1M
	kill -STOP "$pid"
	wait_until 5 is stopped
	[[ $(json .reason) == "its driver (pid $pid) is stopped" ]]
	[[ $(json .completed) == null ]]
	kill -CONT "$pid"
	wait_until 5 is idle
}

@test "a driver in a debugger: traced, and after that it moves" {
	start bdus ram --size 1M
	load_with randwrite
	wait_until 10 is moving
	strace -f -o trace -p "$pid" -e inject=ioctl:delay_enter=3000000 \
		3>&- 4>&- &
	tracer=$!
	wait_until 10 is traced
	[[ $(json .command) == "grep TracerPid /proc/$pid/status" ]]
	kill -9 "$tracer"
	wait_until 10 is moving
}

@test "a driver that answers nothing: asleep, for all its threads wait" {
	start_raw --at ignore --timeout 60000
	load_with randwrite
	wait_until 10 is asleep
	run -0 answers_soon bdus why "$dev"
	echo "$output"
	[[ ${lines[0]} == "$dev: its driver has 16 requests and completes none;"* ]]
	[[ ${lines[-1]} == "try: bdus destroy --force $id" ]]
	(($(json '[.threads[] | select(.doing == "waits for requests")] |
		length') == 2))
	eval "${lines[-1]#try: } --timeout 1"
	[[ ! -e $dev ]]
}

@test "a driver blocked by a frozen file system: blocked, with the file" {
	start bdus ram --size 64M
	lower=$dev
	mkfs.ext4 -q "$dev"
	mkdir -p /var/tmp/lower
	mount "$dev" /var/tmp/lower
	truncate -s 1M /var/tmp/lower/file
	start bdus loop --timeout 300 /var/tmp/lower/file
	fsfreeze --freeze /var/tmp/lower
	touch frozen
	load_with randwrite
	wait_until 10 is blocked
	run -0 answers_soon bdus why "$dev"
	echo "$output"
	[[ ${lines[0]} == *'is blocked in the kernel: it writes /var/tmp/lower/file, and ext4 on '"$lower"' does not answer;'* ]]
	[[ $output == *$'\n            in '*_* ]]
	[[ ${lines[-1]} == "try: bdus destroy --force $id" ]]
	[[ $(json '.threads[0] | [.state, .syscall_name, .file] | tojson') == \
		'["D","pwrite64","/var/tmp/lower/file"]' ]]
	fsfreeze --unfreeze /var/tmp/lower
	rm frozen
	wait_until 10 is moving
}

@test "a driver blocked by a device below: ask why about that one" {
	start bdus ram --timeout 300 --size 16M
	lower=$dev below=$id below_pid=$pid
	start bdus loop --timeout 300 --direct "$lower"
	load_with randread
	wait_until 10 is moving
	kill -STOP "$below_pid"
	wait_until 10 is blocked
	run -0 answers_soon bdus why "$dev"
	echo "$output"
	[[ ${lines[0]} == *"$lower, which does not answer; "* ]]
	[[ ${lines[-1]} == "try: bdus why $below" ]]
	[[ $(json .below) == "$below" ]]
	run -0 bash -c "${lines[-1]#try: }"
	[[ ${lines[-1]} == "try: kill -CONT $below_pid" ]]
	kill -CONT "$below_pid"
	wait_until 10 is moving
}

@test "a device that is being destroyed, with its driver stopped" {
	start bdus ram --timeout 300 --size 1M
	load_with randwrite
	wait_until 10 is moving
	kill -STOP "$pid"
	bdus destroy --force --no-flush --timeout 20 "$dev" 3>&- 4>&- &
	destroyer=$!
	is_ending() { [[ $(json .state) == ending ]]; }
	wait_until 5 is_ending
	run -0 answers_soon bdus why "$id"
	echo "$output"
	[[ ${lines[-1]} == "try: kill -CONT $pid" ]]
	kill -CONT "$pid"
	wait "$destroyer"
}

@test "a device that waits for a driver: the command is bdus rerun" {
	bdus loop --help | grep -q -- --recoverable ||
		skip "devices are not recoverable yet"
	truncate -s 1M 'a file'
	start bdus loop --recoverable 'a file'
	load_with randwrite
	wait_until 10 is moving
	kill -9 "$pid"
	wait_until 5 is waiting
	run -0 answers_soon bdus why "$dev"
	echo "$output"
	[[ ${lines[0]} == "$dev: it waits for a driver, for "* ]]
	[[ ${lines[-1]} == "try: bdus rerun $id loop '$dir/a file'" ]]
	[[ $(bdus list -no state,pid "$id" | tr -s ' ') == 'waiting -' ]]
	(($(bdus list --json "$id" | jq '.devices[0].waiting_ms') > 0))
	eval "${lines[-1]#try: }"
	wait_until 5 is moving
}

@test "--json: all keys, with types" {
	start bdus zero --size 1536K
	bdus why --json "$dev" >json
	[[ $(jq -r '[.schema, .device, .verdict, .command, .id, .state, .driver,
		.backing, .size, .ro, .pid, .openers, .timeout_ms, .in_flight,
		.completed, .sample_ms] | tojson' json) == \
		"[1,\"$dev\",\"idle\",null,$id,\"live\",\"zero\",null,1572864,false,$pid,0,30000,0,null,200]" ]]
	[[ $(jq -r '.threads[0] | keys | join(" ")' json) == \
		'doing fd file mount name stack state syscall syscall_name tid wchan' ]]
	tasks=("/proc/$pid/task"/*)
	(($(jq '.threads | length' json) == ${#tasks[@]}))
}

@test "names of files that are no text are shown harmlessly" {
	name=$'a "b"\\c\tü\xff\e[1m'
	truncate -s 1M "$name"
	start bdus loop "$name"
	bdus why --json "$id" >json
	perl -MJSON::PP -e 'local $/; JSON::PP->new->utf8->decode(<STDIN>)' <json
	[[ $(bdus why "$id") == *"on $dir/a \"b\"\\c?ü??[1m"$'\n'* ]]
}

@test "no operand or two: 2; no such device, or not ours: 4" {
	start bdus zero --size 1M
	run -2 bdus why
	run -2 bdus why "$dev" "$dev"
	run -4 --separate-stderr bdus why 4711
	[[ -z $output && $stderr == *'4711: no such device'* ]]
	run -4 bdus why /dev/null
}

@test "without privilege it says less, and does not fail" {
	start bdus zero --size 1M
	run -0 --separate-stderr setpriv --reuid=65534 --clear-groups \
		bdus why "$dev"
	[[ -z $stderr && ${lines[0]} == *': nothing is wrong: '* ]]
	[[ $output == *"thread    $pid bdus: sleeps"* ]]
}
