package human

import "testing"

func TestTimesAndRatesAreShort(t *testing.T) {
	for s, want := range map[float64]string{0.4: "0s", 59.4: "59s", 60: "1m00s", 3599: "59m59s", 3600: "1h00m", 86399: "23h59m", 86400: "1d00h", 8.64e6: "100d00h"} {
		if got := Age(s); got != want {
			t.Errorf("%v s: %s, not %s", s, got, want)
		}
	}
	for bps, want := range map[float64]string{0: "0 bit/s", 999: "999 bit/s", 1500: "1.5 kbit/s", 123456: "123 kbit/s", 9.9e9: "9.9 Gbit/s"} {
		if got := Rate(bps); got != want {
			t.Errorf("%v: %s, not %s", bps, got, want)
		}
	}
}
