package instance

import (
	"cmp"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// HugeMounts returns where hugetlbfs is mounted, the mounts with the smallest pages first: a segment of many pages wastes the least of
// the last one.
func HugeMounts() []string {
	text, err := os.ReadFile("/proc/thread-self/mounts")
	if err != nil {
		return nil
	}
	type mount struct {
		dir  string
		page int64
	}
	var found []mount
	for line := range strings.Lines(string(text)) {
		f := strings.Fields(line)
		if len(f) < 3 || f[2] != "hugetlbfs" {
			continue
		}
		dir := unescape.Replace(f[1])
		var st unix.Statfs_t
		if unix.Statfs(dir, &st) == nil && st.Type == unix.HUGETLBFS_MAGIC { // else something else is mounted over it
			found = append(found, mount{dir, st.Bsize})
		}
	}
	slices.SortStableFunc(found, func(a, b mount) int { return cmp.Compare(a.page, b.page) })
	var dirs []string
	for _, m := range found {
		if !slices.Contains(dirs, m.dir) {
			dirs = append(dirs, m.dir)
		}
	}
	return dirs
}

// unescape reads the kernel's way of writing a path in a table.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
