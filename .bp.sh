set -e
cd /tmp/w/c-bench
room=src/drivers/compress
mkdir -p build/bench
gcc -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Wshadow -fPIE -fno-omit-frame-pointer -specs=build/musl.specs -Isrc -Ibuild/deps/include -o build/bench/packing bench/packing.c $(ls $room/*.c | grep -v -e actions -e compress/compress.c -e file.c) build/deps/lib/libzstd.a
