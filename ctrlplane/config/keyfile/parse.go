package keyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// MaxFile is the largest file in bytes: room for many thousand rules.
const MaxFile = 8 << 20

// MaxErrors bounds how many errors one file may produce before the rest is summed up.
const MaxErrors = 32

// Parse reads YAML into c, which holds the defaults; file is its name in errors. It returns where each key was set, also beside an
// error, which joins one *Error for each thing that is wrong. An empty document sets nothing. What involves more than one key is for
// the caller to check.
func (t Table[C]) Parse(file string, data []byte, c *C) (map[string]Position, error) {
	p := parser[C]{table: t, c: c, file: file, set: map[string]Position{}}
	if len(data) > MaxFile {
		p.fail(0, "", fmt.Errorf("the file is larger than %d bytes", MaxFile))
		return p.set, p.err()
	}
	root, err := p.document(data)
	if err != nil {
		return p.set, err
	}
	if root != nil {
		p.section("", root)
	}
	return p.set, p.err()
}

type parser[C any] struct {
	table  Table[C]
	c      *C
	set    map[string]Position
	file   string
	within string // in front of the names of keys in errors
	errs   []error
	count  int
}

func (p *parser[C]) fail(line int, key string, reason error) {
	p.failed(&Error{Position: Position{File: p.file, Line: line}, Key: strings.TrimSuffix(p.within+key, "."), Reason: reason})
}

func (p *parser[C]) failed(err *Error) {
	if p.count++; p.count <= MaxErrors {
		p.errs = append(p.errs, err)
	}
}

func (p *parser[C]) err() error {
	if p.count > MaxErrors {
		p.errs = append(p.errs, fmt.Errorf("%s: and %d more errors", p.file, p.count-MaxErrors))
	}
	return errors.Join(p.errs...)
}

// document returns the root of the only document in data, nil when there is nothing in it.
func (p *parser[C]) document(data []byte) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc, more yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, p.syntax(err)
	}
	if err := dec.Decode(&more); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, p.syntax(err)
		}
		p.fail(more.Line, "", errors.New("a second document begins here; only one is read"))
		return nil, p.err()
	}
	if len(doc.Content) == 0 || isNull(doc.Content[0]) {
		return nil, nil
	}
	return doc.Content[0], nil
}

var yamlLine = regexp.MustCompile(`^line ([0-9]+): `)

// syntax turns an error of the YAML package, which names a line in its text, into one that begins with file and line.
func (p *parser[C]) syntax(err error) error {
	reason := strings.TrimPrefix(err.Error(), "yaml: ")
	line := 0
	if m := yamlLine.FindStringSubmatch(reason); m != nil {
		line, _ = strconv.Atoi(m[1])
		reason = strings.TrimPrefix(reason, m[0])
	}
	p.fail(line, "", errors.New("not YAML: "+reason))
	return p.err()
}

// section reads the mapping that holds the keys below prefix ("" or "workers.").
func (p *parser[C]) section(prefix string, n *yaml.Node) {
	name := strings.TrimSuffix(prefix, ".")
	if !p.usable(name, n) {
		return
	}
	if n.Kind != yaml.MappingNode {
		p.fail(n.Line, name, errors.New("want keys and values"))
		return
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || Plain(key.Value) != nil {
			p.fail(key.Line, name, errors.New("a key is not a name"))
			continue
		}
		full := prefix + key.Value
		if line, ok := seen[full]; ok {
			p.fail(key.Line, full, fmt.Errorf("is given twice, first in line %d", line))
			continue
		}
		seen[full] = key.Line
		p.entry(prefix, full, key, val)
	}
}

func (p *parser[C]) entry(prefix, full string, key, val *yaml.Node) {
	if prefix == "" && p.table.isSection(key.Value) {
		if !isNull(val) {
			p.section(key.Value+".", val)
		}
		return
	}
	k := p.table.Lookup(full)
	if k == nil || strings.Contains(key.Value, ".") {
		p.fail(key.Line, full, p.table.Unknown(full))
		return
	}
	if k.Kind.mappings != nil {
		p.set[full] = Position{File: p.file, Line: key.Line}
		for _, err := range k.Kind.mappings(p.c, p.file, p.within+full, val) {
			p.failed(err)
		}
		return
	}
	if v, ok := p.value(full, val); ok {
		p.set[full] = Position{File: p.file, Line: key.Line}
		if err := k.Kind.Set(p.c, v); err != nil {
			p.fail(key.Line, full, err)
		}
	}
}

// value turns a scalar or a list of scalars into a value.
func (p *parser[C]) value(key string, n *yaml.Node) (Value, bool) {
	if !p.usable(key, n) {
		return Value{}, false
	}
	switch n.Kind {
	case yaml.ScalarNode:
		if isNull(n) {
			p.fail(n.Line, key, errors.New("has no value"))
			return Value{}, false
		}
		return Value{items: []string{n.Value}, quoted: n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0}, true
	case yaml.SequenceNode:
		v := Value{list: true}
		for _, item := range n.Content {
			if !p.usable(key, item) {
				return Value{}, false
			}
			if item.Kind != yaml.ScalarNode || isNull(item) {
				p.fail(item.Line, key, errors.New("an item of the list is not a plain value"))
				return Value{}, false
			}
			v.items = append(v.items, item.Value)
		}
		return v, true
	}
	p.fail(n.Line, key, errors.New("want a value, not further keys"))
	return Value{}, false
}

var errAnchor = errors.New("anchors and aliases are not supported")

// usable refuses aliases and anchors: no configuration needs them, and they let a small file stand for a huge one.
func (p *parser[C]) usable(key string, n *yaml.Node) bool {
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		p.fail(n.Line, key, errAnchor)
		return false
	}
	return true
}

func isNull(n *yaml.Node) bool { return n.Kind == yaml.ScalarNode && n.Tag == "!!null" }
