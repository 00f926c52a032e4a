package cli

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"linecrypt/ctrlplane/human"
	"linecrypt/ctrlplane/tcpcrypt"
)

// textWidth is how many columns a table of sessions may have.
const textWidth = 100

// column is one of a table of sessions.
type column struct {
	head  string
	quiet string // what says nothing: a column that has nothing else is left out
	cell  func(*Session) string
	cut   bool // may be shortened to shortest, so that the table fits
}

const shortest = 7

// number of columns in front that name the connection.
const ends = 2

var encryptedColumns = []column{
	{head: "CLIENT", cell: func(s *Session) string { return s.Client }},
	{head: "SERVER", cell: func(s *Session) string { return s.Server }},
	{head: "TEP", cell: func(s *Session) string { return tepName(s.TEP) }},
	{head: "AEAD", cell: func(s *Session) string { return aeadName(s.AEAD) }},
	{head: "RATE", cell: func(s *Session) string { return human.Rate(s.Rate) }},
	{head: "DATA", cell: func(s *Session) string { return human.Bytes(s.Sealed.Bytes + s.Opened.Bytes) }},
	{head: "IDLE", cell: func(s *Session) string { return human.Age(s.IdleS) }},
	{head: "AGE", cell: func(s *Session) string { return human.Age(s.AgeS) }},
	{head: "KEYS", quiet: "0/0", cell: func(s *Session) string { return fmt.Sprintf("%d/%d", s.Sealed.Generation, s.Opened.Generation) }},
	{head: "VLAN", quiet: "-", cell: func(s *Session) string { return vlanCell(s.VLAN) }},
	{head: "RULE", quiet: "default", cell: func(s *Session) string { return orDash(s.Rule) }, cut: true},
	{head: "FAR END", quiet: "-", cell: func(s *Session) string { return farEnd(s.Auth) }},
	{head: "SESSION ID", cell: func(s *Session) string { return orDash(s.SessionID) }, cut: true},
}

var plainColumns = []column{
	{head: "CLIENT", cell: func(s *Session) string { return s.Client }},
	{head: "SERVER", cell: func(s *Session) string { return s.Server }},
	{head: "REASON", cell: func(s *Session) string { return orDash(s.Reason) }},
	{head: "POLICY", cell: func(s *Session) string { return s.Verdict }},
	{head: "RULE", quiet: "default", cell: func(s *Session) string { return orDash(s.Rule) }, cut: true},
	{head: "VLAN", quiet: "-", cell: func(s *Session) string { return vlanCell(s.VLAN) }},
	{head: "IDLE", cell: func(s *Session) string { return human.Age(s.IdleS) }},
	{head: "AGE", cell: func(s *Session) string { return human.Age(s.AgeS) }},
}

var refusedColumns = []column{
	{head: "CLIENT", cell: func(s *Session) string { return s.Client }},
	{head: "SERVER", cell: func(s *Session) string { return s.Server }},
	{head: "REASON", cell: func(s *Session) string { return orDash(s.Reason) }},
	{head: "RULE", quiet: "default", cell: func(s *Session) string { return orDash(s.Rule) }, cut: true},
	{head: "VLAN", quiet: "-", cell: func(s *Session) string { return vlanCell(s.VLAN) }},
	{head: "AGO", cell: func(s *Session) string { return human.Age(s.AgeS) }},
}

// printSessions prints a table of encrypted connections, and totals.
func printSessions(out io.Writer, list []Session, wide bool) error {
	var text strings.Builder
	writeTable(&text, encryptedColumns, list, wide)
	var sealed, opened uint64
	var rate float64
	resumed, authenticated, mismatches := 0, 0, 0
	for i := range list {
		s := &list[i]
		sealed, opened, rate = sealed+s.Sealed.Bytes, opened+s.Opened.Bytes, rate+s.Rate
		if s.Resumed {
			resumed++
		}
		switch s.Auth {
		case "authenticated":
			authenticated++
		case "mismatch":
			mismatches++
		}
	}
	switch len(list) {
	case 0:
		text.WriteString("no encrypted connections; --plain lists those that pass in the clear, --refused those that were refused\n")
	default:
		fmt.Fprintf(&text, "%s, %s sealed, %s opened, %s now\n", human.Plural(len(list), "encrypted connection"), human.Bytes(sealed), human.Bytes(opened), human.Rate(rate))
		also := []string{}
		for _, n := range []struct {
			n    int
			what string
		}{{resumed, "resumed"}, {authenticated, "authenticated"}, {mismatches, "with ANOTHER SESSION ID at the far end"}} {
			if n.n > 0 {
				also = append(also, fmt.Sprintf("%d %s", n.n, n.what))
			}
		}
		if len(also) > 0 {
			text.WriteString("of them " + strings.Join(also, ", ") + "\n")
		}
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// printPlain prints a table of connections in the clear, and how many there are for each reason.
func printPlain(out io.Writer, list []Session, wide bool) error {
	return printReasoned(out, plainColumns, list, wide, "no connections in the clear", "in the clear")
}

// printRefused prints a table of refused connections, and how many there are for each reason.
func printRefused(out io.Writer, list []Session, wide bool) error {
	return printReasoned(out, refusedColumns, list, wide, "no refused connections", "refused lately")
}

// printReasoned prints a table of connections that are not encrypted, what they are, and how many there are for each reason.
func printReasoned(out io.Writer, columns []column, list []Session, wide bool, none, are string) error {
	var text strings.Builder
	writeTable(&text, columns, list, wide)
	if len(list) == 0 {
		text.WriteString(none + "\n")
	} else {
		fmt.Fprintf(&text, "%s %s:\n", human.Plural(len(list), "connection"), are)
	}
	writeReasons(&text, list)
	_, err := io.WriteString(out, text.String())
	return err
}

// writeReasons writes how many connections there are for each reason.
func writeReasons(text *strings.Builder, list []Session) {
	count, because := map[string]int{}, map[string]string{}
	for i := range list {
		count[orDash(list[i].Reason)]++
		because[orDash(list[i].Reason)] = list[i].Because
	}
	var reasons []string
	for reason := range count {
		reasons = append(reasons, reason)
	}
	slices.SortFunc(reasons, func(a, b string) int {
		if count[a] != count[b] {
			return count[b] - count[a]
		}
		return strings.Compare(a, b)
	})
	for _, reason := range reasons {
		fmt.Fprintf(text, "%6d  %s: %s\n", count[reason], reason, orDash(because[reason]))
	}
}

// writeTable writes connections as a table that fits textWidth, unless it is to be wide. Where addresses are too long for that, a connection
// has a line for its ends and one for the rest.
func writeTable(text *strings.Builder, columns []column, list []Session, wide bool) {
	if len(list) == 0 {
		return
	}
	cells := make([][]string, len(list)+1)
	var kept []column
	for _, c := range columns {
		loud := c.quiet == "" || wide
		for i := range list {
			loud = loud || c.cell(&list[i]) != c.quiet
		}
		if loud {
			kept = append(kept, c)
			cells[0] = append(cells[0], c.head)
			for i := range list {
				cells[i+1] = append(cells[i+1], c.cell(&list[i]))
			}
		}
	}
	widths := make([]int, len(kept))
	for _, row := range cells {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	split := false
	if !wide {
		full := slices.Clone(widths)
		if split = !shorten(kept, widths, total(widths)-textWidth); split {
			copy(widths, full)
			shorten(kept[ends:], widths[ends:], total(widths[ends:])+indent-textWidth)
		}
	}
	for _, row := range cells {
		if split {
			fmt.Fprintf(text, "%s > %s\n%*s", row[0], row[1], indent, "")
			writeRow(text, row[ends:], widths[ends:])
			continue
		}
		writeRow(text, row, widths)
	}
}

const (
	gap    = 2 // columns between two cells
	indent = 2
)

func total(widths []int) int {
	n := gap * (len(widths) - 1)
	for _, w := range widths {
		n += w
	}
	return n
}

// shorten takes columns off what may be cut, the last one first, and reports whether there were as many as the table is over.
func shorten(columns []column, widths []int, over int) bool {
	for i := len(columns) - 1; i >= 0 && over > 0; i-- {
		if columns[i].cut && widths[i] > shortest {
			take := min(over, widths[i]-shortest)
			widths[i] -= take
			over -= take
		}
	}
	return over <= 0
}

func writeRow(text *strings.Builder, row []string, widths []int) {
	var line strings.Builder
	for i, cell := range row {
		if n := utf8.RuneCountInString(cell); n > widths[i] {
			cell = string([]rune(cell)[:widths[i]-1]) + "…"
		}
		fmt.Fprintf(&line, "%-*s", widths[i], cell)
		if i < len(row)-1 {
			line.WriteString(strings.Repeat(" ", gap))
		}
	}
	text.WriteString(strings.TrimRight(line.String(), " ") + "\n")
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// tepName is the short name of a key agreement that is given as 0x23.
func tepName(text string) string {
	n, err := strconv.ParseUint(strings.TrimPrefix(text, "0x"), 16, 8)
	if err != nil {
		return orDash(text)
	}
	switch tcpcrypt.TEP(n) {
	case tcpcrypt.ECDHECurve25519:
		return "X25519"
	case tcpcrypt.ECDHECurve448:
		return "X448"
	case tcpcrypt.ECDHEP256:
		return "P-256"
	case tcpcrypt.ECDHEP521:
		return "P-521"
	}
	return text
}

// aeadName is the short name of a cipher.
func aeadName(text string) string {
	switch text {
	case tcpcrypt.AES128GCM.String():
		return "AES128"
	case tcpcrypt.AES256GCM.String():
		return "AES256"
	case tcpcrypt.ChaCha20Poly1305.String():
		return "CHACHA"
	}
	return text
}

// farEnd is what a peer said of a session, in a word.
func farEnd(auth string) string {
	switch auth {
	case "none":
		return "-"
	case "authenticated":
		return "checked"
	case "mismatch":
		return "MISMATCH"
	}
	return auth
}

func vlanCell(v uint32) string {
	if v == 0 {
		return "-"
	}
	return vlanText(v)
}
