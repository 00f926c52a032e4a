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

// documents is the README and what it points to, all of which must be true.
func documents(t *testing.T) string {
	t.Helper()
	names, err := filepath.Glob("docs/*.md")
	if err != nil || len(names) == 0 {
		t.Fatalf("no documents: %v", err)
	}
	text := read(t, "README.md")
	for _, name := range names {
		text += "\n" + read(t, filepath.Join("cmd/linecrypt", name))
	}
	return text
}

func read(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestReadmeIsReadInOneSitting(t *testing.T) {
	if n := strings.Count(read(t, "README.md"), "\n"); n > 250 {
		t.Errorf("%d lines, more than 250: what only few need belongs under docs", n)
	}
}

func TestDocumentsLinkToWhatExists(t *testing.T) {
	names, err := filepath.Glob("docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, filepath.Join(root, "README.md")) {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\]\(([^)#:]*)(?:#([^)]*))?\)`).FindAllStringSubmatch(string(text), -1) {
			target := filepath.Join(filepath.Dir(name), m[1])
			if m[1] == "" {
				target = name
			}
			linked, err := os.ReadFile(target)
			if err != nil {
				t.Errorf("%s: %v", name, err)
			} else if m[2] != "" && !anchors(string(linked))[m[2]] {
				t.Errorf("%s: %s has no heading for #%s", name, target, m[2])
			}
		}
	}
}

// anchors returns the names by which links reach the headings of a document.
func anchors(text string) map[string]bool {
	all := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(text, -1) {
		plain := regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(m[1]), "")
		all[strings.ReplaceAll(plain, " ", "-")] = true
	}
	return all
}

func TestDocumentsHaveTheReferenceOfAllKeys(t *testing.T) {
	const begin, end = "<!-- keys: bin/linecrypt config --markdown -->", "<!-- end of keys -->"
	_, rest, found := strings.Cut(read(t, "cmd/linecrypt/docs/configuration.md"), begin)
	table, _, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("no section between %q and %q", begin, end)
	}
	if want := config.Markdown(); strings.TrimSpace(table) != strings.TrimSpace(want) {
		t.Errorf("the table is not what `bin/linecrypt config --markdown` prints:\n%s", want)
	}
}

func TestDocumentsNameMakeTargetsThatExist(t *testing.T) {
	makefile := read(t, "Makefile")
	targets := regexp.MustCompile("(?m)(?:`|^    )make ([a-z-]+)").FindAllStringSubmatch(documents(t), -1)
	if len(targets) < 5 {
		t.Fatalf("only %d targets found", len(targets))
	}
	for _, m := range targets {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			t.Errorf("make %s: no such target", m[1])
		}
	}
}

func TestDocumentsNameCommandsThatExist(t *testing.T) {
	named := regexp.MustCompile("(?m)(?:`|^ +)(?:bin/)?linecrypt ((?:setup|bench|resumption|key) [a-z]+|[a-z]+)(.*)$").FindAllStringSubmatch(documents(t), -1)
	if len(named) < 10 {
		t.Fatalf("only %d commands found", len(named))
	}
	for _, m := range named {
		var help bytes.Buffer
		app := newApp(&help, &help)
		if app.Main(append([]string{"help"}, strings.Fields(m[1])...)) != 0 {
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

func TestDocumentsNameKeysThatExist(t *testing.T) {
	c, sc := config.Default(), scenario.Default()
	for _, m := range regexp.MustCompile(`--set ([a-z_.]+)=([^\s\x60]+)`).FindAllStringSubmatch(documents(t), -1) {
		if err := c.Set("README.md", m[1], m[2]); err != nil && sc.Set("README.md", m[1], m[2]) != nil {
			t.Error(err)
		}
	}
}

func TestDocumentsShowAScenarioThatCanBeRead(t *testing.T) {
	text := regexp.MustCompile("(?m)^    summary: .*\n(?:    .*\n)+").FindString(documents(t))
	if text == "" {
		t.Fatal("no scenario is shown")
	}
	if _, err := scenario.Parse("README.md", []byte(regexp.MustCompile("(?m)^    ").ReplaceAllString(text, ""))); err != nil {
		t.Error(err)
	}
}

func TestDocumentsNameScenariosThatExist(t *testing.T) {
	for _, m := range regexp.MustCompile(`bench run ([a-z0-9-]+)`).FindAllStringSubmatch(documents(t), -1) {
		if _, err := scenario.Load(m[1]); err != nil {
			t.Error(err)
		}
	}
}

func TestDocumentsNameDropsThatAreCounted(t *testing.T) {
	table := shm.NewTable()
	names := regexp.MustCompile("`(drop_[a-z_]+)`").FindAllStringSubmatch(documents(t), -1)
	if len(names) == 0 {
		t.Fatal("no drop is named")
	}
	for _, m := range names {
		if _, ok := table.Find(m[1]); !ok {
			t.Errorf("%s: no such counter", m[1])
		}
	}
}

func TestDocumentsMapEveryPackage(t *testing.T) {
	_, list, _ := strings.Cut(read(t, "cmd/linecrypt/docs/how-it-works.md"), "\n## Packages\n")
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
