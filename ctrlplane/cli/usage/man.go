package usage

import (
	"fmt"
	"strings"
)

// Page is a man page.
type Page struct {
	Name string // with its section, as in linecrypt.1
	Text string // roff
}

// Pages returns the man pages: one of the program, one for each command, and one of the configuration file.
func (p *Program) Pages() []Page {
	pages := []Page{{p.Name + ".1", p.overview()}}
	for i := range p.Commands {
		c := &p.Commands[i]
		pages = append(pages, Page{p.pageOf(c) + ".1", p.command(c)})
	}
	return append(pages, Page{p.Name + ".yaml.5", p.keys()})
}

func (p *Program) pageOf(c *Command) string {
	return p.Name + "-" + strings.ReplaceAll(c.Name, " ", "-")
}

func (p *Program) overview() string {
	var b strings.Builder
	p.head(&b, p.Name, 1, p.Summary)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s\n.I COMMAND\n[\\fIFLAGS\\fR]\n.SH DESCRIPTION\n", p.Name)
	text(&b, p.Intro)
	b.WriteString(".SH COMMANDS\n")
	for i := range p.Commands {
		c := &p.Commands[i]
		fmt.Fprintf(&b, ".TP\n.B %s\n", escape(c.Name))
		text(&b, sentence(c.Summary)+" See "+p.pageOf(c)+"(1).")
	}
	fmt.Fprintf(&b, ".TP\n.B help \\fR[\\fICOMMAND\\fR]\nPrint the list of commands, or what one of them takes.\n")
	b.WriteString(".SH EXIT STATUS\n0 for success, 1 for a failure, 2 for a command line that makes no sense.\n")
	fmt.Fprintf(&b, `.SH FILES
.TP
.I /etc/%[1]s/NAME.yaml
configuration of the instance that the unit %[1]s@NAME.service runs, see %[1]s.yaml(5)
.TP
.I /run/%[1]s/NAME
sockets and locks of a running instance; without rights to that folder, below $XDG_RUNTIME_DIR or in /tmp
.SH ENVIRONMENT
.TP
.B LINECRYPT_RUN_DIR
names the folder below which the folders of instances lie, and rules all others out
.TP
.B LINECRYPT_ENGINE
names the implementation of the ciphers, and counts more than the configuration
.SH SEE ALSO
`, p.Name)
	for i := range p.Commands {
		fmt.Fprintf(&b, ".BR %s (1),\n", escape(p.pageOf(&p.Commands[i])))
	}
	fmt.Fprintf(&b, ".BR %s.yaml (5)\n", p.Name)
	return b.String()
}

func (p *Program) command(c *Command) string {
	var b strings.Builder
	p.head(&b, p.pageOf(c), 1, c.Summary)
	fmt.Fprintf(&b, ".SH SYNOPSIS\n.B %s %s\n", p.Name, escape(c.Name))
	if c.Args != "" {
		line(&b, c.Args)
	}
	b.WriteString(".SH DESCRIPTION\n")
	text(&b, c.Details)
	if len(c.Flags) > 0 {
		b.WriteString(".SH FLAGS\n")
	}
	for _, f := range c.Flags {
		fmt.Fprintf(&b, ".TP\n.B %s", escape("--"+f.Name))
		if f.Value != "" {
			fmt.Fprintf(&b, " \\fI%s\\fR", escape(f.Value))
		}
		b.WriteString("\n")
		text(&b, f.Usage)
	}
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %[1]s (1),\n.BR %[1]s.yaml (5)\n", p.Name)
	return b.String()
}

func (p *Program) keys() string {
	var b strings.Builder
	p.head(&b, p.Name+".yaml", 5, "configuration of a "+p.Name+" gateway")
	fmt.Fprintf(&b, ".SH DESCRIPTION\n")
	text(&b, "A YAML file of keys and values, which both processes of a gateway read: '"+p.Name+" run --config FILE'. A key a.b stands as b below "+
		"the section a. Every key may be left out. Each can also be given on the command line, as '--set KEY=VALUE', which counts more than the file. '"+
		p.Name+" config --check FILE' says what is wrong with a file, and '"+p.Name+" config --example' prints one with every key.")
	b.WriteString(".SH KEYS\n")
	for _, k := range p.Keys {
		fmt.Fprintf(&b, ".TP\n.B %s\n", escape(k.Name))
		text(&b, k.Help)
		b.WriteString(".IP\n")
		def := k.Default
		if def == "" {
			def = "none"
		}
		text(&b, fmt.Sprintf("%s: %s. Default: %s", k.Type, k.Allowed, def))
	}
	b.WriteString(".SH EXAMPLE\n.nf\ninside: eth0\noutside: eth1\nworkers:\n  poll: adaptive\n.fi\n")
	fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %[1]s (1),\n.BR %[1]s\\-run (1),\n.BR %[1]s\\-config (1)\n", p.Name)
	return b.String()
}

// head begins a page. Its title is in capitals, as man pages' are.
func (p *Program) head(b *strings.Builder, title string, section int, summary string) {
	manual := map[int]string{1: "User Commands", 5: "File Formats"}[section]
	fmt.Fprintf(b, ".TH %s %d \"%s\" \"%s %s\" \"%s\"\n", escape(strings.ToUpper(title)), section, p.Date, p.Name, escape(p.Version), manual)
	fmt.Fprintf(b, ".SH NAME\n%s \\- %s\n", escape(title), escape(summary))
}

// text writes paragraphs. An empty line parts them; lines that begin with a space are kept as they are.
func text(b *strings.Builder, s string) {
	kept := false
	for l := range strings.SplitSeq(strings.TrimSpace(s), "\n") {
		if asIs := strings.HasPrefix(l, " "); asIs != kept {
			b.WriteString(map[bool]string{true: ".nf\n", false: ".fi\n"}[asIs])
			kept = asIs
		}
		if l == "" {
			b.WriteString(".PP\n")
			continue
		}
		line(b, l)
	}
	if kept {
		b.WriteString(".fi\n")
	}
}

// line writes a line of text that is no request, whatever it begins with.
func line(b *strings.Builder, s string) {
	if strings.HasPrefix(s, ".") || strings.HasPrefix(s, "'") {
		b.WriteString(`\&`)
	}
	b.WriteString(escape(s) + "\n")
}

// escape makes roff print a text as it stands. A minus is one that can be copied to a command line.
func escape(s string) string {
	return strings.NewReplacer(`\`, `\e`, "-", `\-`, "`", `\(ga`, "'", `\(aq`, `"`, `\(dq`).Replace(s)
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:] + "."
}
