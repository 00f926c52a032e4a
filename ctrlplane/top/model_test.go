package top

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	tea "charm.land/bubbletea/v2"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/sample"
	"linecrypt/ctrlplane/shm"
)

// frame is one of a gateway with two workers and a number of connections.
func frame(n int) Frame {
	at := time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	f := Frame{
		Name: "gw", Inside: "eth0", Outside: "eth1", Policy: "require", Since: at.Add(-90 * time.Minute),
		Sample: sample.Sample{At: at, Encrypted: uint64(n), InClear: 1, Workers: []sample.Worker{{Core: 3}, {Core: -1}}},
		Rates: sample.Rates{
			Sealed: 1.25e9, Opened: 3e6, Handshakes: 12,
			Workers: []sample.WorkerRates{{Packets: 1.2e6, Bits: 1.3e9, Busy: 0.5}, {Packets: 10, Busy: 0.01, Lost: 7}},
			Drops:   map[string]float64{"drop_rx_missed": 7, "drop_egress_old": 100},
		},
	}
	f.Rates.Workers[0].Cycles = [shm.NumStages]float64{27, 65, 21, 310, 63, 52, 39}
	for i := range n {
		f.Connections = append(f.Connections, connections.Connection{
			Client: fmt.Sprintf("10.0.0.%d:40000", i), Server: "192.0.2.7:443", Rate: float64(i) * 1e6, AgeS: float64(100 - i), SessionID: fmt.Sprintf("23%064x", i),
			Sealed: connections.Traffic{Bytes: uint64(1000 - i)},
		})
	}
	return f
}

func screen(t *testing.T, m *Model) []string {
	t.Helper()
	lines := strings.Split(m.Text(), "\n")
	if len(lines) > m.height {
		t.Errorf("%d lines on %d", len(lines), m.height)
	}
	for _, line := range lines {
		if n := utf8.RuneCountInString(line); n > m.width {
			t.Errorf("%d columns on %d: %q", n, m.width, line)
		}
	}
	return lines
}

func TestScreenFitsWhateverSizeItHas(t *testing.T) {
	for _, size := range [][2]int{{80, 24}, {100, 40}, {40, 10}, {200, 60}, {20, 5}, {1, 1}} {
		m := New(nil, false)
		m.Update(tea.WindowSizeMsg{Width: size[0], Height: size[1]})
		screen(t, m)
		m.take(frameMsg{frame: frame(100)})
		screen(t, m)
	}
}

func TestScreenSaysWhatAGatewayDoes(t *testing.T) {
	m := New(nil, false)
	m.Update(tea.WindowSizeMsg{Width: 100, Height: 40})
	m.take(frameMsg{frame: frame(3)})
	text := strings.Join(screen(t, m), "\n")
	for _, want := range []string{
		"linecrypt gw  eth0 <> eth1  policy require  up 1h30m",
		"encrypted  3 connections 1.2 Gbit/s sealed, 3.0 Mbit/s opened, 12 handshakes/s",
		"! drop_rx_missed 7.0/s: a worker is too slow",
		"0       3     █████████           50.0 %      1.2 M  1.3 Gbit/s    0",
		"1       any   ▏                    1.0 %         10  0 bit/s       7.0",
		"CYCLES A PACKET, by stage (577 in all)",
		"CONNECTIONS  3 encrypted, by rate",
		"10.0.0.2:40000 > 192.0.2.7:443  2.0 Mbit/s  998 B     1m38s   23000000",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "drop_egress_old") {
		t.Error("what is dropped on purpose is shown as trouble")
	}
	if strings.Index(text, "10.0.0.2:") > strings.Index(text, "10.0.0.1:") {
		t.Error("the connection with the larger rate is not the first")
	}
}

func press(m *Model, keys ...tea.KeyPressMsg) (last tea.Cmd) {
	for _, k := range keys {
		_, last = m.Update(k)
	}
	return last
}

func TestKeysSortMovePauseAndQuit(t *testing.T) {
	m := New(nil, false)
	m.take(frameMsg{frame: frame(50)})
	rune1 := func(r rune) tea.KeyPressMsg { return tea.KeyPressMsg{Code: r, Text: string(r)} }
	top := func() string { return m.frame.Connections[m.first].Client }
	if top() != "10.0.0.49:40000" {
		t.Errorf("first by rate: %s", top())
	}
	press(m, tea.KeyPressMsg{Code: tea.KeyDown})
	if top() != "10.0.0.48:40000" {
		t.Errorf("after arrow down: %s", top())
	}
	press(m, tea.KeyPressMsg{Code: tea.KeyUp}, tea.KeyPressMsg{Code: tea.KeyUp})
	if m.first != 0 {
		t.Errorf("above the top: %d", m.first)
	}
	press(m, rune1('s'))
	if top() != "10.0.0.0:40000" || orders[m.order] != "bytes" {
		t.Errorf("by %s: %s", orders[m.order], top())
	}
	press(m, rune1('p'))
	m.take(frameMsg{frame: frame(1)})
	if len(m.frame.Connections) != 50 || !strings.Contains(m.Text(), "PAUSED") {
		t.Error("a paused screen changes")
	}
	press(m, rune1('p'))
	m.take(frameMsg{frame: frame(1)})
	if len(m.frame.Connections) != 1 || m.first != 0 {
		t.Error("a screen that goes on does not change")
	}
	if quit := press(m, rune1('q')); quit == nil || quit() != (tea.QuitMsg{}) {
		t.Error("q does not quit")
	}
}

func TestErrorsAreShownAndTheScreenStays(t *testing.T) {
	m := New(nil, false)
	m.take(frameMsg{err: errors.New("no gateway")})
	if !strings.Contains(m.Text(), "no gateway") {
		t.Error(m.Text())
	}
	m.take(frameMsg{frame: frame(1)})
	m.take(frameMsg{err: errors.New("the gateway has ended")})
	if text := m.Text(); !strings.Contains(text, "the gateway has ended") || !strings.Contains(text, "10.0.0.0:40000") {
		t.Error(text)
	}
}

func TestColoursAreUsedOnlyWhereTheyMayBe(t *testing.T) {
	plain, coloured := New(nil, false), New(nil, true)
	for _, m := range []*Model{plain, coloured} {
		m.take(frameMsg{frame: frame(1)})
	}
	if strings.Contains(plain.Text(), "\x1b[") || !strings.Contains(coloured.Text(), "\x1b[") {
		t.Error("colours are not as they were asked for")
	}
}
