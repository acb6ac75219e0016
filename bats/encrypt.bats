#!/usr/bin/env bats
# encrypt: LUKS volumes as disks in the clear. With those of others:
# encrypt-interop.bats. Replaced and killed drivers: encrypt-rerun.bats. What
# becomes of keys: encrypt-secret.bats.

load lib
load encrypt

### data ######################################################################

@test "LUKS2, sectors of 4096: random writes under load read back as written" {
	volume 48M
	opened file
	[[ $(blockdev --getss "$dev") == 4096 ]]
	[[ $(blockdev --getsize64 "$dev") == $((32 * MiB)) ]]
	verify "$dev" "${BDUS_VERIFY_SIZE:-16M}"
}

@test "LUKS1, sectors of 512: random writes under load read back as written" {
	volume 34M --type luks1
	opened file
	[[ $(blockdev --getss "$dev") == 512 ]]
	verify "$dev" "${BDUS_VERIFY_SIZE:-16M}" --bsrange=512-64k
}

@test "several queues, more than processors, and one" {
	volume 24M
	for queues in 1 5; do
		opened --queues $queues file
		(($(find "/proc/$pid/task" -mindepth 1 -maxdepth 1 | wc -l) >= queues))
		verify "$dev" 4M --numjobs=2 --offset_increment=4M
		bdus destroy "$dev"
	done
}

@test "--direct: past the page cache, of a file on ext4 and of a device" {
	below $((80 * MiB))
	mkfs.ext4 -q /dev/ram0
	mount /dev/ram0 /mnt
	truncate -s 40M file
	mv file /mnt/file
	made bdus pbkdf2 /mnt/file
	opened --direct /mnt/file
	has_direct "$(find "/proc/$pid/fd" -lname /mnt/file ! -name 200 -printf %f)"
	verify "$dev" 4M
	bdus destroy "$dev"
	umount /mnt
	made bdus pbkdf2 --sector-size 512 --force /dev/ram0
	opened --direct /dev/ram0
	verify "$dev" 4M --bsrange=512-64k
}

has_direct() { (($(awk '/^flags:/ { print $2 }' "/proc/$pid/fdinfo/$1") & 040000)); }

@test "every size and place of a request, in the units of the volume" {
	for sector in 512 4096; do
		rm -f file
		volume 24M --sector-size $sector
		opened file
		fill_pattern expected $((4 * MiB))
		put expected
		for n in 1 61; do
			dd if="$dev" of=out bs=$((n * sector)) skip=3 count=5 \
				iflag=direct status=none
			cmp --ignore-initial=0:$((3 * n * sector)) \
				--bytes=$((5 * n * sector)) out expected
			head -c $((3 * n * sector)) /dev/urandom >data
			for file in "$dev" expected; do
				dd if=data of="$file" bs=$((n * sector)) \
					seek=5 conv=notrunc status=none
			done
			holds expected
		done
		bdus destroy "$dev"
	done
}

@test "nothing of the data is in the backing" {
	volume 20M
	opened file
	yes 'this is the text that is to be hidden' | head -c $((2 * MiB)) >data
	put data
	bdus destroy "$dev"
	run ! grep -q 'the text that is to be hidden' file
	# nor that it is the same over and over
	(($(gzip <file | wc -c) > 2 * MiB))
}

@test "a file, its detached header, and another one's" {
	truncate -s 8M file
	made bdus pbkdf2 --header header file
	made bdus pbkdf2 --header other file
	fill_pattern data "$MiB"
	opened --header header file
	[[ $(blockdev --getsize64 "$dev") == $((8 * MiB)) ]]
	put data
	bdus destroy "$dev"
	opened --header other --read-only file
	run ! holds data
	bdus destroy "$dev"
	opened --header header file
	holds data
	# the header in use can be changed: only its data is taken
	bdus encrypt add-key --key-file key --new-key-file key2 --pbkdf pbkdf2 \
		--pbkdf-force-iterations 1000 --header header file
}

@test "a passphrase by a file, by a descriptor, by standard input" {
	volume 20M
	{ head -c 100 /dev/urandom && cat key && echo behind; } >padded
	while read -r how; do
		echo "# $how"
		eval "start bdus encrypt $how"
		bdus destroy "$dev"
	done <<-'END'
		--key-file key file
		--key-file - file <key
		file <key
		file <<<"$(<key)"
		--key-fd 3 file 3<key
		--key-file padded --keyfile-offset 100 --keyfile-size 32 file
		--key-fd 9 --keyfile-offset 100 --keyfile-size 32 file 9<padded
	END
}

# has_open FILE: any of ours
has_open() {
	local pid
	for pid in $(pgrep -x bdus); do
		find "/proc/$pid/fd" -lname "$1" | grep . && return
	done
}

@test "a key file's descriptor is closed once it is open, a supervisor's too" {
	volume 20M
	fill_pattern data "$MiB"
	start bdus encrypt --supervise --keep-key --key-fd 5 --ready-fd 6 file \
		5<key 6>ready
	wait_until 5 test -s ready
	[[ $(pgrep -xc bdus) == 2 ]]
	has_open "$dir/file"
	run ! has_open "$dir/key"
	run ! has_open "$dir/ready"
	put data
	# nor is what has its number by now closed by those that follow
	for ((n = 1; n <= 3; n++)); do
		kill -9 "$(attribute pid)"
		wait_until 10 has_restarts "$n"
		holds data
	done
	# one that is not read, but for another volume
	bdus rerun "$id" encrypt --keep-key --key-fd 5 file 5<key
	run ! has_open "$dir/key"
	holds data
}

### refusals ##################################################################

@test "a wrong key: 3, and nothing is left behind" {
	volume 20M
	refused 3 'file: wrong passphrase or key file' --key-file key2 file
	refused 3 'file: wrong passphrase or key file' --key-file key2 \
		--key-slot 0 file
	refused 3 'file: wrong passphrase' --keyfile-offset 1 --key-file key file
	refused 3 'file: wrong passphrase' --key-file key2 --supervise file
	refused 3 'no key slot is opened' test-key --key-file key2 file
	no_device
	no_driver
	opened file
}

@test "a descriptor that is not open, or taken: 2" {
	volume 20M
	refused 2 '--key-fd: descriptor 9 is not open' --key-fd 9 file
	# as numbers of what bdus opens itself go
	for fd in 3 4 5 6 7 8; do
		refused 2 "--key-fd: descriptor $fd is not open" --key-fd $fd \
			--supervise file 3>&- 4>&-
	done
	refused 2 '--ready-fd: descriptor 9 is not open, or another option' \
		--key-fd 9 --ready-fd 9 file 9<key
	for fd in 200 201; do
		refused 2 "--key-fd: descriptor $fd is for bdus itself" \
			--key-fd $fd file 200<key 201<key
	done
	start bdus encrypt --key-file key file
	for fd in 3 4 5 6 7 8; do
		run -2 bdus rerun "$id" encrypt --key-fd $fd file 3>&- 4>&-
		[[ $output == *"descriptor $fd is not open"* ]]
	done
}

@test "a key slot, a file, a passphrase that is not there" {
	volume 20M
	: >empty
	refused 1 'slot 3' --key-file key --key-slot 3 file
	refused 1 'none: ' --key-file none file
	refused 1 'empty' --key-file empty file
	refused 1 '' file
	for slot in 32 99 x; do
		refused 2 "'$slot' is no key slot of LUKS2" --key-file key \
			--key-slot $slot file
	done
	made bdus pbkdf2 --type luks1 --force file
	refused 2 "'8' is no key slot of LUKS1" --key-file key --key-slot 8 file
	no_device
}

@test "options that fit no volume of that kind: 2, and units must be said" {
	volume 20M
	for option in --cipher=aes-xts-plain64 --hash=sha256 --offset=1M \
		--skip=1M --key-size=512bit --sector-size=512; do
		refused 2 "${option%%=*}" --key-file key "$option" file
	done
	plain=(--type plain --key-file key --cipher aes-xts-plain64)
	refused 2 'key-size' "${plain[@]}" file
	refused 2 '512bit or 64B' "${plain[@]}" --key-size 512 file
	plain+=(--key-size 128bit)
	refused 2 'aes-xts-plain64 with 512bit or 256bit' "${plain[@]}" file
	plain+=(--key-size 256bit)
	refused 2 '--offset' "${plain[@]}" --offset 2048 file
	refused 2 '--skip' "${plain[@]}" --skip 2048 file
	refused 2 '--header' "${plain[@]}" --header file file
	refused 2 '--key-slot' "${plain[@]}" --key-slot 1 file
	refused 2 'sector-size' "${plain[@]}" --sector-size 1536 file
	refused 2 'hash' --type plain --cipher aes-xts-plain64 \
		--key-size 256bit file
	refused 1 'is LUKS2, not LUKS1' --type luks1 --key-file key file
	no_device
}

@test "in use by bdus: 5, a file and a device, by whatever is to be done" {
	below $((20 * MiB))
	for volume in file /dev/ram0; do
		[[ $volume != file ]] || truncate -s 20M file
		made bdus pbkdf2 $volume
		bdus encrypt header-backup $volume backup.${volume##*/}
		opened $volume
		refused 5 "$volume: is in use: bdus (pid $pid)" \
			--key-file key $volume
		for action in 'format --pbkdf pbkdf2 --force --key-file key' \
			'header-restore --force'; do
			backup=backup.${volume##*/}
			[[ $action == header-restore* ]] || backup=
			# shellcheck disable=SC2086 # words
			refused 5 "$volume: is in use" $action $volume $backup
		done
		head -c 4096 /dev/urandom >data
		dd if=data of="$dev" bs=4k oflag=direct status=none
		cmp --bytes=4096 data "$dev"
		bdus destroy "$dev"
	done
}

@test "a device that is open here is refused by cryptsetup" {
	modprobe dm-crypt
	below $((20 * MiB))
	made bdus pbkdf2 /dev/ram0
	opened /dev/ram0
	run ! cryptsetup open --key-file key /dev/ram0 upper
	[[ $output == *"/dev/ram0"*"in use"* && ! -e /dev/mapper/upper ]]
	bdus destroy "$dev"
	cryptsetup open --key-file key /dev/ram0 upper
	cryptsetup close upper
}

@test "open by dm-crypt: 5, with the user named" {
	modprobe -a loop dm-crypt
	below $((20 * MiB))
	made cryptsetup pbkdf2 /dev/ram0
	cryptsetup open --key-file key /dev/ram0 upper
	refused 5 '/dev/ram0: is in use: used by /dev/dm-' --key-file key \
		/dev/ram0
	refused 5 '/dev/ram0: is in use: used by /dev/dm-' format --force \
		--pbkdf pbkdf2 --key-file key /dev/ram0
	cryptsetup close upper
	truncate -s 20M file
	made cryptsetup pbkdf2 file
	cryptsetup open --key-file key file upper
	refused 5 'file: is in use: /dev/loop0' --key-file key file
	refused 5 'file: is in use: /dev/loop0' format --force \
		--pbkdf pbkdf2 --key-file key file
	cryptsetup close upper
	opened /dev/ram0
	run ! cryptsetup luksFormat --batch-mode --key-file key /dev/ram0
}

@test "mounted, swapped to: 5, even with --force" {
	below $((20 * MiB))
	mkfs.ext4 -q /dev/ram0
	format=(format --pbkdf pbkdf2 --key-file key)
	refused 5 'ext' "${format[@]}" /dev/ram0
	mount /dev/ram0 /mnt
	refused 5 '/dev/ram0: is in use: mounted on /mnt' "${format[@]}" \
		--force /dev/ram0
	umount /mnt
	mkswap -q /dev/ram0
	swapon /dev/ram0
	refused 5 '/dev/ram0: is in use: swap on /dev/ram0' "${format[@]}" \
		--force /dev/ram0
	swapoff /dev/ram0
	refused 5 'swap' "${format[@]}" /dev/ram0
	bdus encrypt "${format[@]}" --force --pbkdf-force-iterations 1000 /dev/ram0
	opened /dev/ram0
}

@test "too small: for a header, for its data, for the volume's sectors" {
	truncate -s 1M file
	refused 1 'file: ' format --pbkdf pbkdf2 --key-file key file
	refused 1 'file: ' --key-file key file
	for type in luks1 luks2; do
		rm -f file
		volume 20M --type $type
		cp file whole
		for size in 16M 1M 16K 512; do
			[[ $type == luks2 || $size != 16M ]] || continue
			echo "# $type $size"
			cp whole file
			truncate -s $size file
			refused 1 'file: ' --key-file key file
		done
	done
	no_device
	rm -f file
	volume 20M --sector-size 4096
	truncate -s +512 file
	refused 1 'no multiple of the sector size, 4096' --key-file key file
	truncate -s +512 file
	refused 1 'sector size' --key-file key file
	truncate -s +3072 file
	opened file
}

@test "a detached header whose data is smaller or larger than before" {
	truncate -s 8M file
	made bdus pbkdf2 --header header file
	truncate -s 4M file
	opened --header header file
	[[ $(blockdev --getsize64 "$dev") == $((4 * MiB)) ]]
	bdus destroy "$dev"
	truncate -s 512 file
	refused 1 'sector size' --key-file key --header header file
	refused 1 'none: ' --key-file key --header none file
	refused 1 'file: ' --key-file key file
}

@test "--block-size below the sector size: 2; above: larger blocks" {
	volume 20M --sector-size 4096
	refused 2 'file: needs a --block-size of 4096 or more' \
		--key-file key --block-size 512 file
	opened --block-size 4096 file
	bdus destroy "$dev"
	rm file
	volume 20M --sector-size 512
	opened --block-size 4096 file
	[[ $(blockdev --getss "$dev") == 4096 ]]
	fill_pattern data "$MiB"
	put data
	bdus destroy "$dev"
	opened file
	[[ $(blockdev --getss "$dev") == 512 ]]
	holds data
}

@test "on a device with blocks of 4096 bytes: sectors of 512 too, if cached" {
	start bdus ram --size 20M --block-size 4096
	lower=$dev
	made bdus pbkdf2 --sector-size 512 "$lower"
	opened --block-size 512 "$lower"
	[[ $(blockdev --getss "$dev") == 512 ]]
	verify "$dev" 2M --bsrange=512-16k
	bdus destroy "$dev"
	refused 2 'needs a --block-size of 4096' --direct --block-size 512 \
		--key-file key "$lower"
	opened --direct "$lower"
	[[ $(blockdev --getss "$dev") == 4096 ]]
	verify "$dev" 2M
}

@test "--read-only: nothing is changed, and nothing needs to be" {
	below $((40 * MiB))
	mkfs.ext4 -q /dev/ram0
	mount /dev/ram0 /mnt
	volume 20M
	opened file
	fill_pattern data "$MiB"
	put data
	bdus destroy "$dev"
	mv file /mnt/
	cp /mnt/file before
	mount -o remount,ro /mnt
	refused 1 'cannot open: Read-only file system' --key-file key /mnt/file
	opened --read-only /mnt/file
	holds data
	[[ $(blockdev --getro "$dev") == 1 ]]
	run ! dd if=/dev/zero of="$dev" bs=4k count=1 oflag=direct
	bdus destroy "$dev"
	cmp before /mnt/file
	umount /mnt
	made bdus pbkdf2 --force /dev/ram0
	blockdev --setro /dev/ram0
	refused 1 '/dev/ram0: ' --key-file key /dev/ram0
	opened --read-only /dev/ram0
	bdus destroy "$dev"
	blockdev --setrw /dev/ram0
}

### file systems ##############################################################

# keeps_files TYPE SIZE CHECK...: a tree survives unmount, close, and open
keeps_files() {
	volume "$2"
	opened file
	"mkfs.$1" -q "$dev"
	mount -t "$1" "$dev" /mnt
	fill_pattern large $((8 * MiB))
	cp -r large /usr/include/asm-generic /mnt/
	umount /mnt
	bdus destroy "$dev"
	opened file
	mount -t "$1" "$dev" /mnt
	cmp large /mnt/large
	diff -r /usr/include/asm-generic /mnt/asm-generic
	umount /mnt
	"${@:3}" "$dev"
	run ! "${@:3}" file # nothing of it is seen below
}

@test "ext4: mkfs, mount, copy, unmount, close, open, mount, compare, fsck" {
	keeps_files ext4 80M e2fsck -fn
}

@test "xfs: mkfs, mount, copy, unmount, close, open, mount, compare, fsck" {
	keeps_files xfs 320M xfs_repair -n
}

### flush, discard, zeroes ####################################################

@test "what was acknowledged is there, at the end and after a power failure" {
	for options in '--type luks1' '--sector-size 4096'; do
		rm -f file
		# shellcheck disable=SC2086 # words
		volume 32M $options
		opened file
		run -0 blockcheck run --log log --seconds 2 "$dev"
		[[ $output == *' 0 lost, 0 torn, 0 foreign, 0 stale, 0 misplaced, 0 client'* ]]
		bdus destroy "$dev"
		opened file
		blockcheck judge --log log "$dev"
		blockcheck judge --log log --after power-loss "$dev"
		bdus destroy "$dev"
	done
}

of_lower() { cat "/sys/block/${lower#/dev/}/bdus/$1"; }

@test "flush and FUA reach the backing" {
	for options in '' --direct; do
		start bdus loop --create --size 20M --block-size 4096 file
		lower=$dev
		made bdus pbkdf2 "$lower"
		# shellcheck disable=SC2086 # none or one
		opened $options "$lower"
		fill_pattern data 65536
		before=$(of_lower flush_requests)
		dd if=data of="$dev" bs=64k conv=fsync status=none
		(($(of_lower flush_requests) > before))
		before=$(($(of_lower flush_requests) + $(of_lower fua_write_requests)))
		dd if=data of="$dev" bs=4k oflag=direct,dsync status=none
		(($(attribute fua_write_requests) >= 16))
		(($(of_lower flush_requests) + $(of_lower fua_write_requests) >= before + 16))
		(($(of_lower write_bytes) + $(of_lower fua_write_bytes) >= 2 * 65536))
		bdus destroy "$dev"
		bdus destroy "$lower"
		rm file
	done
}

max_discard() { cat "/sys/block/bdus-$id/queue/discard_max_bytes"; }

@test "discard is not offered" {
	volume 20M
	opened file
	fill_pattern data $((2 * MiB))
	put data
	before=$(used file)
	[[ $(max_discard) == 0 ]]
	run ! blkdiscard "$dev"
	holds data
	(($(used file) == before))
}

@test "discard, by --allow-discards or as the header says" {
	for how in --allow-discards flag; do
		echo "# $how"
		rm -f file
		volume 24M
		option=$how
		if [[ $how == flag ]]; then
			modprobe -a loop dm-crypt
			cryptsetup open --persistent --allow-discards \
				--key-file key file upper
			cryptsetup close upper
			option=
		fi
		# shellcheck disable=SC2086 # none or one
		opened $option file
		(($(max_discard) > 0))
		fill_pattern data $((4 * MiB))
		put data
		before=$(used file)
		blkdiscard --offset 1M --length 2M "$dev"
		(($(used file) == before - 2 * MiB))
		head -c "$MiB" data >first
		holds first
		dd if=data of=last bs=1M skip=3 status=none
		holds last 3
		bdus destroy "$dev"
		opened file # the header is still there
		bdus destroy "$dev"
	done
}

@test "discard on a device reaches that range of it" {
	start bdus ram --size 24M --block-size 4096
	lower=$dev
	made bdus pbkdf2 "$lower"
	opened --allow-discards "$lower"
	before=$(of_lower discard_bytes)
	blkdiscard --offset 1M --length 4M "$dev"
	(($(of_lower discard_bytes) == before + 4 * MiB))
	cmp --bytes=$((4 * MiB)) --ignore-initial=$((17 * MiB)):0 \
		"$lower" /dev/zero
}

@test "zeroes are zeroes above, and below like any other data" {
	volume 24M
	# which lets nobody see what is unused unless discards are sent
	opened --allow-discards file
	fill_pattern data $((4 * MiB))
	put data
	before=$(used file)
	blkdiscard --zeroout --offset 1M --length 1536K "$dev"
	fallocate --punch-hole --keep-size --offset 2560K --length 512K "$dev"
	head -c "$MiB" data >first
	holds first
	head -c $((2 * MiB)) /dev/zero >zeroes
	holds zeroes 1
	dd if=data of=last bs=1M skip=3 status=none
	holds last 3
	bdus destroy "$dev"
	(($(used file) == before))
	dd if=file of=below bs=1M skip=17 count=2 status=none
	(($(gzip <below | wc -c) > 2 * MiB))
	run ! cmp --bytes=$((2 * MiB)) --ignore-initial="0:$MiB" below data
}

### errors ####################################################################

@test "errors of the backing reach the client, the rest goes on" {
	below $((24 * MiB))
	made bdus pbkdf2 /dev/ram0
	# from 4 MiB to 8 MiB of the data
	printf '%s\n' '0 40960 linear /dev/ram0 0' '40960 8192 error' |
		dmsetup create bad
	opened --direct /dev/mapper/bad
	fill_pattern data "$MiB"
	for command in "if=$dev of=/dev/null skip=5 iflag=direct" \
		"if=data of=$dev seek=5 oflag=direct"; do
		# shellcheck disable=SC2086 # words
		run ! dd $command bs=1M count=1
		[[ $output == *'Input/output error'* ]]
	done
	run ! blkdiscard --zeroout --offset 5M --length 1M "$dev"
	put data 3
	holds data 3
}

@test "a file that is cut short: EIO from there on" {
	volume 24M
	opened file
	fill_pattern data "$MiB"
	put data
	truncate -s 18M file
	run ! dd if="$dev" of=/dev/null bs=1M skip=4 count=1 iflag=direct
	run ! dd if=data of="$dev" bs=1M seek=4 oflag=direct
	[[ $(stat -c %s file) == $((18 * MiB)) ]]
	holds data
}

### the whole command #########################################################

@test "format --wipe: all of the data is other than before, and opens" {
	below $((20 * MiB))
	made bdus pbkdf2 --wipe /dev/ram0
	dd if=/dev/ram0 bs=1M skip=16 of=below status=none
	(($(gzip <below | wc -c) > 4 * MiB))
	opened /dev/ram0
}

@test "erase: nobody opens it any more" {
	volume 20M
	bdus encrypt erase --force file
	run ! bdus encrypt --key-file key file
	run ! cryptsetup open --test-passphrase --key-file key file
	bdus encrypt info file
}
