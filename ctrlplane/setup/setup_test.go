package setup

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree is a machine made of files, whose kernel hands devices from driver to driver.
type tree struct {
	t *testing.T
	System
	native  map[string]string // the kernel's driver of each device
	modules []string          // that were loaded
}

func (tr *tree) write(path, text string) {
	tr.t.Helper()
	path = filepath.Join(tr.Root, path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr *tree) symlink(target, path string) {
	tr.t.Helper()
	path = filepath.Join(tr.Root, path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), remove(path), os.Symlink(target, path)); err != nil {
		tr.t.Fatal(err)
	}
}

// device adds a PCI device with a driver.
func (tr *tree) device(address, class, driver string) {
	tr.t.Helper()
	d := pciDevices + "/" + address
	tr.write(d+"/class", class+"\n")
	tr.write(d+"/vendor", "0x8086\n")
	tr.write(d+"/device", "0x1572\n")
	tr.write(d+"/modalias", "pci:v00008086d00001572\n")
	tr.write(d+"/driver_override", "(null)\n")
	tr.native[address] = driver
	tr.attach(address, driver)
}

func (tr *tree) attach(address, driver string) {
	tr.t.Helper()
	tr.write("sys/bus/pci/drivers/"+driver+"/unbind", "")
	tr.symlink(filepath.Join(tr.Root, "sys/bus/pci/drivers", driver), pciDevices+"/"+address+"/driver")
}

// kernel reacts to what is written.
func (tr *tree) kernel(path, text string) {
	switch {
	case strings.HasSuffix(path, "/unbind"):
		remove(tr.path(pciDevices, text, "driver"))
		os.RemoveAll(tr.path(pciDevices, text, "net"))
	case strings.HasSuffix(path, "drivers_probe"):
		driver := tr.read(pciDevices, text, "driver_override")
		if driver == "" {
			driver = tr.native[text]
		}
		for _, m := range append(tr.modules, tr.native[text]) {
			if m == driver {
				tr.attach(text, driver)
			}
		}
	}
}

// newTree has eth0, through which the default route leads, at 0000:02:00.0, and eth1 at 0000:03:00.0 with an IOMMU group of its own.
func newTree(t *testing.T) *tree {
	tr := &tree{t: t, native: map[string]string{}}
	tr.Root = t.TempDir()
	tr.wrote = tr.kernel
	tr.Run = func(name string, args ...string) error {
		tr.modules = append(tr.modules, args[0])
		return nil
	}
	tr.write("sys/bus/pci/drivers_probe", "")
	tr.device("0000:02:00.0", "0x020000", "e1000e")
	tr.device("0000:03:00.0", "0x020000", "i40e")
	tr.device("0000:00:1f.2", "0x010601", "ahci")
	tr.write(pciDevices+"/0000:02:00.0/net/eth0/mtu", "1500")
	tr.write(pciDevices+"/0000:03:00.0/net/eth1/mtu", "1500")
	tr.write("sys/class/net/eth0/mtu", "1500")
	tr.write("sys/class/net/eth1/mtu", "1500")
	tr.group("12", "0000:03:00.0")
	tr.write("proc/net/route", "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n"+
		"eth0\t00000000\t0102000A\t0003\t0\t0\t0\t00000000\t0\t0\t0\n"+
		"eth1\t0002A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0\n"+"torn line\n")
	return tr
}

func (tr *tree) group(group, address string) {
	tr.symlink(filepath.Join(tr.Root, "sys/kernel/iommu_groups", group), pciDevices+"/"+address+"/iommu_group")
	tr.write("sys/kernel/iommu_groups/"+group+"/devices/"+address, "")
}

func (tr *tree) find(device string) NIC {
	tr.t.Helper()
	n, err := tr.Find(device)
	if err != nil {
		tr.t.Fatal(err)
	}
	return n
}

var vfio = Binding{Driver: "vfio-pci", Program: "/usr/bin/linecrypt"}

func TestNICGoesToDPDKAndBack(t *testing.T) {
	tr := newTree(t)
	for _, name := range []string{"eth1", "03:00.0", "0000:03:00.0"} {
		if n := tr.find(name); n.Address != "0000:03:00.0" || n.Driver != "i40e" || n.Group != "12" || n.ID != "8086:1572" {
			t.Errorf("%s: %+v", name, n)
		}
	}
	steps, err := tr.Bind(tr.find("eth1"), vfio)
	if err != nil {
		t.Fatal(err)
	}
	said := say(steps)
	for _, want := range []string{"0000:03:00.0", "vfio-pci", "i40e", "eth1 goes"} {
		if !strings.Contains(said, want) {
			t.Errorf("%q does not say %s", said, want)
		}
	}
	if n := tr.find("eth1"); n.Driver != "i40e" {
		t.Errorf("a plan alone has changed %+v", n)
	}
	if err := Apply(steps); err != nil {
		t.Fatal(err)
	}
	n := tr.find("03:00.0")
	if n.Driver != "vfio-pci" || len(n.Interfaces) > 0 {
		t.Errorf("bound: %+v", n)
	}
	if steps, err := tr.Bind(n, vfio); err != nil || len(steps) > 0 {
		t.Errorf("a second time: %v, %s", err, say(steps))
	}
	if steps, err = tr.Restore(n); err != nil {
		t.Fatal(err)
	}
	if err := Apply(steps); err != nil {
		t.Fatal(err)
	}
	if n := tr.find("03:00.0"); n.Driver != "i40e" {
		t.Errorf("restored: %+v", n)
	}
	if steps, err := tr.Restore(tr.find("03:00.0")); err != nil || len(steps) > 0 {
		t.Errorf("a second time: %v, %s", err, say(steps))
	}
}

func say(steps []Step) string {
	var all []string
	for _, s := range steps {
		all = append(all, s.Say)
	}
	return strings.Join(all, "\n")
}

func TestNICThatTheMachineIsReachedByIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*tree)
		device string
		why    string
	}{
		"default route":                   {func(*tree) {}, "eth0", "default route leads through eth0"},
		"logged in from its subnet":       {func(tr *tree) { tr.Peer = "192.168.2.9" }, "eth1", "logged in through eth1, from 192.168.2.9"},
		"logged in from a mapped address": {func(tr *tree) { tr.Peer = "::ffff:192.168.2.9" }, "eth1", "logged in through eth1"},
		"logged in by link-local":         {func(tr *tree) { tr.Peer = "fe80::1%eth1" }, "eth1", "logged in through eth1"},
		"IPv6 default route": {func(tr *tree) {
			zero := strings.Repeat("0", 32)
			tr.write("proc/net/ipv6_route", zero+" 00 "+zero+" 00 fe80"+zero[4:]+" 00000400 00000001 00000000 00000003     eth1\n")
		}, "eth1", "default route leads through eth1"},
		"below a bridge": {func(tr *tree) {
			tr.write("sys/class/net/br0/mtu", "1500")
			tr.symlink("../br0", "sys/class/net/eth1/master")
			tr.write("proc/net/route", "h\nbr0 00000000 0102000A 0003 0 0 0 00000000 0 0 0\n")
		}, "eth1", "default route leads through br0"},
		"below a VLAN of a bond": {func(tr *tree) {
			tr.symlink("../bond0", "sys/class/net/eth1/upper_bond0")
			tr.symlink("../bond0.7", "sys/class/net/bond0/upper_bond0.7")
			tr.Peer = "10.9.9.9"
			tr.write("proc/net/route", "h\nbond0.7 0009090A 00000000 0001 0 0 0 00FFFFFF 0 0 0\n")
		}, "eth1", "logged in through bond0.7"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			c.change(tr)
			steps, err := tr.Bind(tr.find(c.device), vfio)
			if err == nil || !strings.Contains(err.Error(), c.why) || len(steps) > 0 {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}

func TestUnfitDevicesAreRefusedWithWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*tree)
		device string
		b      Binding
		why    string
	}{
		"no IOMMU":          {func(tr *tree) { remove(tr.path(pciDevices, "0000:03:00.0/iommu_group")) }, "eth1", vfio, "intel_iommu=on"},
		"shared group":      {func(tr *tree) { tr.device("0000:03:00.1", "0x020000", "i40e"); tr.group("12", "0000:03:00.1") }, "eth1", vfio, "0000:03:00.1 (i40e)"},
		"virtual functions": {func(tr *tree) { tr.write(pciDevices+"/0000:03:00.0/sriov_numvfs", "4\n") }, "eth1", vfio, "echo 0 >"},
		"mlx5":              {func(tr *tree) { tr.attach("0000:03:00.0", "mlx5_core") }, "eth1", vfio, "beside the kernel's"},
		"driver":            {func(*tree) {}, "eth1", Binding{Driver: "ixgbe"}, "vfio-pci, uio_pci_generic"},
		"no NIC":            {func(*tree) {}, "00:1f.2", vfio, "no network device"},
		"nothing there":     {func(*tree) {}, "0000:09:00.0", vfio, "no such PCI device"},
		"no interface":      {func(*tree) {}, "wlan9", vfio, "neither a PCI address"},
		"a path":            {func(*tree) {}, "../../../etc", vfio, "neither a PCI address"},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t)
			c.change(tr)
			n, err := tr.Find(c.device)
			if err == nil {
				_, err = tr.Bind(n, c.b)
			}
			if err == nil || !strings.Contains(err.Error(), c.why) {
				t.Errorf("got %v, want %q", err, c.why)
			}
		})
	}
}

func TestWithoutAnIOMMUThereAreTwoUnsafeWays(t *testing.T) {
	tr := newTree(t)
	remove(tr.path(pciDevices, "0000:03:00.0/iommu_group"))
	tr.write("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "N\n")
	unsafe := vfio
	unsafe.NoIOMMU = true
	steps, err := tr.Bind(tr.find("eth1"), unsafe)
	if err != nil || !strings.Contains(say(steps), "anywhere in memory") {
		t.Fatal(err, say(steps))
	}
	if err := Apply(steps); err != nil || tr.read("sys/module/vfio/parameters/enable_unsafe_noiommu_mode") != "1" {
		t.Error(err)
	}
	if steps, err = tr.Restore(tr.find("03:00.0")); err != nil || Apply(steps) != nil {
		t.Fatal(err)
	}
	steps, err = tr.Bind(tr.find("03:00.0"), Binding{Driver: "uio_pci_generic"})
	if err != nil || Apply(steps) != nil || tr.find("03:00.0").Driver != "uio_pci_generic" {
		t.Error(err, tr.find("03:00.0"))
	}
}

func TestNICThatTheDriverDoesNotTakeIsGivenBack(t *testing.T) {
	tr := newTree(t)
	steps, err := tr.Bind(tr.find("eth1"), vfio)
	if err != nil {
		t.Fatal(err)
	}
	tr.Run = func(string, ...string) error { return nil } // no module comes
	if err := Apply(steps); err == nil || !strings.Contains(err.Error(), "dmesg") {
		t.Errorf("got %v", err)
	}
	if n := tr.find("03:00.0"); n.Driver != "i40e" {
		t.Errorf("it is left with %q", n.Driver)
	}
}

func TestBindingIsKeptOverRebootsUntilRestored(t *testing.T) {
	tr := newTree(t)
	b := vfio
	b.Persistent = true
	steps, err := tr.Bind(tr.find("eth1"), b)
	if err != nil || Apply(steps) != nil {
		t.Fatal(err)
	}
	const unit = "etc/systemd/system/linecrypt-nic-0000:03:00.0.service"
	if text := tr.read(unit); !strings.Contains(text, "ExecStart=/usr/bin/linecrypt setup nic --yes --driver vfio-pci 0000:03:00.0\n") {
		t.Errorf("the unit is %s", text)
	}
	if enabled := tr.read("etc/systemd/system/multi-user.target.wants/linecrypt-nic-0000:03:00.0.service"); enabled == "" {
		t.Error("it is not enabled")
	}
	steps, err = tr.Restore(tr.find("03:00.0"))
	if err != nil || Apply(steps) != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(tr.path("etc/systemd/system/*/*")); len(left) > 0 || tr.read(unit) != "" {
		t.Errorf("left: %v", left)
	}
}

func TestHugePagesAreKeptOverReboots(t *testing.T) {
	tr := newTree(t)
	steps := tr.KeepHugepages(512)
	if !strings.Contains(say(steps), hugepagesFile) {
		t.Errorf("said %q", say(steps))
	}
	if err := Apply(steps); err != nil || !strings.Contains(tr.read(hugepagesFile), "\nvm.nr_hugepages = 512") {
		t.Error(err, tr.read(hugepagesFile))
	}
}

func TestLoginIsFoundBehindSudo(t *testing.T) {
	tr := newTree(t)
	tr.write("proc/30/environ", "PATH=/bin\x00SUDO_USER=x\x00")
	tr.write("proc/30/status", "Name:\tlinecrypt\nPPid:\t20\nUid:\t0\n")
	tr.write("proc/20/environ", "HOME=/\x00SSH_CONNECTION=192.168.2.9 5000 192.168.2.1 22\x00")
	tr.write("proc/20/status", "PPid:\t1\n")
	if got := SSHPeer(tr.Root, 30); got != "192.168.2.9" {
		t.Errorf("got %q", got)
	}
	tr.write("proc/20/environ", "HOME=/\x00")
	if got := SSHPeer(tr.Root, 30); got != "" {
		t.Errorf("got %q", got)
	}
}
