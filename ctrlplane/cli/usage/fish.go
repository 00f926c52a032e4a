package usage

import (
	"fmt"
	"strings"
)

// fish has a line for each command and flag.
func (p *Program) fish() string {
	var b strings.Builder
	fmt.Fprintf(&b, `# fish completion for %[1]s, as '%[1]s completion fish' prints it

# true behind exactly these words, when the next one is to be completed
function __%[1]s_after
    set -l words (commandline -opc)
    set -l end (math 1 + (count $argv))
    test (count $words) -eq $end; and test "$words[2..$end]" = "$argv"
end

# true in a command of that name
function __%[1]s_in
    set -l words (commandline -opc)
    set -l end (math 1 + (count $argv))
    test (count $words) -ge $end; and test "$words[2..$end]" = "$argv"
end

complete -c %[1]s -n 'test (count (commandline -opc)) -eq 1' -f
`, p.Name)
	for _, c := range p.firstWords() {
		fmt.Fprintf(&b, "complete -c %s -n 'test (count (commandline -opc)) -eq 1' -f -a %s -d %s\n", p.Name, c.Name, fishQuote(c.Summary))
		for _, second := range p.secondWords(c.Name) {
			fmt.Fprintf(&b, "complete -c %[1]s -n '__%[1]s_after %[2]s' -f -a %[3]s\n", p.Name, c.Name, second)
		}
	}
	fmt.Fprintf(&b, "complete -c %[1]s -n '__%[1]s_after help' -f -a %[2]s\n", p.Name, fishQuote(names(p.firstWords())))
	for i := range p.Commands {
		c := &p.Commands[i]
		if words := c.words(); len(words) > 0 {
			fmt.Fprintf(&b, "complete -c %[1]s -n '__%[1]s_after %[2]s' -f -a %[3]s\n", p.Name, c.Name, fishQuote(strings.Join(words, " ")))
		}
		for _, f := range c.Flags {
			fmt.Fprintf(&b, "complete -c %[1]s -n '__%[1]s_in %[2]s' -l %[3]s%[4]s -d %[5]s\n", p.Name, c.Name, f.Name, p.fishValue(c, f), fishQuote(f.Usage))
		}
	}
	return b.String()
}

func (p *Program) fishValue(c *Command, f Flag) string {
	if f.Value == "" {
		return ""
	}
	switch c.kind(f) {
	case "FILE":
		return " -r -F"
	case "NAME":
		return " -x -a " + fishQuote("(sh -c "+fishQuote(listInstances)+")")
	case "PORT":
		return " -x -a " + fishQuote("("+"sh -c "+fishQuote(listInterfaces)+")")
	case "KEY":
		return " -x -a " + fishQuote(strings.ReplaceAll(keyNames(p), " ", "= ")+"=")
	}
	return " -x"
}

func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
