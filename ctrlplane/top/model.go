package top

import (
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"

	"linecrypt/ctrlplane/connections"
	"linecrypt/ctrlplane/sample"
)

// Frame is what is shown of one moment.
type Frame struct {
	Name, Inside, Outside string
	Policy                string
	Since                 time.Time
	Trouble               []string // what is wrong besides losses
	Sample                sample.Sample
	Rates                 sample.Rates
	Connections           []connections.Connection // encrypted ones, with their rates
}

// Source makes the next frame. It is called once for each interval, never twice at a time.
type Source func() (Frame, error)

// Interval is the time between two frames.
const Interval = time.Second

// Model is the state of the screen.
type Model struct {
	source Source
	frame  Frame
	err    error
	have   bool // a frame has come
	width  int
	height int
	order  int // in orders
	first  int // connection on top of the list
	paused bool
	style  style
}

var orders = []string{"rate", "bytes", "age", "idle", "peer"}

// New makes the model of a screen. Colour says whether it may use colours.
func New(source Source, colour bool) *Model {
	return &Model{source: source, width: 80, height: 24, style: newStyle(colour)}
}

type frameMsg struct {
	frame Frame
	err   error
}

type tickMsg struct{}

// Init implements tea.Model.
func (m *Model) Init() tea.Cmd { return m.fetch }

func (m *Model) fetch() tea.Msg {
	f, err := m.source()
	return frameMsg{f, err}
}

func tick() tea.Cmd { return tea.Tick(Interval, func(time.Time) tea.Msg { return tickMsg{} }) }

// Update implements tea.Model.
func (m *Model) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		m.width, m.height = msg.Width, msg.Height
	case frameMsg:
		m.take(msg)
		return m, tick()
	case tickMsg:
		return m, m.fetch
	case tea.KeyPressMsg:
		return m, m.key(msg.String())
	}
	return m, nil
}

// take shows a frame, unless the screen stands still.
func (m *Model) take(msg frameMsg) {
	if m.paused && m.have {
		return
	}
	m.err = msg.err
	if msg.err == nil {
		m.frame, m.have = msg.frame, true
		m.sort()
	}
}

func (m *Model) sort() {
	_ = connections.Sort(m.frame.Connections, orders[m.order]) // all of them exist
	m.first = max(0, min(m.first, len(m.frame.Connections)-1))
}

// key does what a key stands for.
func (m *Model) key(k string) tea.Cmd {
	switch strings.ToLower(k) {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "s":
		m.order = (m.order + 1) % len(orders)
		m.first = 0
		m.sort()
	case "p", "space":
		m.paused = !m.paused
	case "down", "j":
		m.first++
	case "up", "k":
		m.first--
	case "pgdown":
		m.first += m.rows()
	case "pgup":
		m.first -= m.rows()
	case "home":
		m.first = 0
	}
	m.first = max(0, min(m.first, len(m.frame.Connections)-1))
	return nil
}

// View implements tea.Model.
func (m *Model) View() tea.View {
	v := tea.NewView(m.Text())
	v.AltScreen = true
	return v
}

// Screen draws one frame without colours, for an output that is no terminal; rows at the end that would be empty are left out.
func Screen(f Frame, width, height int) string {
	m := New(nil, false)
	m.width, m.height = width, height
	m.take(frameMsg{frame: f})
	lines := strings.Split(m.Text(), "\n")
	return strings.TrimRight(strings.Join(lines[:len(lines)-1], "\n"), "\n ")
}
