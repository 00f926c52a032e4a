package main

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"linecrypt/bench/pktgen/scenario"
	"linecrypt/ctrlplane/config"
	"linecrypt/ctrlplane/shm"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadmeHasTheReferenceOfAllKeys(t *testing.T) {
	const begin, end = "<!-- keys: bin/linecrypt config --markdown -->", "<!-- end of keys -->"
	_, rest, found := strings.Cut(read(t, "README.md"), begin)
	table, _, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("no section between %q and %q", begin, end)
	}
	if want := config.Markdown(); strings.TrimSpace(table) != strings.TrimSpace(want) {
		t.Errorf("the table is not what `bin/linecrypt config --markdown` prints:\n%s", want)
	}
}

func TestReadmeNamesMakeTargetsThatExist(t *testing.T) {
	makefile := read(t, "Makefile")
	targets := regexp.MustCompile("(?m)(?:`|^    )make ([a-z-]+)").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(targets) < 5 {
		t.Fatalf("only %d targets found", len(targets))
	}
	for _, m := range targets {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("make %s: no such target", m[1])
		}
	}
}

func TestReadmeNamesCommandsThatExist(t *testing.T) {
	named := regexp.MustCompile("(?m)(?:`|^ +)(?:bin/)?linecrypt ((?:setup|bench|resumption|key) [a-z]+|[a-z]+)(.*)$").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(named) < 10 {
		t.Fatalf("only %d commands found", len(named))
	}
	for _, m := range named {
		var help bytes.Buffer
		app := newApp(&help, &help)
		if m[1] != "top" && app.Main(append([]string{"help"}, strings.Fields(m[1])...)) != 0 {
			t.Errorf("linecrypt %s: %s", m[1], help.String())
		}
		line, _, _ := strings.Cut(m[2], "`")
		for _, flag := range regexp.MustCompile(`--[a-z]+`).FindAllString(line, -1) {
			if !strings.Contains(help.String(), flag) {
				t.Errorf("linecrypt %s has no %s", m[1], flag)
			}
		}
	}
}

func TestReadmeNamesKeysThatExist(t *testing.T) {
	c, sc := config.Default(), scenario.Default()
	for _, m := range regexp.MustCompile(`--set ([a-z_.]+)=([^\s\x60]+)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		if err := c.Set("README.md", m[1], m[2]); err != nil && sc.Set("README.md", m[1], m[2]) != nil {
			t.Error(err)
		}
	}
}

func TestReadmeShowsAScenarioThatCanBeRead(t *testing.T) {
	text := regexp.MustCompile("(?m)^    summary: .*\n(?:    .*\n)+").FindString(read(t, "README.md"))
	if text == "" {
		t.Fatal("no scenario is shown")
	}
	if _, err := scenario.Parse("README.md", []byte(regexp.MustCompile("(?m)^    ").ReplaceAllString(text, ""))); err != nil {
		t.Error(err)
	}
}

func TestReadmeNamesScenariosThatExist(t *testing.T) {
	for _, m := range regexp.MustCompile(`bench run ([a-z0-9-]+)`).FindAllStringSubmatch(read(t, "README.md"), -1) {
		if _, err := scenario.Load(m[1]); err != nil {
			t.Error(err)
		}
	}
}

func TestReadmeNamesDropsThatAreCounted(t *testing.T) {
	table := shm.NewTable()
	names := regexp.MustCompile("`(drop_[a-z_]+)`").FindAllStringSubmatch(read(t, "README.md"), -1)
	if len(names) == 0 {
		t.Fatal("no drop is named")
	}
	for _, m := range names {
		if _, ok := table.Find(m[1]); !ok {
			t.Errorf("%s: no such counter", m[1])
		}
	}
}

func TestReadmeMapsEveryPackage(t *testing.T) {
	_, list, _ := strings.Cut(read(t, "README.md"), "\n## Packages\n")
	mapped := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^\\| (`.*`) \\|").FindAllStringSubmatch(list, -1) {
		for name := range strings.SplitSeq(m[1], ", ") {
			mapped[strings.Trim(name, "`")] = true
		}
	}
	for name := range mapped {
		if _, err := os.Stat(filepath.Join(root, name)); err != nil {
			t.Errorf("the map has %s: %v", name, err)
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != root && (strings.ContainsAny(d.Name()[:1], "._") || d.Name() == "testdata") {
			return fs.SkipDir
		}
		rel, _ := filepath.Rel(root, filepath.Dir(path))
		if filepath.Ext(path) == ".go" && !mapped[filepath.ToSlash(rel)] {
			t.Errorf("the map lacks %s", rel)
			mapped[filepath.ToSlash(rel)] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
