package topology

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// StartIperf starts iperf3's server, which runs until stop is called, and waits until it listens.
func (t *Topology) StartIperf() (stop func(), err error) {
	cmd := t.Server.Command(context.Background(), "iperf3", "-s", "--forceflush")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, fmt.Errorf("iperf3: %w", err)
	}
	listens := make(chan error, 1)
	go func() {
		listens <- AwaitText(out, "listening")
		_, _ = io.Copy(io.Discard, out)
	}()
	stop = func() {
		_ = cmd.Cancel()
		_ = cmd.Wait()
	}
	select {
	case err = <-listens:
	case <-time.After(10 * time.Second):
		err = errors.New("does not listen")
	}
	if err != nil {
		stop()
		return nil, fmt.Errorf("iperf3: server: %w", err)
	}
	return stop, nil
}

// AwaitText reads until what a program prints holds a text, a prompt perhaps, which no end of line follows.
func AwaitText(r io.Reader, text string) error {
	var seen strings.Builder
	buf := make([]byte, 512)
	for !strings.Contains(seen.String(), text) {
		n, err := r.Read(buf)
		seen.Write(buf[:n])
		if err != nil {
			return fmt.Errorf("%w: %s", err, seen.String())
		}
	}
	return nil
}

// Iperf runs iperf3 for some seconds with one stream, from client to server or, with -R among args, back, and returns the
// bits a second that arrived.
func (t *Topology) Iperf(ctx context.Context, seconds int, args ...string) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds+30)*time.Second)
	defer cancel()
	cmd := t.Client.Command(ctx, "iperf3", append([]string{"-c", Server4, "-t", strconv.Itoa(seconds), "-J"}, args...)...)
	out, err := cmd.Output()
	var result struct {
		Error string
		End   struct {
			Received struct {
				Rate float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if jsonErr := json.Unmarshal(out, &result); jsonErr == nil && result.Error != "" {
		return 0, fmt.Errorf("iperf3: %s", result.Error)
	}
	if err != nil {
		return 0, fmt.Errorf("iperf3: %w", err)
	}
	if result.End.Received.Rate <= 0 {
		return 0, errors.New("iperf3: nothing arrived")
	}
	return result.End.Received.Rate, nil
}
