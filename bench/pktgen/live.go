package pktgen

import (
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// liveEvery is the interval of the live line.
const liveEvery = 200 * time.Millisecond

// live is a line that tells what goes on, on a terminal only.
type live struct {
	out   io.Writer
	on    bool
	width int

	prefix string // of what is said
}

// newLive returns one for a writer; it stays silent where that is no terminal.
func newLive(out io.Writer) *live {
	f, ok := out.(*os.File)
	if !ok {
		return &live{}
	}
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return &live{out: out, on: err == nil}
}

// say replaces the line.
func (l *live) say(format string, args ...any) {
	if !l.on {
		return
	}
	text := l.prefix + fmt.Sprintf(format, args...)
	room := l.room()
	text = text[:min(len(text), room)]
	fmt.Fprintf(l.out, "\r%s%s", text, strings.Repeat(" ", max(min(l.width, room)-len(text), 0)))
	l.width = len(text)
}

// room is how much of a line the terminal shows: what is longer goes on in a further line, which no carriage return takes back.
func (l *live) room() int {
	if f, ok := l.out.(*os.File); ok {
		if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 {
			return int(size.Col) - 1
		}
	}
	return math.MaxInt
}

// clear removes the line.
func (l *live) clear() {
	if l.on && l.width > 0 {
		fmt.Fprintf(l.out, "\r%s\r", strings.Repeat(" ", min(l.width, l.room())))
		l.width = 0
	}
}

const barWidth = 24

// bar draws how much of something is done.
func bar(done, total int) string {
	full := barWidth * min(done, total) / max(total, 1)
	return "[" + strings.Repeat("#", full) + strings.Repeat(".", barWidth-full) + "]"
}
