#!/usr/bin/env bats
# list: the devices there are, for people and for programs.

load lib

# json FILTER [ARG...]: of what list prints
json() { bdus list --json "${@:2}" | jq -r "$1"; }

unprivileged() { setpriv --reuid=65534 --clear-groups "$@"; }

@test "a line for each device, in the order of ids, with what it is" {
	fill_pattern file 1048576
	start bdus ram --size 1536K
	ram=$pid
	start bdus loop --read-only file
	exec {fd}<"$dev"
	run -0 --separate-stderr bdus list
	exec {fd}<&-
	# shellcheck disable=SC2154 # bats sets it
	[[ -z $stderr && ${#lines[@]} == 3 ]]
	# words start, and numbers end, where their headings do
	[[ ${lines[0]} == 'DEVICE       ID  DRIVER  SIZE  RO   STATE '* ]]
	[[ ${lines[1]} == '/dev/bdus-0   0  ram     1.5M  no   live '* ]]
	[[ ${lines[2]} == '/dev/bdus-1   1  loop      1M  yes  live '* ]]
	[[ $(tr -s ' ' <<<"$output") == "DEVICE ID DRIVER SIZE RO STATE PID OPEN BACKING
/dev/bdus-0 0 ram 1.5M no live $ram 0 -
/dev/bdus-1 1 loop 1M yes live $pid 1 $dir/file" ]]
}

@test "--output, --noheadings and --bytes choose" {
	start bdus zero --size 1536K
	run -0 bdus list -no size,device,id
	[[ $(tr -s ' ' <<<"$output") == "1.5M $dev $id" ]]
	run -0 bdus list -bno size
	[[ $output == 1572864 ]]
	run -0 bdus list --output driver,read_requests
	[[ ${lines[0]} == 'DRIVER  READ_REQUESTS' ]]
	[[ ${lines[1]} == zero* ]]
}

@test "--json has all columns, with types" {
	start bdus ram --size 1536K
	dd if=/dev/urandom of="$dev" bs=64k count=4 oflag=direct status=none
	[[ $(json .schema) == 1 ]]
	[[ $(json '.devices[0] | [.device, .id, .driver, .size, .ro, .state,
		.pid, .open, .backing, .recoverable, .timeout_ms,
		.write_bytes, .write_requests, .in_flight] | tojson') == \
		"[\"$dev\",$id,\"ram\",1572864,false,\"live\",$pid,0,null,false,30000,262144,4,0]" ]]
	# every column can be had, and every one is in the JSON
	keys=$(json '.devices[0] | keys_unsorted | join(",")')
	(($(tr ',' '\n' <<<"$keys" | wc -l) == 37))
	bdus list --output "$keys"
	[[ $(json '.devices[0] | tojson' --output id,ro) == \
		"{\"id\":$id,\"ro\":false}" ]]
}

@test "names of files that are no text are shown harmlessly" {
	name=$'a "b"\\c\tü\xff\e[1m'
	truncate -s 1M "$name"
	start bdus loop "$name"
	# as far as JSON can have it: U+FFFD stands for what is not UTF-8
	bdus list --json >json
	perl -MJSON::PP -e 'local $/; JSON::PP->new->utf8->decode(<STDIN>)' <json
	[[ $(jq -r '.devices[0].backing' json) == \
		"$dir"/$'a "b"\\c\tü\xef\xbf\xbd\e[1m' ]]
	run -0 bdus list -no backing
	[[ $output == "$dir/a \"b\"\\c?ü??[1m" ]]
}

@test "only the devices given; one that does not exist: 4" {
	start bdus zero --size 1M
	start bdus zero --size 2M
	ln -s "$dev" link
	for name in "$dev" "$id" "bdus-$id" link; do
		run -0 bdus list -no size "$name"
		[[ $output == 2M ]]
	done
	run -4 --separate-stderr bdus list -no size 4711 "$id"
	[[ $output == 2M ]]
	[[ $stderr == *'4711: no such device'* ]]
	run -4 bdus list /dev/null
}

@test "how often a device and its partitions are open" {
	truncate -s 64M file
	printf 'label: gpt\nsize=16M\n' | sfdisk -q file
	start bdus loop file
	opens() { bdus list -no open "$id" | tr -d ' '; }
	[[ $(opens) == 0 ]]
	exec {fd}<"$dev" {other}<"${dev}p1"
	[[ $(opens) == 2 ]]
	exec {fd}<&- {other}<&-
	[[ $(opens) == 0 ]]
}

@test "a device whose driver died is not listed, even while it is open" {
	start bdus ram --size 1M
	exec {fd}<"$dev"
	kill -9 "$pid"
	is_listed() { [[ -n $(bdus list -n) ]]; }
	wait_until 5 is_gone "$dev"
	run ! is_listed
	exec {fd}<&-
}

@test "needs no privilege" {
	start bdus zero --size 1M
	run -0 --separate-stderr unprivileged bdus list -no device,driver
	[[ $(tr -s ' ' <<<"$output") == "$dev zero" && -z $stderr ]]
}

@test "without the kernel module: empty, and it is not loaded" {
	rmmod kbdus
	run -0 --separate-stderr bdus list
	[[ $output == DEVICE*BACKING && -z $stderr ]]
	run -0 bdus list --noheadings
	[[ -z $output ]]
	[[ $(json '.devices | length') == 0 ]]
	[[ ! -e /sys/module/kbdus ]]
}

@test "devices that come and go meanwhile do no harm" {
	churn() {
		until [[ -e stop ]]; do
			bdus destroy "$(bdus zero --size 1M)"
		done
	}
	churn 3>&- 4>&- &
	for ((i = 0; i < 30; i++)); do
		bdus list --json >>json
		bdus list >>table
	done
	touch stop
	wait $!
	jq --slurp --exit-status 'all(.devices | length <= 1) and
		any(.devices | length == 1) and length == 30' json
	start bdus zero --size 1M
	echo "$id devices came and went"
	((id > 3))
}
