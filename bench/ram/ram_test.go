package ram

import (
	"strings"
	"testing"
)

func TestAvailableMemoryIsRead(t *testing.T) {
	for text, want := range map[string]uint64{
		"MemTotal:       24684100 kB\nMemFree: 5 kB\nMemAvailable:       1024 kB\nBuffers: 7 kB\n": 1 << 20,
		"MemAvailable: 0 kB\n":                    0,
		"MemTotal: 24684100 kB\n":                 unknown,
		"MemAvailable: x kB\n":                    unknown,
		"MemAvailable:\n":                         unknown,
		"MemAvailable: 18446744073709551615 kB\n": unknown,
		"": unknown,
	} {
		if got := available(strings.NewReader(text)); got != want {
			t.Errorf("%q: %d, not %d", text, got, want)
		}
	}
	if got := Available(); got == 0 {
		t.Error("this machine has no memory")
	}
}
