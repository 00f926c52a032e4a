package top

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"charm.land/lipgloss/v2"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/human"
	"linecrypt/ctrlplane/shm"
	"linecrypt/ctrlplane/trouble"
)

// style draws text in colours, or as it is.
type style struct {
	title, good, warn, bad, faint, bar func(...string) string
}

func newStyle(colour bool) style {
	if !colour {
		plain := func(s ...string) string { return strings.Join(s, " ") }
		return style{plain, plain, plain, plain, plain, plain}
	}
	of := func(c string) func(...string) string { return lipgloss.NewStyle().Foreground(lipgloss.Color(c)).Render }
	return style{
		title: lipgloss.NewStyle().Bold(true).Render, good: of("2"), warn: of("3"), bad: lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Color("1")).Render,
		faint: lipgloss.NewStyle().Faint(true).Render, bar: of("6"),
	}
}

// Text draws the screen as lines, no more and none longer than it has room for.
func (m *Model) Text() string {
	if !m.have {
		if m.err != nil {
			return m.style.bad(m.clip(m.err.Error()))
		}
		return m.clip("measuring ...")
	}
	lines := m.head()
	lines = append(lines, m.workers()...)
	lines = append(lines, m.stages()...)
	lines = append(lines, m.connections(m.height-len(lines)-1)...)
	for len(lines) < m.height-1 {
		lines = append(lines, "")
	}
	lines = lines[:max(0, min(len(lines), m.height-1))]
	return strings.Join(append(lines, m.foot()), "\n")
}

// clip cuts text to the width of the screen. It has no colours yet.
func (m *Model) clip(text string) string {
	if utf8.RuneCountInString(text) <= m.width {
		return text
	}
	if m.width < 2 {
		return ""
	}
	return string([]rune(text)[:m.width-1]) + "…"
}

// head says what is asked first, and what is wrong.
func (m *Model) head() []string {
	f, r := &m.frame, &m.frame.Rates
	up := f.Sample.At.Sub(f.Since).Seconds()
	lines := []string{
		m.style.title(m.clip(fmt.Sprintf("linecrypt %s  %s <> %s  policy %s  up %s", f.Name, f.Inside, f.Outside, f.Policy, human.Age(up)))),
		m.clip(fmt.Sprintf("encrypted  %-12s %s sealed, %s opened, %s handshakes/s", plural(f.Sample.Encrypted, "connection"), human.Rate(r.Sealed), human.Rate(r.Opened), human.PerSecond(r.Handshakes))),
		m.clip(fmt.Sprintf("in clear   %-12s %s   refused %s/s, aborted %s/s", plural(f.Sample.InClear, "connection"), human.Rate(r.Clear), human.PerSecond(r.Refused), human.PerSecond(r.Aborted))),
	}
	for _, text := range f.Trouble {
		lines = append(lines, m.style.bad(m.clip("! "+text)))
	}
	names := slices.SortedFunc(maps.Keys(r.Drops), func(a, b string) int { return int(math.Copysign(1, r.Drops[b]-r.Drops[a])) })
	const most = 3
	n := 0
	for _, name := range names {
		if text, bad := trouble.Advice(name); bad && n < most {
			n++
			lines = append(lines, m.style.bad(m.clip(fmt.Sprintf("! %s %s/s: %s", name, human.PerSecond(r.Drops[name]), text))))
		}
	}
	return append(lines, "")
}

func plural(n uint64, what string) string { return human.Plural(int(n), what) }

// workers has a line for each, with its load.
func (m *Model) workers() []string {
	lines := []string{m.style.faint(m.clip("WORKER  CORE  BUSY                        PACKETS/S  RECEIVED      LOST/S"))}
	for i, w := range m.frame.Rates.Workers {
		core := "any"
		if c := m.frame.Sample.Workers[i].Core; c >= 0 {
			core = fmt.Sprint(c)
		}
		text := m.clip(fmt.Sprintf("%-6d  %-4s  %s %5.1f %%  %9s  %-12s  %s", i, core, bar(w.Busy, 18), 100*w.Busy, human.Count(uint64(w.Packets), ""), human.Rate(w.Bits), human.PerSecond(w.Lost)))
		switch {
		case w.Lost > 0:
			text = m.style.bad(text)
		case w.Busy > 0.9:
			text = m.style.warn(text)
		}
		lines = append(lines, text)
	}
	return append(lines, "")
}

// stages has the cycles of a packet by stage over all workers, as bars.
func (m *Model) stages() []string {
	var packets [shm.NumStages]float64
	var cycles [shm.NumStages]float64
	largest, total := 0.0, 0.0
	for s := range shm.NumStages {
		for _, w := range m.frame.Rates.Workers {
			if w.Cycles[s] > 0 {
				packets[s]++
				cycles[s] += w.Cycles[s]
			}
		}
		if packets[s] > 0 {
			cycles[s] /= packets[s]
		}
		largest, total = max(largest, cycles[s]), total+cycles[s]
	}
	if total == 0 {
		return nil
	}
	lines := []string{m.style.faint(m.clip(fmt.Sprintf("CYCLES A PACKET, by stage (%.0f in all)", total)))}
	room := max(10, min(m.width-20, 60))
	for s := range shm.NumStages {
		lines = append(lines, m.clip(fmt.Sprintf("%-8s %6.0f  ", s, cycles[s]))+m.style.bar(strings.TrimRight(bar(cycles[s]/largest, room), " ")))
	}
	return append(lines, "")
}

// bar draws a share, 0 to 1, in a number of columns, by eighths.
func bar(share float64, columns int) string {
	eighths := int(math.Round(min(max(share, 0), 1) * float64(8*columns)))
	text := strings.Repeat("█", eighths/8)
	if rest := eighths % 8; rest > 0 {
		text += string([]rune("▏▎▍▌▋▊▉")[rest-1])
	}
	return text + strings.Repeat(" ", columns-utf8.RuneCountInString(text))
}

// rows is how many connections fit on the screen.
func (m *Model) rows() int { return max(1, m.height/3) }

// connections lists those that fit into a number of lines.
func (m *Model) connections(room int) []string {
	list := m.frame.Connections
	if room < 2 {
		return nil
	}
	title := fmt.Sprintf("CONNECTIONS  %d encrypted, by %s", len(list), orders[m.order])
	if m.first > 0 {
		title += fmt.Sprintf(", from number %d on", m.first+1)
	}
	lines := []string{m.style.faint(m.clip(title))}
	if len(list) == 0 {
		return append(lines, "none")
	}
	shown := list[m.first:min(len(list), m.first+room-1)]
	ends := 0
	for i := range shown {
		ends = max(ends, len(shown[i].Client)+len(shown[i].Server)+3)
	}
	ends = max(20, min(ends, m.width-38))
	for i := range shown {
		lines = append(lines, m.clip(row(&shown[i], ends)))
	}
	return lines
}

// row is a connection, its ends in a number of columns.
func row(c *connections.Connection, ends int) string {
	name := c.Client + " > " + c.Server
	if n := len(name); n > ends {
		name = name[:ends-1] + "…"
	}
	id := c.SessionID
	if len(id) > 8 {
		id = id[:8]
	}
	return fmt.Sprintf("%-*s  %-11s %-9s %-7s %s", ends, name, human.Rate(c.Rate), human.Bytes(c.Sealed.Bytes+c.Opened.Bytes), human.Age(c.AgeS), id)
}

func (m *Model) foot() string {
	text := "q quit   s sort   p pause   arrows move"
	if m.paused {
		text = "PAUSED at " + m.frame.Sample.At.Format(time.TimeOnly) + "   " + text
	}
	if m.err != nil {
		return m.style.bad(m.clip(m.err.Error()))
	}
	return m.style.faint(m.clip(text))
}
