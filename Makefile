# bdus: block devices in user space.
#
#   make setup     install what a fresh Debian 12 machine lacks (as root)
#   make           build/bdus, and build/kmod/RELEASE/kbdus.ko for each kernel
#                  whose headers are installed
#
# DRIVERS="ram loop" cuts the set of drivers, CFLAGS and KERNELS may be given.

VERSION := 0.1.0

CFLAGS ?= -O2 -g
DRIVERS ?= $(sort $(notdir $(basename $(wildcard src/drivers/*.c)) \
	$(patsubst %/,%,$(wildcard src/drivers/*/))))
APPLETS := $(sort $(notdir $(basename $(wildcard src/applets/*.c))))
KERNELS ?= $(patsubst /lib/modules/%/build,%, \
	$(wildcard /lib/modules/6.1.*/build /lib/modules/6.12.*/build))

# make V=1 shows the commands.
Q := $(if $(V),,@)
say = @echo "  $1	$@"

.DELETE_ON_ERROR:
.SECONDARY:

all: build/bdus modules

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

objects = $(patsubst src/%.c,build/obj/%.o,$(wildcard $1))
runtime := $(filter-out build/obj/main.o,$(call objects,src/*.c))
drivers := $(foreach d,$(DRIVERS), \
	$(call objects,src/drivers/$d.c src/drivers/$d/*.c))
applets := $(call objects,src/applets/*.c)
programs := build/obj/main.o $(drivers) $(applets)

build/bdus: build/bdus.debug
	$(call say,STRIP)
	$(Q)objcopy --strip-all $< $@

build/bdus.debug: $(programs) build/libbdus.a build/drivers.def build/applets.def
	$(call say,LINK)
	$(Q)gcc $(link_flags) $(CFLAGS) $(LDFLAGS) -o $@ $(programs) build/libbdus.a \
		build/deps/lib/libzstd.a build/deps/lib/libcrypto.a
	@if readelf -lW $@ | grep -q INTERP; then \
		echo "$@: not a static binary" >&2; exit 1; fi

build/libbdus.a: $(runtime)
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

### kernel module #############################################################

modules: $(if $(wildcard kmod/Kbuild),$(KERNELS:%=build/kmod/%/kbdus.ko))

# Each kernel builds a copy, so that several can be built at the same time.
build/kmod/%/kbdus.ko: $(wildcard kmod/*)
	@mkdir -p $(@D)
	$(call say,KMOD)
	$(Q)cp -p kmod/* $(@D)/
	$(Q)$(MAKE) -s --no-print-directory -C $(@D) KDIR=/lib/modules/$*/build
	@touch $@

### the rest ##################################################################

setup:
	@deps/packages build kmod vm newest check lint

demo check check-all lint bench install:
	@echo "make $@: not written yet" >&2; exit 1

clean:
	rm -rf build/obj build/kmod build/bdus* build/libbdus.a build/*.def

distclean:
	rm -rf build

FORCE:

.PHONY: all modules setup demo check check-all lint bench install clean \
	distclean FORCE
