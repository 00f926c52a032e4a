package crypto

import (
	"fmt"
	"strconv"
	"strings"
)

const opensslProgram = "openssl"

// opensslSpeed is `openssl speed`, which works one operation at a time and measures for a second at least.
type opensslSpeed struct{}

func (opensslSpeed) name() string        { return peerOpenSSL }
func (opensslSpeed) does(algorithm) bool { return true }
func (opensslSpeed) shape() (int, int)   { return 1, 1 }
func (opensslSpeed) drop()               {}

func (opensslSpeed) measure(r *runner, j job) (float64, error) {
	args := []string{"speed", "-elapsed", "-mr", "-seconds", "1", "-bytes", strconv.Itoa(j.size), "-aead", "-evp", j.alg.openssl}
	if j.op == opOpen {
		args = append(args, "-decrypt")
	}
	out, err := output(r.ctx, r.core, opensslProgram, args...)
	if err != nil {
		return 0, err
	}
	return parseSpeed(out)
}

// parseSpeed finds operations per second in the output: a line +R:COUNT:NAME:SECONDS.
func parseSpeed(out string) (float64, error) {
	for line := range strings.Lines(out) {
		f := strings.Split(strings.TrimSpace(line), ":")
		if len(f) != 4 || f[0] != "+R" {
			continue
		}
		count, err := strconv.ParseFloat(f[1], 64)
		if err != nil {
			return 0, fmt.Errorf("openssl speed: count: %w", err)
		}
		seconds, err := strconv.ParseFloat(f[3], 64)
		if err != nil {
			return 0, fmt.Errorf("openssl speed: time: %w", err)
		}
		if count <= 0 || seconds <= 0 {
			break
		}
		return count / seconds, nil
	}
	return 0, fmt.Errorf("openssl speed: no result: %s", lastLine(out))
}
