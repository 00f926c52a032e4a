package usage

import (
	"fmt"
	"strings"
)

// zsh completes by _arguments, command by command.
func (p *Program) zsh() string {
	var b strings.Builder
	fmt.Fprintf(&b, "#compdef %[1]s\n# zsh completion for %[1]s, as '%[1]s completion zsh' prints it\n\n", p.Name)
	fmt.Fprintf(&b, "_%[1]s_instances() {\n    local -a found\n    found=(${(f)\"$(%[2]s)\"})\n    compadd -a found\n}\n\n", p.Name, listInstances)
	fmt.Fprintf(&b, "_%[1]s_ports() {\n    local -a found\n    found=(${(f)\"$(%[2]s)\"})\n    compadd -a found\n}\n\n", p.Name, listInterfaces)
	fmt.Fprintf(&b, "_%[1]s_keys() {\n    compadd -S = %[2]s\n}\n\n", p.Name, keyNames(p))
	fmt.Fprintf(&b, "_%s() {\n    local -a commands\n    if (( CURRENT == 2 )); then\n        commands=(\n", p.Name)
	for _, c := range p.firstWords() {
		fmt.Fprintf(&b, "            %s\n", zshQuote(c.Name+":"+strings.ReplaceAll(c.Summary, ":", `\:`)))
	}
	b.WriteString("        )\n        _describe command commands\n        return\n    fi\n    local command=$words[2]\n    case $command in\n")
	for _, first := range p.firstWords() {
		seconds := p.secondWords(first.Name)
		if first.Name == "help" {
			seconds = strings.Fields(names(p.firstWords()))
		}
		if len(seconds) > 0 {
			fmt.Fprintf(&b, "    %s)\n        if (( CURRENT == 3 )); then\n            compadd %s\n            return\n        fi\n", first.Name, strings.Join(seconds, " "))
			b.WriteString("        command=\"$command $words[3]\"\n        shift words\n        (( CURRENT-- ))\n        ;;\n")
		}
	}
	b.WriteString("    esac\n    shift words\n    (( CURRENT-- ))\n    case $command in\n")
	for i := range p.Commands {
		c := &p.Commands[i]
		fmt.Fprintf(&b, "    %s)\n        _arguments", zshQuote(c.Name))
		for _, f := range c.Flags {
			b.WriteString(" \\\n            " + zshQuote(p.zshFlag(c, f)))
		}
		if words := c.words(); len(words) > 0 {
			fmt.Fprintf(&b, " \\\n            '1:word:(%s)'", strings.Join(words, " "))
		} else {
			b.WriteString(" \\\n            '*:file:_files'")
		}
		b.WriteString("\n        ;;\n")
	}
	fmt.Fprintf(&b, "    esac\n}\n\n_%s \"$@\"\n", p.Name)
	return b.String()
}

func (p *Program) zshFlag(c *Command, f Flag) string {
	spec := "*--" + f.Name + "[" + strings.NewReplacer("[", `\[`, "]", `\]`, `\`, `\\`).Replace(f.Usage) + "]"
	if f.Value == "" {
		return spec
	}
	action := map[string]string{"FILE": "_files", "NAME": "_" + p.Name + "_instances", "PORT": "_" + p.Name + "_ports", "KEY": "_" + p.Name + "_keys", "OTHER": " "}
	return spec + ":" + strings.ReplaceAll(f.Value, ":", `\:`) + ":" + action[c.kind(f)]
}

func zshQuote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
