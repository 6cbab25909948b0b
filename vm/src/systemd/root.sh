# Lays out in the folder $1 a system of this host's systemd, of the programs in $2 and of the units in $3.
set -e
root=$1 programs=$2 units=$3
rm -rf "$root"
mkdir -p "$root"
cd "$root"
mkdir -p proc sys dev run tmp home root var/lib var/log var/tmp etc/tsq etc/systemd/system usr/bin usr/sbin usr/lib usr/lib64
ln -s usr/bin bin
ln -s usr/sbin sbin
ln -s usr/lib lib
ln -s usr/lib64 lib64

systemd="/lib/systemd/systemd /lib/systemd/systemd-journald /usr/bin/systemctl /usr/bin/journalctl"
# Those that systemd opens when it needs them are named.
opened="/lib/x86_64-linux-gnu/libnss_systemd.so.2 /lib/x86_64-linux-gnu/libseccomp.so.2 /lib/x86_64-linux-gnu/libmount.so.1"
for program in $systemd "$programs/tsq-server" "$programs/tsq-adjtime"; do
    ldd "$program" | grep -o '/[^ ]*'
done | sort -u >libraries
for file in $systemd $opened $(cat libraries); do
    [ -e "$file" ] || continue
    # This host may have /lib or /usr/lib.
    place=.$(dirname "$file")
    mkdir -p "$place"
    cp -L "$file" "$place"
done
rm libraries
mkdir -p lib/systemd/system
cp -a /lib/systemd/system/. lib/systemd/system
cp "$programs/tsq-server" "$programs/tsq-adjtime" /usr/bin/busybox usr/bin
for tool in sh cat cut dirname grep ip kill ls sleep stat tail tr; do ln -s busybox usr/bin/$tool; done

cp "$units/tsq-server.service" etc/systemd/system
cp "$units/tsq-server.service" etc/systemd/system/tsq-server@.service
printf 'listen = "0.0.0.0:443"\nserve-unsynchronised = true\nthreads = 2\n' >etc/tsq/tsq-server.toml
mkdir etc/systemd/system/tsq-server.service.d
printf '[Service]\nEnvironment=TSQ_FAULT_PANIC=10.6.6.6\n' >etc/systemd/system/tsq-server.service.d/fault.conf

printf 'root:x:0:0::/root:/bin/sh\n' >etc/passwd
printf 'root:x:0:\n' >etc/group
printf 'passwd: files systemd\ngroup: files systemd\n' >etc/nsswitch.conf
printf '0123456789abcdef0123456789abcdef\n' >etc/machine-id
printf 'ID=guest\n' >etc/os-release
cat >etc/systemd/system/default.target <<'END'
[Unit]
Requires=basic.target
Wants=tsq-server.service judge.service
END
cat >etc/systemd/system/judge.service <<'END'
[Unit]
After=tsq-server.service
[Service]
Type=oneshot
ExecStart=/bin/sh /judge.sh
StandardOutput=tty
StandardError=tty
TTYPath=/dev/ttyS0
END
# What this system has no programs for.
for unit in udevd udev-trigger hwdb-update tmpfiles-setup tmpfiles-setup-dev modules-load random-seed binfmt \
    remount-fs machine-id-commit update-utmp pstore sysusers firstboot timesyncd sysctl; do
    ln -s /dev/null etc/systemd/system/systemd-$unit.service
done
ln -s /dev/null etc/systemd/system/kmod-static-nodes.service
