# bdus: block devices in user space.
#
#   make demo      set everything up and show the main job
#   make check     set everything up and run the tests
#   make           build/bdus, build/lib/libbdus.a, build/lib/musl/libbdus.a, and
#                  build/kmod/RELEASE/kbdus.ko for each kernel whose headers are
#                  installed
#   make fuzz      build/fuzz/luks1, luks2, compress, compress-repair; fuzz/run
#                  runs them
#   make setup     install what a fresh Debian 12 machine lacks (as root)
#   make install   binary, links, man pages, completion, libbdus, module source
#                  (DKMS)
#
# DRIVERS="ram loop" cuts the set of drivers, CFLAGS and KERNELS may be given.

VERSION := 0.1.0
# Of the interface that src/bdus.h describes.
API_VERSION := 0.1.2

CFLAGS ?= -O2 -g
# A driver is src/drivers/NAME.c, or src/drivers/NAME/NAME.c and its rooms.
DRIVERS ?= $(sort $(basename $(notdir $(wildcard src/drivers/*.c)) \
	$(foreach d,$(notdir $(wildcard src/drivers/*)), \
	$(notdir $(wildcard src/drivers/$d/$d.c)))))
APPLETS := $(sort $(notdir $(basename $(wildcard src/applets/*.c))))
KERNELS ?= $(patsubst /lib/modules/%/build,%, \
	$(wildcard /lib/modules/6.1.*/build /lib/modules/6.12.*/build))

# make V=1 shows the commands.
Q := $(if $(V),,@)
say = @echo "  $1	$@"

.DELETE_ON_ERROR:
.SECONDARY:

all: build/bdus libbdus modules

### user space ################################################################

warnings := -Wall -Wextra -Wshadow -Wvla -Wmissing-prototypes \
	-Wstrict-prototypes -Wwrite-strings -Wformat=2
flags := -std=gnu11 -D_GNU_SOURCE -DBDUS_VERSION='"$(VERSION)"' $(warnings) \
	-ffunction-sections -fdata-sections -fPIE -fstack-protector-strong \
	-ffile-prefix-map=$(CURDIR)/= -MMD -MP
includes := -Isrc -Ikmod -Ibuild -Ibuild/deps/include \
	-idirafter build/linux-headers
link_flags := -specs=build/musl.specs -Wl,--gc-sections,-z,relro,-z,now \
	-Wl,-z,noexecstack,-z,stack-size=1048576

libraries := $(patsubst %,build/deps/lib/lib%.a,zstd jansson crypto)

objects = $(patsubst src/%.c,build/obj/%.o,$(wildcard $1))
runtime := $(filter-out build/obj/main.o,$(call objects,src/*.c))
drivers := $(foreach d,$(DRIVERS), \
	$(call objects,src/drivers/$d.c src/drivers/$d/*.c))
applets := $(call objects,src/applets/*.c)
programs := build/obj/main.o $(drivers) $(applets)

build/bdus: build/bdus.debug
	$(call say,STRIP)
	$(Q)objcopy --strip-all $< $@

build/bdus.debug: $(programs) build/runtime.a build/drivers.def build/applets.def
	$(call say,LINK)
	$(Q)gcc $(link_flags) $(CFLAGS) $(LDFLAGS) -o $@ $(programs) \
		build/runtime.a $(libraries)
	@if readelf -lW $@ | grep -q INTERP; then \
		echo "$@: not a static binary" >&2; exit 1; fi

build/runtime.a: $(runtime)
	$(call say,AR)
	$(Q)rm -f $@
	$(Q)ar rcs $@ $^

build/obj/%.o: src/%.c Makefile build/deps/stamp | build/drivers.def build/applets.def
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)musl-gcc $(flags) $(includes) $(CFLAGS) -c -o $@ $<

-include $(patsubst %.o,%.d,$(runtime) $(programs))

build/deps/stamp: deps/build deps/lock
	@deps/build

# The tables of drivers and applets: X(name) lines, rewritten on change only.
build/drivers.def: names = $(sort $(DRIVERS))
build/applets.def: names = $(sort $(APPLETS))
build/drivers.def build/applets.def: FORCE
	@mkdir -p $(@D)
	@for name in $(names); do echo "X($$name)"; done >$@.new
	@if cmp -s $@.new $@; then rm $@.new; else mv $@.new $@; fi

### libbdus #################################################################

# The same sources twice, for each libc. Of its symbols only bdus_* are seen.
library := $(wildcard src/api/*.c) $(patsubst %,src/%.c,control daemon dev \
	devid holders kept module node privilege reclaim takeover teardown worker)
library_flags := $(filter-out -fPIE,$(flags)) -fPIC

libbdus: build/lib/libbdus.a build/lib/musl/libbdus.a

build/lib/libbdus.a: $(library:src/%.c=build/lib/obj/%.o)
build/lib/musl/libbdus.a: $(library:src/%.c=build/lib/musl/obj/%.o)

build/lib/libbdus.a build/lib/musl/libbdus.a:
	$(call say,AR)
	$(Q)ld -r -o $(@D)/obj/all.o $^
	$(Q)objcopy --strip-debug --wildcard --keep-global-symbol='bdus_*' \
		$(@D)/obj/all.o $(@D)/obj/bdus.o
	$(Q)rm -f $@
	$(Q)ar rcs $@ $(@D)/obj/bdus.o

build/lib/obj/%.o: src/%.c Makefile
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)gcc $(library_flags) -Isrc -Ikmod $(CFLAGS) -c -o $@ $<

build/lib/musl/obj/%.o: src/%.c Makefile build/deps/stamp
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)musl-gcc $(library_flags) $(includes) $(CFLAGS) -c -o $@ $<

-include $(library:src/%.c=build/lib/obj/%.d) \
	$(library:src/%.c=build/lib/musl/obj/%.d)

### kernel module #############################################################

modules: $(if $(wildcard kmod/Kbuild),$(KERNELS:%=build/kmod/%/kbdus.ko))

# Each kernel builds a copy, so that several can be built at the same time.
build/kmod/%/kbdus.ko: $(wildcard kmod/*)
	@mkdir -p $(@D)
	$(call say,KMOD)
	$(Q)cp -p kmod/* $(@D)/
	$(Q)$(MAKE) -s --no-print-directory -C $(@D) KDIR=/lib/modules/$*/build
	@touch $@

### tests ####################################################################

# Programs that misbehave on purpose, for bats; static, since the guest's libc
# is the host's but its /tmp is not.
helpers := $(patsubst bats/helpers/%.c,build/bats/%,$(wildcard bats/helpers/*.c))

build/bats/%: bats/helpers/%.c kmod/kbdus.h Makefile build/deps/stamp
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)musl-gcc -std=gnu11 -D_GNU_SOURCE $(warnings) -O2 -static -pthread \
		-Ikmod -idirafter build/linux-headers -o $@ $<

# The block checker: on a device, and below on drivers' callbacks.
options := src/opt.c src/msg.c src/nearest.c
checker := $(addprefix bats/checker/,sector.c oplog.c judge.c workload.c run.c)
blockcheck := $(checker) $(addprefix bats/checker/,device.c blockcheck.c) $(options)
helpers += build/bats/blockcheck

build/bats/blockcheck: $(blockcheck) bats/checker/checker.h $(wildcard src/*.h) \
		Makefile build/deps/stamp
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)musl-gcc -std=gnu11 -D_GNU_SOURCE $(warnings) -O2 -static -pthread \
		-Isrc -idirafter build/linux-headers -o $@ $(blockcheck)

# Engine of compressed volumes; it needs nothing of the runtime.
compress := $(filter-out $(addprefix src/drivers/compress/,act% compress.c file.c), \
	$(wildcard src/drivers/compress/*.c)) src/crc.c

# Writes to a compressed volume without a device.
helpers += build/bats/compressfill

build/bats/compressfill: bats/compress/compressfill.c $(compress) \
		$(wildcard src/drivers/compress/*.h) Makefile build/deps/stamp
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)musl-gcc -std=gnu11 -D_GNU_SOURCE $(warnings) -O2 -static -pthread \
		$(includes) -Iunit -o $@ $< $(compress) build/deps/lib/libzstd.a

# Drivers for libbdus, the examples and those that test it, with each libc. They
# see of this project what an installation has.
api := $(patsubst %.c,build/api/%,$(wildcard examples/*.c bats/api/*.c))
api := $(api) $(api:build/api/%=build/api/musl/%)
api_flags := -std=gnu11 $(warnings) -O2 -pthread -Ibuild/api/include

build/api/include/bdus.h: src/bdus.h
	@mkdir -p $(@D)
	$(Q)cp $< $@

build/api/musl/%: %.c build/lib/musl/libbdus.a build/api/include/bdus.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)musl-gcc $(api_flags) -idirafter build/linux-headers -static \
		-o $@ $< -Lbuild/lib/musl -lbdus

build/api/%: %.c build/lib/libbdus.a build/api/include/bdus.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)gcc $(api_flags) -o $@ $< -Lbuild/lib -lbdus

# Unit tests: against glibc, with the sanitizers.
unit_flags := -std=gnu11 -D_GNU_SOURCE $(warnings) -O1 -g -pthread \
	-fsanitize=address,undefined -fno-sanitize-recover=undefined -MMD -MP \
	-Iunit -Isrc -Ikmod -Ibats/checker -Ibuild/deps/include
units := $(patsubst unit/test-%.c,build/unit/test-%,$(wildcard unit/test-*.c))
test-checker_with = $(checker) bats/checker/callbacks.c bats/checker/device.c \
	$(test-drivers_with)
test-compress_with := $(compress)
test-compress-crash_with := $(test-compress_with)
test-compress-damage_with := $(test-compress_with)
test-compress-full_with := $(test-compress_with)
test-compress-limits_with := $(test-compress_with)
test-compress-repair_with := $(test-compress_with)
test-compress-tools_with := $(test-compress_with)
test-crc_with := src/crc.c
test-devid_with := src/devid.c src/msg.c
test-drivers_with := $(wildcard src/drivers/*.c src/drivers/*/*.c) src/store.c \
	src/storeio.c src/dev.c src/window.c src/crc.c src/reclog.c \
	src/takeover.c src/kept.c src/module.c src/control.c src/reclaim.c \
	src/privilege.c src/backing.c src/meminfo.c src/progress.c src/report.c \
	src/stats.c src/attribute.c src/terminal.c src/holders.c src/devid.c \
	src/opt.c src/nearest.c src/msg.c
test-drivers-compress_with := $(test-drivers_with)

# All that reads and changes LUKS headers.
luks := $(wildcard src/drivers/encrypt/luks*.c) $(patsubst \
	%,src/drivers/encrypt/%.c,af cipher kdf secret slot uuid) src/meminfo.c \
	src/msg.c
test-image_with := $(luks) src/drivers/encrypt/image.c
test-luks-crash_with := $(test-image_with)
test-luks-flip_with := $(luks)
test-luks_with := $(luks) src/drivers/encrypt/disk.c src/backing.c \
	src/holders.c
test-luks2_with := $(luks)
test-nearest_with := src/nearest.c
test-opt_with := src/opt.c src/msg.c src/nearest.c
test-record_with := $(test-drivers_with) $(patsubst \
	%,src/%.c,history outage rebuild trial)
test-report_with := src/report.c src/msg.c src/nearest.c
test-threads_with := src/threads.c
test-verdict_with := src/verdict.c src/condition.c src/threads.c \
	src/attribute.c src/holders.c src/report.c src/nearest.c src/msg.c
test-worker_with := src/worker.c src/msg.c

build/unit/obj/%.o: %.c Makefile build/deps/stamp
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)gcc $(unit_flags) -c -o $@ $<

.SECONDEXPANSION:
build/unit/%: build/unit/obj/unit/%.o $$(patsubst %.c,build/unit/obj/%.o,$$($$*_with))
	$(call say,LINK)
	$(Q)gcc $(unit_flags) -o $@ $^ $(libraries)

# Without the sanitizers: for runs that are too long with them.
build/unit/plain/%: unit/%.c Makefile build/deps/stamp $$($$*_with)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)gcc $(filter-out -O1 -fsanitize=% -fno-sanitize% -MMD -MP, \
		$(unit_flags)) -O2 -o $@ $(filter %.c,$^) $(libraries)

-include $(shell find build/unit/obj -name '*.d' 2>/dev/null)

# Fuzz targets, by fuzz/run. The JSON library is built anew, so that libFuzzer
# sees its branches, and the sanitizers its memory.
fuzz_flags := -std=gnu11 -D_GNU_SOURCE $(warnings) -O2 -g -Isrc -Ikmod -Ibuild \
	-Ibuild/deps/include -fno-omit-frame-pointer \
	-fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=undefined
json := dump error hashtable hashtable_seed load memory pack_unpack strbuffer \
	strconv utf value version
fuzz_with := $(patsubst %.c,build/fuzz/obj/%.o,$(filter-out src/msg.c,$(luks)) \
	fuzz/header.c fuzz/tree.c fuzz/msg.c) \
	$(json:%=build/fuzz/jansson/src/%.o)

# The engine of compressed volumes, but for its checksums: see fuzz/volume.c.
compress_fuzz_with := $(patsubst %.c,build/fuzz/obj/%.o, \
	$(filter-out %/crc.c,$(compress)) fuzz/blocks.c fuzz/volume.c)

fuzz: $(addprefix build/fuzz/,luks1 luks2 compress compress-repair)

# Inputs hold whole structures: their comparisons tell nothing new, but slow down.
build/fuzz/obj/src/drivers/compress/%.o: \
	fuzz_flags += -include fuzz/blocks.h
build/fuzz/obj/src/drivers/compress/%.o build/fuzz/obj/fuzz/volume.o: \
	fuzz_flags += -fno-sanitize-coverage=trace-cmp

build/fuzz/luks1 build/fuzz/luks2: $(fuzz_with)
build/fuzz/compress build/fuzz/compress-repair: $(compress_fuzz_with)

build/fuzz/%: build/fuzz/obj/fuzz/%.o
	$(call say,LINK)
	$(Q)clang -fsanitize=fuzzer,address,undefined -o $@ $^ \
		build/deps/lib/libcrypto.a build/deps/lib/libzstd.a

build/fuzz/obj/%.o: %.c Makefile build/deps/stamp
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)clang $(fuzz_flags) -MMD -MP -c -o $@ $<

build/fuzz/jansson/unpacked: build/deps/stamp
	@mkdir -p build/fuzz
	$(Q)rm -rf $(@D)
	$(Q)dpkg-source --no-copy -x build/deps/src/jansson/*.dsc $(@D) \
		>build/fuzz/unpack.log 2>&1
	@touch $(@D)/src/jansson_private_config.h $@

$(json:%=build/fuzz/jansson/src/%.o): build/fuzz/jansson/src/%.o: \
		build/fuzz/jansson/unpacked Makefile
	$(call say,CC)
	$(Q)clang $(filter-out $(warnings),$(fuzz_flags)) -DHAVE_STDINT_H \
		-DHAVE_ENDIAN_H -DHAVE_ATOMIC_BUILTINS \
		-fno-sanitize-coverage=trace-cmp -c -o $@ $(@:.o=.c)

-include $(wildcard build/fuzz/obj/*/*.d build/fuzz/obj/src/drivers/*/*.d)

tests: all $(units) $(helpers) $(api)

# Headers that setup installs are seen by a make that starts after it.
check: setup
	@$(MAKE) --no-print-directory tests
	@bats/run 6.12 6.1

check-all: setup
	@$(MAKE) --no-print-directory tests
	@vm/fetch-newest
	@vm/kmod-build newest
	@bats/run 6.12 6.1 newest

lint: setup
	@bats/lint

demo:
	@deps/packages build kmod vm demo
	@$(MAKE) --no-print-directory all
	@vm/demo

bench: setup
	@deps/packages bench
	@$(MAKE) --no-print-directory all
	@bench/run
	@bench/crypt
	@bench/pack

### the rest ##################################################################

PREFIX ?= /usr/local
modsrc := $(DESTDIR)/usr/src/kbdus-$(VERSION)

install: all
	install -D -m 755 build/bdus $(DESTDIR)$(PREFIX)/sbin/bdus
	for name in $$(build/bdus --list); do \
		ln -sf bdus $(DESTDIR)$(PREFIX)/sbin/bdus-$$name; done
	install -d $(DESTDIR)$(PREFIX)/share/man/man4 \
		$(DESTDIR)$(PREFIX)/share/man/man5 \
		$(DESTDIR)$(PREFIX)/share/man/man7 \
		$(DESTDIR)$(PREFIX)/share/man/man8
	install -m 644 man/*.4 $(DESTDIR)$(PREFIX)/share/man/man4
	install -m 644 man/*.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 man/*.7 $(DESTDIR)$(PREFIX)/share/man/man7
	install -m 644 man/*.8 $(DESTDIR)$(PREFIX)/share/man/man8
	install -d $(DESTDIR)$(PREFIX)/share/bash-completion/completions
	build/bdus --completion bash \
		>$(DESTDIR)$(PREFIX)/share/bash-completion/completions/bdus
	install -D -m 644 src/bdus.h $(DESTDIR)$(PREFIX)/include/bdus.h
	install -D -m 644 build/lib/libbdus.a $(DESTDIR)$(PREFIX)/lib/libbdus.a
	install -D -m 644 build/lib/musl/libbdus.a \
		$(DESTDIR)$(PREFIX)/lib/musl/libbdus.a
	install -d $(DESTDIR)$(PREFIX)/lib/pkgconfig
	sed 's,@PREFIX@,$(PREFIX),; s,@VERSION@,$(API_VERSION),' \
		src/api/bdus.pc.in >$(DESTDIR)$(PREFIX)/lib/pkgconfig/bdus.pc
	install -d $(modsrc)
	install -m 644 kmod/* $(modsrc)

setup:
	@deps/packages build kmod vm newest check lint

clean:
	rm -rf build/obj build/kmod build/unit build/fuzz build/bats build/bdus* \
		build/runtime.a build/lib build/api build/*.def

distclean:
	rm -rf build

FORCE:

.PHONY: all libbdus modules tests fuzz setup demo check check-all lint bench install clean \
	distclean FORCE
