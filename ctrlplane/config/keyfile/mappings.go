package keyfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Mappings is an ordered list of mappings, each of which sets keys of a table of its own, as in
//
//	peers:
//	  - name: b
//	    prefixes: [10.2.0.0/16]
//
// An item begins as fresh returns it, and check, which may be nil, sees it with where its keys were set. On the command line the list is
// in YAML's flow form: [{name: b, prefixes: [10.2.0.0/16]}].
func Mappings[C, E any](allowed string, most int, items Table[E], field func(*C) *[]E, fresh func() E, check func(*E, map[string]Position) error) Kind[C] {
	read := func(c *C, file, key string, n *yaml.Node) []*Error {
		xs, errs := readMappings(file, key, n, most, items, fresh, check)
		if len(errs) == 0 {
			*field(c) = xs
		}
		return errs
	}
	return Kind[C]{
		Name: "list of mappings", Allowed: allowed, mappings: read,
		Set: func(c *C, v Value) error {
			var doc yaml.Node
			if err := yaml.Unmarshal([]byte(v.text), &doc); err != nil {
				return fmt.Errorf("not YAML: %w", err)
			}
			if len(doc.Content) == 0 || isNull(doc.Content[0]) {
				*field(c) = nil
				return nil
			}
			var errs []error
			for _, err := range read(c, "", "", doc.Content[0]) {
				errs = append(errs, errors.New(strings.TrimPrefix((&Error{Key: err.Key, Reason: err.Reason}).Error(), ": ")))
			}
			return errors.Join(errs...)
		},
		Show: func(c *C) string { return showMappings(*field(c), items) },
	}
}

func readMappings[E any](file, key string, n *yaml.Node, most int, items Table[E], fresh func() E, check func(*E, map[string]Position) error) (xs []E, errs []*Error) {
	fail := func(line int, key string, reason error) {
		errs = append(errs, &Error{Position: Position{File: file, Line: line}, Key: key, Reason: reason})
	}
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		fail(n.Line, key, errAnchor)
	case n.Kind != yaml.SequenceNode:
		fail(n.Line, key, errors.New("want a list, each item of which has keys and values"))
	case len(n.Content) > most:
		fail(n.Line, key, fmt.Errorf("%d items are more than %d", len(n.Content), most))
	default:
		for i, item := range n.Content {
			x := fresh()
			name := key + "[" + strconv.Itoa(i) + "]"
			p := parser[E]{table: items, c: &x, file: file, within: name + ".", set: map[string]Position{}}
			p.section("", item)
			for _, err := range p.errs {
				errs = append(errs, err.(*Error))
			}
			if len(p.errs) == 0 && check != nil {
				if err := check(&x, p.set); err != nil {
					fail(item.Line, name, err)
				}
			}
			xs = append(xs, x)
		}
	}
	return xs, errs
}

// showMappings writes the flow form. Keys whose value is empty are left out.
func showMappings[E any](xs []E, items Table[E]) string {
	if len(xs) == 0 {
		return ""
	}
	var b strings.Builder
	for i := range xs {
		var pairs []string
		for _, k := range items {
			v := k.Kind.Show(&xs[i])
			switch {
			case v == "":
				continue
			case k.Kind.List:
				v = "[" + v + "]"
			case k.Kind.Name == "text":
				v = strconv.Quote(v)
			}
			pairs = append(pairs, k.Name+": "+v)
		}
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString("{" + strings.Join(pairs, ", ") + "}")
	}
	return "[" + b.String() + "]"
}
