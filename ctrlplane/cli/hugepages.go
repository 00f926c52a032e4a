package cli

import (
	"errors"
	"flag"
	"fmt"
	"strings"

	"linecrypt/ctrlplane/setup"
)

// Pages is the state of the huge pages that the kernel keeps.
type Pages struct {
	PageBytes uint64   // size of a page
	Total     int      // pages reserved
	Free      int      // pages that nobody uses
	Mounts    []string // where hugetlbfs is mounted
}

// Hugepages reads and changes the state of huge pages.
type Hugepages struct {
	Read  func() (Pages, error)
	Setup func(pages int) (Pages, error)
}

// defaultHugeMB is enough for an instance with two workers on DPDK ports, tables and all.
const defaultHugeMB = 1024

var hugepagesCommand = command{
	name:    "setup hugepages",
	args:    "[--pages N | --size MB] [--persistent]",
	summary: "reserve huge pages for DPDK (as root)",
	details: "Reserves huge pages and mounts hugetlbfs where it is not mounted yet. A larger reservation that is there is kept.\nWith --persistent the pages are reserved at each boot as well; it says before what it changes.\nPorts without DPDK need none.",
	define:  defineHugepages,
}

func defineHugepages(a *App, fs *flag.FlagSet) func() error {
	pages := fs.Int("pages", 0, "reserve `N` pages in all")
	size := fs.Int("size", 0, fmt.Sprintf("reserve `MB` MiB in all (default %d)", defaultHugeMB))
	persistent := fs.Bool("persistent", false, "reserve them at each boot as well, by a file in /etc/sysctl.d")
	return func() error {
		switch {
		case *pages != 0 && *size != 0:
			return &usageError{"setup hugepages", errors.New("--pages and --size exclude each other")}
		case *pages < 0 || *size < 0 || *pages > 1<<24 || *size > 1<<24:
			return &usageError{"setup hugepages", errors.New("the amount is not a sensible one")}
		case given(fs, "pages") && *pages == 0 || given(fs, "size") && *size == 0:
			return &usageError{"setup hugepages", errors.New("0 reserves nothing; `sysctl -w vm.nr_hugepages=0` gives reserved pages back")}
		case *pages == 0 && *size == 0:
			*size = defaultHugeMB
		}
		now, err := a.Hugepages.Read()
		if err != nil {
			return err
		}
		n := *pages
		if n == 0 {
			n = int((uint64(*size)<<20 + now.PageBytes - 1) / now.PageBytes)
		}
		var keep []setup.Step
		if *persistent {
			keep = machine().KeepHugepages(n)
			sayAll(a.Stdout, append([]setup.Step{{Say: reservation(now, n)}}, keep...))
		}
		state, err := a.Hugepages.Setup(n)
		if err != nil {
			return err
		}
		if err := setup.Apply(keep); err != nil {
			return err
		}
		_, err = fmt.Fprintf(a.Stdout, "huge pages: %d of %d KiB reserved, %d free, mounted on %s\n",
			state.Total, state.PageBytes>>10, state.Free, strings.Join(state.Mounts, ", "))
		return err
	}
}

// reservation says what Setup is about to do.
func reservation(now Pages, n int) string {
	if now.Total >= n {
		return fmt.Sprintf("keep the %d huge pages that are reserved", now.Total)
	}
	return fmt.Sprintf("reserve %d huge pages of %d KiB in all, from %d", n, now.PageBytes>>10, now.Total)
}

// given reports whether a flag stands on the command line.
func given(fs *flag.FlagSet, name string) (found bool) {
	fs.Visit(func(f *flag.Flag) { found = found || f.Name == name })
	return found
}
