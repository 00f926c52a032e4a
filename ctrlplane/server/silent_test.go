package server

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"
)

// said is a log whose messages a test waits for.
type said chan string

func (said) Enabled(context.Context, slog.Level) bool { return true }
func (s said) WithAttrs([]slog.Attr) slog.Handler     { return s }
func (s said) WithGroup(string) slog.Handler          { return s }

func (s said) Handle(_ context.Context, r slog.Record) error {
	select {
	case s <- r.Message:
	default:
	}
	return nil
}

// await waits for a message that holds a text.
func (s said) await(t *testing.T, text string) {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case message := <-s:
			if strings.Contains(message, text) {
				return
			}
		case <-late:
			t.Fatalf("the log has nothing of %q", text)
		}
	}
}

func TestLogTellsOfADataPlaneThatGivesNoSignOfLife(t *testing.T) {
	p, log := newPlane(t, t.TempDir(), 1), make(said, 64)
	o := options(p.dir)
	o.Log = slog.New(log)
	p.seg.SetReady(true)
	s, _ := run(t, o) // before the first heartbeat: one that lives is waited for
	if p.seg.Beat(monotonic()); !s.Status().Ready {
		t.Error("a data plane that beats is not ready")
	}
	p.seg.Beat(monotonic() - 3e9)
	log.await(t, "gives no sign of life")
	if s.Status().Ready {
		t.Error("one that does not beat is ready")
	}
	beaten := make(chan struct{})
	go func() { // again and again: this process may be off its core for longer than a beat counts
		defer close(beaten)
		for ; t.Context().Err() == nil; time.Sleep(50 * time.Millisecond) {
			p.seg.Beat(monotonic())
		}
	}()
	t.Cleanup(func() { <-beaten })
	log.await(t, "gives signs of life again")
}
