#!/usr/bin/env bats
# SPDX-License-Identifier: MIT
#
# The actions of encrypt, on regular files: each against cryptsetup and back,
# and what is refused. Needs neither the kernel module nor privilege.

load encrypt-cli

### format ####################################################################

# they_read FILE CIPHER BITS SECTOR: cryptsetup's view of a volume
they_read() {
	local dump
	dump=$(cryptsetup luksDump "$1")
	if [[ $dump == *"Payload offset:"* ]]; then
		[[ $dump == *"MK bits:"*"$3"* ]]
	else
		grep -Eq "cipher: $2\$" <<<"$dump"
		grep -Eq "sector: $4 " <<<"$dump"
		grep -Eq "Key: +$3 bits" <<<"$dump"
	fi
}

@test "format: LUKS1 opens with cryptsetup" {
	local hash bits
	for hash in sha256 sha512; do
		for bits in 256 512; do
			rm -f disk
			luks1 disk secret --hash "$hash" --key-size "${bits}bit"
			cryptsetup isLuks --type luks1 disk
			they_read disk aes-xts-plain64 "$bits" 512
			opens disk secret 0
			fails_to_open disk Secret
		done
	done
}

@test "format: LUKS2 with each sector size opens with cryptsetup" {
	local size
	for size in 512 1024 2048 4096; do
		rm -f disk
		luks2 disk secret --sector-size "$size"
		cryptsetup isLuks --type luks2 disk
		they_read disk aes-xts-plain64 512 "$size"
		opens disk secret 0
	done
	fails_to_open disk Secret
}

@test "format: LUKS2 with each key derivation opens with cryptsetup" {
	ours disk secret "${pbkdf2[@]}"
	[[ $(cryptsetup luksDump disk) == *"PBKDF:      pbkdf2"* ]]
	opens disk secret 0
	ours disk secret --force --pbkdf argon2i "${argon2[@]}"
	[[ $(cryptsetup luksDump disk) == *"PBKDF:      argon2i"$'\n'* ]]
	opens disk secret 0
	ours disk secret --force "${argon2[@]}" --hash sha512
	[[ $(cryptsetup luksDump disk) == *"PBKDF:      argon2id"* ]]
	[[ $(cryptsetup luksDump disk) == *"AF hash:    sha512"* ]]
	opens disk secret 0
}

@test "format: other ciphers open with cryptsetup" {
	luks2 disk secret --cipher aes-xts-plain64 --key-size 32B
	they_read disk aes-xts-plain64 256 4096
	opens disk secret
	luks1 disk secret --force --cipher aes-cbc-essiv:sha256
	they_read disk aes-cbc-essiv:sha256 256 512
	opens disk secret
}

@test "format: label, UUID" {
	local uuid=0B5D4B9C-3a3e-4f0d-9f2c-0123456789ab
	luks2 disk secret --label "my data" --uuid "$uuid"
	[[ $(cryptsetup luksUUID disk) == "${uuid,,}" ]]
	[[ $(cryptsetup luksDump disk) == *"Label:"*"my data"* ]]
	[[ $(field disk .label) == "my data" && $(field disk .uuid) == "${uuid,,}" ]]
	luks1 disk secret --force --uuid "$uuid"
	[[ $(cryptsetup luksUUID disk) == "${uuid,,}" ]]
}

@test "format: by the name that cryptsetup has for it" {
	truncate -s 20M disk
	encrypt luksFormat "${argon2[@]}" disk <<<secret
	opens disk secret
	encrypt luksDump disk | grep -q LUKS2
}

@test "format: the sector size is what fits" {
	truncate -s $((20 * 1048576 + 512)) odd
	luks2 odd secret
	[[ $(field odd .sector_size) == 512 ]]
	truncate -s $((20 * 1048576 + 2048)) even
	luks2 even secret
	[[ $(field even .sector_size) == 2048 ]]
	luks2 disk secret
	[[ $(field disk .sector_size) == 4096 ]]
}

@test "format: the smallest disks; smaller ones are told the least size" {
	local least
	for type in luks1 luks2; do
		truncate -s 64K small
		run -1 --separate-stderr "$type" small secret
		# shellcheck disable=SC2154
		least=$(grep -oE '[0-9]+ bytes' <<<"$stderr")
		[[ $stderr == *"small: is too small: has 64K, needs "*" at least" ]]
		truncate -s $((${least% bytes} - 512)) small
		run -1 "$type" small secret
		truncate -s "${least% bytes}" small
		"$type" small secret
		opens small secret
		rm small
	done
	truncate -s 3000000 odd
	refused 1 "odd: size 3000000 is no multiple of 512" format \
		"${argon2[@]}" odd <<<secret
	truncate -s $((20 * 1048576 + 512)) odd
	refused 1 "is no multiple of 4096" format --sector-size 4K odd <<<secret
}

@test "format: the ciphers that a hint lists can be had, and no others" {
	local hint name sizes size
	run -2 --separate-stderr encrypt format -c serpent-xts-plain64 disk
	hint=$(sed -n 's/^hint: accepted: //p' <<<"$stderr")
	[[ $hint == "aes-xts-plain64 with 512bit or 256bit, "* ]]
	while read -r name _ sizes; do
		for size in 512 384 256 192 128; do
			rm -f disk
			if [[ $sizes == *"${size}bit"* ]]; then
				luks2 disk secret -c "$name" -s "${size}bit"
			else
				refused 2 "no $name with a key of $size" format \
					-c "$name" -s "${size}bit" disk
			fi
		done
	done <<<"${hint//, /$'\n'}"
}

@test "format: bad options" {
	truncate -s 20M disk
	sum disk
	refused 2 "--key-size: '512'" format --key-size 512 disk
	refused 2 "512bit or 64B" format --key-size 512 disk
	refused 2 "no aes-xts-plain64 with a key of 192 bits" format \
		-s 192bit disk
	refused 2 "no serpent-xts-plain64" format -c serpent-xts-plain64 disk
	refused 2 "no power of two" format --sector-size 1536 disk
	refused 2 "LUKS1 has sectors of 512" format --type luks1 \
		--sector-size 4096 disk
	refused 2 "LUKS1 knows pbkdf2 only" format --type luks1 \
		--pbkdf argon2id disk
	refused 2 "LUKS1 has no labels" format --type luks1 --label x disk
	refused 2 "longer than 47" format --label "$(printf '%048d' 0)" disk
	refused 2 "control character" format --label $'a\nb' disk
	refused 2 "'x' is not a UUID" format --uuid x disk
	refused 2 "is not a UUID" format \
		--uuid 0b5d4b9c-3a3e-4f0d-9f2c-0123456789ag disk
	refused 2 "--pbkdf: 'scrypt'" format --pbkdf scrypt disk
	refused 2 "--pbkdf-memory: has no unit" format \
		--pbkdf-memory 1048576 disk
	refused 2 "cryptsetup's number is in K" format --pbkdf-memory 64 disk
	refused 2 "--pbkdf-memory: is out of bounds" format \
		--pbkdf-memory 16K disk
	refused 2 "--pbkdf-memory: is out of bounds" format \
		--pbkdf-memory 5G disk
	refused 2 "pbkdf2 takes no memory" format --pbkdf pbkdf2 \
		--pbkdf-memory 1M disk
	refused 2 "pbkdf2 has one thread" format --pbkdf pbkdf2 \
		--pbkdf-parallel 2 disk
	refused 2 "pbkdf2 takes 1000 at least" format --pbkdf pbkdf2 \
		--pbkdf-force-iterations 999 disk
	refused 2 "less than the minimum, 4" format \
		--pbkdf-force-iterations 3 disk
	refused 2 "excludes --iter-time" format --iter-time 100 \
		--pbkdf-force-iterations 4 disk
	refused 2 "too few operands" format
	refused 2 "too many operands" format disk disk
	unchanged disk
}

@test "format: what is no file or device" {
	mkdir dir
	refused 1 "nowhere: cannot open: No such file" format nowhere
	refused 1 "dir: is a directory" format dir
	refused 1 "is a character device" format /dev/null
}

# refuses_over NAME COMMAND...: that makes something on the file
refuses_over() {
	local name=$1
	shift
	rm -f disk
	truncate -s 8M disk
	"$@" >/dev/null 2>&1 || fail "$*"
	sum disk
	refused 5 "disk: there is something on it: $name" format \
		"${argon2[@]}" disk <<<secret
	unchanged disk
}

# bytes OFFSET BYTES: as printf has them
bytes() {
	# shellcheck disable=SC2059
	printf -- "$2" | dd of=disk bs=1 seek="$1" conv=notrunc status=none
}

@test "format: file systems and swap are not overwritten" {
	local kind
	for kind in ext2 ext3 ext4; do
		refuses_over "$kind" "mkfs.$kind" -q -F disk
	done
	refuses_over "swap space" mkswap disk
	refuses_over btrfs bytes 65600 _BHRfS_M
	refuses_over ntfs bytes 3 'NTFS    '
	refuses_over exfat bytes 3 'EXFAT   '
	refuses_over fat bytes 82 'FAT32   '
	refuses_over squashfs bytes 0 hsqs
	refuses_over iso9660 bytes 32769 CD001
	refuses_over xfs bytes 0 XFSB
	if command -v mkfs.vfat; then
		refuses_over fat mkfs.vfat disk
	fi
}

@test "format: partition tables and volumes are not overwritten" {
	refuses_over LUKS1 luks1 disk x
	refuses_over LUKS2 luks2 disk x
	refuses_over "MBR partition table" sfdisk disk <<<'label: dos
		, , L'
	refuses_over "GPT partition table" sfdisk disk <<<'label: gpt
		, , L'
	dd if=/dev/zero of=disk bs=1K count=64 conv=notrunc status=none
	sum disk # the second table, at the end, is left
	refused 5 "GPT partition table" format "${argon2[@]}" disk <<<secret
	refuses_over "LVM2 member" bytes 512 LABELONE
	refuses_over "Linux RAID member" bytes 4096 '\xfc\x4e\x2b\xa9\1\0\0\0'
	refuses_over "Linux RAID member" bytes $((8 * 1048576 - 65536)) \
		'\xfc\x4e\x2b\xa9'
	refuses_over "Linux RAID member" bytes $((8 * 1048576 - 8192)) \
		'\xfc\x4e\x2b\xa9'
	refuses_over "zfs member" bytes 135168 '\x0c\xb1\xba\0\0\0\0\0'
	refuses_over "zfs member" bytes $((8 * 1048576 - 131072)) \
		'\0\0\0\0\0\xba\xb1\x0c'
	refuses_over bcache bytes 4120 \
		'\xc6\x85\x73\xf6\x4e\x1a\x45\xca\x82\x65\xf5\x7f\x48\xba\x6d\x81'
	refuses_over BitLocker bytes 3 -FVE-FS-
}

@test "format --force: over a file system, of which nothing is left" {
	truncate -s 20M disk
	mkfs.ext4 -q -F disk
	luks2 disk secret --force
	opens disk secret
	[[ $(blkid -p -s TYPE -o value disk) == crypto_LUKS ]]
	# LUKS1 over LUKS2, whose second copy lies further on
	luks1 disk secret --force
	[[ $(blkid -p -s TYPE -o value disk) == crypto_LUKS ]]
	[[ $(field disk .type) == luks1 ]]
	opens disk secret
}

@test "format: what is not blank is not overwritten without being asked" {
	truncate -s 20M disk
	bytes 5000000 something
	sum disk
	refused 1 "all data on it is going to be destroyed" format \
		"${argon2[@]}" disk <<<secret
	refused 1 "--force does it" format "${argon2[@]}" disk <<<secret
	unchanged disk
	luks2 disk secret --force
	opens disk secret
}

@test "format: of what somebody else formats: 5" {
	truncate -s 20M disk
	mkfifo key
	encrypt format --key-file key "${argon2[@]}" disk &
	exec 7>key # returns once it asks for the passphrase
	refused 5 "disk: is in use" format "${argon2[@]}" disk <<<secret
	printf secret >&7
	exec 7>&-
	wait $!
	opens disk secret
}

@test "format --wipe: the data area has no hole, the header is last" {
	luks2 disk secret --wipe
	opens disk secret
	# what is random cannot be made smaller
	(($(tail -c 4M disk | gzip | wc -c) > 4 * 1048576))
	# and is not the same twice
	tail -c 1M disk >once
	luks2 disk secret --wipe --force
	run ! cmp -s once <(tail -c 1M disk)
}

has_blocks() { (($(stat -c %b "$1") > 65536)); }

@test "format --wipe: interrupted, it leaves no volume and says so" {
	truncate -s 20M disk
	luks2 disk old
	truncate -s 3G disk
	"$bdus" encrypt format --wipe --force "${argon2[@]}" disk \
		<<<secret 2>err &
	wait_until 5 has_blocks disk
	kill -TERM $!
	ends_with 1 $!
	grep -q "disk: wiping ended early" err
	grep -q "was not formatted" err
	run ! cryptsetup isLuks disk
	rm disk
}

### detached headers ##########################################################

@test "detached header: ours opens with cryptsetup" {
	truncate -s 4M data
	luks2 data secret --header head
	[[ $(stat -c '%a %s' head) == "600 16777216" ]]
	cryptsetup open --test-passphrase --header head data <<<secret
	[[ $(encrypt test-key --header head data <<<secret) == 0 ]]
	run ! grep -qc '[^\0]' data # nothing is written to it
	[[ $(encrypt info --header head data) == *"LUKS2, detached"*"data size     4M"* ]]
	rm head
	luks1 data secret --header head
	[[ $(stat -c '%a %s' head) == "600 2097152" ]]
	cryptsetup open --test-passphrase --header head data <<<secret
	[[ $(encrypt test-key --header head data <<<secret) == 0 ]]
}

@test "detached header: cryptsetup's opens with ours" {
	truncate -s 4M data
	cryptsetup luksFormat -q --header head "${their_argon2[@]}" data <<<secret
	[[ $(encrypt test-key --header head data <<<secret) == 0 ]]
	encrypt add-key --header head "${argon2[@]}" data <<<$'secret\nnew'
	[[ $(encrypt test-key --header head data <<<new) == 1 ]]
	cryptsetup open --test-passphrase --header head data <<<new
	cryptsetup luksFormat -q --type luks1 --header head1 \
		--pbkdf-force-iterations 1000 data <<<secret
	[[ $(encrypt test-key --header head1 data <<<secret) == 0 ]]
}

@test "detached header: refusals" {
	truncate -s 4M data
	refused 2 "--header: data is the data itself" format --header data \
		"${argon2[@]}" data <<<secret
	: >empty
	refused 1 "the passphrase is empty" format --header head \
		--key-file empty "${argon2[@]}" data
	[[ ! -e head ]]
	truncate -s 100K head
	refused 1 "head: is too small" format --header head data <<<secret
	mkfs.ext4 -q -F data
	refused 5 "data: there is something on it: ext" format --header head2 \
		data <<<secret
	[[ ! -e head2 ]]
	luks2 data secret --force --header head2
	refused 1 "nowhere: cannot open" test-key --header head2 nowhere
	refused 1 "nowhere: cannot open" test-key --header nowhere data
}

### info ######################################################################

@test "info: of cryptsetup's volumes, for people" {
	theirs disk secret "${their_argon2[@]}" --label "some label" \
		--sector-size 512
	run -0 --separate-stderr "$bdus" encrypt info disk
	[[ -z $stderr ]]
	grep -Eq '^type +LUKS2$' <<<"$output"
	grep -Eq "^UUID +$(cryptsetup luksUUID disk)\$" <<<"$output"
	grep -Eq '^label +some label$' <<<"$output"
	grep -Eq '^cipher +aes-xts-plain64$' <<<"$output"
	grep -Eq '^key size +512 bits$' <<<"$output"
	grep -Eq '^sector size +512$' <<<"$output"
	grep -Eq '^data offset +16M \(16777216 bytes\)$' <<<"$output"
	grep -Eq '^data size +4M \(4194304 bytes, up to the end\)$' <<<"$output"
	grep -Eq '^second copy +valid$' <<<"$output"
	grep -Eq '^ +0  argon2id  4 passes, 32K, 1 thread +aes-xts' <<<"$output"
}

@test "info: allowed discards, tokens, priorities, unbound slots" {
	theirs disk secret "${their_pbkdf2[@]}"
	printf '{"type":"my-token","keyslots":["0"],"x":1}' >token
	cryptsetup token import --json-file token disk
	cryptsetup config --priority prefer --key-slot 0 disk
	cryptsetup luksAddKey -q --unbound --key-size 256 "${their_pbkdf2[@]}" \
		disk <<<unbound
	run -0 "$bdus" encrypt info disk
	grep -Eq '^token +0, my-token, for key slot 0$' <<<"$output"
	grep -Eq '^ +0 .* first ' <<<"$output"
	grep -Eq '^ +1 .* unbound ' <<<"$output"
	[[ $(field disk '.tokens[0].type, .tokens[0].slots[0], .slots[0].priority,
		.slots[1].is_bound, .slots[1].key_size' | paste -sd' ') == \
		"my-token 0 first false 32" ]]
}

@test "info --json: raw numbers" {
	local type
	luks2 disk secret --label l
	[[ $(field disk '[.version, .type, .label, .cipher, .key_size,
		.sector_size, .data_offset, .data_size, .may_discard] | @csv') == \
		'1,"luks2","l","aes-xts-plain64",64,4096,16777216,4194304,false' ]]
	[[ $(field disk '.slots[0].kdf | [.type, .passes, .memory, .threads] |
		@csv') == '"argon2id",4,32768,1' ]]
	luks1 disk secret --force
	[[ $(field disk '[.type, .data_offset, .slots[0].kdf.iterations] |
		@csv') == '"luks1",2097152,1000' ]]
	[[ $(field disk '.slots | length') == 1 ]]
}

@test "info: what is no volume" {
	truncate -s 20M disk
	refused 1 "disk: has no LUKS header" info disk
	truncate -s 10 disk
	refused 1 "disk: " info disk
	refused 1 "nowhere: cannot open" info nowhere
	refused 2 "too few operands" info
}

### key slots #################################################################

@test "test-key: of cryptsetup's volumes" {
	local size hash
	for size in 512 4096; do
		rm -f disk
		theirs disk secret "${their_argon2[@]}" --sector-size "$size"
		opens disk secret 0
		rm -f disk
		theirs disk secret "${their_pbkdf2[@]}" --sector-size "$size"
		opens disk secret 0
	done
	for hash in sha1 sha256 sha512; do
		rm -f disk
		theirs disk secret --type luks1 --hash "$hash" \
			--pbkdf-force-iterations 1000
		opens disk secret 0
	done
	rm -f disk
	theirs disk secret --type luks1 --cipher aes-cbc-essiv:sha256 \
		--pbkdf-force-iterations 1000
	opens disk secret 0
	fails_to_open disk wrong
}

@test "test-key: messages and exit codes" {
	luks2 disk secret
	refused 3 "disk: no key slot is opened by this passphrase" test-key \
		disk <<<wrong
	refused 3 "disk: key slot 0 is not opened by this" test-key -S 0 \
		disk <<<wrong
	refused 1 "disk: key slot 1 is not used" test-key -S 1 disk <<<secret
	refused 2 "'32' is no key slot of LUKS2" test-key -S 32 disk <<<secret
	refused 2 "accepted: 0 to 31" test-key -S x disk <<<secret
	luks1 disk secret --force
	refused 2 "accepted: 0 to 7" test-key -S 8 disk <<<secret
	[[ $(encrypt test-key -S 0 disk <<<secret) == 0 ]]
}

# alternate FILE OPTION-ARRAY THEIR-OPTION-ARRAY: both programs on one volume
alternate() {
	local -n mine=$2 their=$3
	encrypt add-key "${mine[@]}" "$1" <<<$'first\nsecond'
	opens "$1" second 1
	cryptsetup luksAddKey "${their[@]}" "$1" <<<$'second\nthird'
	opens "$1" third 2
	encrypt add-key "${mine[@]}" -S 5 "$1" <<<$'third\nfifth'
	opens "$1" fifth 5
	encrypt change-key "${mine[@]}" "$1" <<<$'second\nzweites'
	opens "$1" zweites
	fails_to_open "$1" second
	cryptsetup luksChangeKey "${their[@]}" "$1" <<<$'third\ndrittes'
	opens "$1" drittes
	fails_to_open "$1" third
	cryptsetup luksKillSlot "$1" 0 <<<fifth
	fails_to_open "$1" first
	encrypt remove-key -S 5 "$1" <<<drittes
	fails_to_open "$1" fifth
	encrypt remove-key "$1" <<<zweites
	fails_to_open "$1" zweites
	opens "$1" drittes
	[[ $(field "$1" '.slots | length') == 1 ]]
	encrypt check "$1"
}

@test "keys: alternating with cryptsetup, LUKS1" {
	# shellcheck disable=SC2034
	local cheap=(--pbkdf-force-iterations 1000)
	theirs disk first --type luks1 "${cheap[@]}"
	alternate disk cheap cheap
}

@test "keys: alternating with cryptsetup, LUKS2 with argon2id" {
	luks2 disk first
	alternate disk argon2 their_argon2
}

@test "keys: alternating with cryptsetup, LUKS2 with pbkdf2" {
	theirs disk first "${their_pbkdf2[@]}"
	alternate disk pbkdf2 their_pbkdf2
}

@test "add-key: what is refused leaves the volume as it was" {
	luks2 disk secret
	sum disk
	refused 3 "no key slot is opened" add-key "${argon2[@]}" \
		disk <<<$'wrong\nnew'
	refused 5 "key slot 0 is used" add-key "${argon2[@]}" -S 0 \
		disk <<<$'secret\nnew'
	refused 5 "change-key replaces" add-key -S 0 disk <<<$'secret\nnew'
	refused 1 "standard input: the passphrase is empty" add-key \
		"${argon2[@]}" disk <<<secret
	refused 2 "less than the minimum" add-key \
		--pbkdf-force-iterations 1 disk <<<$'secret\nnew'
	refused 2 "too many operands" add-key disk new
	unchanged disk
	luks1 disk secret --force
	refused 2 "LUKS1 knows pbkdf2 only" add-key --pbkdf argon2id \
		disk <<<$'secret\nnew'
}

@test "add-key, change-key: all slots of LUKS1 are used" {
	local i
	luks1 disk 0
	for i in {1..7}; do
		encrypt add-key --pbkdf-force-iterations 1000 \
			disk <<<$'0\n'"$i"
	done
	sum disk
	refused 5 "disk: all 8 key slots are used" add-key disk <<<$'0\nnew'
	refused 5 "all 8 key slots are in use" change-key \
		--pbkdf-force-iterations 1000 disk <<<$'0\nnew'
	unchanged disk
	for i in {0..7}; do
		opens disk "$i" "$i"
	done
}

@test "change-key: the slot that is asked for" {
	luks2 disk first
	encrypt add-key "${argon2[@]}" disk <<<$'first\nsecond'
	sum disk
	refused 3 "key slot 1 is not opened by this passphrase" change-key \
		"${argon2[@]}" -S 1 disk <<<$'first\nnew'
	refused 1 "key slot 7 is not used" change-key "${argon2[@]}" -S 7 \
		disk <<<$'first\nnew'
	unchanged disk
	encrypt change-key "${argon2[@]}" -S 1 disk <<<$'second\nnew'
	opens disk new 1
	opens disk first 0
}

@test "remove-key: by another slot's passphrase, never the last" {
	luks2 disk first
	sum disk
	refused 1 "this is the last key slot" remove-key disk <<<first
	refused 1 "this is the last key slot" remove-key -S 0 disk <<<first
	refused 1 "key slot 1 is not used" remove-key -S 1 disk <<<first
	unchanged disk
	encrypt add-key "${argon2[@]}" disk <<<$'first\nsecond'
	sum disk
	refused 3 "no other key slot is opened" remove-key -S 1 disk <<<second
	refused 3 "no key slot is opened" remove-key disk <<<wrong
	unchanged disk
	encrypt luksKillSlot -S 1 disk <<<first
	fails_to_open disk second
	encrypt remove-key --force -S 0 disk </dev/null
	run ! cryptsetup open --test-passphrase disk <<<first
	[[ $(field disk '.slots | length') == 0 ]]
	[[ $(encrypt info disk) == *"no key slots"* ]]
}

@test "remove-key: the key material is overwritten" {
	luks2 disk first
	encrypt add-key "${argon2[@]}" disk <<<$'first\nsecond'
	read -r off size < <(field disk '.slots[1] |
		"\(.area_offset) \(.area_size)"')
	tail -c +$((off + 1)) disk | head -c "$size" >before
	encrypt remove-key disk <<<second
	tail -c +$((off + 1)) disk | head -c "$size" >after
	(($(cmp -l before after | wc -l) > 200000))
}

@test "unknown parts of the header stay through changes" {
	theirs disk first "${their_pbkdf2[@]}"
	printf '{"type":"my-token","keyslots":["0"],"x":"kept"}' >token
	cryptsetup token import --json-file token disk
	encrypt add-key "${pbkdf2[@]}" disk <<<$'first\nsecond'
	encrypt change-key "${pbkdf2[@]}" disk <<<$'second\nthird'
	encrypt remove-key disk <<<third
	[[ $(cryptsetup token export --token-id 0 disk) == *'"x":"kept"'* ]]
}

@test "the header is not locked while a passphrase is awaited" {
	luks2 disk first
	mkfifo key
	encrypt add-key --key-file key --new-key-file new "${argon2[@]}" disk &
	exec 7>key
	printf second >new
	timeout 5 cryptsetup luksDump disk >/dev/null
	timeout 5 cryptsetup luksAddKey "${their_pbkdf2[@]}" disk \
		<<<$'first\nmeanwhile'
	printf first >&7
	exec 7>&-
	ends_with 5 $! # and what is changed meanwhile is not lost
	opens disk meanwhile 1
	opens disk first 0
}

@test "a lock of cryptsetup's kind is waited for" {
	luks2 disk first
	flock disk sleep 0.5 &
	sleep 0.1
	run -0 --separate-stderr "$bdus" encrypt test-key disk <<<first
	[[ $stderr == *"disk: waiting for the lock"* ]]
	wait
}

### headers ###################################################################

# Both programs' backups are the same, and each takes the other's back.
backup_both() {
	encrypt header-backup disk mine
	cryptsetup luksHeaderBackup disk --header-backup-file theirs
	cmp mine theirs
	[[ $(stat -c %a mine) == 600 ]]
	encrypt erase --force disk
	run ! cryptsetup open --test-passphrase disk <<<secret
	encrypt header-restore --force disk theirs
	opens disk secret
	cryptsetup luksErase -q disk
	encrypt luksHeaderRestore --force disk mine
	opens disk secret
	cryptsetup luksErase -q disk
	cryptsetup luksHeaderRestore -q disk --header-backup-file mine
	opens disk secret
	encrypt check disk
}

@test "header-backup, header-restore: interchangeable, LUKS2" {
	luks2 disk secret
	backup_both
	rm disk mine theirs
	theirs disk secret "${their_pbkdf2[@]}" --luks2-metadata-size 64k
	backup_both
}

@test "header-backup, header-restore: interchangeable, LUKS1" {
	luks1 disk secret
	backup_both
	rm disk mine theirs
	theirs disk secret --type luks1 --pbkdf-force-iterations 1000 \
		--key-size 256
	backup_both
}

@test "header-backup: refusals" {
	luks2 disk secret
	echo mine >backup
	refused 5 "backup: cannot write the backup: File exists" header-backup \
		disk backup
	[[ $(cat backup) == mine ]]
	ln -s nowhere link
	refused 5 "link: cannot write" header-backup disk link
	[[ ! -e nowhere ]]
	refused 1 "no/backup: cannot write the backup: No such" header-backup \
		disk no/backup
	refused 2 "it takes FILE|DEVICE and BACKUP" header-backup disk
	(
		ulimit -f 1000
		trap '' XFSZ
		run -1 "$bdus" encrypt header-backup disk large
	)
	[[ ! -e large ]]
}

@test "header-restore: after changes, and of what was there at first" {
	luks2 disk first
	encrypt header-backup disk backup
	encrypt add-key "${argon2[@]}" disk <<<$'first\nsecond'
	encrypt change-key "${argon2[@]}" disk <<<$'first\nthird'
	encrypt header-restore --force disk backup
	opens disk first 0
	fails_to_open disk second
	fails_to_open disk third
	# byte for byte
	cmp -n "$(stat -c %s backup)" disk backup
	# also where there is no header any more
	dd if=/dev/zero of=disk bs=1M count=1 conv=notrunc status=none
	encrypt header-restore --force disk backup
	opens disk first 0
}

@test "header-restore: a backup of another volume" {
	luks2 disk secret
	encrypt header-backup disk backup
	luks2 disk secret --force
	sum disk
	refused 1 "its UUID differs" header-restore disk backup
	luks2 other secret --sector-size 512 --uuid "$(cryptsetup luksUUID disk)"
	encrypt header-backup other sector
	refused 1 "its sector size differs" header-restore disk sector
	rm other
	luks2 other secret --key-size 256bit --uuid "$(cryptsetup luksUUID disk)"
	encrypt header-backup other key
	refused 1 "its key size differs" header-restore disk key
	rm other
	luks1 other secret --uuid "$(cryptsetup luksUUID disk)"
	encrypt header-backup other version
	refused 1 "its version differs" header-restore disk version
	unchanged disk
	encrypt header-restore --force disk backup
	opens disk secret
}

@test "header-restore: what is no backup, or has no place" {
	luks2 disk secret
	encrypt header-backup disk backup
	sum disk
	head -c 1M backup >short
	run -1 "$bdus" encrypt header-restore --force disk short
	[[ $output == *"short: "* ]]
	truncate -s 20M zeroes
	refused 1 "zeroes: has no LUKS header" header-restore --force disk zeroes
	cp backup damaged
	printf x | dd of=damaged bs=1 seek=5000 conv=notrunc status=none
	run -1 "$bdus" encrypt header-restore --force disk damaged
	[[ $output == *"damaged: one copy of the header is damaged"* ]]
	[[ $output == *"check --repair damaged"* ]]
	run -1 "$bdus" encrypt check --repair damaged
	run -0 "$bdus" encrypt check damaged
	refused 1 "nowhere: cannot open" header-restore disk nowhere
	refused 1 "--force does it" header-restore disk backup </dev/null
	unchanged disk
	truncate -s 10M small
	run -1 "$bdus" encrypt header-restore --force small backup
	truncate -s 64M fs
	mkfs.ext4 -q -F fs
	sum fs
	refused 5 "fs: there is something on it: ext4" header-restore fs backup
	unchanged fs
}

@test "check: clean, damaged, repaired" {
	luks2 disk secret
	run -0 "$bdus" encrypt check disk
	for off in 4200 20600; do # primary, secondary
		printf x | dd of=disk bs=1 seek="$off" conv=notrunc status=none
		run -4 "$bdus" encrypt check disk
		[[ $output == *"disk: the "*"ary header "* ]]
		run -1 "$bdus" encrypt repair --repair disk
		run -0 "$bdus" encrypt check disk
		opens disk secret
	done
	printf x | dd of=disk bs=1 seek=4200 conv=notrunc status=none
	printf x | dd of=disk bs=1 seek=20600 conv=notrunc status=none
	run -4 "$bdus" encrypt check --repair disk
	refused 1 "disk: " info disk
}

@test "check: a damaged copy is used with a warning, and repaired on request" {
	luks2 disk secret
	printf x | dd of=disk bs=1 seek=4200 conv=notrunc status=none
	sum disk
	run -0 --separate-stderr "$bdus" encrypt test-key disk <<<secret
	[[ $stderr == *"check --repair"* ]]
	unchanged disk
	[[ $(field disk '"\(.is_first_copy_valid) \(.is_second_copy_valid)"' \
		2>/dev/null) == "false true" ]]
}

@test "check: what cannot be checked" {
	truncate -s 20M disk
	run -8 "$bdus" encrypt check disk
	run -8 "$bdus" encrypt check nowhere
	run -2 "$bdus" encrypt check
	luks1 disk secret
	run -0 "$bdus" encrypt check disk
}

@test "check: data that is cut off; a backup has none" {
	local type
	for type in luks1 luks2; do
		rm -f disk backup
		"$type" disk secret
		encrypt header-backup disk backup
		run -0 "$bdus" encrypt check backup
		[[ -z $output ]]
		truncate -s $((16 * 1048576 + 512)) disk
		[[ $type == luks2 ]] || truncate -s 2M disk
		run -4 "$bdus" encrypt check disk
		[[ $output == *"disk: its data is cut off"* ]]
	done
	truncate -s 4M data
	luks2 data secret --header head
	run -0 "$bdus" encrypt check --header head data
	[[ $(encrypt info head) == *"LUKS2, detached"*"data size     up to"* ]]
}

@test "erase: destroys all key slots, asks or needs --force" {
	local type
	for type in luks1 luks2; do
		rm -f disk
		"$type" disk secret
		sum disk
		refused 1 "all key slots are going to be destroyed" erase disk
		refused 1 "--force does it" erase disk
		unchanged disk
		encrypt erase --force disk
		cryptsetup isLuks disk
		[[ $(field disk '.slots | length') == 0 ]]
		run ! cryptsetup open --test-passphrase disk <<<secret
	done
	encrypt luksErase --force disk
}
