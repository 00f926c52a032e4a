package config

import (
	"fmt"
	"strings"
)

// Markdown returns the reference of all keys as a table for the documents.
func Markdown() string {
	var b strings.Builder
	b.WriteString("| key | type | default | values | meaning |\n| --- | --- | --- | --- | --- |\n")
	for i := range keys {
		k := &keys[i]
		def := "none"
		if k.Default != "" {
			def = "`" + k.Default + "`"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", k.Name, k.Type(), def, k.Allowed(), k.Help)
	}
	return b.String()
}

// Example returns a configuration file that holds every key with its default and its meaning, and two network interfaces
// as ports.
func Example() string {
	var b strings.Builder
	b.WriteString("# Configuration of a Linecrypt instance. Every key may be left out; the values shown are the defaults,\n# except for the two ports.\n")
	section := ""
	for i := range keys {
		k := &keys[i]
		indent, name := "", k.Name
		if s, key, ok := strings.Cut(k.Name, "."); ok {
			indent, name = "  ", key
			if s != section {
				fmt.Fprintf(&b, "\n%s:\n", s)
			}
			section = s
		} else {
			b.WriteString("\n")
		}
		for _, line := range wrap(k.Help+" ["+k.Type()+": "+k.Allowed()+"]", 100) {
			fmt.Fprintf(&b, "%s# %s\n", indent, line)
		}
		fmt.Fprintf(&b, "%s%s: %s\n", indent, name, exampleValue(k))
	}
	return b.String()
}

func exampleValue(k *Key) string {
	switch {
	case k.Name == "inside":
		return "eth0"
	case k.Name == "outside":
		return "eth1"
	case k.Default == "":
		return `""`
	}
	return k.Default
}

func wrap(s string, width int) []string {
	var lines []string
	line := ""
	for w := range strings.FieldsSeq(s) {
		if line != "" && len(line)+1+len(w) > width {
			lines = append(lines, line)
			line = ""
		}
		line = strings.TrimPrefix(line+" "+w, " ")
	}
	return append(lines, line)
}
