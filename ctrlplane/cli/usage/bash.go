package usage

import (
	"fmt"
	"strings"
)

// bash completes by itself, without the package bash-completion. Where it offers nothing, bash offers files.
func (p *Program) bash() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# bash completion for %[1]s, as '%[1]s completion bash' prints it\n_%[1]s() {\n", p.Name)
	b.WriteString(`    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=${COMP_WORDS[1]} depth=2
    local words= flags= values=
    COMPREPLY=()
`)
	fmt.Fprintf(&b, "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n        COMPREPLY=($(compgen -W '%s' -- \"$cur\"))\n        return\n    fi\n    case $command in\n", names(p.firstWords()))
	for _, first := range p.firstWords() {
		if seconds := p.secondWords(first.Name); len(seconds) > 0 {
			fmt.Fprintf(&b, "    %s) words='%s' depth=3 command=\"$command ${COMP_WORDS[2]}\" ;;\n", first.Name, strings.Join(seconds, " "))
		}
	}
	fmt.Fprintf(&b, `    help) words='%s' ;;
    esac
    if [ -n "$words" ] && [ "$COMP_CWORD" -eq 2 ]; then
        COMPREPLY=($(compgen -W "$words" -- "$cur"))
        return
    fi
    case $command in
`, names(p.firstWords()))
	for i := range p.Commands {
		c := &p.Commands[i]
		fmt.Fprintf(&b, "    '%s') words='%s' flags='%s' values='%s' ;;\n", c.Name, strings.Join(c.words(), " "), flagNames(c), valueKinds(c))
	}
	fmt.Fprintf(&b, `    esac
    case " $values " in
    *" $prev:FILE "*) COMPREPLY=($(compgen -f -- "$cur")) ;;
    *" $prev:NAME "*) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")) ;;
    *" $prev:PORT "*) COMPREPLY=($(compgen -W "$(%s)" -- "$cur")) ;;
    *" $prev:KEY "*) compopt -o nospace; COMPREPLY=($(compgen -S = -W '%s' -- "$cur")) ;;
    *" $prev:"*) ;;
    *)
        if [ -n "$words" ] && [ "$COMP_CWORD" -eq "$depth" ]; then
            COMPREPLY=($(compgen -W "$words $flags" -- "$cur"))
        elif [ -z "$cur" ] || [ "${cur#-}" != "$cur" ]; then
            COMPREPLY=($(compgen -W "$flags" -- "$cur"))
        fi
        ;;
    esac
}
complete -o default -F _%[4]s %[4]s
`, listInstances, listInterfaces, keyNames(p), p.Name)
	return b.String()
}

func names(cs []Command) string {
	var all []string
	for _, c := range cs {
		all = append(all, c.Name)
	}
	return strings.Join(all, " ")
}

func keyNames(p *Program) string {
	var all []string
	for _, k := range p.Keys {
		all = append(all, k.Name)
	}
	return strings.Join(all, " ")
}

func flagNames(c *Command) string {
	var all []string
	for _, f := range c.Flags {
		all = append(all, "--"+f.Name)
	}
	return strings.Join(all, " ")
}

// valueKinds has --flag:KIND for each flag that takes a value.
func valueKinds(c *Command) string {
	var all []string
	for _, f := range c.Flags {
		if f.Value != "" {
			all = append(all, "--"+f.Name+":"+c.kind(f))
		}
	}
	return strings.Join(all, " ")
}
